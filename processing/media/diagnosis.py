"""Measures a video on a few short runs of frames spread over it: noise, exposure, contrast, sharpness, interlacing.

What is measured is what the filters will see: pictures brought to the form of the encoding, HDR tone-mapped.
Runs start at keyframes, where decoding is cheapest; within a GOP that is all there is, they follow each other instead.
Invariant: what is measured depends on the file alone; figures are rounded, lest a machine's last digit enter a plan.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, fields
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import Literal

import numpy as np
from av.video.frame import VideoFrame

from processing.media.decode import DecodeTally, raw_frames
from processing.media.enhancement.planes import Planes, luma_bounds
from processing.media.errors import Damaged
from processing.media.measures import (
    coarse_noise_sigma,
    combing,
    edge_steepness,
    field_order,
    noise_sigma,
    percentile,
    picture_area,
)
from processing.media.pictures import Normaliser
from processing.media.planning import INTERLACED_ORDERS, choose_encoding
from processing.media.specs import Diagnosis, Encoding, MediaProbe, Timeline

MOST_RUNS = 8
MOST_THREADS = 4
MOST_RUNS_HDR = 3
"""Tone mapping takes a hundred times as long as measuring."""
RUN_FRAMES = 3
RUN_STRIDE = 20
"""Frames from the start of one run to that of the next, where several lie in one GOP."""
MOST_MEASURED_PX = 1920
"""Wider or higher pictures are measured on their centre: noise is the same there, and time is not."""
COMBED_SHARE = 0.004
FLAGGED_COMBED_SHARE = 0.0005
"""Share of combed pixels that proves interlacing, without and with the stream's own word for it."""
MOST_HIDDEN = 1.3
"""How many times the noise of luma may be what is measured at full size: more would be texture."""
FLAGGED_FIELD_ORDER = 0.05
"""Order of the fields, as `measures.field_order` has it, that proves interlacing where the stream says so too."""
LEAST_FIELD_ORDER = 0.02
"""Less tells nothing of the order; then the stream's word counts."""
BOTTOM_FIRST = frozenset({"bb", "tb"})
"""Field orders whose bottom field is shown first, whichever was coded first."""
NOISE_MARGIN = 3
"""Code values from black and white within which noise is cut off and cannot be measured."""


@dataclass(kw_only=True)
class _Findings:
    """What the runs showed, one entry for each."""

    frames: int = 0
    flagged_interlaced: int = 0
    sigma_luma: list[float] = field(default_factory=list)
    sigma_chroma: list[float] = field(default_factory=list)
    coarse_luma: list[float] = field(default_factory=list)
    coarse_chroma: list[float] = field(default_factory=list)
    luma: list[float] = field(default_factory=list)
    sharpness: list[float] = field(default_factory=list)
    combing: list[float] = field(default_factory=list)
    field_order: list[float] = field(default_factory=list)
    histogram: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))

    def add(self, other: _Findings) -> None:
        """Append what later runs showed."""
        for name in (entry.name for entry in fields(self)):
            setattr(self, name, getattr(self, name) + getattr(other, name))


def diagnose(path: Path, probe: MediaProbe, timeline: Timeline) -> Diagnosis:
    """Return what at most 8 runs of 3 frames tell of the video at `path`.

    Raises Damaged when not one frame could be decoded, and what open_source raises.
    """
    encoding = choose_encoding(probe.video)
    black, white = luma_bounds(encoding.colour.range)
    findings = _Findings()
    # Stamps that were mended are no guide for a seek.
    places = run_starts(timeline, _most_runs(probe)) if timeline.identity == "pts" else []
    seeks = [(timeline.pts[start] if start else None, count) for start, count in places]
    with ThreadPoolExecutor(_threads(probe)) as pool:
        for found in pool.map(lambda seek: _look(path, probe, encoding, *seek), seeks):
            findings.add(found)
    if not findings.frames:
        # Seeking leads nowhere here.
        findings = _look(path, probe, encoding, None, _most_runs(probe))
    if not findings.frames:
        raise Damaged("not one frame could be decoded")
    dark, bright = (percentile(findings.histogram, percent) for percent in (1.0, 99.0))
    total = findings.histogram
    comb = float(np.median(findings.combing))
    order = float(np.median(findings.field_order)) if findings.field_order else 0.0
    is_flagged = 2 * findings.flagged_interlaced > findings.frames or probe.video.field_order in INTERLACED_ORDERS
    noise_luma, noise_chroma = _noise(findings)
    return Diagnosis(
        frames_sampled=findings.frames,
        noise_sigma_luma=noise_luma,
        noise_sigma_chroma=noise_chroma,
        mean_luma=round(float(total @ np.arange(256) / total.sum()), 1),
        black_luma=dark,
        white_luma=bright,
        contrast=round((bright - dark) / (white - black), 3),
        sharpness=_middle(findings.sharpness),
        is_interlaced=comb > COMBED_SHARE
        or (is_flagged and (comb > FLAGGED_COMBED_SHARE or abs(order) > FLAGGED_FIELD_ORDER)),
        luma_by_run=tuple(findings.luma),
        combing=round(comb, 5),
        first_field=_first_field(order, probe),
        field_evidence=round(abs(order), 3),
    )


def _first_field(order: float, probe: MediaProbe) -> Literal["top", "bottom"]:
    if abs(order) >= LEAST_FIELD_ORDER:
        return "top" if order > 0 else "bottom"
    return "bottom" if probe.video.field_order in BOTTOM_FIRST else "top"


