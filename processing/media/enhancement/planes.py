"""The picture as the enhancement sees it: three 8-bit planes of 4:2:0, as they come out of the decoder.

Invariant: nothing here or in an operation writes to planes it was given.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8]


class Planes(NamedTuple):
    """One picture: luma (H, W) and chroma (H/2, W/2), uint8, code values of the source's range."""

    y: Plane
    u: Plane
    v: Plane


def luma_bounds(colour_range: str) -> tuple[int, int]:
    """Return the code values of black and white: 0 and 255 in "full" range, else 16 and 235 (ITU-R BT.601, BT.709)."""
    return (0, 255) if colour_range == "full" else (16, 235)
