"""The same operations on ten bits: each decides on 8-bit copies, and what it does is carried over to the ten.

Denoising sees the picture rounded to 8 bits; where it leaves a flat part, its fine steps come from the mean of the
source around, so that a smooth sky shows no bands. Everything after it sees the two 8-bit pictures around the ten-bit
one, and the result lies between their results as the picture lies between them: exact for curves, and for any other
operation as near as it is smooth.
Invariant: integers only, so equal input gives equal output everywhere; a plan without operations copies.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from processing.media.enhancement.enhancer import NOISE_LEFT, Enhancer
from processing.media.enhancement.planes import DeepPlane, DeepPlanes, Plane, Planes, new_planes, rounded_to_eight
from processing.media.specs import Enhancement

DENOISING = frozenset({"denoise"})
STEPS_SHIFT = 2
"""Four code values of ten bits to one of eight."""
HALF_STEP = 2
WHITE = 1023
TOP = 254
"""The greatest lower neighbour: what lies above it goes on in a straight line."""
WINDOW = (9, 9)
"""Where the mean of the source is taken from: it has a ninth of the noise, and a sky is not narrower."""
FLAT_RANGE = 3
"""8-bit code values between the darkest and the brightest of a window that count as flat; on steeper ramps the steps
follow each other too closely to be seen."""


class DeepEnhancer:
    """What a plan's enhancement does to ten-bit pictures, given in order of their pts.

    `colour_range` is "full", or anything else for limited range.
    """

    def __init__(self, enhancement: Enhancement, colour_range: str) -> None:
        first = tuple(choice for choice in enhancement.choices if choice.operation in DENOISING)
        rest = tuple(choice for choice in enhancement.choices if choice.operation not in DENOISING)
        noise = enhancement.noise_sigma_luma * (NOISE_LEFT if first else 1.0)
        after = replace(enhancement, choices=rest, noise_sigma_luma=noise)
        self._denoise = Enhancer(replace(enhancement, choices=first, tone=()), colour_range)
        self._lower, self._upper = Enhancer(after, colour_range), Enhancer(after, colour_range)
        self._copies = tuple(new_planes(0, 0) for _ in range(4))

    def remember(self, planes: DeepPlanes) -> None:
        """Take in a warm-up picture, as `Enhancer.remember` does; what comes after denoising looks back at nothing."""
        before = self._buffers(planes)[0]
        for ten, eight in zip(planes, before, strict=True):
            rounded_to_eight(ten, eight)
        self._denoise.remember(before)

    def process(self, planes: DeepPlanes, pts: int, out: DeepPlanes) -> None:
        """Write the enhanced picture, shown at `pts` ticks, to `out`; the input is never written to."""
        for plane, target in zip(planes, out, strict=True):
            np.copyto(target, plane)
        before, after, above, above_after = self._buffers(planes)
        if not self._denoise.is_identity:
            for ten, eight in zip(out, before, strict=True):
                rounded_to_eight(ten, eight)
            self._denoise.process(before, pts, after)
            for ten, noisy, clean in zip(out, before, after, strict=True):
                _denoised(ten, noisy, clean)
        if not self._lower.is_identity:
            for ten, eight, next_eight in zip(out, before, above, strict=True):
                np.minimum(np.right_shift(ten, STEPS_SHIFT), TOP, out=eight, casting="unsafe")
                np.add(eight, 1, out=next_eight)
            self._lower.process(before, pts, after)
            self._upper.process(above, pts, above_after)
            for ten, eight, low, high in zip(out, before, after, above_after, strict=True):
                _between(ten, eight, low, high)

    def reset(self) -> None:
        """Forget the pictures seen: the next one is the first of a new run."""
        for enhancer in (self._denoise, self._lower, self._upper):
            enhancer.reset()

    def _buffers(self, planes: DeepPlanes) -> tuple[Planes, ...]:
        if planes.y.shape != self._copies[0].y.shape:
            self._copies = tuple(new_planes(*planes.y.shape) for _ in range(4))
        return self._copies


def _denoised(ten: DeepPlane, noisy: Plane, clean: Plane) -> None:
    """Bring `ten` to what became of its 8-bit copy; fine steps are its own, or the mean's around where that is flat."""
    kernel = np.ones(WINDOW, np.uint8)
    spread = cv2.subtract(cv2.dilate(clean, kernel), cv2.erode(clean, kernel))
    base = _in_ten_bits(clean)
    fine = np.clip(cv2.blur(ten, WINDOW).view(np.int16) - base, -HALF_STEP, HALF_STEP)
    np.copyto(fine, ten.view(np.int16) - _in_ten_bits(noisy), where=spread > FLAT_RANGE)
    np.clip(base + fine, 0, WHITE, out=ten, casting="unsafe")


def _between(ten: DeepPlane, eight: Plane, low: Plane, high: Plane) -> None:
    """Write to `ten` the point between the results `low` and `high` of `eight` and `eight` + 1 at which it lay."""
    share = ten.view(np.int16) - _in_ten_bits(eight)
    share *= np.subtract(high, low, dtype=np.int16)
    np.clip(_in_ten_bits(low) + share, 0, WHITE, out=ten, casting="unsafe")


def _in_ten_bits(plane: Plane) -> NDArray[np.int16]:
    return np.left_shift(plane, STEPS_SHIFT, dtype=np.int16)
