"""The local contrast operation: what stands out from its surroundings stands out a little more.

The surroundings are the median of a wide window on an eighth of the size: unlike a mean it does not reach across edges,
so no halo grows along them. The difference of a quarter of the size from them, times the strength, falls again where it
is great already, and near black and white. Only that is carried up to full size and added, so neither fine detail nor
noise is raised.
Invariant: each picture is worked on by itself, nothing becomes newly black or white, all arithmetic is 8-bit.
"""

from __future__ import annotations

import cv2
import numpy as np

from processing.media.enhancement.planes import (
    Plane,
    Planes,
    Signed,
    enlarge,
    halve,
    luma_bounds,
    new_plane,
    new_signed,
    to_plane,
    to_signed,
)

WINDOW_SHARE = 8
"""The window is so many times smaller than the picture is high."""
LEAST_WINDOW_PX, MOST_WINDOW_PX = 5, 63
"""At an eighth of the size."""
GREAT_DIFFERENCE = 28.0
"""Code values from the surroundings at which half of the strength is left."""
FADE = 40.0
"""Code values from black and white within which it fades."""
WEIGHT_UNIT = 64.0


def difference_table(strength: float) -> Plane:
    """Return what is added for each difference, both as code values plus 128: strength d / (1 + (d / 28)^4)."""
    difference = np.arange(256, dtype=np.float64) - 128.0
    added = strength * difference / (1.0 + (difference / GREAT_DIFFERENCE) ** 4)
    return np.rint(128.0 + added.clip(-127.0, 127.0)).astype(np.uint8)


def weight_table(colour_range: str) -> Plane:
    """Return the weight of each luma in 1/64: whole in the middle, none at black and white."""
    black, white = luma_bounds(colour_range)
    luma = np.arange(256, dtype=np.float64)
    weight = np.minimum((luma - black) / FADE, (white - luma) / FADE).clip(0.0, 1.0)
    return np.rint(WEIGHT_UNIT * weight).astype(np.uint8)


class LocalContrast:
    """Raises luma's differences of middle size by `strength`, the share that is added to them."""

    def __init__(self, strength: float, colour_range: str) -> None:
        self._added = difference_table(strength)
        self._weights = weight_table(colour_range)
        self._black, self._white = luma_bounds(colour_range)
        self._full = new_plane(0, 0)

    def process(self, planes: Planes, out: Planes) -> None:
        """Write the picture to `out`, which may be `planes`; chroma is copied where it is not."""
        y = planes.y
        if y.shape != self._full.shape:
            self._start(*y.shape)
        half, quarter, base, change = self._half, self._quarter, self._base, self._change
        halve(y, half)
        halve(half, quarter)
        halve(quarter, self._eighth)
        cv2.medianBlur(self._eighth, self._window, dst=self._median)
        enlarge(self._median, base)
        to_signed(quarter, change)
        to_signed(base, self._surroundings)
        cv2.subtract(change, self._surroundings, dst=change)
        to_plane(change, base)
        cv2.LUT(base, self._added, dst=base)
        to_signed(base, change)
        cv2.LUT(quarter, self._weights, dst=quarter)
        cv2.multiply(change, quarter.view(np.int8), dst=change, scale=1 / WEIGHT_UNIT)
        to_plane(change, base)
        enlarge(base, half)
        enlarge(half, self._full)
        self._add(y, out.y)
        if out.u is not planes.u:
            np.copyto(out.u, planes.u)
            np.copyto(out.v, planes.v)

    def _add(self, y: Plane, out: Plane) -> None:
        """Add the change at full size; what was inside black and white stays inside."""
        full, signed, change = self._full, self._signed, self._full_change
        cv2.min(y, self._black, dst=self._lowest)
        cv2.max(y, self._white, dst=self._highest)
        to_signed(full, change)
        to_signed(y, signed)
        cv2.add(signed, change, dst=signed)
        to_plane(signed, full)
        cv2.max(full, self._lowest, dst=full)
        cv2.min(full, self._highest, dst=out)

    def _start(self, height: int, width: int) -> None:
        half = (max(height // 2, 1), max(width // 2, 1))
        small = (max(half[0] // 2, 1), max(half[1] // 2, 1))
        eighth = (max(small[0] // 2, 1), max(small[1] // 2, 1))
        window = int(np.clip(eighth[0] // WINDOW_SHARE, LEAST_WINDOW_PX, MOST_WINDOW_PX))
        self._window = window + 1 - window % 2
        self._full, self._lowest, self._highest = (new_plane(height, width) for _ in range(3))
        self._half, self._quarter, self._base = new_plane(*half), new_plane(*small), new_plane(*small)
        self._eighth, self._median = new_plane(*eighth), new_plane(*eighth)
        self._change: Signed = new_signed(*small)
        self._surroundings = new_signed(*small)
        self._signed, self._full_change = new_signed(height, width), new_signed(height, width)
