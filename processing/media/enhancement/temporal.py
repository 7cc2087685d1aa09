"""Averages each picture with up to seven before it, wherever nothing moved, and says how much noise that left.

A cascade of three gated means: x with the picture one before it, the result with the result two before, that with the
result four before; eight pictures at full reach for the price of three passes. It is a finite window, not a recursion:
the output depends on the last eight pictures and on nothing older, bit for bit.
Invariant: arithmetic is 8-bit and scales are powers of two, so no vector unit and no library build rounds otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from processing.media.enhancement.planes import (
    Plane,
    Planes,
    Signed,
    double,
    doublings,
    halve,
    new_plane,
    new_signed,
    to_signed,
    widen,
)

LAGS = (1, 2, 4)
LOG_STEPS_PER_OCTAVE = 32
"""The unit of the map of remaining noise: 1/32 octave, so that products become saturating sums."""

GATE_OPEN = 1.15
GATE_SHUT_LUMA = 1.9
GATE_SHUT_CHROMA = 2.2
"""Multiples of the difference that noise alone makes, between which a gate goes from open to shut; from footage."""

HALF = 64
"""The greatest weight of an older picture, in 1/128: with it, both count the same."""
REMOVED_SHIFT = 2
"""Equal parts of two pictures take half an octave of their noise: a weight of 64 makes 16 steps, smaller ones in
proportion (within an eighth of an octave of the true logarithm, for less than a table would cost)."""

MEAN_OF_NORMAL = 0.798
"""Mean of |n| for a normal n of deviation 1, and of the greater of two."""
MEAN_OF_TWO_NORMALS = 1.128
ROUNDING = 0.25
"""What rounding to whole code values adds to a mean absolute difference."""


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A table from a blurred difference, doubled so many times, to the older picture's weight in 1/128."""

    doublings: int
    table: Plane


def make_gate(floor: float, shut: float) -> Gate:
    """Return the gate for a mean absolute difference of `floor` code values in the absence of motion.

    Open (one half) up to 1.15 floors, shut at `shut` floors, a smooth step between.
    """
    floor = float(np.hypot(floor, ROUNDING))
    times = doublings(shut * floor)
    excess = np.arange(256) / 2.0**times / floor
    openness = np.clip((shut - excess) / (shut - GATE_OPEN), 0.0, 1.0)
    openness = openness * openness * (3.0 - 2.0 * openness)
    return Gate(doublings=times, table=np.rint(HALF * openness).astype(np.uint8))


class History(NamedTuple):
    """One picture as the cascade keeps it: its planes signed, and luma at half the size."""

    y: Signed
    u: Signed
    v: Signed
    small: Signed


class _Stage:
    """One gated mean with the picture `lag` before; owns its history and its buffers."""

    def __init__(self, lag: int, luma: Gate, chroma: Gate, height: int, width: int) -> None:
        self.lag = lag
        self.luma = luma
        self.chroma = chroma
        half = (height // 2, width // 2)
        self.slots = [_new_history(height, width) for _ in range(lag + 1)]
        self.seen = 0
        self.weight = new_plane(*half)
        self.wide_weight = new_plane(height, width)

    def slot(self) -> History:
        """Return the buffers to write the present picture to before `mean` is called."""
        return self.slots[self.seen % len(self.slots)]

    def mean(self, out: History, scratch: History) -> Plane | None:
        """Write the gated mean of the picture in `slot` to `out`; return the weights, None where history is short."""
        now = self.slots[self.seen % len(self.slots)]
        self.seen += 1
        if self.seen <= self.lag:
            for plane, target in zip(now, out, strict=True):
                np.copyto(target, plane)
            return None
        past = self.slots[self.seen % len(self.slots)]
        weight, first, second = self.weight, scratch.u, scratch.v
        # Chroma first: what changes in colour alone must not be averaged away either.
        cv2.absdiff(now.u, past.u, dst=first)
        cv2.absdiff(now.v, past.v, dst=second)
        cv2.max(first, second, dst=first)
        _blurred_weight(first.view(np.uint8), self.chroma, weight)
        cv2.absdiff(now.small, past.small, dst=first)
        narrow = second.view(np.uint8)
        _blurred_weight(first.view(np.uint8), self.luma, narrow)
        cv2.min(weight, narrow, dst=weight)
        widen(weight, self.wide_weight)
        mix(now.y, past.y, self.wide_weight, out.y, scratch.y)
        for plane, older, target in zip(now[1:], past[1:], out[1:], strict=True):
            mix(plane, older, weight, target, first)
        return weight


class TemporalDenoise:
    """The cascade over one run of pictures of one size."""

    def __init__(self, sigma_luma: float, sigma_chroma: float, height: int, width: int) -> None:
        """Prepare for noise of the given deviations in 8-bit code values; the larger, the more is averaged."""
        self._stages = []
        for index, lag in enumerate(LAGS):
            # Each mean halves the variance; the small luma holds means of four, so half the deviation.
            difference = np.sqrt(2.0) / np.sqrt(2.0) ** index
            luma = make_gate(MEAN_OF_NORMAL * sigma_luma / 2.0 * difference, GATE_SHUT_LUMA)
            chroma = make_gate(MEAN_OF_TWO_NORMALS * sigma_chroma * difference, GATE_SHUT_CHROMA)
            self._stages.append(_Stage(lag, luma, chroma, height, width))
        half = (height // 2, width // 2)
        self._out, self._scratch = _new_history(height, width), _new_history(height, width)
        self._small, self._step, self._removed = (new_plane(*half) for _ in range(3))

    def process(self, planes: Planes) -> tuple[History, Plane]:
        """Return the averaged picture and the noise removed at each chroma sample, in 1/32 octaves of its deviation.

        The returned arrays are overwritten by the next call.
        """
        self._removed.fill(0)
        halve(planes.y, self._small)
        for plane, target in zip((*planes, self._small), self._stages[0].slot(), strict=True):
            to_signed(plane, target)
        for index, stage in enumerate(self._stages):
            out = self._stages[index + 1].slot() if index + 1 < len(self._stages) else self._out
            weight = stage.mean(out, self._scratch)
            if weight is not None:
                np.right_shift(weight, REMOVED_SHIFT, out=self._step)
                cv2.add(self._removed, self._step, dst=self._removed)
        return self._out, self._removed


def mix(now: Signed, past: Signed, weight: Plane, out: Signed, scratch: Signed) -> None:
    """Write now + (past - now) * weight / 128 to `out`, rounding to nearest; `weight` is at most 127."""
    cv2.subtract(past, now, dst=scratch)
    cv2.multiply(scratch, weight.view(np.int8), dst=scratch, scale=1 / 128)
    cv2.add(now, scratch, dst=out)


def _new_history(height: int, width: int) -> History:
    half = (height // 2, width // 2)
    return History(new_signed(height, width), new_signed(*half), new_signed(*half), new_signed(*half))


def _blurred_weight(difference: Plane, gate: Gate, out: Plane) -> None:
    """Turn an absolute difference (overwritten) into weights: a mean over 5x5, for one pixel is mostly noise."""
    double(difference, gate.doublings)
    cv2.blur(difference, (5, 5), dst=out)
    cv2.LUT(out, gate.table, dst=out)
