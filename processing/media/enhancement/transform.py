"""Takes noise out of a plane in overlapping 8x8 blocks of its cosine transform: what does not stand out is noise.

Each of eight grids of blocks covers the plane; of each block the coefficients below a multiple of the noise are set to
nought, and the eight pictures that come of it are averaged (Yaroslavsky, Egiazarian, Astola, "Transform domain image
restoration methods", 2001). Flat parts become smooth, edges and texture keep what stands above the noise.
Invariant: every step is one addition or multiplication of 32-bit floats, which IEEE 754 rounds alike on every machine;
no sum is left to a library's order.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from processing.media.enhancement.planes import Plane

Block = NDArray[np.float32]

SIDE = 8
GRIDS: tuple[tuple[int, tuple[int, ...]], ...] = ((0, (0, 4)), (2, (2, 6)), (4, (0, 4)), (6, (2, 6)))
"""Columns that grids of blocks begin at, and the rows of each: a quincunx, half of all even places."""
GRID_COUNT = sum(len(rows) for _, rows in GRIDS)
THRESHOLD = 2.8
"""Multiples of the noise below which a coefficient is taken for it; from footage."""
SCALE = float(SIDE)
"""How many times the orthonormal transform in two dimensions the one here is."""
_ROOT2 = np.float32(np.sqrt(2.0))
_C1, _S1, _C2, _S2, _C3, _S3 = (
    np.float32(function(part * math.pi / 16.0)) for part in (1, 2, 3) for function in (math.cos, math.sin)
)


class TransformDenoise:
    """Hard thresholding for one plane size."""

    def __init__(self, height: int, width: int) -> None:
        """Prepare for planes of the given size."""
        self._height, self._width = height, width
        # A block beyond the plane on each side, so that every grid covers it.
        self._down, self._across = -(-height // SIDE) + 1, -(-width // SIDE) + 1
        cells = (self._down + 1, self._across)
        self._rows: Block = np.empty((SIDE, SIDE, *cells), np.float32)
        """Axes: row in the block, column or its frequency, block down, block across."""
        self._sums: Block = np.empty_like(self._rows)
        one = (SIDE, SIDE, self._down, self._across)
        self._block: Block = np.empty(one, np.float32)
        self._size: Block = np.empty(one, np.float32)
        self._kept = np.empty(one, np.bool_)
        self._total: Block = np.empty(((self._down + 1) * SIDE, (self._across + 1) * SIDE), np.float32)
        self._scratch: Block = np.empty((4, SIDE, *cells), np.float32)

    def process(self, plane: Plane, noise: NDArray[np.float32], out: Plane) -> None:
        """Write `plane` (H, W) without its noise to `out`.

        `noise` is the deviation of the noise in code values around each pixel of every second row and column.
        """
        padded = self._padded(plane, SIDE)
        thresholds = self._thresholds(noise)
        total = self._total
        total.fill(0.0)
        for left, tops in GRIDS:
            self._gather(padded, left)
            transform(list(self._rows.swapaxes(0, 1)), list(self._scratch))
            self._sums.fill(0.0)
            for top in tops:
                self._shrink(top, thresholds[top, left])
            inverse(list(self._sums.swapaxes(0, 1)), list(self._scratch))
            width = self._across * SIDE
            cells = total[:, left : left + width].reshape(self._down + 1, SIDE, self._across, SIDE)
            np.add(cells, self._sums.transpose(2, 0, 3, 1), out=cells)
        inside = total[SIDE : SIDE + self._height, SIDE : SIDE + self._width]
        # The sum of all grids, each 64 times too large.
        np.multiply(inside, np.float32(1.0 / (GRID_COUNT * SCALE * SCALE)), out=inside)
        np.rint(inside, out=inside)
        np.clip(inside, 0.0, 255.0, out=inside)
        np.copyto(out, inside, casting="unsafe")

    def _padded(self, plane: Plane, border: int) -> Plane:
        bottom = (self._down + 1) * SIDE - border - self._height
        right = (self._across + 1) * SIDE - border - self._width
        padded: Plane = cv2.copyMakeBorder(plane, border, bottom, border, right, cv2.BORDER_REFLECT_101)
        return padded

    def _thresholds(self, noise: NDArray[np.float32]) -> dict[tuple[int, int], Block]:
        """Return the threshold for the coefficients of each block of each grid, from the noise at its middle."""
        mean = cv2.copyMakeBorder(noise, SIDE // 2, SIDE, SIDE // 2, SIDE, cv2.BORDER_REPLICATE)
        found = {}
        for left, tops in GRIDS:
            for top in tops:
                first, start = (top + SIDE // 2) // 2, (left + SIDE // 2) // 2
                picked = mean[first :: SIDE // 2, start :: SIDE // 2][: self._down, : self._across]
                found[top, left] = np.multiply(picked, np.float32(THRESHOLD * SCALE))
        return found

    def _gather(self, padded: Plane, left: int) -> None:
        width = self._across * SIDE
        cells = padded[:, left : left + width].reshape(self._down + 1, SIDE, self._across, SIDE)
        np.copyto(self._rows, cells.transpose(1, 3, 0, 2))

    def _shrink(self, top: int, threshold: Block) -> None:
        """Add the blocks that begin in row `top`, cleaned, to the sums."""
        places = [((top + row) % SIDE, (top + row) // SIDE) for row in range(SIDE)]
        for row, (phase, first) in enumerate(places):
            np.copyto(self._block[row], self._rows[phase, :, first : first + self._down])
        block, scratch = list(self._block), list(self._scratch[:, :, : self._down])
        transform(block, scratch)
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
    rotations are written out with four multiplications each.
    """
    for index in range(4):
        _butterfly(x[index], x[7 - index], scratch[0])
    a0, a1, a2, a3, a4, a5, a6, a7 = x
    _butterfly(a0, a3, scratch[0])
    _butterfly(a1, a2, scratch[0])
    _butterfly(a0, a1, scratch[0])
    _rotate(a3, a2, _C2, _S2, scratch)
    np.multiply(a3, _ROOT2, out=a3)
    np.multiply(a2, _ROOT2, out=a2)
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
    np.multiply(a3, _ROOT2, out=a3)
    np.multiply(a2, _ROOT2, out=a2)
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
