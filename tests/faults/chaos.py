"""Random faults against the server mode under load: `make chaos SEED=7 FAULTS=100`.

The seed alone decides which faults come, in which order, how long each lasts and what runs beside them, so a history
can be played again. Invariant: a round of faults counts once its verdict is written down; a campaign that was broken
off goes on behind its last verdict.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import django

django.setup()

from tests.clips import make_clip  # noqa: E402
from tests.faults import inflict  # noqa: E402
from tests.faults.campaign import Campaign  # noqa: E402
from tests.faults.system import FaultyServer, Waiting  # noqa: E402
from tests.servers import Servers  # noqa: E402
from tests.settings import FOLDER  # noqa: E402

ROUND = 20
LOAD = 4
"""How many jobs are open at any time; two workers of two slots have one each."""
GIVEN_UP_SECONDS = 120.0
"""A system that has not done a step by then is taken as stuck."""
END_SECONDS = 300.0


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One fault to come."""

    number: int
    kind: str
    seconds: float
    """How long it lasts, where it lasts."""
    pause_seconds: float
    """The calm before it."""
    dice: int
    """The seed of what it chooses among."""


def plan(seed: int, faults: int) -> list[Planned]:
    """Return the faults of a campaign; a longer one begins like a shorter one of the same seed."""
    dice = random.Random(seed)
    return [
        Planned(
            number=number,
            kind=dice.choice(sorted(inflict.FAULTS)),
            seconds=round(dice.uniform(0.2, 8.0), 2),
            pause_seconds=round(dice.uniform(0.0, 2.0), 2),
            dice=dice.randrange(2**32),
        )
        for number in range(faults)
    ]


