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
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

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
LOAD = 3
"""How many jobs are open at any time."""
LONGEST_RECOVERY_SECONDS = 60.0
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
        self.recoveries: list[float] = []
        self.redone: list[int] = []
        self.violations: list[str] = []
        self._lost = 0
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
        run = Campaign(system=self._system)
        self._system.mend()
        self._system.run("worker-b")
        for fault in faults:
            self._top_up(run, random.Random(fault.dice))
            time.sleep(fault.pause_seconds)
            did = inflict.FAULTS[fault.kind](self._system, run, random.Random(fault.dice), fault.seconds)
            recovered = self._recovery(run, random.Random(fault.dice + 1))
            lost = inflict.lost_attempts(run)
            redone, self._lost = lost - self._lost, lost
            self.recoveries.append(recovered)
            self.redone.append(redone)
            self._say(asdict(fault) | {"did": did, "recovered_seconds": round(recovered, 2), "redone": redone})
        found: list[str] = []
        try:
            run.settle(seconds=END_SECONDS)
        except AssertionError as exc:
            found.append(str(exc))
        found += run.verdict()
        run.close()
        self.violations += found
        self._say({"verdict": found, "until": faults[-1].number, "jobs": len(run.accepted)})

    def _recovery(self, run: Campaign, dice: random.Random) -> float:
        """Return how long it takes after a fault until work is done again."""
        done = inflict.done_steps(self._system)
        waiting = Waiting(LONGEST_RECOVERY_SECONDS * 2, "recovery")
        while inflict.done_steps(self._system) == done:
            try:
                waiting.again(0.1)
            except AssertionError:
                self.violations.append("no step was done for two minutes after a fault")
                break
            self._top_up(run, dice)
        return waiting.passed_seconds

    def _top_up(self, run: Campaign, dice: random.Random) -> None:
        jobs = {job["upload_id"]: job["state"] for job in self._system.rows.jobs()}
        at_work = sum(jobs.get(file_id) not in {"ready", "failed", "cancelled"} for file_id in run.accepted)
        for _ in range(LOAD - at_work):
            try:
                run.try_upload(dice.choice(self._clips))
            except inflict.CONNECTION_LOST:
                return  # the web server is what was broken

    def _say(self, facts: dict[str, object]) -> None:
        self._history.write(json.dumps(facts) + "\n")
        self._history.flush()
        print(json.dumps(facts), flush=True)


def done_before(path: Path) -> tuple[int, list[str]]:
    """Return behind which fault a history goes on, and the violations found until there."""
    next_fault, violations = 0, []
    for line in path.read_text().splitlines() if path.exists() else ():
        facts = json.loads(line)
        if "verdict" in facts:
            next_fault = facts["until"] + 1
            violations += facts["verdict"]
    return next_fault, violations


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
    first, violations = done_before(path)
    faults = plan(options.seed, options.faults)[first:]
    print(f"seed {options.seed}: {options.faults} faults, {first} of them played before; history in {path}")
    if not faults:
        print(f"verdict: {violations or 'no violation'}")
        return bool(violations)
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
    violations += chaos.violations
    ordered = sorted(chaos.recoveries)
    print(
        f"{len(ordered)} faults: recovery p50 {ordered[len(ordered) // 2]:.1f} s, "
        f"p95 {ordered[min(len(ordered) * 95 // 100, len(ordered) - 1)]:.1f} s, longest {ordered[-1]:.1f} s; "
        f"attempts lost {sum(chaos.redone)}, most by one fault {max(chaos.redone)}"
    )
    print("verdict: " + ("no violation" if not violations else "\n".join(violations)))
    return bool(violations)


if __name__ == "__main__":
    sys.exit(main())
