"""The picture as the enhancement sees it: three 8-bit planes of 4:2:0, as they come out of the decoder.

Invariant: nothing here or in an operation writes to planes it was given.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8]
DeepPlane = NDArray[np.uint16]
Signed = NDArray[np.int8]
"""A plane's code values less 128: a difference of two is then one saturating subtraction, not one for each sign."""


class Planes(NamedTuple):
    """One picture: luma (H, W) and chroma (H/2, W/2), uint8, code values of the source's range."""

    y: Plane
    u: Plane
    v: Plane


class DeepPlanes(NamedTuple):
    """One picture in ten bits: luma (H, W) and chroma (H/2, W/2), uint16, 0 to 1023, in the source's range."""

    y: DeepPlane
    u: DeepPlane
    v: DeepPlane


def luma_bounds(colour_range: str) -> tuple[int, int]:
    """Return the code values of black and white: 0 and 255 in "full" range, else 16 and 235 (ITU-R BT.601, BT.709)."""
    return (0, 255) if colour_range == "full" else (16, 235)


def new_plane(height: int, width: int) -> Plane:
    """Return a black plane of an operation's own."""
    return np.zeros((height, width), np.uint8)


def new_planes(height: int, width: int) -> Planes:
    """Return a picture of an operation's own; `height` and `width` are luma's."""
    half = (height // 2, width // 2)
    return Planes(new_plane(height, width), new_plane(*half), new_plane(*half))


def rounded_to_eight(plane: DeepPlane, out: Plane) -> Plane:
    """Write `plane`, rounded from ten bits to eight, to `out` and return it."""
    np.minimum(np.right_shift(plane + np.uint16(2), 2), 255, out=out, casting="unsafe")
    return out


def new_signed(height: int, width: int) -> Signed:
    """Return a signed plane of an operation's own."""
    return np.zeros((height, width), np.int8)


def to_signed(plane: Plane, out: Signed) -> None:
    """Write `plane` less 128 to `out`: in two's complement the top bit flipped."""
    np.bitwise_xor(plane, 128, out=out.view(np.uint8))


def to_plane(signed: Signed, out: Plane) -> None:
    """Write `signed` plus 128 to `out`."""
    np.bitwise_xor(signed.view(np.uint8), 128, out=out)


def halve(plane: Plane, out: Plane) -> None:
    """Write the means of each 2x2 pixels of `plane` to `out`, half as high and wide; an odd last row or column is left.

    A resize by anything but exactly two costs ten times as much.
    """
    height, width = out.shape
    cv2.resize(plane[: 2 * height, : 2 * width], (width, height), dst=out, interpolation=cv2.INTER_AREA)


def widen(plane: Plane, out: Plane) -> None:
    """Write each sample of `plane` to 2x2 pixels of `out`, a third of the price of cv2.resize.

    For maps of weights, which are smooth already. An odd last row or column of `out` repeats the one before.
    """
    height, width = plane.shape
    if out.shape[0] < 2 * height or out.shape[1] < 2 * width:
        cv2.resize(plane, (out.shape[1], out.shape[0]), dst=out, interpolation=cv2.INTER_NEAREST)
        return
    even = out[: 2 * height, : 2 * width]
    cv2.merge((plane, plane), dst=even[::2].reshape(height, width, 2))
    even[1::2] = even[::2]
    _repeat_last(out, 2 * height, 2 * width)


def enlarge(plane: Plane, out: Plane) -> None:
    """Write `plane` to `out`, twice as high and wide, linearly interpolated; an odd last row or column is a repeat."""
    height, width = min(2 * plane.shape[0], out.shape[0]), min(2 * plane.shape[1], out.shape[1])
    cv2.resize(plane, (width, height), dst=out[:height, :width], interpolation=cv2.INTER_LINEAR_EXACT)
    _repeat_last(out, height, width)


def _repeat_last(out: Plane, height: int, width: int) -> None:
    """Fill what `out` has beyond `height` and `width` with the last row and column inside."""
    out[:height, width:] = out[:height, width - 1 : width]
    out[height:] = out[height - 1]


def double(plane: Plane, times: int) -> None:
    """Multiply `plane` by 2^times in place, saturating; additions cost a tenth of a multiplication by a number."""
    for _ in range(times):
        cv2.add(plane, plane, dst=plane)


def doublings(reach: float) -> int:
    """Return how often a value of `reach` code values can be doubled within 8 bits, at most 3 times."""
    return int(np.clip(np.floor(np.log2(250.0 / max(reach, 1e-6))), 0, 3))
