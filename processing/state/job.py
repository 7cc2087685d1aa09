"""Moves jobs along the drawn edges and records their events; only this module assigns `Job.state`.

A change is one transaction: lock the row, check the edge, save, write one event with the next `seq`. The doorbell rings
after the commit. A terminal state is final within an epoch.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.expressions import BaseExpression
from django.db.models.functions import Now

from processing import progress
from processing.live import doorbell
from processing.models import Event, Job
from processing.state.errors import IllegalMove, JobBusy, JobClosed, JobOpen

State = Job.State

DOCUMENTS = ("metadata", "chosen", "receipt", "stills")
"""What a change of state seldom needs; a column of kilobytes would be read and parsed at each segment."""

EDGES: dict[str, frozenset[str]] = {
    State.QUEUED: frozenset({State.PROBING, State.FAILED, State.CANCELLED}),
    State.PROBING: frozenset({State.ENHANCING, State.JOINING, State.PUBLISHING, State.FAILED, State.CANCELLED}),
    State.ENHANCING: frozenset({State.JOINING, State.FAILED, State.CANCELLED}),
    State.JOINING: frozenset({State.PUBLISHING, State.FAILED, State.CANCELLED}),
    State.PUBLISHING: frozenset({State.READY, State.FAILED, State.CANCELLED}),
}


FOLLOWED = (
    "state", "epoch", "seq", "percent", "audience", "frames_total", "segments_total",
    "owner_id", "number", "priority", "paused",
)  # fmt: skip
"""What an event and the steps that follow it are made from: a third of a row."""


def lock(job_id: UUID | str, *, epoch: int | None = None, brief: bool = False, wait: bool = True) -> Job:
    """Return the open job's row, locked until the transaction ends; JobClosed where it ended or `epoch` is past.

    `brief` reads what `FOLLOWED` names; each other field costs a query of its own then. Without `wait`, JobBusy where
    another transaction holds the row: a process that stands still in one, or lost its network, may do so for long.
    """
    rows = Job.objects.select_for_update(skip_locked=not wait)
    try:
        job = (rows.only(*FOLLOWED) if brief else rows.defer(*DOCUMENTS)).get(pk=job_id)
    except Job.DoesNotExist as exc:
        if wait:
            raise
        raise JobBusy(f"job {job_id} is held by another transaction") from exc
    if job.terminal or (epoch is not None and job.epoch != epoch):
        raise JobClosed(f"job {job_id} is {job.state} in epoch {job.epoch}")
    return job


def record(
    job: Job,
    event: str,
    *,
    to: str | None = None,
    data: dict[str, Any] | None = None,
    frames: int | None = None,
    **fields: Any,
) -> Event:
    """Write one event of a locked job, with its move to state `to` and its other fields, and ring after the commit.

    `frames` is how many are enhanced, where the caller has just counted them.
    """
    if frames is None:
        frames = progress.segments(job)[0] if job.segments_total else 0
    reached = progress.percent(job, frames)
    if to is not None and to != job.state:
        if to not in EDGES.get(job.state, frozenset()):
            raise IllegalMove(f"job {job.pk}: {job.state} to {to}")
        fields["state"] = to
    for name, value in fields.items():
        if not isinstance(value, BaseExpression):
            setattr(job, name, value)
    if job.state not in {State.FAILED, State.CANCELLED}:  # these stay where the job came to
        reached = progress.percent(job, frames)
    job.percent = max(job.percent, reached)
    job.seq += 1
    if job.terminal:
        fields["ended_at"] = Now()
    Job.objects.filter(pk=job.pk).update(seq=job.seq, percent=job.percent, updated_at=Now(), **fields)
    written = Event.objects.create(
        job=job, seq=job.seq, name=event, state=job.state, percent=job.percent, data=data or {}, at=Now()
    )
    ring = doorbell.Ring(job_id=str(job.pk), audience=job.audience, seq=job.seq)
    transaction.on_commit(lambda: doorbell.ring(ring), robust=True)
    return written


def give_up(job: Job, event: str, *, to: str, data: dict[str, Any] | None = None, **fields: Any) -> Event:
    """End a locked job without a result; metadata that are not there by now will not come."""
    if job.metadata_state != Job.MetadataState.READY:
        fields["metadata_state"] = Job.MetadataState.FAILED
    return record(job, event, to=to, data=data, **fields)


def lock_ended(job_id: UUID | str) -> Job:
    """Return the ended job's row, locked until the transaction ends; JobOpen where it is still at work."""
    job = Job.objects.select_for_update().get(pk=job_id)
    if not job.terminal:
        raise JobOpen(f"job {job_id} is {job.state}")
    return job


def reopen(job: Job, event: str, *, to: str, data: dict[str, Any], **fields: Any) -> Event:
    """Begin a new epoch of a locked job at state `to`, keeping its row; the caller moves the steps over."""
    opened: dict[str, Any] = {
        "epoch": job.epoch + 1,
        "state": to,
        "ended_at": None,
        "cleaned_at": None,
        "percent": 0.0,
        "error_code": "",
        "error_detail": "",
        "error_retryable": False,
    }
    Job.objects.filter(pk=job.pk).update(**opened)
    for name, value in opened.items():
        setattr(job, name, value)
    return record(job, event, data=data, **fields)
