"""Who goes before whom: the place of a job that waits, and how long it will be until it is ready. Only reads.

Users take turns (state/turns.py): before a job go its owner's more urgent and earlier ones, and of each other user as
much as of its owner. All open jobs are read by one statement, and what lately ended ones took by another. Both are
kept, the longer the longer they took, so that neither readers nor a long line add to the cost.
"""

from __future__ import annotations

import math
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, groupby
from operator import attrgetter, itemgetter
from statistics import median
from typing import Generic, TypeVar

from django.conf import settings
from django.db.models import Case, Count, DurationField, ExpressionWrapper, F, FloatField, Min, Q, Sum, When

from processing.clock import after
from processing.media.requests import METADATA_ONLY
from processing.models import Job, Step

LATELY_SECONDS = 24 * 3600.0
LATELY_JOBS = 50
"""So many of the jobs that were ready last, and within a day, tell the pace."""
BUSY_JOBS = 8
"""So many that were ready while one of them waited tell what all slots do together."""
PACE_LOOKS = 15
"""The pace is kept for so many looks at the line."""
QUICK_SECONDS = 0.04
"""What takes longer to read is kept longer in proportion: reading takes 2 % of the time at most."""
NEIGHBOURS = 128
"""Of so many jobs of one owner on either side it is looked at how far they overtake each other."""
DEVIATIONS = 1.28
"""Four of five lie within, were it a normal distribution."""
DRIFT = 0.15
"""Standard deviation, as a natural logarithm, of the machines' own pace from one quarter of an hour to the next. It
remains however many jobs are averaged over; `benchmarks/jobs.py` counts how often the guess held."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Pace:
    """What lately ended jobs took, in seconds of one slot."""

    jobs: int
    seconds_a_byte: float
    """Of the source."""
    busy_seconds_a_byte: float
    """What passed for each byte that all slots together had done while jobs waited, so that none was free: what lies
    between steps, or goes to servers beside them, is in it. 0 where none waited for long enough."""
    spread: float
    """Standard deviation of its natural logarithm between jobs."""
    segment_seconds: float
    serial_seconds: float
    """The median of a job's steps that follow each other: all but the segments."""


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What one job took: its source's size, and the slot seconds and number of its segments and of all else."""

    accepted_at: datetime
    began_at: datetime
    ended_at: datetime
    size_bytes: int
    segments: int
    segment_seconds: float
    serial_seconds: float

    @property
    def seconds(self) -> float:
        """All of it, at least a millisecond."""
        return max(self.segment_seconds + self.serial_seconds, 0.001)


def pace_of(taken: Sequence[Taken]) -> Pace | None:
    """Return the pace that these jobs tell; None of none."""
    if not taken:
        return None
    rate = sum(each.seconds for each in taken) / sum(each.size_bytes for each in taken)
    logs = [math.log(each.seconds / each.size_bytes) for each in taken]
    mean = sum(logs) / len(logs)
    segments = sum(each.segments for each in taken)
    return Pace(
        jobs=len(taken),
        seconds_a_byte=rate,
        busy_seconds_a_byte=busy_rate(taken),
        # As if one more had been off by e: of one job alone nothing is known about the next.
        spread=math.sqrt((1 + sum((log - mean) ** 2 for log in logs)) / len(logs)),
        segment_seconds=sum(each.segment_seconds for each in taken) / segments if segments else 0.0,
        serial_seconds=median(each.serial_seconds for each in taken),
    )


def busy_rate(taken: Sequence[Taken]) -> float:
    """Return how many seconds passed for each byte while that one waited which saw most of the others end; 0 of few."""
    ended = sorted(taken, key=attrgetter("ended_at"))
    meanwhile = ([each for each in ended if one.accepted_at < each.ended_at <= one.began_at] for one in taken)
    first, *others = max(meanwhile, key=len) or ended[:1]
    if len(others) < BUSY_JOBS:
        return 0.0
    return (others[-1].ended_at - first.ended_at).total_seconds() / sum(each.size_bytes for each in others)


class Capped:
    """Sums of values of which each counts up to a limit, by a look-up."""

    def __init__(self, values: Iterable[float]) -> None:
        self._values = sorted(values)
        self._sums = [0.0, *accumulate(self._values)]

    def sum(self, most: float) -> float:
        """Return the sum of min(value, most)."""
        smaller = bisect_left(self._values, most)
        return self._sums[smaller] + most * (len(self._values) - smaller)


class Queue:
    """One owner's open jobs in their order, and what is left of each in bytes of its source."""

    def __init__(self, rows: Iterable[tuple[int, int, int, float]]) -> None:
        self.keys: list[tuple[int, int]] = []
        self.left: list[float] = []
        for _, priority, number, left in rows:
            self.keys.append((-priority, number))
            self.left.append(left)
        self.sums = [0.0, *accumulate(self.left)]

    def before(self, job: Job) -> int:
        """Return how many go before a job, whether or not it is among them."""
        return bisect_left(self.keys, (-job.priority, job.number))

    def until_done(self, job: Job, left: float, segment: float) -> float:
        """Return how many bytes of this owner's jobs are worked on until `job`, of which `left` are left, is done.

        Jobs of one priority overtake each other: one that is d behind begins once the other is d turns further.
        """
        at = self.before(job)
        first, last = max(at - NEIGHBOURS, 0), min(at + NEIGHBOURS, len(self.keys))
        total = self.sums[first] + left
        for (urgency, number), other in zip(self.keys[first:last], self.left[first:last], strict=True):
            if urgency < -job.priority:
                total += other
            elif urgency == -job.priority and number != job.number:
                total += min(other, max(left + (job.number - number) * Step.SEGMENTS_A_TURN * segment, 0.0))
        return total


