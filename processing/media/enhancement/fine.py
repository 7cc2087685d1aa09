"""The fine-denoise operation, for those who wait: a mean over time along the motion, then a transform over space.

Like the denoise it averages eight pictures in three steps, but where something moved, it looks for where it came from;
what noise is left goes by thresholds on cosine transforms of overlapping blocks, not by one gain on detail.
Invariant: the output depends on the last eight pictures only, bit for bit.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from processing.media.enhancement.motion import LEAST_SIDE_PX, Mover
from processing.media.enhancement.planes import (
    Plane,
    Planes,
    halve,
    new_plane,
    new_planes,
    new_signed,
    to_plane,
    to_signed,
    widen,
)
from processing.media.enhancement.temporal import (
    LAGS,
    LOG_STEPS_PER_OCTAVE,
    REMOVED_SHIFT,
    Gate,
    blurred_weight,
    gates,
    mix,
)
from processing.media.enhancement.transform import TransformDenoise

LOOK_BACK_FRAMES = sum(LAGS)
LEAST_SIGMA = 0.3
BETTER = 2
"""By how many 1/128 of weight the moved picture must fit better to be taken for the one that stood still: where nothing
moves the search follows the noise."""

OPEN_ENOUGH = 48
"""Weight in 1/128 at which a gate is three quarters open."""
LEAST_SHUT = 1.0 / 50.0
"""Share of a picture that must be less open before it is worth looking for motion."""


class _Stage:
    """One mean with the picture `lag` before, as it stood or moved; owns its history and its buffers."""

    def __init__(self, lag: int, luma: Gate, chroma: Gate, mover: Mover | None, height: int, width: int) -> None:
        half = (height // 2, width // 2)
        self._lag, self._luma, self._chroma = lag, luma, chroma
        self._mover = mover
        self._slots = [(new_planes(height, width), new_plane(*half)) for _ in range(lag + 1)]
        self._seen = 0
        self._still, self._moved, self._mask, self._first, self._second = (new_plane(*half) for _ in range(5))
        self._wide, self._wide_mask = new_plane(height, width), new_plane(height, width)
        self._signed = [(new_signed(*size), new_signed(*size)) for size in ((height, width), half)]

    def keep(self, planes: Planes) -> tuple[Planes, Plane]:
        """Take a copy of a picture into the history; return it and its luma at half the size."""
        now, small = self._slots[self._seen % len(self._slots)]
        for plane, own in zip(planes, now, strict=True):
            np.copyto(own, plane)
        halve(now.y, small)
        self._seen += 1
        return now, small

    def mean(self, planes: Planes, out: Planes) -> Plane | None:
        """Write the gated mean of `planes` to `out`; return the weights, None where history is short."""
        now, small = self.keep(planes)
        if self._seen <= self._lag:
            for plane, target in zip(now, out, strict=True):
                np.copyto(target, plane)
            return None
        past, past_small = self._slots[self._seen % len(self._slots)]
        weight = self._still
        self._weigh(now, small, past, past_small, weight)
        is_still = np.count_nonzero(weight < OPEN_ENOUGH) < LEAST_SHUT * weight.size
        if self._mover is not None and not is_still:
            past, weight = self._better(now, small, past, past_small, self._mover)
        widen(weight, self._wide)
        for plane, older, target, size in zip(now, past, out, (0, 1, 1), strict=True):
            self._mix(plane, older, weight if size else self._wide, target, size)
        return weight

    def _better(self, now: Planes, small: Plane, past: Planes, past_small: Plane, mover: Mover) -> tuple[Planes, Plane]:
        """Return the past, moved where that fits better, and the weights that go with it."""
        moved = mover.follow(small, past_small, past)
        halve(moved.y, self._mask)
        self._weigh(now, small, moved, self._mask, self._moved)
        # Saturating: nought unless it fits better by more than BETTER.
        cv2.subtract(self._moved, self._still, dst=self._mask)
        cv2.threshold(self._mask, BETTER, 255, cv2.THRESH_BINARY_INV, dst=self._mask)
        widen(self._mask, self._wide_mask)
        for plane, older, mask in zip(moved, past, (self._wide_mask, self._mask, self._mask), strict=True):
            cv2.copyTo(older, mask, plane)
        cv2.copyTo(self._still, self._mask, self._moved)
        return moved, self._moved

    def _weigh(self, now: Planes, small: Plane, past: Planes, past_small: Plane, out: Plane) -> None:
        first, second = self._first, self._second
        cv2.absdiff(now.u, past.u, dst=first)
        cv2.absdiff(now.v, past.v, dst=second)
        cv2.max(first, second, dst=first)
        blurred_weight(first, self._chroma, out)
        cv2.absdiff(small, past_small, dst=first)
        blurred_weight(first, self._luma, second)
        cv2.min(out, second, dst=out)

    def _mix(self, now: Plane, past: Plane, weight: Plane, out: Plane, size: int) -> None:
        first, second = self._signed[size]
        to_signed(now, first)
        to_signed(past, second)
        mix(first, second, weight)
        to_plane(second, out)


class FineDenoise:
    """Denoise of one run of pictures; arguments and order as of the denoise operation."""

    def __init__(self, sigma_luma: float, sigma_chroma: float) -> None:
        self._sigma_luma = max(sigma_luma, LEAST_SIGMA)
        self._sigma_chroma = max(sigma_chroma, LEAST_SIGMA)
        self._shape: tuple[int, ...] = ()

    def process(self, planes: Planes, out: Planes) -> None:
        """Write the picture without its noise to `out`, which may be `planes`."""
        if planes.y.shape != self._shape:
            self._start(*planes.y.shape)
        self._removed.fill(0)
        mean = planes
        for stage, target in zip(self._stages, self._means, strict=True):
            weight = stage.mean(mean, target)
            mean = target
            if weight is not None:
                np.right_shift(weight, REMOVED_SHIFT, out=self._step)
                cv2.add(self._removed, self._step, dst=self._removed)
        self._luma.process([mean.y], self._noise(self._removed, self._sigma_luma), [out.y])
        halve(self._removed, self._removed_chroma)
        self._chroma.process(mean[1:], self._noise(self._removed_chroma, self._sigma_chroma), out[1:])

    def remember(self, planes: Planes) -> None:
        """Take in a picture before the first one that is wanted, for what those after it look back at."""
        if planes.y.shape != self._shape:
            self._start(*planes.y.shape)
        *before, last = self._stages
        mean = planes
        for stage, target in zip(before, self._means[:-1], strict=True):
            stage.mean(mean, target)
            mean = target
        last.keep(mean)

    def reset(self) -> None:
        """Forget the pictures seen: the next one is the first of a new run."""
        self._shape = ()

    def _noise(self, removed: Plane, sigma: float) -> NDArray[np.float32]:
        """Return the deviation left, the mean over the middle of a block."""
        # In 1/256, lest a last digit of a machine's power of two be kept.
        left = np.rint(256.0 * sigma * 2.0 ** (-np.arange(256) / LOG_STEPS_PER_OCTAVE)) / 256.0
        noise: NDArray[np.float32] = cv2.LUT(cv2.blur(removed, (3, 3)), left.astype(np.float32))
        return noise

    def _start(self, height: int, width: int) -> None:
        self._shape = (height, width)
        half = (height // 2, width // 2)
        mover = Mover(height, width) if min(height, width) >= LEAST_SIDE_PX else None
        opened = gates(self._sigma_luma, self._sigma_chroma)
        self._stages = [
            _Stage(lag, luma, chroma, mover, height, width) for lag, (luma, chroma) in zip(LAGS, opened, strict=True)
        ]
        self._means = [new_planes(height, width) for _ in LAGS]
        self._step, self._removed = new_plane(*half), new_plane(*half)
        self._removed_chroma = new_plane(max(half[0] // 2, 1), max(half[1] // 2, 1))
        self._luma, self._chroma = TransformDenoise(height, width), TransformDenoise(*half, count=2)
