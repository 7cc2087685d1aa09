"""Whether two consecutive pictures hold fields, and which is the earlier one; told where something moves.

Invariant: pure functions of 8-bit luma; sums are of whole numbers, so no order of summing matters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from processing.media.enhancement.planes import Plane

BLOCK_PX = 16
MOVING_STEP = 3.0
MOVING_NOISES = 2.0
"""Mean difference between two pictures, in code values or multiples of the noise, from which a block moves."""
LEAST_MOVING_BLOCKS = 6
PROVED_ORDER = 0.15
"""Fields made from footage show 0.19 to 0.36, progressive footage up to 0.01, a test pattern 0.14."""
AGREEING_SHARE = 0.8
LEAST_LIKENESS = 0.7
"""Fields made from footage show 0.76 or more, the test pattern up to 0.67, footage as little as 0.04."""
BEND = np.array([[-1], [2], [-1]], np.float32)
"""How far a line lies from the mean of its neighbours, in half code values."""


@dataclass(frozen=True, kw_only=True)
class FieldEvidence:
    """What two pictures tell; an order is above 0 where the top field is the earlier one, 0 where there is none."""

    order: float
    """Of the whole picture."""
    moving_order: float
    """Of the blocks in which something moves."""
    likeness: float
    """How rough those are as they are beside the better way to weave them of both pictures: 1 where fields comb as
    much within a picture as across two, far less where each picture is one moment."""
    moving_blocks: int


def field_evidence(previous: Plane, current: Plane, sigma: float) -> FieldEvidence:
    """Return what two consecutive planes (H, W) with noise of deviation `sigma` tell of fields.

    The last field of a picture lies next in time to the first field of the following one. So these two, woven, comb
    less than the other two, which lie three fields apart; an order is the difference as a share of the sum, near 0 for
    progressive pictures (the idea of FFmpeg's idet).
    """
    by_top, by_bottom = previous.copy(), previous.copy()
    by_top[0::2], by_bottom[1::2] = current[0::2], current[1::2]
    top, bottom, own = (_block_sums(_roughness(plane)) for plane in (by_top, by_bottom, current))
    steps = _block_sums(cv2.absdiff(previous, current)) / _block_sums(np.ones_like(current))
    moves = steps > max(MOVING_STEP, MOVING_NOISES * sigma)
    moving = [int(sums[moves].sum()) for sums in (top, bottom, own)]
    return FieldEvidence(
        order=_order(int(top.sum()), int(bottom.sum())),
        moving_order=_order(*moving[:2]),
        likeness=moving[2] / max(min(moving[:2]), 1),
        moving_blocks=int(np.count_nonzero(moves)),
    )


def show_fields(evidence: Sequence[FieldEvidence]) -> bool:
    """Return whether pairs of pictures prove fields, whatever the stream says.

    Most of those that move have one order, plainly, and comb within a picture as much as across two.
    """
    told = [pair for pair in evidence if pair.moving_blocks >= LEAST_MOVING_BLOCKS]
    if not told:
        return False
    order = float(np.median([pair.moving_order for pair in told]))
    agree = sum(pair.moving_order * order > 0.0 for pair in told)
    return (
        abs(order) >= PROVED_ORDER
        and agree >= AGREEING_SHARE * len(told)
        and float(np.median([pair.likeness for pair in told])) >= LEAST_LIKENESS
    )


def _order(top: int, bottom: int) -> float:
    return (bottom - top) / (bottom + top) if bottom + top else 0.0


def _roughness(plane: Plane) -> Plane:
    """Return how far each line is from the mean of its neighbours, in half code values, at most 255."""
    return cv2.convertScaleAbs(cv2.filter2D(plane, cv2.CV_16S, BEND, borderType=cv2.BORDER_REFLECT_101))


def _block_sums(plane: Plane) -> NDArray[np.int64]:
    """Return the sums of blocks of 16x16; what is left over at the right and below counts with the last ones."""
    table = cv2.integral(plane, sdepth=cv2.CV_32S)
    rows, columns = (np.append(np.arange(0, max(side - BLOCK_PX, 0) + 1, BLOCK_PX), side) for side in plane.shape)
    return np.diff(np.diff(table[np.ix_(rows, columns)], axis=0), axis=1).astype(np.int64)
