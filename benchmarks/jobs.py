"""Whole jobs on real PostgreSQL, RabbitMQ and Redis, sent over HTTP as people send them: what the service adds.

`whole` sets a video of ten minutes beside `manage.py enhance` on the same file, `two` two workers beside one, `short`
sends a thousand videos of two seconds. Invariant: what is compared ran by turns in one run, on the same two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import imageio_ffmpeg
import numpy as np

from benchmarks.installation import ROOT, Parts, Program, dispatcher, installation, processes, web, worker
from benchmarks.senders import Door, Guess, asking, door, ended, seconds_to_ready, send_all
from benchmarks.timelines import Timeline, timeline
from processing.media.durable import sha256_of
from tests.clips import make_clip
from videoproc.servers import ports

if TYPE_CHECKING:
    from processing.models import Job

CORES = 2
RATE = Fraction(25)
PIECE_FRAMES = 48
SIGMA = 6.0
CRF = 23
"""With this noise some 17 Mbit/s at 1080p, as phones write."""
SHORT_SECONDS = 2
ALONE = "alone.mp4"
NAMES = ("whole", "two", "short")


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where the figures are taken: the folder, the parts of the installation, the port of its web server."""

    folder: Path
    parts: Parts
    port: int

    @property
    def url(self) -> str:
        """The address of the web server."""
        return f"http://localhost:{self.port}"


def long_clip(folder: Path, seconds: float) -> Path:
    """Write 1080p with sound that lasts so long: one noisy piece joined to itself, its packets copied."""
    piece, clip = folder / "piece.mp4", folder / f"long-{seconds:g}.mp4"
    if not piece.exists():
        size = {"width": 1920, "height": 1080}
        drawn = make_clip(
            folder / "drawn.mp4", frames=PIECE_FRAMES, rate=RATE, noise_sigma=SIGMA, gop=PIECE_FRAMES, **size
        )
        _ffmpeg("-i", drawn, "-c:v", "libx264", "-preset", "veryfast", "-crf", CRF, "-g", RATE, piece)
    sound = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]
    _ffmpeg("-stream_loop", "-1", "-i", piece, *sound, "-c:v", "copy", "-c:a", "aac", "-t", seconds, clip)
    return clip


def short_clips(folder: Path, count: int) -> Iterator[tuple[str, bytes]]:
    """Yield names and bytes of so many videos of two seconds, no two alike: a box at the end says which it is."""
    path = make_clip(
        folder / "short.mp4",
        frames=int(SHORT_SECONDS * RATE),
        width=256,
        height=144,
        rate=RATE,
        noise_sigma=SIGMA,
        audio=["aac"],
    )
    data = path.read_bytes()
    for number in range(count):
        yield f"short-{number}.mp4", data + (16).to_bytes(4) + b"free" + number.to_bytes(8)


def whole(bench: Bench, *, seconds: float, slots: int, repeats: int) -> None:
    """Print a whole job beside the engine alone, by turns, and where the last one's time went."""
    clip = long_clip(bench.folder, seconds)
    print(f"## One video of {seconds:g} s, 1080p, {clip.stat().st_size / 1e6:.0f} MB; {slots} slots\n")
    print("| engine alone, s | of it at work | first byte to ready, s | 201 to ready | over the engine | more, s |")
    print("|---" * 6 + "|")
    lines: list[Timeline] = []
    ratios: list[float] = []
    for _ in range(repeats):
        alone, at_work = _engine_alone(clip, bench.folder)
        with _running(bench, worker("w0", slots=slots), slots=slots) as (entrance, check):
            before = bench.parts.cpu_seconds()
            sent = entrance.send(clip.name, clip)
            (job,) = ended([sent], check)
            used = {part: seconds - before[part] for part, seconds in bench.parts.cpu_seconds().items()}
        if job.receipt is None or job.receipt["sha256"] != sha256_of(bench.folder / ALONE):
            raise SystemExit("the service and the engine alone gave different files: their times cannot be compared")
        lines.append(timeline(sent, job))
        ratios.append(lines[-1].whole_seconds / alone)
        print(
            f"| {alone:.2f} | {at_work:.2f} | {lines[-1].whole_seconds:.2f} | {seconds_to_ready(job):.2f} "
            f"| {ratios[-1]:.3f} | {lines[-1].whole_seconds - alone:+.2f} |",
            flush=True,
        )
    print(f"\nMedian {median(ratios):.3f}; aim: <= 1.1, and 1 s more at most. Where the last one's time went:\n")
    print(lines[-1].table(slots))
    each = ", ".join(f"{part} {seconds:.2f}" for part, seconds in used.items())
    print(f"Seconds of CPU meanwhile, without the media processes that have ended: {each}\n")


