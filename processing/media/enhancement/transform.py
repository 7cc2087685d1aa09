"""Takes noise out of a plane in overlapping 8x8 blocks of its cosine transform: what does not stand out is noise.

Each of eight grids of blocks covers the plane; of each block the coefficients below a multiple of the noise are set to
nought, and the eight pictures that come of it are averaged (Yaroslavsky, Egiazarian, Astola, "Transform domain image
restoration methods", 2001). Flat parts become smooth, edges and texture keep what stands above the noise.
Invariant: every step is one addition or multiplication of 32-bit floats, which IEEE 754 rounds alike on every machine;
no sum is left to a library's order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from processing.media.enhancement.planes import Plane

Block = NDArray[np.float32]

SIDE = 8
GRIDS: tuple[tuple[int, tuple[int, ...]], ...] = ((0, (0, 4)), (2, (2, 6)), (4, (0, 4)), (6, (2, 6)))
"""Columns that grids of blocks begin at, and the rows of each: a quincunx, half of all even places."""
GRID_COUNT = sum(len(rows) for _, rows in GRIDS)
BAND_PX = 1 << 20
"""What is worked on at a time, at most: so that memory does not grow with the picture."""
THRESHOLD = 2.8
"""Multiples of the noise below which a coefficient is taken for it; from footage."""
SCALE = float(SIDE)
"""How many times the orthonormal transform in two dimensions the one here is."""
_ROOT2 = np.float32(math.sqrt(2.0))
_C1, _S1, _C3, _S3 = (
    np.float32(function(part * math.pi / 16.0)) for part in (1, 3) for function in (math.cos, math.sin)
)
_C2, _S2 = (np.float32(math.sqrt(2.0) * function(math.pi / 8.0)) for function in (math.cos, math.sin))


class TransformDenoise:
    """Hard thresholding for planes of one size."""

    def __init__(self, height: int, width: int, count: int = 1, band_px: int = BAND_PX) -> None:
        """Prepare for `count` planes of the given size at a time; two cost less together."""
        self._height, self._width, self._count = height, width, count
        # A block beyond the plane on each side, so that every grid covers it; planes lie below each other.
        self._lines = (-(-height // SIDE) + 2) * SIDE
        across = -(-width // SIDE) + 2
        rows = count * self._lines // SIDE - 2
        bands = -(-rows * across * SIDE * SIDE // band_px)
        self._rows_each = -(-rows // bands)
        self._bands = -(-rows // self._rows_each)
        self._band = _Band(self._rows_each + 2, across)
        self._clean = np.zeros(((self._bands * self._rows_each + 2) * SIDE, across * SIDE), np.uint8)
        self._padded = np.zeros_like(self._clean)

    def process(self, planes: Sequence[Plane], noise: NDArray[np.float32], out: Sequence[Plane]) -> None:
        """Write `planes` (H, W) without their noise to `out`.

        `noise` is the deviation of the noise in code values around each pixel of every second row and column, the same
        for all planes.
        """
        right = self._clean.shape[1] - SIDE - self._width
        tops = [index * self._lines for index in range(self._count)]
        for top, plane in zip(tops, planes, strict=True):
            cv2.copyMakeBorder(
                plane,
                SIDE,
                self._lines - SIDE - self._height,
                SIDE,
                right,
                cv2.BORDER_REFLECT_101,
                dst=self._padded[top : top + self._lines],
            )
        thresholds = self._thresholds(noise)
        height = self._rows_each * SIDE
        for index in range(self._bands):
            blocks = np.s_[index * self._rows_each : (index + 1) * self._rows_each + 1]
            own = {place: threshold[blocks] for place, threshold in thresholds.items()}
            top = index * height
            # Only what lies a block inside is covered by all grids.
            clean = self._band.clean(self._padded[top : top + height + 2 * SIDE], own)
            np.copyto(self._clean[top + SIDE : top + SIDE + height], clean[SIDE:-SIDE], casting="unsafe")
        for top, target in zip(tops, out, strict=True):
            first = top + SIDE
            np.copyto(target, self._clean[first : first + self._height, SIDE : SIDE + self._width])

    def _thresholds(self, noise: NDArray[np.float32]) -> dict[tuple[int, int], Block]:
        """Return the threshold for the coefficients of each block of each grid, from the noise at its middle."""
        half = SIDE // 2
        # Padded like the planes at half the size, but half a block less above: each block begins at its middle's noise.
        bottom = self._lines // 2 - half - noise.shape[0]
        right = self._clean.shape[1] // 2 - noise.shape[1]
        mean = cv2.copyMakeBorder(noise, half, bottom, half, right, cv2.BORDER_REPLICATE)
        spare = self._clean.shape[0] // 2 - self._count * len(mean) + half
        tall = np.concatenate([mean] * self._count + [np.repeat(mean[-1:], spare, axis=0)])
        tall *= np.float32(THRESHOLD * SCALE)
        rows, columns = (side // SIDE - 1 for side in self._clean.shape)
        found = {}
        for left, tops in GRIDS:
            for top in tops:
                picked = tall[(top + half) // 2 :: half, (left + half) // 2 :: half]
                found[top, left] = np.ascontiguousarray(picked[:rows, :columns])
        return found


class _Band:
    """The work on a few rows of cells, 8x8 pixels each; its buffers stay small however large the picture."""

    def __init__(self, rows: int, columns: int) -> None:
        self._cells: Block = np.empty((SIDE, SIDE, rows, columns), np.float32)
        """The pixels, by row and column modulo SIDE: so what a step works on lies together."""
        self._total: Block = np.empty_like(self._cells)
        self._image: Block = np.empty((rows * SIDE, columns * SIDE), np.float32)
        self._down, self._across = rows - 1, columns - 1
        strips = (SIDE, SIDE, rows, self._across)
        self._rows: Block = np.empty(strips, np.float32)
        """Row in the block, frequency across, block down, block across."""
        self._sums: Block = np.empty_like(self._rows)
        blocks = (SIDE, SIDE, self._down, self._across)
        self._block: Block = np.empty(blocks, np.float32)
        self._size: Block = np.empty(blocks, np.float32)
        self._kept = np.empty(blocks, np.bool_)
        self._scratch: Block = np.empty((2, *strips[1:]), np.float32)

    def clean(self, pixels: Plane, thresholds: dict[tuple[int, int], Block]) -> Block:
        """Return the pixels without their noise, whole numbers from 0 to 255; overwritten by the next call."""
        rows, columns = self._cells.shape[2:]
        np.copyto(self._cells, pixels.reshape(rows, SIDE, columns, SIDE).transpose(1, 3, 0, 2))
        self._total.fill(0.0)
        scratch = list(self._scratch)
        for left, tops in GRIDS:
            places = [((left + column) % SIDE, (left + column) // SIDE) for column in range(SIDE)]
            across = [np.s_[:, phase, :, first : first + self._across] for phase, first in places]
            strips = list(self._rows.swapaxes(0, 1))
            _fold([self._cells[place] for place in across], strips)
            _transform_sums(strips, scratch)
            self._sums.fill(0.0)
            for top in tops:
                self._shrink(top, thresholds[top, left])
            strips = list(self._sums.swapaxes(0, 1))
            inverse(strips, scratch)
            for place, strip in zip(across, strips, strict=True):
                np.add(self._total[place], strip, out=self._total[place])
        # The sum of all grids, each 64 times too large.
        image = self._image.reshape(rows, SIDE, columns, SIDE)
        np.multiply(self._total.transpose(2, 0, 3, 1), np.float32(1.0 / (GRID_COUNT * SCALE * SCALE)), out=image)
        np.rint(self._image, out=self._image)
        return np.clip(self._image, 0.0, 255.0, out=self._image)

    def _shrink(self, top: int, threshold: Block) -> None:
        """Add the blocks that begin in row `top`, cleaned, to the sums."""
        places = [((top + row) % SIDE, (top + row) // SIDE) for row in range(SIDE)]
        rows = [self._rows[phase, :, first : first + self._down] for phase, first in places]
        block, scratch = list(self._block), list(self._scratch[:, :, : self._down])
        _fold(rows, block)
        _transform_sums(block, scratch)
        np.abs(self._block, out=self._size)
        np.greater(self._size, threshold, out=self._kept)
        self._kept[0, 0] = True
        np.multiply(self._block, self._kept, out=self._block)
        inverse(block, scratch)
        for row, (phase, first) in enumerate(places):
            target = self._sums[phase, :, first : first + self._down]
            np.add(target, self._block[row], out=target)


def transform(x: list[Block], scratch: list[Block]) -> None:
    """Replace eight samples (each an array) by their cosine transform, sqrt(8) times the orthonormal one.

    Source: C. Loeffler, A. Ligtenberg, G. Moschytz, "Practical fast 1-D DCT algorithms with 11 multiplications", 1989;
    rotations are written out with four multiplications each. Frequencies come in an order of their own, the mean first.
    """
    _fold([sample.copy() for sample in x], x)
    _transform_sums(x, scratch)


def _fold(x: Sequence[Block], out: Sequence[Block]) -> None:
    """Write the sums of first and last sample, second and last but one, and so on to `out`, then their differences."""
    for index in range(SIDE // 2):
        np.add(x[index], x[-1 - index], out=out[index])
        np.subtract(x[index], x[-1 - index], out=out[-1 - index])


def _transform_sums(x: list[Block], scratch: list[Block]) -> None:
    """Do what remains of `transform` after `_fold`."""
    a0, a1, a2, a3, a4, a5, a6, a7 = x
    _butterfly(a0, a3, scratch[0])
    _butterfly(a1, a2, scratch[0])
    _butterfly(a0, a1, scratch[0])
    _rotate(a3, a2, _C2, _S2, scratch)
    _rotate(a4, a7, _C3, _S3, scratch)
    _rotate(a5, a6, _C1, _S1, scratch)
    _butterfly(a4, a6, scratch[0])
    _butterfly(a7, a5, scratch[0])
    _butterfly(a7, a4, scratch[0])
    np.multiply(a5, _ROOT2, out=a5)
    np.multiply(a6, _ROOT2, out=a6)


def inverse(x: list[Block], scratch: list[Block]) -> None:
    """Undo `transform`, eight times too large: the same steps turned round, last first."""
    a0, a1, a2, a3, a4, a5, a6, a7 = x
    np.multiply(a5, _ROOT2, out=a5)
    np.multiply(a6, _ROOT2, out=a6)
    _butterfly(a7, a4, scratch[0])
    _butterfly(a7, a5, scratch[0])
    _butterfly(a4, a6, scratch[0])
    _rotate(a5, a6, _C1, -_S1, scratch)
    _rotate(a4, a7, _C3, -_S3, scratch)
    _rotate(a3, a2, _C2, -_S2, scratch)
    _butterfly(a0, a1, scratch[0])
    _butterfly(a1, a2, scratch[0])
    _butterfly(a0, a3, scratch[0])
    for index in range(4):
        _butterfly(x[index], x[7 - index], scratch[0])


def _butterfly(first: Block, second: Block, scratch: Block) -> None:
    """Replace two by their sum and their difference, whose transpose is itself."""
    np.subtract(first, second, out=scratch)
    np.add(first, second, out=first)
    np.copyto(second, scratch)


def _rotate(first: Block, second: Block, cosine: np.float32, sine: np.float32, scratch: list[Block]) -> None:
    """Replace (p, q) by (p cos + q sin, q cos - p sin)."""
    np.multiply(first, sine, out=scratch[0])
    np.multiply(second, sine, out=scratch[1])
    np.multiply(first, cosine, out=first)
    np.multiply(second, cosine, out=second)
    np.add(first, scratch[1], out=first)
    np.subtract(second, scratch[0], out=second)
