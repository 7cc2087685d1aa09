"""Moves jobs along the drawn edges and records their events; only this module assigns `Job.state`.

A change is one transaction: lock the row, check the edge, save, write one event with the next `seq`. The doorbell rings
after the commit. A terminal state is final within an epoch.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from processing import progress
from processing.live import doorbell
from processing.models import Event, Job
from processing.state.errors import IllegalMove, JobClosed, JobOpen

State = Job.State

EDGES: dict[str, frozenset[str]] = {
    State.QUEUED: frozenset({State.PROBING, State.FAILED, State.CANCELLED}),
    State.PROBING: frozenset({State.ENHANCING, State.JOINING, State.FAILED, State.CANCELLED}),
    State.ENHANCING: frozenset({State.JOINING, State.FAILED, State.CANCELLED}),
    State.JOINING: frozenset({State.PUBLISHING, State.FAILED, State.CANCELLED}),
    State.PUBLISHING: frozenset({State.READY, State.FAILED, State.CANCELLED}),
}


def lock(job_id: UUID | str, *, epoch: int | None = None) -> Job:
    """Return the open job's row, locked until the transaction ends; JobClosed where it ended or `epoch` is past."""
    job = Job.objects.select_for_update().get(pk=job_id)
    if job.terminal or (epoch is not None and job.epoch != epoch):
        raise JobClosed(f"job {job_id} is {job.state} in epoch {job.epoch}")
    return job


def record(job: Job, event: str, *, to: str | None = None, data: dict[str, Any] | None = None, **fields: Any) -> Event:
    """Write one event of a locked job, with its move to state `to` and its other fields, and ring after the commit."""
    if to is not None and to != job.state:
        if to not in EDGES.get(job.state, frozenset()):
            raise IllegalMove(f"job {job.pk}: {job.state} to {to}")
        job.state = to
        fields["state"] = to
        if to in Job.TERMINAL:
            fields["ended_at"] = Now()
    job.seq += 1
    Job.objects.filter(pk=job.pk).update(seq=job.seq, updated_at=Now(), **fields)
    for name, value in fields.items():
        if name != "ended_at":
            setattr(job, name, value)
    percent = progress.percent(job, progress.frames_done(job) if job.segments_total else 0)
    written = Event.objects.create(
        job=job, seq=job.seq, name=event, state=job.state, percent=percent, data=data or {}, at=Now()
    )
    ring = doorbell.Ring(job_id=str(job.pk), audience=job.audience, seq=job.seq)
    transaction.on_commit(lambda: doorbell.ring(ring), robust=True)
    return written


def lock_ended(job_id: UUID | str) -> Job:
    """Return the ended job's row, locked until the transaction ends; JobOpen where it is still at work."""
    job = Job.objects.select_for_update().get(pk=job_id)
    if not job.terminal:
        raise JobOpen(f"job {job_id} is {job.state}")
    return job


def reopen(job: Job, event: str, *, to: str, data: dict[str, Any], **fields: Any) -> Event:
    """Begin a new epoch of a locked job at state `to`, keeping its row; the caller moves the steps over."""
    job.epoch += 1
    job.state = to
    cleared: dict[str, Any] = {"error_code": "", "error_detail": "", "error_retryable": False, "cleaned_at": None}
    Job.objects.filter(pk=job.pk).update(ended_at=None, state=to)
    return record(job, event, data=data, state=to, epoch=job.epoch, **cleared, **fields)
