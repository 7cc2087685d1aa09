"""What harm an enhancement does to pictures: clipped tones and colours, ringing, lost detail, added flicker.

Each picture is compared with itself as the tone curve alone makes it, so that a wanted change of brightness is no harm.
Invariant: pure; each measure is 0 for pictures that come back as they were.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from processing.media.enhancement.enhancer import Enhancer
from processing.media.enhancement.planes import Plane, Planes, luma_bounds
from processing.media.enhancement.tone import Tone
from processing.media.specs import Enhancement

CLIP_MARGIN = 2
"""Code values inside black and white from which a pixel counts as clipped by the enhancement."""
MOST_CHROMA = 112
RING_MARGIN = 8.0
"""Code values by which a pixel may pass all its neighbours of before; local contrast needs some."""
RING_NOISES = 2.0
"""The same in multiples of the noise, which a tone curve may have raised."""
NEIGHBOURS_PX = 5
BLOCK_PX = 16
NOISE_IN_DETAIL = 0.71
"""Mean absolute 5x5 Gaussian detail of white noise of deviation 1."""
STRONG_DETAIL = 3.0
"""Multiples of the noise's own detail from which that of a block is the picture's."""
LEAST_DETAIL = 1.0
LEAST_BLOCKS = 8
STILL = 1.0
"""Code values by which the mean of a block that stands still changes at most."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A few consecutive pictures of a video, at `pts` and as the filters get them."""

    pts: int
    pictures: tuple[Planes, ...]


@dataclass(frozen=True, kw_only=True)
class Harm:
    """What an enhancement does to samples, the worst of them."""

    clipping: float = 0.0
    """Share of pixels whose luma is newly black or white."""
    colour_clipping: float = 0.0
    """Share of pixels whose chroma is newly at its limit."""
    ringing: float = 0.0
    """Share of pixels brighter or darker than all that was around them."""
    lost_detail: float = 0.0
    """Share of the detail of edges and strong texture that is gone, beyond what noise explains."""
    flicker: float = 0.0
    """Code values by which the brightness of the picture, or of still blocks, changes more from frame to frame."""


def measure_harm(enhancement: Enhancement, samples: Iterable[Sample], colour_range: str) -> Harm:
    """Return the harm that an enhancement does to the worst of some samples, in 8-bit code values and shares."""
    found = [_harm_to(sample, enhancement, colour_range) for sample in samples]
    return Harm(**{name: max((getattr(harm, name) for harm in found), default=0.0) for name in Harm.__annotations__})


def _harm_to(sample: Sample, enhancement: Enhancement, colour_range: str) -> Harm:
    enhancer = Enhancer(enhancement, colour_range)
    if enhancer.is_identity:
        return Harm()
    results = [_copied(enhancer.process(picture, sample.pts)) for picture in sample.pictures]
    toned = [_toned(picture, sample.pts, enhancement, colour_range) for picture in sample.pictures]
    middle = len(results) // 2
    source, result, expected = sample.pictures[middle], results[middle], toned[middle]
    slope = _slope(source.y, expected)
    noise = enhancement.noise_sigma_luma * slope
    return Harm(
        clipping=clipping(source.y, result.y, *luma_bounds(colour_range)),
        colour_clipping=max(colour_clipping(a, b) for a, b in zip(source[1:], result[1:], strict=True)),
        ringing=_ringing(expected, result.y, RING_MARGIN + RING_NOISES * noise),
        lost_detail=_lost_detail(expected, result.y, noise),
        flicker=_flicker([picture.y for picture in results], toned, noise),
    )


def _copied(planes: Planes) -> Planes:
    return Planes(*(plane.copy() for plane in planes))


def _toned(picture: Planes, pts: int, enhancement: Enhancement, colour_range: str) -> Plane:
    """Return the luma that the tone curve alone makes; as it was where none is chosen."""
    if not any(choice.operation == "tone" for choice in enhancement.choices) or not enhancement.tone:
        return picture.y
    out = _copied(picture)
    Tone(enhancement.tone, colour_range).process(picture, pts, out)
    return out.y


def _slope(before: Plane, after: Plane) -> float:
    """Return how much the tone curve raises small differences, as the picture has them."""
    if after is before:
        return 1.0
    detail = float(_detail(before).mean())
    return max(float(_detail(after).mean()) / detail, 1.0) if detail else 1.0


def clipping(source: Plane, result: Plane, black: int, white: int) -> float:
    """Return the share of pixels whose luma is newly black or white."""
    dark = (result <= black) & (source > black + CLIP_MARGIN)
    bright = (result >= white) & (source < white - CLIP_MARGIN)
    return float(np.count_nonzero(dark | bright) / source.size)


def colour_clipping(source: Plane, result: Plane) -> float:
    """Return the share of pixels of U or V that are newly at their limit."""
    before, after = (cv2.absdiff(plane, 128) for plane in (source, result))
    return float(np.count_nonzero((after >= MOST_CHROMA) & (before < MOST_CHROMA - CLIP_MARGIN)) / source.size)


def _ringing(expected: Plane, result: Plane, margin: float) -> float:
    square = np.ones((NEIGHBOURS_PX, NEIGHBOURS_PX), np.uint8)
    over = cv2.subtract(result, cv2.dilate(expected, square))
    under = cv2.subtract(cv2.erode(expected, square), result)
    return float(np.count_nonzero(cv2.max(over, under) > margin) / result.size)


def _lost_detail(expected: Plane, result: Plane, noise: float) -> float:
    before, after = (_block_means(_detail(plane)) for plane in (expected, result))
    floor = NOISE_IN_DETAIL * noise
    strong = before > max(STRONG_DETAIL * floor, LEAST_DETAIL)
    if np.count_nonzero(strong) < LEAST_BLOCKS:
        return 0.0
    wanted = np.sqrt(before[strong] ** 2 - floor**2).sum()
    return max(1.0 - float(after[strong].sum() / wanted), 0.0)


def _flicker(results: list[Plane], expected: list[Plane], noise: float) -> float:
    """Return by how much the mean luma, or the means of still blocks, change more than they did."""
    worst = 0.0
    for (a, b), (c, d) in zip(pairwise(expected), pairwise(results), strict=True):
        before, after = _block_means(b) - _block_means(a), _block_means(d) - _block_means(c)
        whole = abs(float(after.mean() - before.mean())) if before.size else 0.0
        still = np.abs(before) < STILL + noise / BLOCK_PX
        blocks = 0.0
        if np.count_nonzero(still) >= LEAST_BLOCKS:
            blocks = float(np.sqrt((after[still] ** 2).mean()) - np.sqrt((before[still] ** 2).mean()))
        worst = max(worst, whole, blocks)
    return worst


def _detail(plane: Plane) -> Plane:
    return cv2.absdiff(plane, cv2.GaussianBlur(plane, (5, 5), 0))


def _block_means(plane: Plane) -> NDArray[np.float64]:
    rows, columns = (side // BLOCK_PX for side in plane.shape)
    area = plane[: rows * BLOCK_PX, : columns * BLOCK_PX]
    return area.reshape(rows, BLOCK_PX, columns, BLOCK_PX).mean(axis=(1, 3))
