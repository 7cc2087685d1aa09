"""What the end of an attempt means for its job: a fault of the file ends it, a fault of a process is a strike, a full
disk or machine asks for patience, a damaged segment, a lost file or doubted times open a new epoch. Invariant: each
failure leaves a reason in a row, and no repair is begun without end.
"""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, Max, OuterRef

from processing import nudge
from processing.clock import after
from processing.media.errors import (
    MediaError,
    OutputLost,
    ProcessError,
    ProcessRefused,
    ProcessStopped,
    SegmentDamaged,
    StorageAway,
    StorageFull,
    TimelineMismatch,
)
from processing.models import Job, Step
from processing.pipeline import must_decode_to_plan
from processing.state import job as jobs
from processing.state import step as steps
from processing.state.errors import JobBusy, JobClosed
from processing.state.step import Claim

logger = logging.getLogger(__name__)
Kind, State = Step.Kind, Job.State
LATELY_SECONDS = 300.0
"""A step that is tried again and again was put off so lately."""
BATCH = 50
WAITING = {"worker_too_old", *(kind.code for kind in (ProcessRefused, StorageAway, StorageFull))}
"""One event for all of these that follow each other, however often a step is tried: two workers, each with a trouble of
its own, would else write events in turn, and what happens to a job keeps it from its deadline."""
MOST_REPAIRS = 3
"""So often one finished file is made again; a storage or a memory that spoils it each time is for the operator."""


@transaction.atomic
def step_failed(claim: Claim, error: MediaError) -> None:
    """Decide what a failure means: of the file, the end; of a process, a strike and a retry; of a machine, patience."""
    job = jobs.lock(claim.job_id, epoch=claim.epoch)
    facts = {"step": claim.kind, "index": claim.index, "attempt": claim.attempt, "code": error.code}
    if isinstance(error, OutputLost) or (isinstance(error, SegmentDamaged) and _is_finished(claim, error.index)):
        steps.fail(claim, code=error.code, detail=error.detail)
        _repair(job, claim, error, facts)
    elif isinstance(error, TimelineMismatch) and not must_decode_to_plan(job):
        steps.fail(claim, code=error.code, detail=error.detail)
        jobs.reopen(job, "times_doubted", to=State.PROBING, data=facts)
        steps.carry_over(job, Kind.METADATA, Kind.DIAGNOSE)
        steps.create(job, Kind.PLAN)
    elif isinstance(error, ProcessStopped | ProcessRefused | StorageFull | StorageAway):
        delay = 0.0 if isinstance(error, ProcessStopped) else settings.VIDEOPROC_BACKOFF_SECONDS
        steps.hand_back(claim, code=error.code, detail=error.detail, strike=None, delay_seconds=delay)
        if claim.last_error not in ({error.code} if isinstance(error, ProcessStopped) else WAITING):
            jobs.record(job, "step_handed_back", data=facts)
    elif error.retryable and claim.crashes + 1 < settings.VIDEOPROC_CRASH_STRIKES:
        delay = settings.VIDEOPROC_BACKOFF_SECONDS * 2**claim.crashes
        steps.hand_back(claim, code=error.code, detail=error.detail, strike="crashes", delay_seconds=delay)
        jobs.record(job, "step_failed", data=facts)
    else:
        steps.fail(claim, code=error.code, detail=error.detail)
        tries = f" (tried {claim.crashes + 1} times)" if isinstance(error, ProcessError) else ""
        _fail(job, error.code, error.detail + tries, retryable=error.retryable)
    transaction.on_commit(nudge.nudge, robust=True)


def _is_finished(claim: Claim, index: int) -> bool:
    """Return whether a join may speak of this segment: what a media process says may be a hostile file's invention."""
    return claim.kind == Kind.JOIN and steps.is_done(claim.job_id, claim.epoch, Kind.SEGMENT, index)


