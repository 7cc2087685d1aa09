"""The tone operation: one luma table, and colour that follows it.

The curve begins with a toe, which draws a milky black down, then comes a gain with a shoulder, then a lift of shadows,
both made of r(x) = (1 + a) x / (1 + a x) between black (0) and white (1): slope 1 + a at 0, r(1) = 1. So the curve is
smooth, never falls and never clips shadow or highlight.
Invariant: what is done to a picture depends on its own pixels and the tables of the plan, never on other pictures.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from processing.media.enhancement.planes import (
    Plane,
    Planes,
    halve,
    luma_bounds,
    new_plane,
    new_signed,
    to_plane,
    to_signed,
)
from processing.media.specs import ToneCurve

MOST_SLOPE = 6.0
"""At black: more would show the steps of 8-bit shadows."""
MOST_GAIN = 2.2
KNEE = 0.6
"""Where the gain's shoulder begins at the earliest, on the output's side."""
MOST_COLOUR_GAIN = 2.5
BLEND_STEPS = 64
"""Tables differ by less than 64 code values as a rule, so that a step is one at most."""
COLOUR_UNIT = 32.0
"""Chroma gains are held as multiples of 1/32, which fit 8 bits with a sign."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The curve's three numbers; as they stand here it changes nothing."""

    gain: float = 1.0
    """Slope up to the knee, from 1 on."""
    lift: float = 0.0
    """Slope at black less 1."""
    toe: float = 0.0
    """What is drawn towards black, as a share of black to white: twice as much is bent, the rest moved."""
    knee: float = KNEE
    """Where the gain's shoulder begins, on the output's side: below it, differences grow by all of the gain."""


def lift_for(level: float, target: float, gain: float = 1.0) -> float:
    """Return the `a` that brings `level` to `target`, both in (0, 1), after a gain; 0 where it is there already.

    >>> round(lift_for(0.2, 0.5), 6)
    3.0
    """
    level = max(level, 1e-3) * gain
    if level >= target:
        return 0.0
    return min((target - level) / (level * (1.0 - target)), MOST_SLOPE / gain - 1.0)


def brightened(x: NDArray[np.float64], curve: Curve) -> NDArray[np.float64]:
    """Return the curve at `x` in [0, 1]: toe, then times gain up to the knee, a shoulder to 1, then lifted."""
    toe, gain, knee = curve.toe, curve.gain, curve.knee
    if toe > 0.0:
        # A parabola that meets the line x - toe with its slope, at twice the toe.
        x = np.where(x < 2.0 * toe, x * x / (4.0 * toe), x - toe) / (1.0 - toe)
    x = gain * x
    over = np.clip((x - knee) / (gain - knee), 0.0, 1.0)
    # The shoulder's first slope is the gain's own, so no bend is seen at the knee.
    x = np.where(x > knee, knee + (1.0 - knee) * _rational(over, (gain - 1.0) / (1.0 - knee)), x)
    return _rational(x, curve.lift)


def tone_table(curve: Curve, colour_range: str) -> tuple[int, ...]:
    """Return the 256 luma values of the curve; values outside black and white stay as they are."""
    black, white = luma_bounds(colour_range)
    values = np.arange(256, dtype=np.float64)
    x = (values - black) / (white - black)
    inside = (x > 0.0) & (x < 1.0)
    toned = black + (white - black) * brightened(x.clip(0.0, 1.0), curve)
    return tuple(int(value) for value in np.where(inside, np.rint(toned), values))


def colour_gains(table: tuple[int, ...], colour_range: str) -> Plane:
    """Return the gain of chroma at each source luma, in 1/32.

    Chroma that stayed while luma rose would look grey: saturation is their ratio. The square root of luma's own gain
    keeps it natural (full proportion makes lifted shadows garish, as their chroma noise and casts rise with it).
    """
    black, _ = luma_bounds(colour_range)
    values = np.arange(256, dtype=np.float64)
    # Eight code values above black keep the ratio tame where both are near none.
    ratio = (np.asarray(table) - black + 8.0).clip(8.0) / (values - black + 8.0).clip(8.0)
    return np.rint(COLOUR_UNIT * np.sqrt(ratio).clip(1.0, MOST_COLOUR_GAIN)).astype(np.uint8)


def is_identity(table: tuple[int, ...]) -> bool:
    """Return whether a table changes nothing."""
    return table == tuple(range(256))


class Tone:
    """The analysis track's tables applied by pts: the curve with the greatest pts at or before the picture's holds.

    Where the next curve is blended, its table is approached in BLEND_STEPS steps, too small to be seen one by one.
    """

    def __init__(self, curves: tuple[ToneCurve, ...], colour_range: str) -> None:
        """Take the track in any order; before its first pts the first curve holds."""
        self._curves = sorted(curves, key=lambda curve: curve.pts)
        self._starts = [curve.pts for curve in self._curves]
        self._range = colour_range
        self._place: tuple[int, int] | None = None
        self._gain, self._part = new_plane(0, 0), new_signed(0, 0)

    def process(self, planes: Planes, pts: int, out: Planes) -> None:
        """Write the picture toned to `out`, which may be `planes`."""
        self._hold(pts)
        if planes.u.shape != self._gain.shape:
            self._gain, self._part = new_plane(*planes.u.shape), new_signed(*planes.u.shape)
        gain, part = self._gain, self._part
        halve(planes.y, gain)
        cv2.LUT(gain, self._gains, dst=gain)
        for plane, target in ((planes.u, out.u), (planes.v, out.v)):
            to_signed(plane, part)
            cv2.multiply(part, gain.view(np.int8), dst=part, scale=1 / COLOUR_UNIT)
            to_plane(part, target)
        cv2.LUT(planes.y, self._table, dst=out.y)

    def _hold(self, pts: int) -> None:
        """Have the tables ready that hold at `pts`."""
        index = max(bisect_right(self._starts, pts) - 1, 0)
        step = 0
        if index + 1 < len(self._curves) and self._curves[index + 1].is_blended and pts > self._starts[index]:
            step = BLEND_STEPS * (pts - self._starts[index]) // (self._starts[index + 1] - self._starts[index])
        if self._place == (index, step):
            return
        self._place = (index, step)
        table = self._curves[index].table
        if step:
            table = blended(table, self._curves[index + 1].table, step)
        self._table = np.asarray(table, np.uint8)
        self._gains = colour_gains(table, self._range)


def blended(first: tuple[int, ...], second: tuple[int, ...], step: int) -> tuple[int, ...]:
    """Return the table `step` of BLEND_STEPS on the way from the first to the second, in whole numbers.

    >>> blended((0, 100), (0, 164), 32)
    (0, 132)
    """
    half = BLEND_STEPS // 2
    return tuple(
        (a * (BLEND_STEPS - step) + b * step + half) // BLEND_STEPS for a, b in zip(first, second, strict=True)
    )


def _rational(x: NDArray[np.float64], a: float) -> NDArray[np.float64]:
    return (1.0 + a) * x / (1.0 + a * x)
