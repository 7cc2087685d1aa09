"""Degrade clean footage, let everybody mend it, judge, print tables: run by `make bench-quality`.

Invariant: all figures of a degradation are of the same pictures of the same clips in one run.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks.quality import encoded, plot, tables
from benchmarks.quality.clips import Clip, clips
from benchmarks.quality.contenders import CONTENDERS, PX_720P, Contender
from benchmarks.quality.degradations import DEGRADATIONS, Degradation, Degraded
from benchmarks.quality.judges import WARMUP_FRAMES, same_tone, score
from benchmarks.quality.tables import Result

FRAMES = 14
PICTURE = Path("docs/pictures/quality.png")


def main(say: Callable[[str], None] = print) -> int:
    """Run it all; return 1 where an aim is missed."""
    arguments = _arguments()
    cv2.setNumThreads(1)
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="quality-") as name:
        folder = Path(name)
        wanted = [one for one in DEGRADATIONS if not arguments.only or any(w in one.name for w in arguments.only)]
        longest = FRAMES * max(degradation.frames_each for degradation in wanted)
        footage = list(clips(folder, longest, tuple(arguments.clips)))
        for degradation in wanted:
            mine = [_of_degradation(degradation, clip, folder, arguments.contenders) for clip in footage]
            found = [result for rows in mine for result in rows]
            say(tables.of_degradation(degradation.name, found))
            results += found
        behind = encoded.compare(wanted, footage, FRAMES, folder) if arguments.encoded else []
    if behind:
        say(tables.behind_the_encoder(behind))
    say(tables.of_auto(results))
    verdicts = tables.verdicts(results)
    say("\n".join(verdict.sentence for verdict in verdicts))
    if arguments.plot:
        plot.draw(results, arguments.plot)
    return 0 if all(verdict.is_kept for verdict in verdicts) else 1


def _of_degradation(degradation: Degradation, clip: Clip, folder: Path, names: Sequence[str]) -> list[Result]:
    started = time.perf_counter()
    part = Clip(name=clip.name, pictures=clip.pictures[: FRAMES * degradation.frames_each])
    degraded = degradation.of(part, folder)
    mending = [
        contender
        for contender in CONTENDERS
        if degradation.kind in contender.kinds and (not names or contender.name in names)
    ]
    rows = [_result(contender, degradation.name, clip.name, degraded, folder) for contender in mending]
    sys.stderr.write(f"{time.perf_counter() - started:6.1f} s  {degradation.name}, {clip.name}\n")
    return rows


def _result(contender: Contender, degradation: str, clip: str, degraded: Degraded, folder: Path) -> Result:
    given = degraded.pictures if contender.looks_back else degraded.pictures[WARMUP_FRAMES:]
    mended, seconds = contender.mend(degraded, given)
    truth = degraded.truth[WARMUP_FRAMES:]
    judged = mended[-len(truth) :]
    megapixels = np.prod(given[:, : given.shape[1] * 2 // 3].shape) / PX_720P
    return Result(
        degradation=degradation,
        kind=degraded.kind,
        clip=clip,
        contender=contender.name,
        is_ours=contender.is_ours,
        score=score(truth, judged, folder),
        matched=score(truth, same_tone(truth, judged), folder) if degraded.kind == "dark" else None,
        cpu_seconds=seconds,
        pictures_720p=float(megapixels),
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=[], help="parts of the names of degradations")
    parser.add_argument("--clips", nargs="*", default=[], help="parts of the names of clips")
    parser.add_argument("--contenders", nargs="*", default=[], help="names of contenders")
    parser.add_argument("--no-encoded", dest="encoded", action="store_false", help="leave out whole jobs")
    parser.add_argument("--plot", type=Path, default=None, help=f"where to draw quality over time, as {PICTURE}")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
