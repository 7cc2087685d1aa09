"""What one run of consecutive pictures shows, measured with every measure there is; a diagnosis sums such findings up.

Invariant: pure. Findings hold numbers only, no pictures, so a run's memory is free once it was measured.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from processing.media.colour_measures import ColourEvidence, colour_evidence
from processing.media.enhancement.planes import Planes
from processing.media.field_measures import FieldEvidence, field_evidence, show_fields
from processing.media.measured import Bars
from processing.media.measures import (
    blocking,
    coarse_noise_sigma,
    combing,
    edge_steepness,
    is_other_scene,
    luma_histogram,
    noise_sigma,
    percentile,
    picture_area,
    signature,
)

NOISE_MARGIN = 3
"""Code values from black and white within which noise is cut off and cannot be measured."""
GRID_PX = 8
COMBED_SHARE = 0.004
"""Share of combed pixels that proves interlacing."""


@dataclass(kw_only=True)
class NoiseFindings:
    """Deviations of noise, of each pair of frames that told some, in code values."""

    luma: list[float]
    chroma: list[float]
    coarse_luma: list[float]
    coarse_chroma: list[float]
    """At half size, and of chroma at a quarter too: what a codec leaves of noise is mostly that."""

    @property
    def last_luma(self) -> float:
        """That of the last pair; 0 where none tells."""
        return self.luma[-1] if self.luma else 0.0


@dataclass(kw_only=True)
class RunFindings:
    """One run of up to three frames; lists have an entry for each pair of them."""

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
    noise: NoiseFindings
    fields: list[FieldEvidence]
    quantiser_step: float | None = None
    """To which the codec rounded, in code values; None where the decoder did not tell."""

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
    quantiser_step: float | None = None,
) -> RunFindings:
    """Return what consecutive pictures show; of greater ones than `most_px` wide or high the centre is measured.

    `unscaled` are the same pictures in the source's size where that is another one: fields, blocks and bars are theirs.
    """
    own = unscaled or pictures
    bars = bars_of(own[len(own) // 2].y, black)
    own = [centre(picture, most_px) for picture in own]
    pictures = [centre(picture, most_px) for picture in pictures] if unscaled else own
    middle, own_middle = pictures[len(pictures) // 2], own[len(own) // 2]
    inside = (black + NOISE_MARGIN, white - NOISE_MARGIN)
    noise = _noise_of(pictures, inside)
    evidence = [field_evidence(a.y, b.y, noise.last_luma) for a, b in pairwise(own)]
    combed = combing(own_middle.y, noise.last_luma)
    if combed > COMBED_SHARE or show_fields(evidence):
        # Lines of two moments differ as noise does; in a field's lines, texture does at half the size.
        noise = replace(_noise_of([_top_field(picture) for picture in pictures], inside), coarse_luma=[])
    sigma = noise.last_luma
    signatures = [signature(picture.y) for picture in pictures]
    cuts = sum(is_other_scene(a, b) for a, b in pairwise(signatures))
    return RunFindings(
        pts=pts,
        frames=len(pictures),
        flagged_interlaced=flagged_interlaced,
        histogram=luma_histogram(middle.y, black, sigma),
        bars=bars,
        colour=colour_evidence(_without_bars(middle, black), black, white),
        signature=signatures[len(pictures) // 2],
        sharpness=edge_steepness(middle.y, sigma),
        combing=combed,
        blocking=blocking(own_middle.y),
        flicker=None if cuts else _flicker(pictures),
        cuts=cuts,
        noise=noise,
        fields=evidence,
        quantiser_step=quantiser_step,
    )


def _noise_of(pictures: list[Planes], inside: tuple[int, int]) -> NoiseFindings:
    """Return the noise of luma whose code values lie inside, and that of chroma, pair by pair."""
    seconds: list[Planes | None] = [*pictures[1:]] or [None]
    pairs = list(zip(pictures, seconds, strict=False))
    luma = [noise_sigma(a.y, b.y if b else None, *inside) for a, b in pairs]
    chroma = [noise_sigma(a[i], b[i] if b else None) for a, b in pairs for i in (1, 2)]
    return NoiseFindings(
        luma=[sigma for sigma in luma if sigma is not None],
        chroma=[sigma for sigma in chroma if sigma is not None],
        coarse_luma=[coarse_noise_sigma(a.y, b.y if b else None, 1, *inside) for a, b in pairs],
        coarse_chroma=[
            (coarse_noise_sigma(a[i], b[i] if b else None, 1) + coarse_noise_sigma(a[i], b[i] if b else None, 2)) / 2.0
            for a, b in pairs
            for i in (1, 2)
        ],
    )


def _top_field(picture: Planes) -> Planes:
    return Planes(*(np.ascontiguousarray(plane[::2]) for plane in picture))


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


def _flicker(pictures: list[Planes]) -> float | None:
    """Return how far the second frame's mean luma lies from that of its neighbours: a fade or a pan has none."""
    if len(pictures) < 3:
        return None
    before, now, after = (cv2.mean(picture.y)[0] for picture in pictures[:3])
    return abs(now - (before + after) / 2.0)
