"""What an enhancement clips in every scene, watched while the pictures are made: the gate saw a few samples only.

Invariant: watching changes no picture, and what it tells depends on the pictures and their places in the video alone.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from processing.media.enhancement.harm import clipping, colour_clipping
from processing.media.enhancement.planes import DeepPlane, DeepPlanes, Plane, Planes, luma_bounds

EVERY_FRAMES = 8
STRIDE = 4
"""Of each line and column every fourth pixel is looked at: together 10 to 25 microseconds a frame at 360p."""
DIGITS = 4
TO_EIGHT_BITS = 2


class ClippingWatch:
    """Looks at every eighth picture, before and after; `worst` is what two neighbours have in common.

    One picture alone may be a flash, and is gone before it is seen.
    """

    def __init__(self, colour_range: str) -> None:
        self._bounds = luma_bounds(colour_range)
        self._shares: list[float] = []

    @property
    def worst(self) -> float:
        """Share of pixels (0 to 1) whose luma or chroma is newly at its limit, in the worst of the scenes seen."""
        if len(self._shares) == 1:
            return round(self._shares[0], DIGITS)
        return round(max((min(pair) for pair in pairwise(self._shares)), default=0.0), DIGITS)

    def look(self, index: int, before: Planes | DeepPlanes, after: Planes | DeepPlanes) -> None:
        """Compare the picture at `index` of the video with what was made of it, if its turn has come."""
        if index % EVERY_FRAMES:
            return
        (y, u, v), (new_y, new_u, new_v) = (tuple(map(_thinned, planes)) for planes in (before, after))
        shares = clipping(y, new_y, *self._bounds), colour_clipping(u, new_u), colour_clipping(v, new_v)
        self._shares.append(max(shares))


def _thinned(plane: Plane | DeepPlane) -> Plane:
    """Return a coarse grid of a plane's pixels, in 8 bits."""
    thin = plane[::STRIDE, ::STRIDE]
    if thin.dtype == np.uint16:
        thin = np.right_shift(thin, TO_EIGHT_BITS)
    return np.ascontiguousarray(thin, np.uint8)
