"""What enhancing costs: `auto` on noisy clips beside ffmpeg and the usual OpenCV way, everything paired in one run.

Prints one table in Markdown. Invariant: every figure that is compared is a ratio of runs made one after the other on
the same clip, the median over the repeats with its least and greatest; seconds alone say little on a shared machine.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.contenders import FILTERS, Planning, Run, engine, ffmpeg, opencv_seconds_per_frame, plan, segments
from benchmarks.footage import footage, noisy_clip, repeated
from processing.media.fingerprint import fingerprint
from processing.media.process.launcher import MediaProcesses
from processing.media.process.supervision import Usage

FRAMES = {480: 400, 720: 300, 1080: 250, 2160: 75}
CORES = 2
SIGMA = 6.0
OPENCV_FRAMES = 2
LONG_TIMES = 60
LIMITS_MIB = {1080: 350, 2160: 900}
SCALING_HEIGHT = 1080


def main() -> None:
    arguments = _arguments()
    cores = sorted(os.sched_getaffinity(0))[:CORES]
    os.sched_setaffinity(0, set(cores))
    print(f"{platform.processor() or platform.machine()}, {len(cores)} cores, Python {platform.python_version()}")
    print(fingerprint())
    print()
    print("| clip | figure | ours over theirs | least to greatest | aim |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name, MediaProcesses() as processes:
        folder = Path(name)
        film = footage(folder)
        for height in arguments.heights:
            frames = max(round(FRAMES.get(height, 250) * arguments.share), 30)
            clip = noisy_clip(film, folder / f"{height}.mp4", height=height, frames=frames, sigma=SIGMA)
            _compare(processes, clip, folder, height, frames, arguments.repeats)
            if height == SCALING_HEIGHT:
                _scale(processes, clip, folder, cores, arguments.repeats)


def _compare(processes: MediaProcesses, clip: Path, folder: Path, height: int, frames: int, repeats: int) -> None:
    ours: list[Run] = []
    plain: list[Run] = []
    filtered: list[Run] = []
    output = folder / "theirs.mp4"
    for _ in range(repeats):
        plain.append(ffmpeg(clip, output))
        run, planning = engine(processes, clip, folder / f"ours-{height}", CORES)
        ours.append(run)
        filtered.append(ffmpeg(clip, output, FILTERS))
    label = f"{height}p"
    chosen = ", ".join(f"{choice.operation} {choice.strength:.3g}" for choice in planning.chosen.enhancement.choices)
    print(f"| {label} | {frames} frames, {clip.stat().st_size * 8 * 25 / frames / 1e6:.0f} Mbit/s: {chosen} | | | |")
    _row(label, "wall over ffmpeg's plain transcode", _wall(ours, plain), "<= 1.0" if height == 1080 else "")
    _row(label, "CPU over ffmpeg's plain transcode", _cpu(ours, plain), "")
    _row(label, f"wall over ffmpeg with {FILTERS}", _wall(ours, filtered), "<= 0.75" if height == 1080 else "")
    _row(label, "CPU over the same", _cpu(ours, filtered), "")
    _row(
        label, "size over the plain transcode", [a.size_bytes / b.size_bytes for a, b in zip(ours, plain, strict=True)]
    )
    if height <= SCALING_HEIGHT:
        theirs = opencv_seconds_per_frame(clip, folder / "opencv.mp4", OPENCV_FRAMES)
        per_frame = median(run.wall_seconds for run in ours) / frames
        aim = "<= 0.025" if height == 1080 else ""
        _row(label, f"wall per frame over OpenCV's way ({OPENCV_FRAMES} frames)", [per_frame / theirs], aim)
    limit = f"<= {LIMITS_MIB[height]} MiB" if height in LIMITS_MIB else ""
    peak = max(run.peak_rss_bytes for run in ours) / 2**20
    print(f"| {label} | peak resident memory of a media process | {peak:.0f} MiB | | {limit} |")


def _scale(processes: MediaProcesses, clip: Path, folder: Path, cores: list[int], repeats: int) -> None:
    """One segment twice, in turn on one core and at once on two; then memory in the middle of a long video."""
    label = f"{SCALING_HEIGHT}p"
    planning = _planning(processes, clip, folder / "scaling")
    frames = planning.planned.segment_frames
    longest = frames.index(max(frames))
    gains: list[float] = []
    for _ in range(repeats):
        taken: list[float] = []
        for held in (cores[:1], cores):
            started = time.perf_counter()
            segments(processes, clip, planning, [longest] * CORES, list(held), [])
            taken.append(time.perf_counter() - started)
        gains.append(taken[0] / taken[1])
    if len(cores) == CORES:
        _row(label, "two processes over one, each held to one core", gains, ">= 1.9")
    long = repeated(clip, folder / "long.mp4", LONG_TIMES)
    planning = _planning(processes, long, folder / "long")
    usages: list[Usage] = []
    segments(processes, long, planning, [len(planning.planned.segments) // 2], [None], usages)
    seconds = planning.planned.frames_total // 25
    print(f"| {label} | the same in a video of {seconds} s | {usages[0].peak_rss_bytes / 2**20:.0f} MiB | | the same |")


def _planning(processes: MediaProcesses, clip: Path, folder: Path) -> Planning:
    folder.mkdir()
    return plan(processes, clip, folder, [])


def _wall(ours: list[Run], theirs: list[Run]) -> list[float]:
    return [a.wall_seconds / b.wall_seconds for a, b in zip(ours, theirs, strict=True)]


def _cpu(ours: list[Run], theirs: list[Run]) -> list[float]:
    return [a.cpu_seconds / b.cpu_seconds for a, b in zip(ours, theirs, strict=True)]


def _row(label: str, figure: str, ratios: list[float], aim: str = "") -> None:
    spread = f"{min(ratios):.3g} to {max(ratios):.3g}" if len(ratios) > 1 else ""
    print(f"| {label} | {figure} | {median(ratios):.3g} | {spread} | {aim} |", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--heights", type=int, nargs="+", default=sorted(FRAMES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0, help="of the frames that are measured by default")
    return parser.parse_args()


if __name__ == "__main__":
    main()
