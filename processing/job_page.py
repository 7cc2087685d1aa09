"""What the admin's page of one job shows, gathered in a fixed number of queries, whatever the job's length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count

from processing.api.document import stills
from processing.models import Event, Job, Step
from processing.progress import Progress, measure
from processing.readonly import short

EVENTS = STEPS = 300
"""How many of each are shown, the latest ones."""

Fact = tuple[str, object]


@dataclass(frozen=True, kw_only=True)
class StepLine:
    """One step as a line of the table."""

    step: Step
    took: str


@dataclass(frozen=True, kw_only=True)
class EventLine:
    """One event, how long after the one before it came, and its facts."""

    event: Event
    after: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, kw_only=True)
class JobPage:
    """The parts of the page; each may be empty."""

    job: Job
    progress: Progress
    taken: str
    stills: tuple[str, ...]
    parameters: tuple[Fact, ...]
    operations: tuple[dict[str, Any], ...]
    reasons: tuple[str, ...]
    diagnosis: tuple[Fact, ...]
    receipt: tuple[Fact, ...]
    metadata: tuple[Fact, ...]
    events: tuple[EventLine, ...]
    events_left_out: int
    steps: tuple[StepLine, ...]
    steps_left_out: int
    steps_by_state: tuple[tuple[str, int], ...]


def gather(job: Job) -> JobPage:
    """Return the page of a job."""
    chosen = job.chosen or {}
    enhancement = chosen.get("enhancement", {})
    by_state = dict(job.steps.order_by().values_list("state").annotate(Count("pk")))
    steps = list(job.steps.order_by("-pk")[:STEPS])[::-1]
    events = list(job.events.order_by("-seq")[:EVENTS])[::-1]
    return JobPage(
        job=job,
        progress=measure([job])[job.pk],
        taken=taken(job),
        stills=stills(job),
        parameters=tuple(flat(job.parameters)),
        operations=tuple(enhancement.get("choices", ())),
        reasons=tuple(enhancement.get("reasons", ())),
        diagnosis=tuple(flat(chosen.get("diagnosis"))),
        receipt=tuple(flat(job.receipt)),
        metadata=tuple(flat(job.metadata)),
        events=tuple(_event_lines(events)),
        events_left_out=job.seq - len(events),
        steps=tuple(StepLine(step=step, took=_span(step.started_at, step.ended_at)) for step in steps),
        steps_left_out=sum(by_state.values()) - len(steps),
        steps_by_state=tuple(sorted(by_state.items())),
    )


def taken(job: Job) -> str:
    """Return how long a job took from its acceptance, or a dash while it is open."""
    return _span(job.created_at, job.ended_at)


def flat(value: Any, path: str = "") -> Iterator[Fact]:
    """Yield a JSON document's leaves, each with its path in words; lists of plain values are one leaf."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from flat(inner, f"{path} › {name}" if path else name)
    elif isinstance(value, list) and any(isinstance(inner, dict | list) for inner in value):
        for number, inner in enumerate(value, 1):
            yield from flat(inner, f"{path} {number}")
    elif isinstance(value, list):
        yield path, ", ".join(map(str, value)) or "–"
    elif value is not None and path:
        yield path, {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value


def _event_lines(events: list[Event]) -> Iterator[EventLine]:
    before: datetime | None = None
    for event in events:
        after = "" if before is None else f"+{short(event.at - before)}"
        yield EventLine(event=event, after=after, facts=tuple(flat(event.data)))
        before = event.at


def _span(start: datetime | None, stop: datetime | None) -> str:
    span: timedelta | None = stop - start if start and stop else None
    return short(span)