def _engine_alone(clip: Path, folder: Path) -> tuple[float, float]:
    """Return the wall time of `manage.py enhance`, and what of it remains once the interpreter has started."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VIDEOPROC_")}
    words = [sys.executable, ROOT / "manage.py", "enhance", clip, folder / ALONE, "--overwrite", "--json"]
    began = time.perf_counter()
    done = subprocess.run(
        words, env=kept | {"VIDEOPROC_DATA_DIR": str(folder / "alone")}, check=True, stdout=subprocess.PIPE
    )
    return time.perf_counter() - began, json.loads(done.stdout)["seconds"]


def two(bench: Bench, *, seconds: float, repeats: int) -> None:
    """Print one worker on one core beside two workers on two, by turns."""
    clip = long_clip(bench.folder, seconds)
    print(f"## Two workers over one, each held to a core; a video of {seconds:g} s, 1080p\n")
    print("| one worker, 201 to ready, s | two workers | gain | segments alone: one, s | two | gain |")
    print("|---" * 6 + "|")
    gains: list[float] = []
    cores = sorted(os.sched_getaffinity(0))
    for _ in range(repeats):
        figures = []
        for held in (cores[:1], cores):
            workers = [worker(f"w{core}", slots=1, core=core) for core in held]
            with _running(bench, *workers, slots=len(held)) as (entrance, check):
                sent = entrance.send(clip.name, clip)
                (job,) = ended([sent], check)
            figures.append((seconds_to_ready(job), timeline(sent, job).segments_seconds))
        (one, one_segments), (both, both_segments) = figures
        gains.append(one / both)
        print(
            f"| {one:.2f} | {both:.2f} | {gains[-1]:.3f} "
            f"| {one_segments:.2f} | {both_segments:.2f} | {one_segments / both_segments:.3f} |",
            flush=True,
        )
    print(f"\nMedian {median(gains):.3f}; aim: >= 1.9\n")


def short(bench: Bench, *, videos: int, clients: int, slots: int) -> None:
    """Print what many short videos take, sent as fast as they are accepted, and at half of the rate that gave."""
    print(f"## {videos:,} videos of {SHORT_SECONDS} s, 256x144, by {clients} clients at a time; {slots} slots\n")
    print("| sent | jobs/s | 201 to ready, s: p50 | p99 | greatest | first byte to 201, s: p50 | p99 |")
    print("|---" * 7 + "|")
    with _running(bench, worker("w0", slots=slots), slots=slots) as (entrance, check):
        a_second: float | None = None
        for way in ("all at once", "{:.2f} a second"):
            with asking(entrance) as guesses:
                sent = send_all(entrance, short_clips(bench.folder, videos), clients=clients, a_second=a_second)
                jobs = ended(sent, check)
            if a_second is None:
                told = outlook(guesses, jobs)
            first = min(job.created_at for job in jobs)
            passed = max((job.ended_at - first).total_seconds() for job in jobs if job.ended_at is not None)
            taken = np.array([seconds_to_ready(job) for job in jobs])
            answers = np.array([(one.answered - one.began).total_seconds() for one in sent])
            print(
                f"| {way.format(a_second)} | {videos / passed:.2f} | {np.percentile(taken, 50):.2f} "
                f"| {np.percentile(taken, 99):.2f} | {taken.max():.2f} "
                f"| {np.percentile(answers, 50):.2f} | {np.percentile(answers, 99):.2f} |",
                flush=True,
            )
            a_second = videos / passed / 2
    print(f"\nAsked while all were in the queue: {told}\n\nOne of the last, at the median:\n")
    middle = int(np.argsort(taken)[videos // 2])
    print(timeline(sent[middle], jobs[middle]).table(slots))


def outlook(guesses: Sequence[Guess], jobs: Sequence[Job]) -> str:
    """Return in words how right the guesses at when jobs are ready were."""
    ready = {str(job.pk): job.ended_at for job in jobs if job.ended_at is not None}
    known = [(guess, ready[guess.job_id]) for guess in guesses if guess.job_id in ready]
    if not known:
        return "no guess was made"
    held = sum(guess.holds(moment) for guess, moment in known) / len(known)
    late = np.array(
        [(moment - guess.asked).total_seconds() / np.sqrt(guess.low * guess.high) for guess, moment in known]
    )
    wide = median(guess.high / guess.low for guess, _ in known)
    return (
        f"of {len(known)} guesses at when a job will be ready {held:.0%} held the truth; high over low {wide:.2f} at "
        f"the median; truth over their geometric mean {np.percentile(late, 10):.2f}, {np.median(late):.2f}, "
        f"{np.percentile(late, 90):.2f} at 10, 50, 90 %"
    )


@contextmanager
def _running(bench: Bench, *workers: Program, slots: int) -> Iterator[tuple[Door, Callable[[], None]]]:
    """Run the project's processes; yields the door and what raises SystemExit once one of them has ended.

    Two short videos go first, so that all is loaded and connected, as in an installation that people use.
    """
    with (
        processes(bench.folder, bench.parts, [dispatcher(), web(bench.port), *workers]) as check,
        door(bench.url, slots=slots, check=check) as entrance,
    ):
        ended(send_all(entrance, short_clips(bench.folder, CORES), clients=1), check)
        yield entrance, check


def _ffmpeg(*words: object) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *map(str, words)]
    subprocess.run(command, check=True)


def main() -> None:
    """Print the tables that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", choices=NAMES, nargs="+", default=NAMES)
    parser.add_argument("--minutes", type=float, default=10.0, help="of the video of `whole`")
    parser.add_argument("--two-minutes", type=float, default=1.0, help="of the video of `two`")
    parser.add_argument("--repeats", type=int, default=2, help="of `whole` and `two`")
    parser.add_argument("--videos", type=int, default=1000, help="of `short`, each way")
    parser.add_argument("--clients", type=int, default=8, help="that send short videos at a time")
    parser.add_argument("--slots", type=int, default=CORES, help="of the one worker of `whole` and `short`")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))[:CORES]
    if len(cores) < CORES:
        raise SystemExit(f"this needs {CORES} cores")
    os.sched_setaffinity(0, set(cores))
    parts = Parts()
    # Nobody is slowed down on purpose: these limits are for strangers.
    unlimited = dict.fromkeys(("VIDEOPROC_UPLOADS_RATE", "VIDEOPROC_REQUESTS_RATE"), "1000000/min")
    with installation(parts, **unlimited) as folder:
        bench = Bench(folder=folder, parts=parts, port=ports.reserve())
        if "whole" in options.only:
            whole(bench, seconds=options.minutes * 60, slots=options.slots, repeats=options.repeats)
        if "two" in options.only:
            two(bench, seconds=options.two_minutes * 60, repeats=options.repeats)
        if "short" in options.only:
            short(bench, videos=options.videos, clients=options.clients, slots=options.slots)


if __name__ == "__main__":
    main()
