"""The sharpen operation: luma detail is raised where it stands above the noise, never beyond its surroundings.

An unsharp mask whose amount depends on the local energy of the detail: none where the energy is that of noise, all of
it on moderate edges and texture, less again on edges that are strong already. The result is held within the extremes
of the 3x3 neighbourhood, widened by a little overshoot, so no halo can grow.
Invariant: all arithmetic is 8-bit and every scale a power of two; chroma passes untouched.
"""

from __future__ import annotations

import cv2
import numpy as np

from processing.media.enhancement.planes import (
    Plane,
    Planes,
    double,
    halve,
    new_plane,
    new_signed,
    to_plane,
    to_signed,
    widen,
)

NOISE_IN_DETAIL = 0.71
"""Mean absolute 5x5 Gaussian detail of white noise of deviation 1: 0.89 (what [1 4 6 4 1] leaves) times 0.798."""
STRONG_ENERGY = 14.0
"""Mean absolute detail, in code values, of an edge that needs no help."""
OVERSHOOT = 3.0
"""Code values by which a sharpened pixel may pass its neighbours."""
ENERGY_DOUBLINGS = 3
GAIN_UNIT = 64.0
MOST_GAIN = 1.9


def make_amount_table(strength: float, sigma: float) -> Plane:
    """Return the table from local energy (in 1/8 code values) to the added share of detail (in 1/64)."""
    energy = np.arange(256) / 2**ENERGY_DOUBLINGS
    floor = NOISE_IN_DETAIL * sigma + 0.3
    above = np.clip((energy - 1.3 * floor) / (1.5 * floor), 0.0, 1.0)
    needed = 1.0 / (1.0 + (energy / STRONG_ENERGY) ** 2)
    return np.rint(GAIN_UNIT * min(strength, MOST_GAIN) * above * needed).astype(np.uint8)


class Sharpen:
    """Edge-aware unsharp mask; `strength` is the share of detail added on moderate edges, `sigma` the noise present."""

    def __init__(self, strength: float, sigma: float) -> None:
        self._amounts = make_amount_table(strength, sigma)
        self._square = np.ones((3, 3), np.uint8)
        self._low = new_plane(0, 0)

    def process(self, planes: Planes, out: Planes) -> None:
        """Write the picture sharpened to `out`, which may be `planes`; chroma is copied where it is not."""
        y = planes.y
        if y.shape != self._low.shape:
            self._start(*y.shape)
        low, amount, energy, detail, signed = self._low, self._amount, self._energy, self._detail, self._signed
        cv2.GaussianBlur(y, (5, 5), 0, dst=low)
        cv2.absdiff(y, low, dst=amount)
        halve(amount, energy)
        double(energy, ENERGY_DOUBLINGS)
        cv2.blur(energy, (3, 3), dst=self._blurred)
        cv2.LUT(self._blurred, self._amounts, dst=energy)
        widen(energy, amount)
        to_signed(y, signed)
        to_signed(low, detail)
        cv2.subtract(signed, detail, dst=detail)
        cv2.multiply(detail, amount.view(np.int8), dst=detail, scale=1 / GAIN_UNIT)
        cv2.add(signed, detail, dst=signed)
        # Bounds: what the neighbourhood holds, and a little more.
        cv2.dilate(y, self._square, dst=low)
        cv2.add(low, OVERSHOOT, dst=low)
        cv2.erode(y, self._square, dst=amount)
        cv2.subtract(amount, OVERSHOOT, dst=amount)
        to_plane(signed, out.y)
        cv2.min(out.y, low, dst=out.y)
        cv2.max(out.y, amount, dst=out.y)
        if out.u is not planes.u:
            np.copyto(out.u, planes.u)
            np.copyto(out.v, planes.v)

    def _start(self, height: int, width: int) -> None:
        small = (max(height // 2, 1), max(width // 2, 1))
        self._low, self._amount = new_plane(height, width), new_plane(height, width)
        self._detail, self._signed = new_signed(height, width), new_signed(height, width)
        self._energy, self._blurred = new_plane(*small), new_plane(*small)
