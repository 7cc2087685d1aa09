"""The whole flow of a video, on one screen: which step follows which, and what each result does to its job.

    accept ─ chain(extract_metadata, diagnose, plan_segments) ─┬ enhance_segment ┬─ chain(join, make_stills, publish)
                                                               ├ enhance_segment ┤
                                                               └ …               ┘

A step row exists once the step may run. Each result is stored in one transaction with the next step's row and its
event, fenced by the claim. Only this module builds Celery signatures: they carry ids, and are hints that may get lost.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from celery import Signature, chain, signature
from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from processing import nudge
from processing.live.doorbell import audience
from processing.media import wire
from processing.media.errors import (
    MediaError,
    ProcessError,
    ProcessStopped,
    SegmentDamaged,
    StorageAway,
    StorageFull,
    TimelineMismatch,
)
from processing.media.requests import Chosen, Metadata, Planned
from processing.media.specs import Receipt, SegmentResult, Stills
from processing.models import Job, Step
from processing.state import job as jobs
from processing.state import step as steps
from processing.state.errors import JobClosed
from processing.state.step import Claim

logger = logging.getLogger(__name__)
Kind, State = Step.Kind, Job.State

TASKS = {
    Kind.METADATA: "processing.extract_metadata",
    Kind.DIAGNOSE: "processing.diagnose",
    Kind.PLAN: "processing.plan_segments",
    Kind.SEGMENT: "processing.enhance_segment",
    Kind.JOIN: "processing.join",
    Kind.STILLS: "processing.make_stills",
    Kind.PUBLISH: "processing.publish",
}
CHAINS = ((Kind.METADATA, Kind.DIAGNOSE, Kind.PLAN), (Kind.JOIN, Kind.STILLS, Kind.PUBLISH))


@dataclass(frozen=True, kw_only=True)
class Source:
    """What the door hands over: a probed file on disk and who sent it."""

    upload_id: UUID
    owner_id: int
    client_id: str
    preset: str
    key: str
    name: str
    sha256: str
    size_bytes: int
    priority: int = 0


def accept(source: Source) -> Job:
    """Write the job, its first step and its first event, inside the caller's transaction with the upload's row."""
    last = Job.objects.filter(owner_id=source.owner_id).order_by("-number").values_list("number", flat=True).first()
    job = Job.objects.create(
        number=(last or 0) + 1,
        priority=source.priority,
        upload_id=source.upload_id,
        owner_id=source.owner_id,
        client_id=source.client_id,
        audience=audience(source.owner_id, source.client_id),
        preset=source.preset,
        source_key=source.key,
        source_name=source.name,
        source_sha256=source.sha256,
        source_size_bytes=source.size_bytes,
        created_at=Now(),
        updated_at=Now(),
    )
    jobs.record(job, "accepted", data={"preset": source.preset})
    _next(job, Kind.METADATA)
    return job


def message(step: Step) -> Signature:
    """Return the message that hints at a step: the rest of its chain, or the segment alone."""
    for links in CHAINS:
        if step.kind in links:
            rest = links[links.index(Kind(step.kind)) :]
            return chain(*(_task(kind, str(step.job_id), step.epoch) for kind in rest))
    return _task(Kind.SEGMENT, str(step.job_id), step.epoch, step.index)


def _task(kind: str, *arguments: object) -> Signature:
    return signature(TASKS[Kind(kind)], args=arguments, immutable=True)


def _next(job: Job, kind: str) -> None:
    if any(kind in links[1:] for links in CHAINS):
        # The chain under way is its hint; should that get lost, the dispatcher hints again.
        steps.create(job, kind, hinted_at=Now())
    else:
        steps.create(job, kind)
        transaction.on_commit(nudge.nudge, robust=True)


def started(claim: Claim) -> Job:
    """Note that a step began; the first one moves the job to probing. JobClosed where the job has ended."""
    if claim.kind != Kind.METADATA:
        job = Job.objects.get(pk=claim.job_id)
        if job.terminal or job.epoch != claim.epoch:
            raise JobClosed(f"job {job.pk} is {job.state} in epoch {job.epoch}")
        return job
    with transaction.atomic():
        job = jobs.lock(claim.job_id, epoch=claim.epoch)
        if job.state == State.QUEUED:
            probing = Job.MetadataState.PROBING
            jobs.record(job, "probing_started", to=State.PROBING, metadata_state=probing, started_at=Now())
    return job


@transaction.atomic
def metadata_extracted(claim: Claim, metadata: Metadata) -> None:
    """Store the metadata; the diagnosis follows."""
    job = jobs.lock(claim.job_id, epoch=claim.epoch)
    steps.finish(claim)
    jobs.record(
        job,
        "metadata_extracted",
        metadata=wire.to_builtins(metadata),
        metadata_state=Job.MetadataState.READY,
        source_seconds=metadata.duration_seconds,
    )
    _next(job, Kind.DIAGNOSE)


@transaction.atomic
def diagnosed(claim: Claim, chosen: Chosen) -> None:
    """Store what was measured and chosen; the plan follows."""
    job = jobs.lock(claim.job_id, epoch=claim.epoch)
    steps.finish(claim)
    operations = {choice.operation: choice.strength for choice in chosen.enhancement.choices}
    jobs.record(job, "diagnosed", data={"operations": operations}, chosen=wire.to_builtins(chosen))
    _next(job, Kind.PLAN)


@transaction.atomic
def planned(claim: Claim, plan: Planned, output: str) -> None:
    """Store the plan; its segments follow, or the join where the video packets are copied."""
    job = jobs.lock(claim.job_id, epoch=claim.epoch)
    steps.finish(claim, output=output, sha256=plan.sha256, result=wire.to_builtins(plan))
    spans = _spans(plan)
    jobs.record(
        job,
        "planned",
        to=State.ENHANCING if spans else State.JOINING,
        data={"segments": len(spans), "video": plan.video},
        plan_key=output,
        frames_total=plan.frames_total,
        segments_total=len(spans),
        warnings=list(plan.warnings),
    )
    if spans:
        steps.create_segments(job, spans)
        transaction.on_commit(nudge.nudge, robust=True)
    else:
        _next(job, Kind.JOIN)


@transaction.atomic
def segment_enhanced(claim: Claim, segment: SegmentResult, output: str) -> None:
    """Store a segment. The job's lock makes finishers take turns, so exactly one is the last and begins the join."""
    job = jobs.lock(claim.job_id, epoch=claim.epoch)
    steps.finish(
        claim,
        output=output,
        sha256=segment.sha256,
        result=wire.to_builtins(segment),
        frames_done=segment.frames_out,
    )
    facts = {"segment": claim.index, "frames": segment.frames_out, "attempt": claim.attempt}
    open_segments = Step.objects.filter(job=job, epoch=job.epoch, kind=Kind.SEGMENT).exclude(state=Step.State.DONE)
    if open_segments.exists():
        jobs.record(job, "segment_enhanced", data=facts)
        transaction.on_commit(nudge.nudge, robust=True)
    else:
        jobs.record(job, "segment_enhanced", data=facts)
        jobs.record(job, "joining_started", to=State.JOINING)
        _next(job, Kind.JOIN)


