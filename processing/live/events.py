"""Reads from the rows what the hub tells: where jobs are, their log behind a seq, a snapshot. Never writes.

Each function is a query or two for all that it is asked for, and runs in a thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from django.db.models import Q, QuerySet

from processing.api.document import job_document
from processing.clock import after
from processing.live import messages
from processing.live.messages import Happened, Head, Measured
from processing.models import Event, Job
from processing.progress import Progress, measure

PAGE = 256
"""How many events of one job are read at once."""
SNAPSHOT_JOBS = 100
SNAPSHOT_SECONDS = 3600.0
BATCH = 200

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The message for a reader that begins, and the head of each job in it."""

    text: str
    heads: tuple[Head, ...]


def snapshot(audience: str) -> Snapshot:
    """Return the newest jobs of an audience that are open or ended within the hour."""
    recent = Q(ended_at__isnull=True) | Q(ended_at__gte=after(-SNAPSHOT_SECONDS))
    jobs = list(Job.objects.filter(recent, audience=audience).order_by("-created_at", "id")[:SNAPSHOT_JOBS])
    measured = measure(jobs)
    documents = [job_document(job, measured[job.pk]) for job in jobs]
    return Snapshot(
        text=messages.snapshot(documents), heads=tuple(_head(job, measured[job.pk], ended_too=True) for job in jobs)
    )


def heads(job_ids: Iterable[str], audiences: Iterable[str], *, ended_within_seconds: float) -> list[Head]:
    """Return the named jobs, and those of the audiences that are open or ended so recently."""
    found: dict[str, Head] = {}
    for ids in _batches(sorted(job_ids)):
        found |= {head.job_id: head for head in _heads(Job.objects.filter(pk__in=ids))}
    recent = Q(ended_at__isnull=True) | Q(ended_at__gte=after(-ended_within_seconds))
    for names in _batches(sorted(audiences)):
        found |= {head.job_id: head for head in _heads(Job.objects.filter(recent, audience__in=names))}
    return list(found.values())


def log(wanted: Iterable[tuple[Head, int]]) -> dict[str, list[Happened]]:
    """Return up to PAGE events behind the given seq of each job, in order, by job id."""
    found: dict[tuple[str, int], Happened] = {}
    for batch in _batches(list(wanted)):
        files = {head.job_id: head.file_id for head, _ in batch}
        pages = Q(pk__in=[])
        for head, seq in batch:
            pages |= Q(job_id=head.job_id, seq__gt=seq, seq__lte=seq + PAGE)
        for row in Event.objects.filter(pages).order_by("job_id", "seq"):
            found[str(row.job_id), row.seq] = _happened(row, files[str(row.job_id)])
    by_job: dict[str, list[Happened]] = {}
    for (job_id, _), happened in sorted(found.items()):
        by_job.setdefault(job_id, []).append(happened)
    return by_job


def _heads(jobs: QuerySet[Job]) -> Iterator[Head]:
    rows = list(jobs.defer("metadata", "chosen", "receipt", "stills", "warnings", "error_detail"))
    measured = measure(job for job in rows if not job.terminal)
    for job in rows:
        yield _head(job, measured.get(job.pk))


def _head(job: Job, at: Progress | None, *, ended_too: bool = False) -> Head:
    return Head(
        job_id=str(job.pk),
        file_id=str(job.upload_id),
        audience=job.audience,
        seq=job.seq,
        status=job.state,
        ended=job.terminal,
        measured=None
        if at is None or (job.terminal and not ended_too)
        else Measured(
            percent=at.percent,
            frames_done=at.frames_done,
            frames_total=at.frames_total,
            speed_x=at.speed_x,
            seconds_left=at.seconds_left,
        ),
    )


def _happened(row: Event, file_id: str) -> Happened:
    return Happened(
        job_id=str(row.job_id),
        file_id=file_id,
        seq=row.seq,
        event=row.name,
        status=row.state,
        ended=row.state in Job.TERMINAL,
        percent=row.percent,
        at=stamp(row.at),
        data=row.data,
    )


def stamp(moment: datetime) -> str:
    """Return a moment as RFC 3339 in UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]
