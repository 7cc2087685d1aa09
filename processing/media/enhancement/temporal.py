"""Averages each picture with up to seven before it, wherever nothing moved, and says how much noise that left.

A cascade of three gated means: x with the picture one before it, the result with the result two before, that with the
result four before; eight pictures at full reach for the price of three passes. It is a finite window, not a recursion:
the output depends on the last eight pictures and on nothing older, bit for bit.
Invariant: arithmetic is 8-bit and scales are powers of two, so no vector unit and no library build rounds otherwise.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
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

GATE_OPEN = 1.0
GATE_SHUT_LUMA = 2.1
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

    Open (one half) up to one floor, shut at `shut` floors, a smooth step between.
    """
    floor = float(np.hypot(floor, ROUNDING))
    times = doublings(shut * floor)
    excess = np.arange(256) / 2.0**times / floor
    openness = np.clip((shut - excess) / (shut - GATE_OPEN), 0.0, 1.0)
    openness = openness * openness * (3.0 - 2.0 * openness)
    return Gate(doublings=times, table=np.rint(HALF * openness).astype(np.uint8))


def gates(sigma_luma: float, sigma_chroma: float) -> Iterator[tuple[Gate, Gate]]:
    """Yield for each of LAGS the gates of luma at half the size and of chroma, for noise of these deviations."""
    for index in range(len(LAGS)):
        # Each mean halves the variance; the small luma holds means of four, so half the deviation.
        difference = np.sqrt(2.0) / np.sqrt(2.0) ** index
        luma = make_gate(MEAN_OF_NORMAL * sigma_luma / 2.0 * difference, GATE_SHUT_LUMA)
        yield luma, make_gate(MEAN_OF_TWO_NORMALS * sigma_chroma * difference, GATE_SHUT_CHROMA)


class History(NamedTuple):
    """One picture as the cascade keeps it: its planes signed, and luma at half the size."""

    y: Signed
    u: Signed
    v: Signed
    small: Signed


class _Buffers:
    """What the stages work in, one after the other."""

    def __init__(self, height: int, width: int) -> None:
        half = (height // 2, width // 2)
        self.first, self.second, self.weight = (new_plane(*half) for _ in range(3))
        self.wide_weight = new_plane(height, width)


class _Stage:
    """One gated mean with the picture `lag` before; owns the pictures since then."""

    def __init__(self, lag: int, luma: Gate, chroma: Gate) -> None:
        self._lag = lag
        self._luma = luma
        self._chroma = chroma
        self._past: deque[History] = deque()
        self._is_full = False

    def keep(self, now: History) -> History:
        """Keep `now` as `mean` does; return the older picture, a copy of `now` where history does not reach it yet."""
        self._past.append(now)
        self._is_full = len(self._past) > self._lag
        return self._past.popleft() if self._is_full else History(*(plane.copy() for plane in now))

    def mean(self, now: History, buffers: _Buffers) -> tuple[History, Plane | None]:
        """Return the gated mean, in the memory of the older picture, and the weights; a copy, None where none is.

        `now` is kept, and neither written to nor given back before its turn as the older one.
        """
        past = self.keep(now)
        if not self._is_full:
            return past, None
        weight, first, second = buffers.weight, buffers.first, buffers.second
        # Chroma first: what changes in colour alone must not be averaged away either.
        cv2.absdiff(now.u, past.u, dst=first.view(np.int8))
        cv2.absdiff(now.v, past.v, dst=second.view(np.int8))
        cv2.max(first, second, dst=first)
        blurred_weight(first, self._chroma, weight)
        cv2.absdiff(now.small, past.small, dst=first.view(np.int8))
        blurred_weight(first, self._luma, second)
        cv2.min(weight, second, dst=weight)
        widen(weight, buffers.wide_weight)
        mix(now.y, past.y, buffers.wide_weight)
        for plane, older in zip(now[1:], past[1:], strict=True):
            mix(plane, older, weight)
        return past, weight


class TemporalDenoise:
    """The cascade over one run of pictures of one size.

    A stage gives the oldest picture's memory on to the next one, the last stage's comes back to the first: eight
    pictures in all, and nothing is copied once the history is full.
    """

    def __init__(self, sigma_luma: float, sigma_chroma: float, height: int, width: int) -> None:
        """Prepare for noise of the given deviations in 8-bit code values; the larger, the more is averaged."""
        self._stages = [
            _Stage(lag, luma, chroma) for lag, (luma, chroma) in zip(LAGS, gates(sigma_luma, sigma_chroma), strict=True)
        ]
        half = (height // 2, width // 2)
        self._buffers = _Buffers(height, width)
        self._picture = History(new_signed(height, width), new_signed(*half), new_signed(*half), new_signed(*half))
        self._small, self._step, self._removed = (new_plane(*half) for _ in range(3))

    def process(self, planes: Planes) -> tuple[History, Plane]:
        """Return the averaged picture and the noise removed at each chroma sample, in 1/32 octaves of its deviation.

        The returned arrays are overwritten by the next call.
        """
        self._removed.fill(0)
        self._take(planes)
        for stage in self._stages:
            self._picture, weight = stage.mean(self._picture, self._buffers)
            if weight is not None:
                np.right_shift(weight, REMOVED_SHIFT, out=self._step)
                cv2.add(self._removed, self._step, dst=self._removed)
        return self._picture, self._removed

    def remember(self, planes: Planes) -> None:
        """Take a picture into the history whose mean nobody asks for: the last stage then need not make it."""
        self._take(planes)
        *before, last = self._stages
        for stage in before:
            self._picture, _ = stage.mean(self._picture, self._buffers)
        self._picture = last.keep(self._picture)

    def _take(self, planes: Planes) -> None:
        halve(planes.y, self._small)
        for plane, target in zip((*planes, self._small), self._picture, strict=True):
            to_signed(plane, target)


def mix(now: Signed, past: Signed, weight: Plane) -> None:
    """Turn `past` into now + (past - now) * weight / 128, rounded to nearest; `weight` is at most 127."""
    cv2.subtract(past, now, dst=past)
    cv2.multiply(past, weight.view(np.int8), dst=past, scale=1 / 128)
    cv2.add(now, past, dst=past)


def blurred_weight(difference: Plane, gate: Gate, out: Plane) -> None:
    """Turn an absolute difference (overwritten) into weights: a mean over 5x5, for one pixel is mostly noise."""
    double(difference, gate.doublings)
    cv2.blur(difference, (5, 5), dst=out)
    cv2.LUT(out, gate.table, dst=out)