def _spans(plan: Planned) -> list[tuple[int, int, int, int]]:
    pairs = zip(plan.segments, plan.segment_frames, strict=True)
    return [(index, start, stop, frames) for index, ((start, stop), frames) in enumerate(pairs)]


def must_decode_to_plan(job: Job) -> bool:
    """Return whether a plan made from the packets proved wrong, so that the next is made by decoding everything."""
    return job.events.filter(name="times_doubted").exists()


@transaction.atomic
def joined(claim: Claim, receipt: Receipt, output: str) -> None:
    """Store the joined file and its receipt; the stills follow."""
    job = jobs.lock(claim.job_id, epoch=claim.epoch)
    steps.finish(claim, output=output, sha256=receipt.sha256)
    warnings = sorted({*job.warnings, *receipt.warnings})
    data = {"frames": receipt.frames_out, "size_bytes": receipt.size_bytes}
    jobs.record(job, "joined", to=State.PUBLISHING, data=data, receipt=wire.to_builtins(receipt), warnings=warnings)
    _next(job, Kind.STILLS)


@transaction.atomic
def stills_made(claim: Claim, stills: Stills, output: str) -> None:
    """Store the stills; publishing follows."""
    job = jobs.lock(claim.job_id, epoch=claim.epoch)
    steps.finish(claim, output=output)
    jobs.record(job, "stills_made", stills=wire.to_builtins(stills), stills_key=output)
    _next(job, Kind.PUBLISH)


@transaction.atomic
def published(claim: Claim) -> None:
    """Make the result visible: from here on the job is ready."""
    job = jobs.lock(claim.job_id, epoch=claim.epoch)
    steps.finish(claim)
    join = Step.objects.get(job=job, epoch=job.epoch, kind=Kind.JOIN, state=Step.State.DONE)
    jobs.record(job, "published", to=State.READY, result_key=join.output)


@transaction.atomic
def step_failed(claim: Claim, error: MediaError) -> None:
    """Decide what a failure means: of the file, the end; of a process, a strike and a retry; of the disk, patience."""
    job = jobs.lock(claim.job_id, epoch=claim.epoch)
    facts = {"step": claim.kind, "index": claim.index, "attempt": claim.attempt, "code": error.code}
    if isinstance(error, SegmentDamaged):
        steps.fail(claim, code=error.code, detail=error.detail)
        jobs.reopen(job, "segment_damaged", to=State.ENHANCING, data=facts | {"segment": error.index})
        steps.carry_over(job, Kind.METADATA, Kind.DIAGNOSE, Kind.PLAN, Kind.SEGMENT)
        steps.requeue(job, Kind.SEGMENT, error.index)
    elif isinstance(error, TimelineMismatch) and not must_decode_to_plan(job):
        steps.fail(claim, code=error.code, detail=error.detail)
        jobs.reopen(job, "times_doubted", to=State.PROBING, data=facts)
        steps.carry_over(job, Kind.METADATA, Kind.DIAGNOSE)
        steps.create(job, Kind.PLAN)
    elif isinstance(error, ProcessStopped | StorageFull | StorageAway):
        delay = 0.0 if isinstance(error, ProcessStopped) else settings.VIDEOPROC_BACKOFF_SECONDS
        steps.hand_back(claim, code=error.code, detail=error.detail, strike=None, delay_seconds=delay)
        if claim.last_error != error.code:  # one event for a disk that stays full, however often it is tried
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


