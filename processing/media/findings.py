"""What one run of consecutive pictures shows, measured with every measure there is; a diagnosis sums such findings up.

Invariant: pure. Findings hold numbers only, no pictures, so a run's memory is free once it was measured.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from processing.media.colour_measures import ColourEvidence, colour_evidence
from processing.media.enhancement.planes import Planes
from processing.media.measured import Bars
from processing.media.measures import (
    blocking,
    coarse_noise_sigma,
    combing,
    edge_steepness,
    field_order,
    is_other_scene,
    noise_sigma,
    percentile,
    picture_area,
    signature,
    value_counts,
)

NOISE_MARGIN = 3
"""Code values from black and white within which noise is cut off and cannot be measured."""
GRID_PX = 8


@dataclass(kw_only=True)
class RunFindings:
    """One run of up to three frames; lists have an entry for each pair of frames that told something."""

    pts: int
    frames: int
    flagged_interlaced: int
    histogram: NDArray[np.int64]
    """Of luma without bars, 256 bins."""
    bars: Bars | None
    """None where the whole picture is black."""
    colour: ColourEvidence
    signature: NDArray[np.float64]
    sharpness: float
    combing: float
    blocking: float
    flicker: float | None
    """None where three frames of one scene were not there."""
    cuts: int
    sigma_luma: list[float] = field(default_factory=list)
    sigma_chroma: list[float] = field(default_factory=list)
    coarse_luma: list[float] = field(default_factory=list)
    coarse_chroma: list[float] = field(default_factory=list)
    field_order: list[float] = field(default_factory=list)

    @property
    def median_luma(self) -> float:
        """The middle of the histogram."""
        return percentile(self.histogram, 50.0)


def measure_run(
    pictures: list[Planes],
    black: int,
    white: int,
    *,
    pts: int,
    flagged_interlaced: int,
    most_px: int,
    unscaled: list[Planes] | None = None,
) -> RunFindings:
    """Return what consecutive pictures show; of greater ones than `most_px` wide or high the centre is measured.

    `unscaled` are the same pictures in the source's size where that is another one: fields, blocks and bars are theirs.
    """
    own = unscaled or pictures
    bars = bars_of(own[len(own) // 2].y, black)
    own = [centre(picture, most_px) for picture in own]
    pictures = [centre(picture, most_px) for picture in pictures] if unscaled else own
    middle = pictures[len(pictures) // 2]
    seconds: list[Planes | None] = [*pictures[1:]] or [None]
    pairs = list(zip(pictures, seconds, strict=False))
    inside = (black + NOISE_MARGIN, white - NOISE_MARGIN)
    luma = [noise_sigma(a.y, b.y if b else None, *inside) for a, b in pairs]
    chroma = [noise_sigma(a[i], b[i] if b else None) for a, b in pairs for i in (1, 2)]
    sigma_luma = [sigma for sigma in luma if sigma is not None]
    sigma = sigma_luma[-1] if sigma_luma else 0.0
    signatures = [signature(picture.y) for picture in pictures]
    cuts = sum(is_other_scene(a, b) for a, b in pairwise(signatures))
    return RunFindings(
        pts=pts,
        frames=len(pictures),
        flagged_interlaced=flagged_interlaced,
        histogram=_histogram(middle, black),
        bars=bars,
        colour=colour_evidence(_without_bars(middle, black), black, white),
        signature=signatures[len(pictures) // 2],
        sharpness=edge_steepness(middle.y, sigma),
        combing=combing(own[len(own) // 2].y, sigma),
        blocking=blocking(own[len(own) // 2].y),
        flicker=None if cuts else _flicker(pictures),
        cuts=cuts,
        sigma_luma=sigma_luma,
        sigma_chroma=[sigma for sigma in chroma if sigma is not None],
        coarse_luma=[coarse_noise_sigma(a.y, b.y if b else None, 1, *inside) for a, b in pairs],
        coarse_chroma=[
            (coarse_noise_sigma(a[i], b[i] if b else None, 1) + coarse_noise_sigma(a[i], b[i] if b else None, 2)) / 2.0
            for a, b in pairs
            for i in (1, 2)
        ],
        field_order=[field_order(a.y, b.y) for a, b in pairwise(own)],
    )


def bars_of(luma: NDArray[np.uint8], black: int) -> Bars | None:
    """Return the black rows and columns around a picture, None where all is black."""
    rows, columns = picture_area(luma, black)
    bars = Bars(
        top_px=rows.start,
        bottom_px=luma.shape[0] - rows.stop,
        left_px=columns.start,
        right_px=luma.shape[1] - columns.stop,
    )
    return None if bars == Bars() and int(luma.max(initial=0)) <= black else bars


def centre(planes: Planes, most_px: int) -> Planes:
    """Return the middle of a picture, at most `most_px` wide and high, from where a block of 8x8 begins."""
    height, width = planes.y.shape
    top, left = ((max(side - most_px, 0) // (2 * GRID_PX)) * GRID_PX for side in (height, width))
    return _cut(planes, top, min(top + most_px, height), left, min(left + most_px, width))


def _without_bars(planes: Planes, black: int) -> Planes:
    """Return the picture between black bars, from an even row and column."""
    rows, columns = picture_area(planes.y, black)
    return _cut(planes, rows.start + rows.start % 2, rows.stop, columns.start + columns.start % 2, columns.stop)


def _cut(planes: Planes, top: int, bottom: int, left: int, right: int) -> Planes:
    half = np.s_[top // 2 : bottom // 2, left // 2 : right // 2]
    return Planes(planes.y[top:bottom, left:right], planes.u[half], planes.v[half])


def _histogram(picture: Planes, black: int) -> NDArray[np.int64]:
    quarter = picture.y[::2, ::2]
    return value_counts(quarter[picture_area(quarter, black)])


def _flicker(pictures: list[Planes]) -> float | None:
    """Return how far the second frame's mean luma lies from that of its neighbours: a fade or a pan has none."""
    if len(pictures) < 3:
        return None
    before, now, after = (cv2.mean(picture.y)[0] for picture in pictures[:3])
    return abs(now - (before + after) / 2.0)
