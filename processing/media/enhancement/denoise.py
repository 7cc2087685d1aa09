"""The denoise operation: a mean over time where nothing moves, then a gain on detail where noise is left.

Invariant: the output depends on the last eight pictures only, bit for bit, so a segment that is warmed up with the
eight frames before it continues its neighbour without a seam.
"""

from __future__ import annotations

from processing.media.enhancement.planes import Planes
from processing.media.enhancement.spatial import SpatialDenoise
from processing.media.enhancement.temporal import LAGS, TemporalDenoise

LOOK_BACK_FRAMES = sum(LAGS)
LUMA_LEVELS = 2
CHROMA_LEVELS = 2
"""Chroma noise is coarser than luma noise to the eye, and its planes are a quarter the size."""
LEAST_SIGMA = 0.3
"""Below it 8-bit rounding is all there is; an operation built for less would only cost time."""


class Denoise:
    """Motion-adaptive denoise of one run of pictures.

    `sigma_luma` and `sigma_chroma` are the deviations of the noise to remove, in 8-bit code values, the strength
    already applied. Pictures come in order of their pts; a change of size starts anew.
    """

    def __init__(self, sigma_luma: float, sigma_chroma: float) -> None:
        self._sigma_luma = max(sigma_luma, LEAST_SIGMA)
        self._sigma_chroma = max(sigma_chroma, LEAST_SIGMA)
        self._shape: tuple[int, ...] = ()

    def process(self, planes: Planes, out: Planes) -> None:
        """Write the picture without its noise to `out`, which may be `planes`."""
        if planes.y.shape != self._shape:
            self._start(*planes.y.shape)
        mean, removed = self._temporal.process(planes)
        self._luma.process(mean.y, removed, out.y, mean.small)
        self._chroma.process(mean.u, removed, out.u)
        self._chroma.process(mean.v, removed, out.v)

    def remember(self, planes: Planes) -> None:
        """Take in a picture before the first one that is wanted, for what those after it look back at."""
        if planes.y.shape != self._shape:
            self._start(*planes.y.shape)
        self._temporal.remember(planes)

    def reset(self) -> None:
        """Forget the pictures seen: the next one is the first of a new run."""
        self._shape = ()

    def _start(self, height: int, width: int) -> None:
        self._shape = (height, width)
        half = (height // 2, width // 2)
        self._temporal = TemporalDenoise(self._sigma_luma, self._sigma_chroma, height, width)
        self._luma = SpatialDenoise(self._sigma_luma, height, width, LUMA_LEVELS)
        self._chroma = SpatialDenoise(self._sigma_chroma, *half, CHROMA_LEVELS)