@transaction.atomic
def worker_lost(step: Step) -> None:
    """Queue a step again whose lease is over; the tenth lost worker ends the job."""
    try:
        job = jobs.lock(step.job_id, epoch=step.epoch)
    except JobClosed:
        return
    if not steps.expire(step):
        return
    if step.losses + 1 >= settings.VIDEOPROC_LOSS_STRIKES:
        _fail(
            job, "worker_lost", f"{step.kind} {step.index}: {step.losses + 1} workers were lost over it", retryable=True
        )
    else:
        jobs.record(job, "step_lost", data={"step": step.kind, "index": step.index, "attempt": step.attempt})


@transaction.atomic
def cancel(job_id: UUID | str) -> Job:
    """End the job now; workers find out by their next heartbeat. JobClosed where it has ended already."""
    job = jobs.lock(job_id)
    jobs.record(job, "cancelled", to=State.CANCELLED, **_metadata_given_up(job))
    steps.close(job)
    return job


@transaction.atomic
def pause(job_id: UUID | str) -> Job:
    """Let the job wait: what is at work on it is handed back without a strike. JobClosed where it has ended."""
    job = jobs.lock(job_id)
    if not job.paused:
        jobs.record(job, "paused", paused=True)
        steps.set_paused(job, True)
    return job


@transaction.atomic
def resume(job_id: UUID | str) -> Job:
    """Let a paused job go on. JobClosed where it has ended."""
    job = jobs.lock(job_id)
    if job.paused:
        jobs.record(job, "resumed", paused=False)
        steps.set_paused(job, False)
        transaction.on_commit(nudge.nudge, robust=True)
    return job


@transaction.atomic
def prioritise(job_id: UUID | str, priority: int) -> Job:
    """Put the job before or behind its owner's others. JobClosed where it has ended."""
    job = jobs.lock(job_id)
    if job.priority != priority:
        jobs.record(job, "prioritised", data={"priority": priority}, priority=priority)
        steps.set_priority(job)
    return job


@transaction.atomic
def retry(job_id: UUID | str) -> Job:
    """Take a failed or cancelled job up again in a new epoch; whatever is finished and still there is kept.

    JobOpen where it is at work, JobClosed where it is ready.
    """
    job = jobs.lock_ended(job_id)
    if job.state == State.READY:
        raise JobClosed(f"job {job_id} is ready")
    done = {step.kind: step for step in job.steps.filter(epoch=job.epoch, state=Step.State.DONE).order_by("-index")}
    planned = done.get(Kind.PLAN) if job.cleaned_at is None else None
    at_rest: dict[str, Any] = {"paused": False, "metadata_state": Job.MetadataState.READY}
    if planned is not None:
        plan = wire.from_builtins(planned.result, Planned)
        kept = set(
            job.steps.filter(epoch=job.epoch, kind=Kind.SEGMENT, state=Step.State.DONE).values_list("index", flat=True)
        )
        missing = [span for span in _spans(plan) if span[0] not in kept]
        jobs.reopen(
            job, "retried", to=State.ENHANCING if missing else State.JOINING, data={"kept": len(kept)}, **at_rest
        )
        steps.carry_over(job, Kind.METADATA, Kind.DIAGNOSE, Kind.PLAN, Kind.SEGMENT)
        if missing:
            steps.create_segments(job, missing)
        else:
            steps.create(job, Kind.JOIN)
    elif Kind.METADATA in done:
        jobs.reopen(job, "retried", to=State.PROBING, data={"kept": 0}, **at_rest)
        steps.carry_over(job, Kind.METADATA, Kind.DIAGNOSE)
        steps.create(job, Kind.PLAN if Kind.DIAGNOSE in done else Kind.DIAGNOSE)
    else:
        fresh: dict[str, Any] = {"paused": False, "metadata_state": Job.MetadataState.QUEUED}
        jobs.reopen(job, "retried", to=State.QUEUED, data={"kept": 0}, **fresh)
        steps.create(job, Kind.METADATA)
    transaction.on_commit(nudge.nudge, robust=True)
    return job


def _fail(job: Job, code: str, detail: str, *, retryable: bool) -> None:
    error = {"code": code, "detail": detail, "retryable": retryable}
    fields: dict[str, Any] = {"error_code": code, "error_detail": detail, "error_retryable": retryable}
    jobs.record(job, "failed", to=State.FAILED, data=error, **fields, **_metadata_given_up(job))
    steps.close(job)
    logger.warning("job failed", extra={"job": job.pk, "code": code, "detail": detail})


def _metadata_given_up(job: Job) -> dict[str, Any]:
    at_work = job.metadata_state != Job.MetadataState.READY
    return {"metadata_state": Job.MetadataState.FAILED} if at_work else {}