def run_starts(timeline: Timeline, most_runs: int = MOST_RUNS) -> list[tuple[int, int]]:
    """Return for each keyframe to decode from its index in the timeline and how many runs to take after it.

    At most `most_runs` runs in all; keyframes from the middles of equal parts of the video, all of them where few.
    """
    keyframes = timeline.keyframes or (0,)
    count = min(len(keyframes), most_runs)
    picked = [keyframes[(2 * part + 1) * len(keyframes) // (2 * count)] for part in range(count)]
    ends = dict(pairwise((*keyframes, len(timeline.pts))))
    share = most_runs // count
    return [(start, min(share, max(1, ceil((ends[start] - start) / RUN_STRIDE)))) for start in picked]


def _most_runs(probe: MediaProbe) -> int:
    return MOST_RUNS if probe.video.hdr == "none" else MOST_RUNS_HDR


def _threads(probe: MediaProbe) -> int:
    """Return how many places are looked at together; each has a normaliser, whose tables for HDR take seconds."""
    return min(len(os.sched_getaffinity(0)), MOST_THREADS) if probe.video.hdr == "none" else 1


def _look(path: Path, probe: MediaProbe, encoding: Encoding, seek_pts: int | None, count: int) -> _Findings:
    """Return what up to `count` runs of consecutive frames from a place on show; nothing where none can be decoded."""
    findings = _Findings()
    normaliser = Normaliser(encoding)
    bounds = luma_bounds(encoding.colour.range)
    for run in _runs_from(path, probe, seek_pts, count):
        findings.flagged_interlaced += sum(frame.interlaced_frame for frame in run)
        _measure([_centre(normaliser.planes(frame)) for frame in run], *bounds, findings)
    return findings


def _runs_from(path: Path, probe: MediaProbe, seek_pts: int | None, count: int) -> Iterator[list[VideoFrame]]:
    """Yield up to `count` runs from a keyframe on, none where the container cannot seek there."""
    run: list[VideoFrame] = []
    with closing(raw_frames(path, probe.video.index, DecodeTally(), seek_pts=seek_pts)) as frames:
        for offset, frame in enumerate(frames):
            if offset % RUN_STRIDE < RUN_FRAMES:
                run.append(frame)
            if offset % RUN_STRIDE == RUN_FRAMES - 1:
                yield run
                run = []
                if offset // RUN_STRIDE + 1 == count:
                    break
    if run:
        yield run


def _measure(pictures: list[Planes], black: int, white: int, findings: _Findings) -> None:
    middle = pictures[len(pictures) // 2].y
    area = picture_area(middle[::2, ::2], black)
    histogram = np.bincount(middle[::2, ::2][area].ravel(), minlength=256)
    findings.histogram += histogram
    findings.luma.append(percentile(histogram, 50.0))
    findings.frames += len(pictures)
    seconds: list[Planes | None] = [*pictures[1:]] or [None]
    pairs = list(zip(pictures, seconds, strict=False))
    inside = (black + NOISE_MARGIN, white - NOISE_MARGIN)
    luma = [noise_sigma(a.y, b.y if b else None, *inside) for a, b in pairs]
    chroma = [noise_sigma(a[i], b[i] if b else None) for a, b in pairs for i in (1, 2)]
    findings.sigma_luma += [sigma for sigma in luma if sigma is not None]
    findings.sigma_chroma += [sigma for sigma in chroma if sigma is not None]
    findings.coarse_luma += [coarse_noise_sigma(a.y, b.y if b else None, 1, *inside) for a, b in pairs]
    findings.coarse_chroma += [
        (coarse_noise_sigma(a[i], b[i] if b else None, 1) + coarse_noise_sigma(a[i], b[i] if b else None, 2)) / 2.0
        for a, b in pairs
        for i in (1, 2)
    ]
    sigma = findings.sigma_luma[-1] if findings.sigma_luma else 0.0
    findings.sharpness.append(edge_steepness(middle, sigma))
    findings.combing.append(combing(middle, sigma))
    findings.field_order += [field_order(a.y, b.y) for a, b in pairwise(pictures)]


def _noise(findings: _Findings) -> tuple[float, float]:
    """Return the deviations of luma and chroma noise, with what a codec hid of them.

    Of noise behind a codec mostly the coarse part is left, and its deviation in a flat block is still near that of the
    noise before. Chroma has little texture, so half and quarter size tell its noise well, as long as luma is noisy too.
    """
    luma, chroma = _middle(findings.sigma_luma), _middle(findings.sigma_chroma)
    luma = max(luma, min(_middle(findings.coarse_luma), round(MOST_HIDDEN * luma, 2)))
    return luma, max(chroma, min(_middle(findings.coarse_chroma), luma))


def _centre(planes: Planes) -> Planes:
    """Return the middle of a picture, at most MOST_MEASURED_PX wide and high, from an even row and column."""
    height, width = planes.y.shape
    top, left = ((max(side - MOST_MEASURED_PX, 0) // 4) * 2 for side in (height, width))
    bottom, right = min(top + MOST_MEASURED_PX, height), min(left + MOST_MEASURED_PX, width)
    half = np.s_[top // 2 : bottom // 2, left // 2 : right // 2]
    return Planes(planes.y[top:bottom, left:right], planes.u[half], planes.v[half])


def _middle(values: list[float]) -> float:
    return round(float(np.median(values)), 2) if values else 0.0
