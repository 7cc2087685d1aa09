"""Whole jobs with `auto`, as a worker does them, beside the degraded clip written by the same encoder.

Invariant: both are judged as they come out of the file that a viewer would get.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.quality import ffmpeg
from benchmarks.quality.clips import Clip
from benchmarks.quality.degradations import Degradation
from benchmarks.quality.judges import WARMUP_FRAMES, Score, score
from processing.media.local_job import LocalJob
from processing.media.process.launcher import MediaProcesses

PLAIN = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "20")


@dataclass(frozen=True, kw_only=True)
class Behind:
    """One clip under one degradation."""

    degradation: str
    clip: str
    plain: Score
    auto: Score
    size_ratio: float
    """Of the job's file over the plain one's."""


def compare(degradations: Sequence[Degradation], footage: Sequence[Clip], frames: int, folder: Path) -> list[Behind]:
    """Run a job for each clip under each degradation, of `frames` pictures each."""
    found = []
    with MediaProcesses() as processes:
        for degradation in degradations:
            for clip in footage:
                found.append(_of_clip(processes, degradation, clip, frames, folder))
            sys.stderr.write(f"whole jobs, {degradation.name}\n")
    return found


def _of_clip(processes: MediaProcesses, degradation: Degradation, clip: Clip, frames: int, folder: Path) -> Behind:
    part = Clip(name=clip.name, pictures=clip.pictures[: frames * degradation.frames_each])
    degraded = degradation.of(part, folder)
    truth = degraded.truth[WARMUP_FRAMES:]
    with tempfile.TemporaryDirectory(dir=folder) as name:
        plain = ffmpeg.written(degraded.pictures, Path(name) / "plain.mp4", *PLAIN)
        job = LocalJob(processes, degraded.path, Path(name), slots=os.cpu_count() or 1).run()
        before, after = (ffmpeg.decoded(path, clip.height, clip.width) for path in (plain, job.path))
        size_ratio = job.path.stat().st_size / plain.stat().st_size
    return Behind(
        degradation=degradation.name,
        clip=clip.name,
        plain=score(truth, before[WARMUP_FRAMES:], folder),
        auto=score(truth, after[WARMUP_FRAMES:], folder),
        size_ratio=size_ratio,
    )
