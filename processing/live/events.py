"""Reads from the rows what the hub tells: where jobs are, their log behind a seq, a snapshot. Never writes.

Each function is a few queries for all that it is asked for, and runs in a thread. No list in a query grows with the
number of jobs: a database takes only so many variables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from django.db.models import F, Q, Window
from django.db.models.functions import RowNumber

from processing.api.document import job_document
from processing.clock import after
from processing.live import messages
from processing.live.messages import Happened, Head, Measured
from processing.models import Event, Job, Step
from processing.progress import Progress, measure

PAGE = 256
"""How many events of one job are read at once."""
SNAPSHOT_JOBS = 100
SNAPSHOT_SECONDS = 3600.0
IN_LINE_JOBS = 300
"""So many that wait are measured at each poll, of a batch of audiences."""
BATCH = 200
UNMEASURED = ("metadata", "chosen", "receipt", "stills", "warnings", "error_detail")
"""Long columns that tell nothing of how far a job is."""

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


def heads(
    job_ids: Iterable[str], unseen: Iterable[str], polled: Iterable[str], *, within_seconds: float
) -> dict[str, Head]:
    """Return by id the named jobs, and of audiences those that there is something to tell of.

    Of an `unseen` audience that is each job which is open or ended so recently; of a `polled` one each that had an
    event so recently, which its `updated_at` tells, or is at work. Jobs at work are measured, and some of those that
    wait: a fleet has as many at work as it has slots, a client may have a hundred thousand in line.
    """
    found: dict[str, Head] = {}
    for ids in _batches(sorted(job_ids)):
        found |= _heads(Q(pk__in=ids))
        found |= _heads_at_work(Q(pk__in=ids))
    since = after(-within_seconds)
    for names in _batches(sorted(unseen)):
        found |= _heads(Q(Q(ended_at__isnull=True) | Q(ended_at__gte=since), audience__in=names))
        found |= _heads_at_work(Q(audience__in=names))
    for names in _batches(sorted(polled)):
        found |= _heads(Q(audience__in=names, updated_at__gte=since))
        found |= _heads_in_line(names)
        found |= _heads_at_work(Q(audience__in=names))
    return found


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


def _heads(which: Q) -> dict[str, Head]:
    """Return jobs unmeasured, from a few of their columns."""
    rows = Job.objects.filter(which).order_by().values_list("pk", "upload_id", "audience", "seq", "state")
    return {
        str(pk): Head(
            job_id=str(pk),
            file_id=str(upload_id),
            audience=audience,
            seq=seq,
            status=state,
            ended=state in Job.TERMINAL,
            measured=None,
        )
        for pk, upload_id, audience, seq, state in rows
    }


def _heads_at_work(which: Q) -> dict[str, Head]:
    """Return those of the jobs that have a running step, measured."""
    running = Step.objects.filter(state=Step.State.RUNNING).order_by().values("job_id")
    return _measured(list(Job.objects.filter(which, pk__in=running).order_by().defer(*UNMEASURED)))


def _heads_in_line(audiences: Iterable[str]) -> dict[str, Head]:
    """Return jobs that nobody began yet, measured: their places move without an event.

    Of each audience the newest, as a snapshot shows them; where there are too many, each has as many as the others.
    """
    nth = Window(RowNumber(), partition_by=F("audience"), order_by=(F("created_at").desc(), F("id")))
    waiting = Job.objects.filter(audience__in=audiences, state=Job.State.QUEUED, paused=False).order_by()
    told = waiting.annotate(nth=nth).filter(nth__lte=SNAPSHOT_JOBS).order_by("nth").values("pk")[:IN_LINE_JOBS]
    return _measured(list(Job.objects.filter(pk__in=told).order_by().defer(*UNMEASURED)))


def _measured(jobs: list[Job]) -> dict[str, Head]:
    measured = {pk: at for batch in _batches(jobs) for pk, at in measure(batch).items()}
    return {str(job.pk): _head(job, measured[job.pk]) for job in jobs}


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
            place=at.place,
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
