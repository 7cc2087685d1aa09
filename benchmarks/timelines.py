"""Where the time of one job went, read from its steps' rows: what each waited for and how long it was at work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from benchmarks.senders import Sent

if TYPE_CHECKING:
    from processing.models import Job


@dataclass(frozen=True, kw_only=True)
class Line:
    """One step, or all segments: seconds since the first byte at which it could begin, began and had ended."""

    name: str
    created: float
    started: float
    ended: float
    steps: int = 1
    busy_seconds: float


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """One job from the first byte sent to its end."""

    lines: Sequence[Line]
    whole_seconds: float

    @property
    def segments_seconds(self) -> float:
        """From the beginning of the first segment to the end of the last; 0 where the packets were copied."""
        return sum(line.ended - line.started for line in self.lines if line.name == "segment")

    def table(self, slots: int) -> str:
        """Return it in Markdown; of segments also the share of the slots' time in which one was at work."""
        rows = ["| step | could begin at, s | waited, s | at work, s | |", "|---|---|---|---|---|"]
        for line in self.lines:
            passed = line.ended - line.started
            share = (
                f"{line.steps} of them, slots {line.busy_seconds / slots / passed:.1%} busy" if line.steps > 1 else ""
            )
            rows.append(
                f"| {line.name} | {line.created:.2f} | {line.started - line.created:.2f} | {passed:.2f} | {share} |"
            )
        rows.append(f"| ready | {self.whole_seconds:.2f} | | | |")
        return "\n".join(rows) + "\n"


def timeline(sent: Sent, job: Job) -> Timeline:
    """Read the timeline of an ended job that was never disturbed."""
    from processing.models import Step

    def since(moment: datetime | None) -> float:
        if moment is None:
            raise AssertionError(f"job {job.pk} has a step that never ran")
        return (moment - sent.began).total_seconds()

    upload = since(job.created_at)
    lines = [Line(name="upload", created=0.0, started=0.0, ended=upload, busy_seconds=upload)]
    for kind in Step.Kind.values:
        steps = [
            (since(step.created_at), since(step.started_at), since(step.ended_at))
            for step in Step.objects.filter(job=job, kind=kind)
        ]
        if steps:
            created, started, ended = zip(*steps, strict=True)
            lines.append(
                Line(
                    name=kind,
                    created=min(created),
                    started=min(started),
                    ended=max(ended),
                    steps=len(steps),
                    busy_seconds=sum(ended) - sum(started),
                )
            )
    return Timeline(lines=lines, whole_seconds=since(job.ended_at))