def _repair(job: Job, claim: Claim, error: SegmentDamaged | OutputLost, facts: dict[str, Any]) -> None:
    """Have a finished file made again that is damaged or gone, in a new epoch; the same one not without end."""
    which = {"segment": error.index} if isinstance(error, SegmentDamaged) else {"step": claim.kind}
    retried = job.events.filter(name="retried").aggregate(last=Max("seq"))["last"] or 0
    earlier = job.events.filter(name=error.code, seq__gt=retried)
    before = [event for event in earlier if which.items() <= event.data.items()]
    if len(before) >= MOST_REPAIRS:
        _fail(job, error.code, f"{error.detail} (made again {len(before)} times)", retryable=error.retryable)
    elif isinstance(error, SegmentDamaged):
        jobs.reopen(job, "segment_damaged", to=State.ENHANCING, data=facts | which)
        steps.carry_over(job, Kind.METADATA, Kind.DIAGNOSE, Kind.PLAN, Kind.SEGMENT)
        steps.requeue(job, Kind.SEGMENT, error.index)
    elif claim.kind == Kind.STILLS:
        jobs.reopen(job, "output_lost", to=State.JOINING, data=facts)
        steps.carry_over(job, Kind.METADATA, Kind.DIAGNOSE, Kind.PLAN, Kind.SEGMENT)
        steps.create(job, Kind.JOIN)
    else:
        jobs.reopen(job, "output_lost", to=State.PROBING, data=facts)
        steps.carry_over(job, Kind.METADATA, Kind.DIAGNOSE)
        steps.create(job, Kind.PLAN)


@transaction.atomic
def worker_lost(step: Step) -> bool:
    """Queue a step again whose lease is over; the tenth lost worker ends the job. False where it was not to be had.

    It may be the lost worker that holds the job's row, and its steps must not keep those of others waiting.
    """
    try:
        job = jobs.lock(step.job_id, epoch=step.epoch, wait=False)
    except (JobBusy, JobClosed) as exc:
        logger.warning("lease expires later", extra={"step": step.kind, "index": step.index, "cause": str(exc)})
        return False
    if not steps.expire(step):
        return False
    if step.losses + 1 >= settings.VIDEOPROC_LOSS_STRIKES:
        _fail(
            job, "worker_lost", f"{step.kind} {step.index}: {step.losses + 1} workers were lost over it", retryable=True
        )
    else:
        jobs.record(job, "step_lost", data={"step": step.kind, "index": step.index, "attempt": step.attempt})
    return True


@transaction.atomic
def system_ended() -> int:
    """Queue again whatever ran when everything ended at once; return how many steps.

    Whoever kills a system is no fault of a video, but one that takes the system down each time must not do so for ever.
    """
    released = steps.release_all()
    most = settings.VIDEOPROC_RESTARTS
    for step in released:
        if step.restarts < most:
            continue
        try:
            job = jobs.lock(step.job_id, epoch=step.epoch)
        except JobClosed:
            continue
        detail = f"{step.kind} {step.index}: the whole system ended {most} times while it ran"
        _fail(job, "worker_lost", detail, retryable=True)
    return len(released)


def deadlines_passed() -> int:
    """End the jobs to which nothing happened for too long while a step of theirs was tried in vain; return how many.

    A step that only waits for its turn has no deadline, nor has one that nobody is there to try.
    """
    tried = Step.objects.filter(
        job=OuterRef("pk"), state=Step.State.QUEUED, not_before__gt=after(-LATELY_SECONDS)
    ).exclude(error_code="")
    still = Job.objects.filter(
        Exists(tried), ended_at__isnull=True, updated_at__lt=after(-settings.VIDEOPROC_DEADLINE_SECONDS)
    )
    return sum(_end_overdue(job) for job in still[:BATCH])


@transaction.atomic
def _end_overdue(job: Job) -> bool:
    try:
        locked = jobs.lock(job.pk, epoch=job.epoch, wait=False)
    except (JobBusy, JobClosed):
        return False
    step = locked.steps.filter(epoch=job.epoch, state=Step.State.QUEUED).exclude(error_code="").first()
    if locked.seq != job.seq or step is None:
        return False
    detail = f"{step.error_code} for {settings.VIDEOPROC_DEADLINE_SECONDS:g} s: {step.error_detail}"
    _fail(locked, "deadline_passed", detail, retryable=True)
    return True


def _fail(job: Job, code: str, detail: str, *, retryable: bool) -> None:
    error = {"code": code, "detail": detail, "retryable": retryable}
    fields: dict[str, Any] = {"error_code": code, "error_detail": detail, "error_retryable": retryable}
    jobs.give_up(job, "failed", to=State.FAILED, data=error, **fields)
    steps.close(job)
    logger.warning("job failed", extra={"job": job.pk, "code": code, "detail": detail})
