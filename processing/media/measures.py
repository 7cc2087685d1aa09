"""What is measured on decoded planes: noise, edges, combing, blocks, exposure. Pure functions of 8-bit arrays.

Invariant: each measure is fooled as little as can be by what it does not mean: noise by texture and motion, edges by
noise, combing by fine patterns, exposure by black bars.
"""

from __future__ import annotations

from math import ceil, log2

import cv2
import numpy as np
from numpy.typing import NDArray

from processing.media.enhancement.planes import Plane

BLOCK_PX = 16
QUIETEST_PERCENT = 25.0
QUIETEST_BIAS = 1.06
"""The lower quartile of block deviations lies that much below the deviation of the noise."""
LAPLACIAN = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
"""Blind to planes and straight edges along the axes: J. Immerkaer, "Fast noise variance estimation", 1996."""
LAPLACIAN_TO_SIGMA = float(np.sqrt(np.pi / 2.0) / 6.0)
COMB_STEP = 12
COMB_NOISES = 6
"""Code values, or multiples of the noise where that is more, by which a line must stand out from both neighbours."""
MOST_NOISE_COUNTED = 2.5
"""Deviation of noise, in code values, that a histogram may be counted with: it moves percentiles by a few."""
MOST_HALVINGS = 3
GRID_PX = 8
MOST_STEP = 12
"""Steps between pixels count as at most so much for the grid of blocks: greater ones are edges of things."""
LEAST_INSIDE = 0.25
"""Mean step inside blocks below which the picture is empty."""
MOST_BLOCKING = 9.99
SIGNATURE_SIZE = (16, 9)
LEAST_LIKENESS = 0.6
"""Correlation of two signatures below which they are of two scenes."""
NEAR_BLACK = 12
"""Code values above black up to which a bar's pixels may lie."""
STEEPEST_SHARE = 0.002
"""Share of the pixels at full size taken for edges; at half size edges take twice that share."""