class Chaos:
    """A campaign over one system, its history in a file of lines."""

    def __init__(self, system: FaultyServer, clips: list[Path], history: TextIO) -> None:
        self._system = system
        self._clips = clips
        self._history = history
        self._lost: Counter[int] = Counter()
        """Attempts at segments that had come to nothing when the last fault was over; a lease lapses later."""

    def calm(self) -> None:
        """Have each clip done undisturbed, for its digest."""
        run = Campaign(system=self._system)
        for clip in self._clips:
            run.upload(clip)
        run.finish(seconds=END_SECONDS)
        run.close()

    def play(self, faults: list[Planned]) -> None:
        """Inflict one round of faults and write its verdict down."""
        found: list[str] = []
        run = Campaign(system=self._system)
        self._system.mend()
        self._system.run("worker-b")
        with self._load(run, random.Random(faults[0].dice)):
            for fault in faults:
                time.sleep(fault.pause_seconds)
                at_work = inflict.steps_at_work(self._system)
                did = inflict.FAULTS[fault.kind](self._system, run, random.Random(fault.dice), fault.seconds)
                at = time.strftime("%H:%M:%S")
                recovered = self._recovery(at_work)
                if recovered >= GIVEN_UP_SECONDS:
                    found.append(f"I1: no recovery within {recovered:.0f} s after fault {fault.number}")
                lost = inflict.lost_attempts(self._system)
                redone, self._lost = lost - self._lost, lost
                facts = {"did": did, "over_at": at, "recovered_seconds": round(recovered, 2)}
                facts |= {"redone": redone.total(), "redone_of_one": max(redone.values(), default=0)}
                self._say(asdict(fault) | {"at_work": len(at_work)} | facts)
        try:
            run.settle(seconds=END_SECONDS)
        except AssertionError as exc:
            found.append(str(exc))
        found += run.verdict()
        run.close()
        self._say({"verdict": found, "until": faults[-1].number, "jobs": len(run.accepted)})

    def _recovery(self, at_work: dict[int, int]) -> float:
        """Return how long it takes after a fault until work is done, and all that was at work has ended or goes on."""
        done = inflict.done_steps(self._system)
        waiting = Waiting(GIVEN_UP_SECONDS + 60, "recovery")
        while waiting.passed_seconds < GIVEN_UP_SECONDS and (
            inflict.done_steps(self._system) == done or inflict.still_held(self._system, at_work)
        ):
            waiting.again(0.1)
        return waiting.passed_seconds

    @contextmanager
    def _load(self, run: Campaign, dice: random.Random) -> Iterator[None]:
        """Keep jobs open meanwhile; where the web server or the database is what is broken, uploads are tried again."""
        stop = threading.Event()

        def upload() -> None:
            while not stop.wait(0.1):
                try:
                    if inflict.open_jobs(self._system) < LOAD:
                        run.try_upload(dice.choice(self._clips))
                except inflict.CONNECTION_LOST:
                    stop.wait(0.5)

        thread = threading.Thread(target=upload, name="load", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _say(self, facts: dict[str, object]) -> None:
        self._history.write(json.dumps(facts) + "\n")
        self._history.flush()
        print(json.dumps(facts), flush=True)


@dataclass(frozen=True, kw_only=True)
class History:
    """What a campaign found until now; faults without a verdict behind them do not count, for they are played again."""

    next_fault: int
    recoveries_seconds: list[float]
    """How long after each fault until a step was done, shortest first."""
    redone: list[int]
    """Attempts at segments that came to nothing by each fault."""
    redone_of_one: int
    """The most attempts at one and the same segment that one fault cost."""
    violations: list[str]

    def __str__(self) -> str:
        last = len(self.recoveries_seconds) - 1
        figures = (
            f"{self.next_fault} faults: recovery p50 {self.recoveries_seconds[last // 2]:.1f} s, "
            f"p95 {self.recoveries_seconds[last * 95 // 100]:.1f} s, longest {self.recoveries_seconds[last]:.1f} s; "
            f"attempts lost {sum(self.redone)}, most by one fault {max(self.redone)}, "
            f"most of one segment by one fault {self.redone_of_one}\n"
            if self.next_fault
            else ""
        )
        return figures + "verdict: " + ("\n".join(self.violations) or "no violation")


def read(path: Path) -> History:
    """Return what the history of a campaign says."""
    next_fault, violations = 0, []
    recoveries: list[float] = []
    redone: list[int] = []
    redone_of_one = 0
    waiting: list[dict[str, Any]] = []
    for line in path.read_text().splitlines() if path.exists() else ():
        facts = json.loads(line)
        if "verdict" not in facts:
            waiting = [fault for fault in waiting if fault["number"] < facts["number"]] + [facts]
            continue
        next_fault = facts["until"] + 1
        violations += facts["verdict"]
        recoveries += [fault["recovered_seconds"] for fault in waiting]
        redone += [fault["redone"] for fault in waiting]
        redone_of_one = max([redone_of_one, *(fault["redone_of_one"] for fault in waiting)])
        waiting = []
    return History(
        next_fault=next_fault,
        recoveries_seconds=sorted(recoveries),
        redone=redone,
        redone_of_one=redone_of_one,
        violations=violations,
    )


def clips(folder: Path) -> list[Path]:
    """Return the videos of the load: made ones, and two real ones where VIDEOPROC_SAMPLES has them."""
    made = [
        make_clip(
            folder / "short.mp4", frames=50, width=256, height=144, rate=25, audio=["aac"], noise_sigma=5, gop=12
        ),
        make_clip(
            folder / "long.mp4", frames=150, width=640, height=360, rate=25, audio=["aac"], noise_sigma=5, gop=25
        ),
    ]
    samples = os.environ.get("VIDEOPROC_SAMPLES", "")
    real = (
        [Path(samples) / name for name in ("derived/dog_vfr.mp4", "decord/flipping_a_pancake.mkv")] if samples else []
    )
    return made + [path for path in real if path.exists()]


def main() -> int:
    """Play a campaign, print its figures, and return 1 where an invariant was violated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", type=int, default=40)
    parser.add_argument("--history", type=Path, default=None, help="default: chaos-SEED.jsonl in the temporary folder")
    options = parser.parse_args()
    logging.getLogger("httpx").setLevel(logging.WARNING)
    path: Path = options.history or Path(tempfile.gettempdir()) / f"videoproc-chaos-{options.seed}.jsonl"
    begun = read(path)
    faults = plan(options.seed, options.faults)[begun.next_fault :]
    print(f"seed {options.seed}: {options.faults} faults, {begun.next_fault} of them played before; history in {path}")
    if faults:
        play(faults, path)
    ended = read(path)
    print(ended)
    return bool(ended.violations)


def play(faults: list[Planned], path: Path) -> None:
    """Play these faults against a system of their own, whose logs are kept beside the history."""
    servers = Servers(FOLDER)
    system = FaultyServer(FOLDER / "system-of-chaos", servers)
    try:
        system.start()
        with path.open("a") as history:
            chaos = Chaos(system, clips(FOLDER), history)
            chaos.calm()
            for start in range(0, len(faults), ROUND):
                chaos.play(faults[start : start + ROUND])
    finally:
        system.close()
        servers.stop()
        logs = path.with_suffix(".logs")
        logs.mkdir(exist_ok=True)
        for log in (FOLDER / "system-of-chaos").glob("*.log"):
            shutil.copy(log, logs)


if __name__ == "__main__":
    sys.exit(main())
