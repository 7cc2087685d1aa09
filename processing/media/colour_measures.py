"""What is measured on chroma: the cast of a light, and how colourful a picture is. Pure functions of 8-bit planes.

Invariant: a cast is told from colours by three things that a coloured light does and coloured surfaces need not do: it
tints what is near grey, the more the brighter it is, and leaves nothing without a tint.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from processing.media.enhancement.planes import Planes

DARKEST, BRIGHTEST = 0.2, 0.92
"""Between black (0) and white (1), what is well exposed: darker chroma is mostly noise, brighter is cut off."""
NEAR_GREY = 34.0
"""Chroma at white, in code values from grey, within which the cast is looked for; further out lie colours."""
CLUSTER = 8.0
"""Half the width, in code values at any luma, of the heap of chroma that is taken for grey under the cast."""
PASSES = 3
NEUTRAL = 5.0
"""Chroma at white within which a pixel has no colour."""
LEAST_SHARE = 0.02
"""Of the picture: fewer pixels tell nothing."""
COLOURFUL_PERCENT = 95.0
LEAST_GROWTH = 0.9
"""Cast of the brighter half over that of the darker half, from which it may be a light's; noise allows for less."""
LEAST_BRIGHT = 0.75
"""Luma, between black and white, that a tenth of the heap reaches: only what is nearly white tells a light's colour."""
BRIGHT_PERCENT = 90.0
LEAST_AGREEMENT = 0.9
"""Cosine of the angle between the casts of both halves."""
MEAN_PX = 5
"""Side of the square whose mean chroma counts: noise of single pixels hides what has no colour, and looks like some."""
MOST_COLUMNS = 320
"""Of so many columns of chroma, evenly spread, and as many rows in proportion, the measures are taken."""


@dataclass(frozen=True, kw_only=True)
class ColourEvidence:
    """What one picture tells of its colours; chroma in code values less 128."""

    cast_u: float = 0.0
    cast_v: float = 0.0
    """What a white surface would have; a light's cast is in proportion to luma."""
    share: float = 0.0
    """Of the picture that is near grey and well exposed; 0 where too little to tell a cast."""
    neutral_share: float = 0.0
    follows_light: bool = False
    colourfulness: float | None = None
    """None where too little is well exposed."""


def colour_evidence(planes: Planes, black: int, white: int) -> ColourEvidence:
    """Return what the chroma of a picture tells; `black` and `white` are the code values of luma's bounds."""
    height, width = planes.u.shape
    if planes.u.size == 0:  # what is lit is one pixel wide or high
        return ColourEvidence()
    halved = cv2.resize(planes.y[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
    stride = max(width // MOST_COLUMNS, 1)
    luma = halved[::stride, ::stride].astype(np.int32)
    span = white - black
    exposed = (luma > black + DARKEST * span) & (luma < black + BRIGHTEST * span)
    if np.count_nonzero(exposed) < max(LEAST_SHARE * exposed.size, 1):
        return ColourEvidence()
    level = (luma[exposed] - black) / span
    u, v = (
        cv2.blur(plane, (MEAN_PX, MEAN_PX))[::stride, ::stride][exposed].astype(np.float64) - 128.0
        for plane in (planes.u, planes.v)
    )
    distance = np.hypot(u, v)
    colourfulness = float(np.percentile(distance, COLOURFUL_PERCENT))
    near = distance < NEAR_GREY * level
    for _ in range(PASSES):
        if np.count_nonzero(near) < max(LEAST_SHARE * exposed.size, 1):
            return ColourEvidence(colourfulness=colourfulness)
        cast_u, cast_v = _slope(level[near], u[near]), _slope(level[near], v[near])
        near = np.hypot(u - cast_u * level, v - cast_v * level) < CLUSTER
    return ColourEvidence(
        cast_u=cast_u,
        cast_v=cast_v,
        share=float(np.count_nonzero(near) / exposed.size),
        neutral_share=float(np.count_nonzero(distance < NEUTRAL * level) / level.size),
        follows_light=_follows_light(level[near], u[near], v[near]),
        colourfulness=colourfulness,
    )


def _slope(level: NDArray[np.float64], chroma: NDArray[np.float64]) -> float:
    """Return the chroma at white of the line through grey at black that fits best."""
    return float((level * chroma).sum() / (level * level).sum())


def _follows_light(level: NDArray[np.float64], u: NDArray[np.float64], v: NDArray[np.float64]) -> bool:
    """Return whether nearly white is among it, and the brighter half has the darker half's tint, no less of it."""
    bright = level > np.median(level)
    if not bright.any() or bright.all():
        return False
    if float(np.percentile(level, BRIGHT_PERCENT)) < LEAST_BRIGHT:
        return False
    dark_cast, bright_cast = ((float(u[half].mean()), float(v[half].mean())) for half in (~bright, bright))
    dark, light = np.hypot(*dark_cast), np.hypot(*bright_cast)
    if dark < 1.0 or light < LEAST_GROWTH * dark:
        return False
    agreement = (dark_cast[0] * bright_cast[0] + dark_cast[1] * bright_cast[1]) / (dark * light)
    return bool(agreement >= LEAST_AGREEMENT)