def noise_sigma(first: Plane, second: Plane | None, lowest: int = 0, highest: int = 255) -> float | None:
    """Return the deviation of the noise in two consecutive planes (H, W), or None where no block tells it.

    For each block of 16x16 the lesser of two answers, both too high where they are wrong: the deviation of the
    difference in time (wrong where things move) and of the Laplacian (wrong in texture); of those the lower quartile.
    Blocks whose mean is not inside (lowest, highest) are left out, for clipping hides noise. Without `second`, space
    alone tells.
    """
    height, width = (side // BLOCK_PX * BLOCK_PX for side in first.shape)
    if height == 0 or width == 0:
        return None
    edges = cv2.filter2D(first, cv2.CV_32F, LAPLACIAN, borderType=cv2.BORDER_REFLECT_101)[:height, :width]
    own = first[:height, :width]
    sigma = _block_means(np.abs(edges, out=edges)) * LAPLACIAN_TO_SIGMA
    if second is not None:
        difference = cv2.subtract(second[:height, :width], own, dtype=cv2.CV_32F)
        mean = _block_means(difference)
        variance = _block_means(cv2.multiply(difference, difference, dst=difference)) - mean * mean
        sigma = np.minimum(sigma, np.sqrt(variance / 2.0))
    level = _block_means(own.astype(np.float32))
    told = sigma[(level > lowest) & (level < highest)]
    if told.size == 0:
        return None
    return float(np.percentile(told, QUIETEST_PERCENT) * QUIETEST_BIAS)


def coarse_noise_sigma(first: Plane, second: Plane | None, halvings: int, lowest: int = 0, highest: int = 255) -> float:
    """Return the deviation of the white noise that would be measured so after `halvings` of the size; 0 where none is.

    Each halving takes the mean of 2x2 pixels and with it half the deviation of white noise. Codecs take fine noise out
    before coarse noise, so behind one the answer rises with `halvings`; so it does in texture, where planes are small.
    """
    for _ in range(halvings):
        first = _halved(first)
        second = None if second is None else _halved(second)
    return (noise_sigma(first, second, lowest, highest) or 0.0) * 2.0**halvings


def picture_area(luma: Plane, black: int) -> tuple[slice, slice]:
    """Return the rows and columns between black bars; all of them where the whole plane is black."""
    lit = luma > black + NEAR_BLACK
    rows, columns = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
    if rows.size == 0:
        return slice(0, luma.shape[0]), slice(0, luma.shape[1])
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def blocking(luma: Plane) -> float:
    """Return by how much steps across the edges of 8x8 blocks are greater than those inside: 0 where not, 1 for twice.

    Of a codec's grid, so rows and columns must be the stream's own. Great steps are held at MOST_STEP.
    """
    strengths = [_grid_strength(plane) for plane in (luma, np.ascontiguousarray(luma.T))]
    return float(np.clip(np.mean(strengths), 0.0, MOST_BLOCKING))


def signature(luma: Plane) -> NDArray[np.float64]:
    """Return 16x9 means of a plane, less their mean: what tells one scene from another."""
    small = cv2.resize(luma, SIGNATURE_SIZE, interpolation=cv2.INTER_AREA).astype(np.float64)
    return small - small.mean()


def is_other_scene(first: NDArray[np.float64], second: NDArray[np.float64]) -> bool:
    """Return whether two signatures show different things; brightness and contrast do not count."""
    size = float(np.sqrt((first * first).sum() * (second * second).sum()))
    # Nearly even pictures, as within a fade, are like each other.
    return size > first.size and float((first * second).sum()) < LEAST_LIKENESS * size


def value_counts(plane: Plane) -> NDArray[np.int64]:
    """Return how often each code value occurs, in a plane below 2^24 pixels; np.bincount takes six times as long."""
    return cv2.calcHist([plane], [0], None, [256], [0, 256]).ravel().astype(np.int64)


def luma_histogram(luma: Plane, black: int, sigma: float = 0.0) -> NDArray[np.int64]:
    """Return how often each of 256 code values occurs between black bars, in a quarter of the pixels or fewer.

    Noise of deviation `sigma` widens a histogram and makes a flat picture look like one of good contrast. So where
    there is much, means of 2x2 pixels are counted, or of 4x4 or 8x8, until at most MOST_NOISE_COUNTED is left of it.
    """
    small = luma[::2, ::2]
    if sigma > MOST_NOISE_COUNTED:
        small = luma
        for _ in range(min(ceil(log2(sigma / MOST_NOISE_COUNTED)), MOST_HALVINGS)):
            small = _halved(small)
    return value_counts(small[picture_area(small, black)])


def percentile(histogram: NDArray[np.int64], percent: float) -> float:
    """Return the smallest code value at or below which `percent` of a histogram of 256 lies.

    >>> percentile(np.bincount([10, 20, 30, 40], minlength=256), 50)
    20.0
    """
    total = np.cumsum(histogram)
    return float(np.searchsorted(total, total[-1] * percent / 100.0))


def edge_steepness(luma: Plane, sigma: float) -> float:
    """Return how steep the steepest edges of a plane are, 0 (spread over three pixels or more) to 1 (within one).

    A step has the same rise per pixel at full and at half size if it is sharp, half of it if it is wide; compared are
    the gradients that only edges reach, less what noise of deviation `sigma` adds to them. A plane with no edges is 1.
    """
    if min(luma.shape) < 4:  # half of it must still have neighbours
        return 1.0
    full, half = _steepest(luma, STEEPEST_SHARE), _steepest(_halved(luma), 2 * STEEPEST_SHARE)
    # A difference of two pixels holds noise of sqrt(2) sigma, half that at half size.
    full = float(np.sqrt(max(full**2 - 2.0 * sigma**2, 0.0)))
    half = float(np.sqrt(max(half**2 - 0.5 * sigma**2, 0.0)))
    if half < 4.0:
        return 1.0
    return float(np.clip(2.0 * full / half - 1.0, 0.0, 1.0))


def combing(luma: Plane, sigma: float) -> float:
    """Return the share of pixels whose line stands out from both neighbours, less the same measured along columns.

    Two fields taken at different times comb along lines only; fine patterns do so both ways.
    """
    step = max(COMB_STEP, round(COMB_NOISES * sigma))
    lines = _comb_share(luma, step)
    columns = _comb_share(np.ascontiguousarray(luma.T), step)
    return max(lines - columns, 0.0)


def _grid_strength(plane: Plane) -> float:
    steps = cv2.min(cv2.absdiff(plane[:, 1:], plane[:, :-1]), MOST_STEP)
    columns = cv2.reduce(steps, 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel() / plane.shape[0]
    whole = columns[: columns.size // GRID_PX * GRID_PX].reshape(-1, GRID_PX)
    if whole.size == 0:
        return 0.0
    means = whole.mean(axis=0)
    inside = float(means[: GRID_PX - 1].mean())
    return float(means[GRID_PX - 1]) / inside - 1.0 if inside > LEAST_INSIDE else 0.0


def _comb_share(luma: Plane, step: int) -> float:
    if luma.shape[0] < 5:
        return 0.0
    above, middle, below = luma[1:-3], luma[2:-2], luma[3:-1]
    up = cv2.min(cv2.subtract(middle, above), cv2.subtract(middle, below))
    down = cv2.min(cv2.subtract(above, middle), cv2.subtract(below, middle))
    # The lines of one field must agree with each other, or it is texture.
    own = cv2.max(cv2.absdiff(luma[:-4], middle), cv2.absdiff(luma[4:], middle))
    out = cv2.max(up, down)
    return float(np.count_nonzero((out > step) & (own < out)) / out.size)


def _steepest(luma: Plane, share: float) -> float:
    steps = [cv2.absdiff(luma[:, 1:], luma[:, :-1]), cv2.absdiff(luma[1:], luma[:-1])]
    return percentile(value_counts(steps[0]) + value_counts(steps[1]), 100.0 * (1.0 - share))


def _halved(plane: Plane) -> Plane:
    size = (max(plane.shape[1] // 2, 1), max(plane.shape[0] // 2, 1))
    return cv2.resize(plane, size, interpolation=cv2.INTER_AREA)


def _block_means(plane: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the means of blocks of a plane that holds whole ones.

    Whole numbers whose sum over a block stays below 2^24 are summed exactly, whatever the order.
    """
    height, width = plane.shape
    return cv2.resize(plane, (width // BLOCK_PX, height // BLOCK_PX), interpolation=cv2.INTER_AREA).astype(np.float64)
