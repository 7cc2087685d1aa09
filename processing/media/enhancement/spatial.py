"""Takes out the noise that averaging over time left, where the picture has no detail of its own.

Detail is what a 3x3 Gaussian removes. It is kept in proportion 1 - (noise / energy)^p of its local mean energy, at full
and at half size, so edges and texture stay and flat parts become smooth; a gain like Wiener's (Lee, "Digital image
enhancement and noise filtering", 1980) but steeper, for a mean energy a little above the noise is texture already. The
map of noise already removed spares what the temporal mean has cleaned.
Invariant: arithmetic is 8-bit and scales are powers of two, so no vector unit and no library build rounds otherwise.
"""

from __future__ import annotations

import cv2
import numpy as np

from processing.media.enhancement.planes import (
    Plane,
    Signed,
    double,
    doublings,
    enlarge,
    halve,
    new_plane,
    new_signed,
    to_plane,
    to_signed,
    widen,
)
from processing.media.enhancement.temporal import LOG_STEPS_PER_OCTAVE

NOISE_IN_DETAIL = 0.64
"""Mean absolute detail of white noise of deviation 1: 0.80 (what 3x3 [1 2 1] leaves) times 0.798 (mean of |n|)."""
MARGIN = 1.3
"""Noise is taken for a little more than it is: grain left in flat parts is seen sooner than texture lost."""
REACH = 5.0
"""Multiples of the noise up to which energy is told apart; beyond it, nearly all detail is kept anyway."""
STEEPNESS = 5.0
STEEPNESS_BELOW = 10.0
"""The power p at full and at half size, where a mean over as many samples tells texture from noise more surely."""
LOSS_UNIT = 128.0


class SpatialDenoise:
    """Wiener gain on the detail of one plane size, over `levels` sizes, each half the one before."""

    def __init__(self, sigma: float, height: int, width: int, levels: int, steepness: float = STEEPNESS) -> None:
        """Prepare for noise of deviation `sigma` in code values."""
        floor = float(np.hypot(NOISE_IN_DETAIL * sigma, 0.15)) * MARGIN
        self._doublings = doublings(REACH * floor)
        self._log = _log_table()
        self._loss = make_loss_table(floor * 2.0**self._doublings, steepness)
        small = (max(height // 2, 1), max(width // 2, 1))
        # Few and used again: a pass over memory that is still in the cache costs a third of one that is not.
        self._plane, self._change = new_plane(height, width), new_signed(height, width)
        self._energy, self._blurred = new_plane(*small), new_plane(*small)
        self._removed = new_plane(*small)
        self._below: SpatialDenoise | None = None
        if levels > 1 and min(small) > 4:
            self._below = SpatialDenoise(sigma / 2.0, *small, levels - 1, STEEPNESS_BELOW)
            self._half, self._half_signed = new_plane(*small), new_signed(*small)
            self._carry, self._mended = new_signed(height, width), new_signed(height, width)

    def process(self, signed: Signed, removed: Plane, out: Plane, half: Signed | None = None) -> None:
        """Write the denoised plane to `out`; `removed` is the map of noise already gone, of any size.

        `half` is the plane at half the size, where the caller has it already.
        """
        change = self._change_of(signed, removed, half)
        cv2.add(signed, change, dst=change)
        to_plane(change, out)

    def _change_of(self, signed: Signed, removed: Plane, half: Signed | None) -> Signed:
        """Return what is to be added to the plane; overwritten by the next call."""
        plane, change = self._plane, self._change
        if self._below is not None:
            carried = self._carried(signed, removed, half, self._below)
            signed = cv2.add(signed, carried, dst=self._mended)
        to_plane(signed, plane)
        low = change.view(np.uint8)
        cv2.GaussianBlur(plane, (3, 3), 0, dst=low)
        cv2.absdiff(plane, low, dst=plane)
        energy = self._energy
        halve(plane, energy)
        to_signed(low, change)
        cv2.subtract(change, signed, dst=change)
        double(energy, self._doublings)
        cv2.blur(energy, (3, 3), dst=self._blurred)
        cv2.LUT(self._blurred, self._log, dst=energy)
        cv2.add(energy, self._fit(removed), dst=energy)
        cv2.LUT(energy, self._loss, dst=energy)
        widen(energy, plane)
        cv2.multiply(change, plane.view(np.int8), dst=change, scale=1 / LOSS_UNIT)
        if self._below is not None:
            cv2.add(change, carried, dst=change)
        return change

    def _carried(self, signed: Signed, removed: Plane, half: Signed | None, below: SpatialDenoise) -> Signed:
        """Return what the half-size filter changes, carried up to this size by linear interpolation."""
        if half is None:
            to_plane(signed, self._plane)
            halve(self._plane, self._half)
            to_signed(self._half, self._half_signed)
            half = self._half_signed
        to_plane(below._change_of(half, removed, None), self._half)
        large = self._carry.view(np.uint8)
        enlarge(self._half, large)
        to_signed(large, self._carry)
        return self._carry

    def _fit(self, removed: Plane) -> Plane:
        if removed.shape == self._removed.shape:
            return removed
        halve(removed, self._removed)
        return self._removed


def make_loss_table(floor: float, steepness: float) -> Plane:
    """Return the table from energy, in log steps above 1, to the part of the detail taken out, in 1/128."""
    energy = 2.0 ** (np.arange(256) / LOG_STEPS_PER_OCTAVE)
    kept = np.clip(1.0 - (floor / energy) ** steepness, 0.0, 1.0)
    return np.rint(LOSS_UNIT * (1.0 - kept)).clip(0, 127).astype(np.uint8)


def _log_table() -> Plane:
    return np.rint(LOG_STEPS_PER_OCTAVE * np.log2(np.maximum(np.arange(256), 1))).clip(0, 255).astype(np.uint8)
