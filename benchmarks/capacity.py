"""A capacity model: what a fleet does and what it asks of its database, broker and storage, from measured costs.

Pure arithmetic on `Costs` and `Fleet`; run it with figures of your own. Invariant: demand grows with work and with the
number of workers, supply is what the reader grants, and the first wall is the part that is nearest to its supply.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import MISSING, dataclass, field, fields
from math import ceil
from typing import Any


def _figure(value: float, meaning: str) -> Any:
    return field(default=value, metadata={"meaning": meaning})


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What one of each thing costs; the defaults were measured, see docs/scaling.md."""

    engine_seconds: float = _figure(2.3, "core seconds that a second of the video takes")
    first_seconds: float = _figure(3.0, "seconds from the upload's answer to the first segment's start")
    join_seconds: float = _figure(0.004, "seconds of join and stills for each second of the video")
    segment_seconds: float = _figure(8.0, "seconds of video in a segment")
    database_ms: float = _figure(3.5, "core milliseconds of the database for each step")
    broker_ms: float = _figure(1.3, "core milliseconds of the broker for each step")
    worker_ms: float = _figure(11.0, "core milliseconds of control in the worker for each step")
    database_beat_ms: float = _figure(1.0, "core milliseconds of the database for each second a worker process lives")
    broker_beat_ms: float = _figure(1.0, "core milliseconds of the broker for each second a worker process lives")
    source_mbit: float = _figure(10.0, "Mbit of source in a second of video")
    result_mbit: float = _figure(5.0, "Mbit of result in a second of video")


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """What there is."""

    workers: int
    slots: float = _figure(8, "segments at a time in a worker process, a core each")
    database_cores: float = _figure(16, "cores of the one database that writes")
    database_connections: float = _figure(1000, "connections that database bears")
    broker_cores: float = _figure(8, "cores of the broker that leads a queue")
    storage_gbit: float = _figure(100, "Gbit a second that the storage moves")
    connections: float = _figure(3, "database connections of a worker process")
    video_seconds: float = _figure(600, "seconds of a typical video")


@dataclass(frozen=True, kw_only=True)
class Load:
    """One part's demand beside its supply, in the same unit."""

    part: str
    unit: str
    demand: float
    supply: float

    @property
    def share(self) -> float:
        """Demand as a share of supply; above 1 it is a wall."""
        return self.demand / self.supply


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What a fleet does when it has work for all, and what that asks for."""

    video_per_second: float
    """Seconds of video finished in a second."""
    steps_per_second: float
    alone_seconds: float
    """From the upload's answer to the end of one typical video that has the whole fleet."""
    loads: tuple[Load, ...]

    @property
    def first_wall(self) -> Load:
        """The part that is nearest to its supply, or farthest beyond."""
        return max(self.loads, key=lambda load: load.share)


FIXED_STEPS = 6
"""Metadata, diagnosis, plan, join, stills, publishing."""
READ_AGAIN = 2.0
"""How often a source is read: once to prove its times and measure it, once by its segments."""
WRITTEN_AGAIN = 3.0
"""A result is written as segments, read by the join, written as a file."""


def outlook(fleet: Fleet, costs: Costs) -> Outlook:
    """Return what a fleet does with endless work, every part else being wide enough."""
    segments = ceil(fleet.video_seconds / costs.segment_seconds)
    steps = segments + FIXED_STEPS
    core_seconds = fleet.video_seconds * costs.engine_seconds + steps * costs.worker_ms / 1000
    slots = fleet.workers * fleet.slots
    videos = slots / core_seconds
    rate = videos * steps
    moved = READ_AGAIN * costs.source_mbit + WRITTEN_AGAIN * costs.result_mbit
    rounds = ceil(segments / slots)
    return Outlook(
        video_per_second=videos * fleet.video_seconds,
        steps_per_second=rate,
        alone_seconds=costs.first_seconds
        + rounds * costs.segment_seconds * costs.engine_seconds
        + costs.join_seconds * fleet.video_seconds,
        loads=(
            Load(
                part="database",
                unit="cores",
                demand=(rate * costs.database_ms + fleet.workers * costs.database_beat_ms) / 1000,
                supply=fleet.database_cores,
            ),
            Load(
                part="database",
                unit="connections",
                demand=fleet.workers * fleet.connections,
                supply=fleet.database_connections,
            ),
            Load(
                part="broker",
                unit="cores",
                demand=(rate * costs.broker_ms + fleet.workers * costs.broker_beat_ms) / 1000,
                supply=fleet.broker_cores,
            ),
            Load(
                part="storage",
                unit="Gbit/s",
                demand=videos * fleet.video_seconds * moved / 1000,
                supply=fleet.storage_gbit,
            ),
        ),
    )


def table(sizes: Iterable[int], granted: dict[str, float], costs: Costs) -> str:
    """Return the outlook for each number of workers as a table in Markdown."""
    lines = [
        "| workers | hours of video an hour | steps/s | one video alone, s | database, cores | connections "
        "| broker, cores | storage, Gbit/s | first wall |",
        "|---" * 9 + "|",
    ]
    for workers in sizes:
        seen = outlook(Fleet(workers=workers, **granted), costs)
        wall = seen.first_wall
        state = "beyond" if wall.share > 1 else "at"
        loads = " | ".join(
            f"{load.demand:,.3g}" if load.demand < 1000 else f"{load.demand:,.0f}" for load in seen.loads
        )
        lines.append(
            f"| {workers:,} | {seen.video_per_second:,.0f} | {seen.steps_per_second:,.1f} | {seen.alone_seconds:.0f} "
            f"| {loads} | {wall.part}, {wall.unit}: {state} {wall.share:.0%} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print the table for the figures given."""
    parser = argparse.ArgumentParser(description="What a fleet does and asks for.")
    parser.add_argument("--workers", type=int, nargs="+", default=[10, 1000, 100_000])
    for kind in (Fleet, Costs):
        for entry in fields(kind):
            if entry.default is not MISSING:
                name = f"--{entry.name.replace('_', '-')}"
                parser.add_argument(name, type=float, default=entry.default, help=entry.metadata["meaning"])
    given = vars(parser.parse_args())
    sizes = given.pop("workers")
    costs = Costs(**{entry.name: given.pop(entry.name) for entry in fields(Costs)})
    print(table(sizes, given, costs))


if __name__ == "__main__":
    main()
