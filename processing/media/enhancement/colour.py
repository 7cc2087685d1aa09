"""The colour operations: white balance takes the cast of a coloured light off, saturation makes colours more or less.

A light tints a surface in proportion to its brightness, so the cast is taken off by a table of luma: nothing at black,
the more the brighter. Saturation multiplies chroma by one factor with a shoulder that spares what is colourful already.
Invariant: each picture is worked on by itself, luma passes untouched, all arithmetic is 8-bit and saturating.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from processing.media.enhancement.planes import (
    Plane,
    Planes,
    Signed,
    halve,
    luma_bounds,
    new_plane,
    new_signed,
    to_plane,
    to_signed,
)

MOST_OFFSET = 32.0
"""Code values by which chroma is moved at most."""
MOST_CHROMA = 112.0
"""Code values from grey that limited range holds."""


def cast_offset(cast: float, colour_range: str) -> Signed:
    """Return what is added to a chroma plane at each of 256 luma values against the `cast` that white has."""
    black, white = luma_bounds(colour_range)
    luma = np.arange(256, dtype=np.float64).clip(black, white) - black
    offset = -cast * luma / (white - black)
    return np.rint(offset.clip(-MOST_OFFSET, MOST_OFFSET)).astype(np.int8)


def saturation_table(saturation: float) -> Plane:
    """Return the 256 values that chroma becomes; `saturation` is added to a factor of 1, from -1 (grey) on.

    Above 0 the factor falls to 1 where no more room is: s |c| / (1 + (s - 1) |c| / 112) from grey, s the factor there.
    """
    signed = np.arange(256, dtype=np.float64) - 128.0
    distance = np.abs(signed)
    factor = 1.0 + max(saturation, -1.0)
    room = 1.0 + (factor - 1.0) * distance / MOST_CHROMA if factor > 1.0 else 1.0
    moved = factor * distance / room
    if factor > 1.0:
        moved = np.where(distance >= MOST_CHROMA, distance, moved)
    return np.rint(128.0 + np.sign(signed) * moved).clip(0, 255).astype(np.uint8)


class Colour:
    """White balance against a measured cast, then saturation; each is left out where it has nothing to do."""

    def __init__(self, cast: tuple[float, float], saturation: float, colour_range: str) -> None:
        """Take the part of white's cast (U, V in code values) that is to go, and what is added to colours' factor."""
        self._offsets: list[NDArray[np.uint8]] | None = None
        if any(cast):
            self._offsets = [cast_offset(part, colour_range).view(np.uint8) for part in cast]
        self._table = saturation_table(saturation) if saturation else None
        self._small, self._offset, self._signed = new_plane(0, 0), new_plane(0, 0), new_signed(0, 0)

    def process(self, planes: Planes, out: Planes) -> None:
        """Write the picture with its colours mended to `out`, which may be `planes`; luma is copied where it is not."""
        if self._offsets is not None:
            self._balance(planes, out, self._offsets)
        for plane, target in zip(planes[1:], out[1:], strict=True):
            source = plane if self._offsets is None else target
            if self._table is not None:
                cv2.LUT(source, self._table, dst=target)
        if out.y is not planes.y:
            np.copyto(out.y, planes.y)

    def _balance(self, planes: Planes, out: Planes, offsets: list[NDArray[np.uint8]]) -> None:
        shape = planes.u.shape
        if shape != self._small.shape:
            self._small, self._offset, self._signed = new_plane(*shape), new_plane(*shape), new_signed(*shape)
        halve(planes.y, self._small)
        for plane, target, table in zip(planes[1:], out[1:], offsets, strict=True):
            cv2.LUT(self._small, table, dst=self._offset)
            to_signed(plane, self._signed)
            cv2.add(self._signed, self._offset.view(np.int8), dst=self._signed)
            to_plane(self._signed, target)