EMPTY = Queue(())


class Line:
    """All open jobs as of one moment; paused ones are not in it."""

    def __init__(self, rows: Iterable[tuple[int, int, int, float]]) -> None:
        """Take (owner, priority, number, bytes left) of each, in order."""
        self._queues = {owner: Queue(queue) for owner, queue in groupby(rows, itemgetter(0))}
        self._counts = Capped(len(queue.keys) for queue in self._queues.values())
        self._left = Capped(queue.sums[-1] for queue in self._queues.values())

    def place(self, job: Job) -> int:
        """Return how many jobs go before this one, at work or waiting; 0 where it is next."""
        # Its owner is one of those who count up to as many as its owner has before it.
        return int(self._counts.sum(self._queues.get(job.owner_id, EMPTY).before(job)))

    def seconds_left(self, job: Job, pace: Pace, slots: int) -> tuple[float, float]:
        """Return a low and a high guess at the seconds until the job is ready, were nothing more to come."""
        queue = self._queues.get(job.owner_id, EMPTY)
        left = bytes_left(job)
        own = queue.until_done(job, left, pace.segment_seconds / pace.seconds_a_byte)
        others = self._left.sum(own) - min(queue.sums[-1], own)
        seconds = (own + others) * max(pace.seconds_a_byte / slots, pace.busy_seconds_a_byte)
        jobs = self.place(job) + 1
        deviation = math.hypot(pace.spread * math.sqrt(1 / jobs + 1 / pace.jobs), DRIFT)
        factor = math.exp(DEVIATIONS * deviation)
        return _rounded(seconds / factor), _rounded(seconds * factor + pace.serial_seconds + 1)


def bytes_left(job: Job) -> float:
    """Return which part of the source is not worked on yet."""
    return job.source_size_bytes * (1 - job.percent / 100) if job.makes_result else 0.0


def _rounded(seconds: float) -> float:
    return float(f"{seconds:.2g}")


class Kept(Generic[T]):
    """Something read from the database, kept for `looks` times VIDEOPROC_LINE_SECONDS, longer where reading is slow."""

    def __init__(self, read: Callable[[], T], *, looks: int) -> None:
        self._read = read
        self._looks = looks
        self._lock = threading.Lock()
        self._value: T
        self._until = -math.inf

    def get(self) -> T:
        """Return what is kept, or read it."""
        with self._lock:
            began = time.monotonic()
            if began >= self._until:
                self._value = self._read()
                ended = time.monotonic()
                slow = max((ended - began) / QUICK_SECONDS, 1.0)
                self._until = ended + settings.VIDEOPROC_LINE_SECONDS * self._looks * slow
            return self._value


def _read_line() -> Line:
    share = F("source_size_bytes") * (100.0 - F("percent")) / 100.0
    left = Case(When(preset=METADATA_ONLY, then=0.0), default=ExpressionWrapper(share, output_field=FloatField()))
    rows = Job.objects.filter(ended_at__isnull=True, paused=False).order_by("owner_id", "-priority", "number")
    return Line(rows.values_list("owner_id", "priority", "number", left))


def _read_pace() -> Pace | None:
    ready = Job.objects.filter(state=Job.State.READY, ended_at__gte=after(-LATELY_SECONDS), source_size_bytes__gt=0)
    lately = ready.exclude(preset=METADATA_ONLY).order_by("-ended_at").values("pk")[:LATELY_JOBS]
    time_taken = ExpressionWrapper(F("ended_at") - F("started_at"), output_field=DurationField())
    segment = Q(kind=Step.Kind.SEGMENT)
    rows = (
        Step.objects.filter(job__in=lately, epoch=F("job__epoch"), state=Step.State.DONE)
        .values("job_id", size=F("job__source_size_bytes"), accepted=F("job__created_at"), job_ended=F("job__ended_at"))
        .annotate(
            began=Min("started_at"),
            segments=Count("id", filter=segment),
            parallel=Sum(time_taken, filter=segment),
            serial=Sum(time_taken, filter=~segment),
        )
        .order_by()
    )
    return pace_of(
        [
            Taken(
                accepted_at=row["accepted"],
                began_at=row["began"],
                ended_at=row["job_ended"],
                size_bytes=row["size"],
                segments=row["segments"],
                segment_seconds=row["parallel"].total_seconds() if row["parallel"] else 0.0,
                serial_seconds=row["serial"].total_seconds() if row["serial"] else 0.0,
            )
            for row in rows
        ]
    )


_line = Kept(_read_line, looks=1)
_pace = Kept(_read_pace, looks=PACE_LOOKS)


def look() -> Line:
    """Return the line as it was a moment ago (VIDEOPROC_LINE_SECONDS)."""
    return _line.get()


def pace() -> Pace | None:
    """Return what lately ended jobs took; None where none did."""
    return _pace.get()
