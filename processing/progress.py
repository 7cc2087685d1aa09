"""How far a job is, computed from its rows each time; it never goes back within an epoch, as step progress does not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Count, F, Max, Min, Q, QuerySet, Sum
from django.db.models.functions import Now

from processing import line
from processing.clock import after
from processing.line import Line, Pace
from processing.models import Job, Step, Worker

# Share of the bar at which each state begins; enhancing fills what lies between its own and the next.
BEGINS = {"queued": 0.0, "probing": 2.0, "enhancing": 6.0, "joining": 94.0, "publishing": 97.0, "ready": 100.0}
BEFORE_FRAMES = frozenset({Job.State.QUEUED, Job.State.PROBING, Job.State.ENHANCING})


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One job's progress; `speed_x` is against real time, `seconds_left` a low and a high guess at when it is ready."""

    percent: float
    frames_done: int
    frames_total: int | None
    segments_done: int
    segments_total: int | None
    speed_x: float | None
    seconds_left: tuple[float, float] | None
    attempts: int
    waiting_for: str | None
    """Why nothing is at work on an open job: paused, no_worker, a_place, or the code of what went wrong last."""
    place: int | None
    """How many jobs go before it, of one that waits and is not paused."""


@dataclass(frozen=True, kw_only=True)
class Ahead:
    """What the outlook of jobs that wait is made from."""

    slots: int
    line: Line
    pace: Pace | None


NOTHING_ASKED = Ahead(slots=0, line=Line(()), pace=None)


def percent(job: Job, frames_done: int) -> float:
    """Return 0 to 100 for a job of which `frames_done` frames are enhanced; one that ended keeps where it came to."""
    if job.state in {Job.State.FAILED, Job.State.CANCELLED}:
        return job.percent
    if job.state != Job.State.ENHANCING:
        return max(BEGINS[job.state], job.percent)
    share = frames_done / job.frames_total if job.frames_total else 0.0
    enhanced = BEGINS["enhancing"] + (BEGINS["joining"] - BEGINS["enhancing"]) * min(share, 1.0)
    return max(round(enhanced, 1), job.percent)


def segments(job: Job) -> tuple[int, int]:
    """Return how many frames of the job's epoch are enhanced, and how many of its segments are not done."""
    rows = Step.objects.filter(job=job, epoch=job.epoch, kind=Step.Kind.SEGMENT)
    found = rows.aggregate(frames=Sum("frames_done"), open=Count("id", filter=~Q(state=Step.State.DONE)))
    return found["frames"] or 0, found["open"]


def measure(jobs: Iterable[Job]) -> dict[UUID, Progress]:
    """Return the progress of each job, in one query, two where some wait or have just begun.

    Line and pace, which the outlook of these is made from, are at hand mostly; else they are a query each (line.py).
    """
    jobs = list(jobs)
    segment = Q(kind=Step.Kind.SEGMENT, epoch=F("job__epoch"))
    waits = Q(state=Step.State.RUNNING, not_before__isnull=False)  # done, and the storage does not take it
    rows = (
        Step.objects.filter(job__in=jobs)
        .values("job_id")
        .annotate(
            frames=Sum("frames_done", filter=segment),
            done=Count("id", filter=segment & Q(state=Step.State.DONE)),
            began=Min("started_at", filter=segment),
            attempts=Sum("attempt"),
            running=Count("id", filter=Q(state=Step.State.RUNNING, not_before__isnull=True)),
            trouble=Max("error_code", filter=Q(state=Step.State.QUEUED) | waits),
            now=Now(),
        )
        .order_by()
    )
    found: dict[UUID, Mapping[str, Any]] = {row["job_id"]: row for row in rows}
    early = [job for job in jobs if not job.terminal and _is_early(job, found.get(job.pk, {}))]
    ahead = Ahead(slots=live_slots(), line=line.look(), pace=line.pace()) if early else NOTHING_ASKED
    return {job.pk: _progress(job, found.get(job.pk, {}), ahead) for job in jobs}


def _is_early(job: Job, row: Mapping[str, Any]) -> bool:
    """Return whether an open job waits or no frame of it is enhanced."""
    return not row.get("running") or (job.state in BEFORE_FRAMES and not row.get("frames"))


def live_slots() -> int:
    """Return how many steps the workers that were seen lately can work on at once."""
    return live_workers().aggregate(total=Sum("slots"))["total"] or 0


def live_workers() -> QuerySet[Worker]:
    """Return the workers that were seen lately."""
    return Worker.objects.filter(seen_at__gte=after(-settings.VIDEOPROC_SEEN_SECONDS))


def _waiting_for(job: Job, row: Mapping[str, Any], slots: int) -> str | None:
    if job.terminal or row.get("running"):
        return None
    if job.paused:
        return "paused"
    if not slots:
        return "no_worker"
    return row.get("trouble") or "a_place"


def _progress(job: Job, row: Mapping[str, Any], ahead: Ahead) -> Progress:
    frames = row.get("frames") or 0
    if job.state == Job.State.READY and job.frames_total:
        frames = job.frames_total  # copied packets pass through no segment
    speed = left = None
    if frames and job.frames_total and job.source_seconds and row.get("began"):
        elapsed = max(((job.ended_at or row["now"]) - row["began"]).total_seconds(), 0.1)
        speed = round(frames / job.frames_total * job.source_seconds / elapsed, 2)
        if job.state == Job.State.ENHANCING:
            guess = elapsed * max(job.frames_total - frames, 0) / frames
            left = (round(guess * 0.8, 1), round(guess * 1.3 + 1, 1))
    waiting = _waiting_for(job, row, ahead.slots)
    is_moving = ahead.slots and waiting in {None, "a_place"}
    if job.state in BEFORE_FRAMES and not frames and is_moving and ahead.pace:
        left = ahead.line.seconds_left(job, ahead.pace, ahead.slots)
    return Progress(
        percent=percent(job, frames),
        frames_done=frames,
        frames_total=job.frames_total,
        segments_done=row.get("done") or 0,
        segments_total=job.segments_total,
        speed_x=speed,
        seconds_left=left,
        attempts=row.get("attempts") or 0,
        waiting_for=waiting,
        place=None if waiting in {None, "paused"} else ahead.line.place(job),
    )
