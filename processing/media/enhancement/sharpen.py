"""The sharpen operation: luma detail is raised where it stands above the noise, never beyond its surroundings.

An unsharp mask whose amount depends on the local energy of the detail: none where the energy is that of noise, all of
it on moderate edges and texture, less again on edges that are strong already. The result is held within the extremes
of the 3x3 neighbourhood, widened by a little overshoot, so no halo can grow.
Invariant: all arithmetic is 8-bit and every scale a power of two; chroma passes untouched.
"""

from __future__ import annotations

import cv2
import numpy as np

from processing.media.enhancement.planes import Plane, Planes, double, halve, widen

NOISE_IN_DETAIL = 0.71
"""Mean absolute 5x5 Gaussian detail of white noise of deviation 1: 0.89 (what [1 4 6 4 1] leaves) times 0.798."""
STRONG_ENERGY = 14.0
"""Mean absolute detail, in code values, of an edge that needs no help."""
OVERSHOOT = 3.0
"""Code values by which a sharpened pixel may pass its neighbours."""
ENERGY_DOUBLINGS = 3
GAIN_UNIT = 128.0
MOST_GAIN = 1.9
BUFFERS = 3


def make_amount_table(strength: float, sigma: float) -> Plane:
    """Return the table from local energy (in 1/8 code values) to the added share of detail (in 1/128)."""
    energy = np.arange(256) / 2**ENERGY_DOUBLINGS
    floor = NOISE_IN_DETAIL * sigma + 0.3
    above = np.clip((energy - 1.3 * floor) / (1.5 * floor), 0.0, 1.0)
    needed = 1.0 / (1.0 + (energy / STRONG_ENERGY) ** 2)
    return np.rint(GAIN_UNIT * min(strength, MOST_GAIN) * above * needed).astype(np.uint8)


class Sharpen:
    """Edge-aware unsharp mask; `strength` is the share of detail added on moderate edges, `sigma` the noise present."""

    def __init__(self, strength: float, sigma: float) -> None:
        self._amounts = make_amount_table(strength, sigma)
        self._shape: tuple[int, ...] = ()
        self._calls = 0

    def process(self, planes: Planes) -> Planes:
        """Return the picture sharpened; the returned luma is overwritten by the third call after this."""
        y = planes.y
        if y.shape != self._shape:
            self._start(y)
        out = self._out[self._calls % BUFFERS]
        self._calls += 1
        low, more, less, amount, energy = self._low, self._more, self._less, self._amount, self._energy
        cv2.GaussianBlur(y, (5, 5), 0, dst=low)
        cv2.subtract(y, low, dst=more)
        cv2.subtract(low, y, dst=less)
        cv2.add(more, less, dst=amount)
        halve(amount, energy)
        double(energy, ENERGY_DOUBLINGS)
        cv2.blur(energy, (3, 3), dst=self._blurred)
        cv2.LUT(self._blurred, self._amounts, dst=energy)
        widen(energy, amount)
        cv2.multiply(more, amount, dst=more, scale=1 / GAIN_UNIT)
        cv2.multiply(less, amount, dst=less, scale=1 / GAIN_UNIT)
        cv2.add(y, more, dst=out)
        cv2.subtract(out, less, dst=out)
        # Bounds: what the neighbourhood holds, and a little more.
        cv2.dilate(y, self._square, dst=more)
        cv2.add(more, OVERSHOOT, dst=more)
        cv2.min(out, more, dst=out)
        cv2.erode(y, self._square, dst=less)
        cv2.subtract(less, OVERSHOOT, dst=less)
        cv2.max(out, less, dst=out)
        return Planes(out, planes.u, planes.v)

    def _start(self, y: Plane) -> None:
        self._shape = y.shape
        height, width = y.shape
        small = (max(height // 2, 1), max(width // 2, 1))
        self._square = np.ones((3, 3), np.uint8)
        self._low, self._more, self._less, self._amount = (np.empty_like(y) for _ in range(4))
        self._energy, self._blurred = np.empty(small, np.uint8), np.empty(small, np.uint8)
        self._out = [np.empty_like(y) for _ in range(BUFFERS)]
