"""What people ask of a job (cancel, pause, resume, priority, retry) and of a worker (drain). Each is true at once in
the rows; workers find out by their next heartbeat.
"""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from django.db import transaction

from processing import nudge
from processing.media import wire
from processing.media.requests import Planned
from processing.models import Job, Step, Worker
from processing.pipeline import spans_of
from processing.state import job as jobs
from processing.state import step as steps
from processing.state.errors import JobClosed

Kind, State = Step.Kind, Job.State
By = Literal["owner", "staff"]
"""Who asks; the event says it."""


@transaction.atomic
def cancel(job_id: UUID | str, *, by: By = "owner") -> Job:
    """End the job now; workers find out by their next heartbeat. JobClosed where it has ended already."""
    job = jobs.lock(job_id)
    jobs.give_up(job, "cancelled", to=State.CANCELLED, data={"by": by})
    steps.close(job)
    return job


@transaction.atomic
def pause(job_id: UUID | str, *, by: By = "owner") -> Job:
    """Let the job wait: what is at work on it is handed back without a strike. JobClosed where it has ended."""
    job = jobs.lock(job_id)
    if not job.paused:
        jobs.record(job, "paused", data={"by": by}, paused=True)
        steps.set_paused(job, True)
    return job


@transaction.atomic
def resume(job_id: UUID | str, *, by: By = "owner") -> Job:
    """Let a paused job go on. JobClosed where it has ended."""
    job = jobs.lock(job_id)
    if job.paused:
        jobs.record(job, "resumed", data={"by": by}, paused=False)
        steps.set_paused(job, False)
        transaction.on_commit(nudge.nudge, robust=True)
    return job


@transaction.atomic
def prioritise(job_id: UUID | str, priority: int, *, by: By = "owner") -> Job:
    """Put the job before or behind its owner's others. JobClosed where it has ended."""
    job = jobs.lock(job_id)
    if job.priority != priority:
        jobs.record(job, "prioritised", data={"priority": priority, "by": by}, priority=priority)
        steps.set_priority(job)
    return job


@transaction.atomic
def retry(job_id: UUID | str, *, by: By = "owner") -> Job:
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
        missing = [span for span in spans_of(plan) if span[0] not in kept]
        to = State.ENHANCING if missing else State.JOINING
        jobs.reopen(job, "retried", to=to, data={"kept": len(kept), "by": by}, **at_rest)
        steps.carry_over(job, Kind.METADATA, Kind.DIAGNOSE, Kind.PLAN, Kind.SEGMENT)
        if missing:
            steps.create_segments(job, missing)
        else:
            steps.create(job, Kind.JOIN)
    elif Kind.METADATA in done and not job.makes_result:
        jobs.reopen(job, "retried", to=State.PUBLISHING, data={"kept": 0, "by": by}, **at_rest)
        steps.carry_over(job, Kind.METADATA)
        steps.create(job, Kind.STILLS)
    elif Kind.METADATA in done:
        jobs.reopen(job, "retried", to=State.PROBING, data={"kept": 0, "by": by}, **at_rest)
        steps.carry_over(job, Kind.METADATA, Kind.DIAGNOSE)
        steps.create(job, Kind.PLAN if Kind.DIAGNOSE in done else Kind.DIAGNOSE)
    else:
        fresh: dict[str, Any] = {"paused": False, "metadata_state": Job.MetadataState.QUEUED}
        jobs.reopen(job, "retried", to=State.QUEUED, data={"kept": 0, "by": by}, **fresh)
        steps.create(job, Kind.METADATA)
    steps.keep_release(job)
    transaction.on_commit(nudge.nudge, robust=True)
    return job


def drain(worker: str, *, drained: bool = True) -> None:
    """Let a worker end what it has and take no more, or take work again. Worker.DoesNotExist where there is none."""
    if not Worker.objects.filter(pk=worker).update(drained=drained):
        raise Worker.DoesNotExist(f"no worker is named {worker}")


def is_drained(worker: str) -> bool:
    """Return whether a worker knows that it takes no more work, and has ended what it had."""
    told = Worker.objects.filter(pk=worker, drained=True, slots=0).exists()
    return told and not Step.objects.filter(worker=worker, state=Step.State.RUNNING).exists()
