"""Plans and finished jobs for tests of the engine: a clip goes in, its plan, segments and receipt come out."""

from __future__ import annotations

import subprocess
from bisect import bisect_right
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import imageio_ffmpeg

from processing.media.enhance import enhance_segment
from processing.media.enhancement.deinterlace import LOOK_BACK_FRAMES
from processing.media.enhancement.presets import has_deinterlacing
from processing.media.join import join_segments
from processing.media.measured import Diagnosis
from processing.media.planning import make_plan
from processing.media.probe import probe
from processing.media.receipts import Receipt, SegmentResult
from processing.media.segments import WARMUP_FRAMES
from processing.media.specs import Choice, Enhancement, Plan, Segment
from processing.media.timeline import read_timeline

UNREMARKABLE = Diagnosis(
    frames_sampled=0,
    noise_sigma_luma=2.0,
    noise_sigma_chroma=1.0,
    mean_luma=110.0,
    black_luma=20.0,
    white_luma=220.0,
    contrast=60.0,
    sharpness=1.0,
    is_interlaced=False,
)
DENOISE = Choice(operation="denoise", strength=0.6, reason="a test asks for it")


@dataclass(frozen=True, kw_only=True)
class Job:
    """A finished job and all it left."""

    source: Path
    plan: Plan
    segments: tuple[Path, ...]
    results: tuple[SegmentResult, ...]
    output: Path
    receipt: Receipt
    reported: tuple[int, ...]


def plan_of(source: Path, *choices: Choice) -> Plan:
    """Return the plan of a clip with these operations; without any, a playable one is copied."""
    facts = probe(source)
    enhancement = Enhancement(preset="auto", choices=choices, reasons=(), noise_sigma_luma=2.0, noise_sigma_chroma=1.0)
    return make_plan("", facts, read_timeline(source, facts), UNREMARKABLE, enhancement)


def enhance_all(source: Path, plan: Plan, folder: Path) -> tuple[tuple[Path, ...], tuple[SegmentResult, ...]]:
    """Return the files and results of every segment of a plan, worked on one after the other."""
    folder.mkdir(exist_ok=True)
    paths = tuple(folder / f"{segment.index}.mp4" for segment in plan.segments)
    results = tuple(enhance_segment(source, plan, index, path, lambda frames: None) for index, path in enumerate(paths))
    return paths, results


def cut(plan: Plan, count: int) -> Plan:
    """Return the plan with its frames cut into `count` equal segments, wherever that may be."""
    frames = len(plan.timeline.pts)
    look_back = WARMUP_FRAMES + (LOOK_BACK_FRAMES if has_deinterlacing(plan.enhancement) else 0)
    borders = [frames * number // count for number in range(count + 1)]
    segments = []
    for index, (start, stop) in enumerate(pairwise(borders)):
        warmup = max(start - look_back, 0)
        seek = plan.timeline.keyframes[bisect_right(plan.timeline.keyframes, warmup) - 1]
        segments.append(Segment(index=index, seek=seek, warmup=warmup, start=start, stop=stop))
    return replace(plan, segments=tuple(segments))


def run_job(source: Path, folder: Path, *choices: Choice, plan: Plan | None = None) -> Job:
    """Return a clip's finished job, by the plan of these operations or the one given, its files under `folder`."""
    plan = plan or plan_of(source, *choices)
    segments, results = enhance_all(source, plan, folder)
    reported: list[int] = []
    output = folder / "result.mp4"
    receipt = join_segments(source, plan, segments, results, output, reported.append)
    return Job(
        source=source,
        plan=plan,
        segments=segments,
        results=results,
        output=output,
        receipt=receipt,
        reported=tuple(reported),
    )


def decoded_by_ffmpeg(path: Path, *options: str) -> tuple[list[int], str]:
    """Return the pts of the frames that the ffmpeg program decodes, in the file's own ticks, and its complaints."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "warning", "-nostdin", *options, "-copyts", "-i", str(path)]
    command += ["-map", "0:v:0", "-fps_mode", "passthrough", "-enc_time_base", "demux", "-f", "framecrc", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    lines = [line for line in done.stdout.splitlines() if not line.startswith("#")]
    return [int(line.split(",")[2]) for line in lines], done.stderr
