"""Where the parts of a picture were some pictures ago, and the earlier picture moved to where they are now.

Motion is found at half the size by dense inverse search (T. Kroeger et al., "Fast optical flow using dense inverse
search", 2016; OpenCV's fastest preset, which has no variational step and gives the same bytes on all vector units
tried), averaged over 8x8 pixels and rounded to quarter pixels; pictures are moved by OpenCV's fixed-point cubic remap.
Invariant: the answer depends on the two pictures alone; OpenCV must run on one thread, for the search works in stripes.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from processing.media.enhancement.planes import Plane, Planes, new_plane

BLOCK_PX = 8
QUARTERS = 4
LEAST_SIDE_PX = 64
"""Of luma; the search refuses pictures not much larger than its patches."""
FRACTION_STEPS = 32
"""OpenCV's fixed-point maps count in 1/32 pixel."""


class Mover:
    """Finds motion between two pictures of one size and follows it."""

    def __init__(self, height: int, width: int) -> None:
        """Prepare for luma of the given even size, at least LEAST_SIDE_PX on both sides."""
        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        half = (height // 2, width // 2)
        step = BLOCK_PX // 2
        self._blocks = (-(-half[0] // step), -(-half[1] // step))
        self._border = (self._blocks[0] * step - half[0], self._blocks[1] * step - half[1])
        self._luma_grid, self._chroma_grid = _grid(height, width), _grid(*half)
        self._moved = Planes(new_plane(height, width), new_plane(*half), new_plane(*half))

    def follow(self, now: Plane, past: Plane, planes: Planes) -> Planes:
        """Return `planes`, the earlier picture, moved to where its parts are in the present one.

        `now` and `past` are the lumas of both at half the size. The result is overwritten by the next call.
        """
        flow = self._search.calc(self._padded(now), self._padded(past), None)
        rows, columns = self._blocks
        mean = cv2.resize(flow, (columns, rows), interpolation=cv2.INTER_AREA)
        # From pixels at half the size to quarters at full size, which are eighths of chroma's.
        motion = np.rint(mean * (2 * QUARTERS)).astype(np.int16)
        _move(planes.y, motion, self._luma_grid, BLOCK_PX, QUARTERS, self._moved.y)
        for plane, target in zip(planes[1:], self._moved[1:], strict=True):
            _move(plane, motion, self._chroma_grid, BLOCK_PX // 2, 2 * QUARTERS, target)
        return self._moved

    def _padded(self, plane: Plane) -> Plane:
        bottom, right = self._border
        if not (bottom or right):
            return plane
        padded: Plane = cv2.copyMakeBorder(plane, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
        return padded


def _grid(height: int, width: int) -> NDArray[np.int16]:
    """Return the column and row of each pixel, (H, W, 2)."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack((columns, rows), axis=-1).astype(np.int16)


def _move(
    plane: Plane, motion: NDArray[np.int16], grid: NDArray[np.int16], block_px: int, parts: int, out: Plane
) -> None:
    """Write `plane` to `out`, each block taken from `motion` (in 1/`parts` pixel) away."""
    whole, part = motion >> int(np.log2(parts)), (motion & (parts - 1)) * (FRACTION_STEPS // parts)
    places = part[..., 0] + FRACTION_STEPS * part[..., 1]
    height, width = plane.shape
    cells = (motion.shape[1] * block_px, motion.shape[0] * block_px)
    wide = cv2.resize(whole, cells, interpolation=cv2.INTER_NEAREST)[:height, :width]
    fractions = cv2.resize(places.astype(np.uint16), cells, interpolation=cv2.INTER_NEAREST)[:height, :width]
    cv2.remap(plane, cv2.add(grid, wide), fractions, cv2.INTER_CUBIC, dst=out, borderMode=cv2.BORDER_REPLICATE)
