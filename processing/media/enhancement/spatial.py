"""Takes out the noise that averaging over time left, where the picture has no detail of its own.

Detail is what a 3x3 Gaussian removes. It is kept in proportion 1 - (noise / energy)^2 of its local mean energy (the
Wiener gain; Lee, "Digital image enhancement and noise filtering", 1980), at full and at half size, so edges and texture
stay and flat parts become smooth. The map of noise already removed spares what the temporal mean has cleaned.
Invariant: arithmetic is 8-bit and scales are powers of two, so no vector unit and no library build rounds otherwise.
"""

from __future__ import annotations

import cv2
import numpy as np

from processing.media.enhancement.planes import Plane, double, doublings, halve, new_plane, widen
from processing.media.enhancement.temporal import LOG_STEPS_PER_OCTAVE

NOISE_IN_DETAIL = 0.64
"""Mean absolute detail of white noise of deviation 1: 0.80 (what 3x3 [1 2 1] leaves) times 0.798 (mean of |n|)."""
MARGIN = 1.08
"""Noise is taken for a little more than it is: grain left in flat parts is seen sooner than texture lost."""
REACH = 5.0
"""Multiples of the noise up to which energy is told apart; beyond it, nearly all detail is kept anyway."""


class SpatialDenoise:
    """Wiener gain on the detail of one plane size, over `levels` sizes, each half the one before."""

    def __init__(self, sigma: float, height: int, width: int, levels: int) -> None:
        """Prepare for noise of deviation `sigma` in code values."""
        floor = float(np.hypot(NOISE_IN_DETAIL * sigma, 0.15)) * MARGIN
        self._doublings = doublings(REACH * floor)
        self._log = _log_table()
        self._gain = make_gain_table(floor * 2.0**self._doublings)
        small = (max(height // 2, 1), max(width // 2, 1))
        self._low, self._more, self._less, self._factor = (new_plane(height, width) for _ in range(4))
        self._energy, self._blurred = new_plane(*small), new_plane(*small)
        self._removed = new_plane(*small)
        self._below: SpatialDenoise | None = None
        if levels > 1 and min(small) > 4:
            self._below = SpatialDenoise(sigma / 2.0, *small, levels - 1)
            self._half, self._half_out, self._half_less = new_plane(*small), new_plane(*small), new_plane(*small)
            self._mended = new_plane(height, width)

    def process(self, plane: Plane, removed: Plane, out: Plane) -> None:
        """Write the denoised `plane` to `out`; `removed` is the map of noise already gone, of any size."""
        if self._below is not None:
            plane = self._mend_coarse(plane, removed, self._below)
        low, more, less = self._low, self._more, self._less
        cv2.GaussianBlur(plane, (3, 3), 0, dst=low)
        cv2.subtract(plane, low, dst=more)
        cv2.subtract(low, plane, dst=less)
        cv2.add(more, less, dst=self._factor)
        energy = self._energy
        halve(self._factor, energy)
        double(energy, self._doublings)
        cv2.blur(energy, (3, 3), dst=self._blurred)
        cv2.LUT(self._blurred, self._log, dst=energy)
        cv2.add(energy, self._fit(removed), dst=energy)
        cv2.LUT(energy, self._gain, dst=energy)
        widen(energy, self._factor)
        cv2.multiply(more, self._factor, dst=more, scale=1 / 256)
        cv2.multiply(less, self._factor, dst=less, scale=1 / 256)
        cv2.add(low, more, dst=out)
        cv2.subtract(out, less, dst=out)

    def _mend_coarse(self, plane: Plane, removed: Plane, below: SpatialDenoise) -> Plane:
        """Return `plane` with what the half-size filter changes, carried up by linear interpolation."""
        half, after, less = self._half, self._half_out, self._half_less
        halve(plane, half)
        below.process(half, removed, after)
        # One signed difference around 128 is carried up instead of two unsigned ones.
        cv2.subtract(half, after, dst=less)
        cv2.subtract(after, half, dst=after)
        cv2.add(after, 128.0, dst=after)
        cv2.subtract(after, less, dst=after)
        carried = self._factor
        cv2.resize(after, (carried.shape[1], carried.shape[0]), dst=carried, interpolation=cv2.INTER_LINEAR_EXACT)
        cv2.subtract(carried, 128.0, dst=self._more)
        cv2.subtract(128.0, carried, dst=self._less)
        cv2.add(plane, self._more, dst=self._mended)
        cv2.subtract(self._mended, self._less, dst=self._mended)
        return self._mended

    def _fit(self, removed: Plane) -> Plane:
        if removed.shape == self._removed.shape:
            return removed
        halve(removed, self._removed)
        return self._removed


def make_gain_table(floor: float) -> Plane:
    """Return the table from energy, in log steps above 1, to the part of the detail that is kept (255 is all)."""
    energy = 2.0 ** (np.arange(256) / LOG_STEPS_PER_OCTAVE)
    return np.rint(255.0 * np.clip(1.0 - (floor / energy) ** 2, 0.0, 1.0)).astype(np.uint8)


def _log_table() -> Plane:
    return np.rint(LOG_STEPS_PER_OCTAVE * np.log2(np.maximum(np.arange(256), 1))).clip(0, 255).astype(np.uint8)
