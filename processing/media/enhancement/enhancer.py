"""The chain of operations that one run of pictures goes through: denoise, colour, tone, local contrast, sharpen.

Denoise comes first because it alone knows the noise as the camera left it. White balance and saturation come before
tone because the cast was measured against the source's luma, and tone's own gain of colour is meant for mended colours.
Local contrast comes after tone, which decides how bright its differences are; sharpening comes last because it must not
raise what the others still mean to remove.
Invariant: the output depends on the plan and the last eight pictures only (LOOK_BACK_FRAMES and the present one).
"""

from __future__ import annotations

import numpy as np

from processing.media.enhancement.colour import Colour
from processing.media.enhancement.denoise import LOOK_BACK_FRAMES, Denoise
from processing.media.enhancement.fine import FineDenoise
from processing.media.enhancement.local_contrast import LocalContrast
from processing.media.enhancement.planes import Planes, luma_bounds, new_planes
from processing.media.enhancement.sharpen import Sharpen
from processing.media.enhancement.tone import Tone, is_identity
from processing.media.specs import Enhancement

__all__ = ["LOOK_BACK_FRAMES", "Enhancer"]

NOISE_LEFT = 0.5
"""Share of the noise that denoising leaves where things move, which is where sharpening would show it."""


class Enhancer:
    """What a plan's enhancement does to pictures, given in order of their pts.

    `colour_range` is "full", or anything else for limited range.
    """

    def __init__(self, enhancement: Enhancement, colour_range: str) -> None:
        strengths = {choice.operation: choice.strength for choice in enhancement.choices}
        denoise = strengths.get("denoise", 0.0)
        sharpen = strengths.get("sharpen", 0.0)
        curves = tuple(enhancement.tone) if strengths.get("tone", 0.0) > 0.0 else ()
        balance = min(strengths.get("white_balance", 0.0), 1.0)
        cast = (balance * enhancement.cast_u, balance * enhancement.cast_v)
        saturation = strengths.get("saturation", 0.0)
        local_contrast = strengths.get("local_contrast", 0.0)
        self._denoise: Denoise | FineDenoise | None = None
        self._colour: Colour | None = None
        self._tone: Tone | None = None
        self._local_contrast: LocalContrast | None = None
        self._sharpen: Sharpen | None = None
        noise = enhancement.noise_sigma_luma
        if denoise > 0.0:
            is_fine = any(choice.method == "fine" for choice in enhancement.choices)
            method = FineDenoise if is_fine else Denoise
            self._denoise = method(denoise * noise, denoise * enhancement.noise_sigma_chroma)
            noise *= NOISE_LEFT
        if any(cast) or saturation:
            self._colour = Colour(cast, saturation, colour_range)
        if any(not is_identity(curve.table) for curve in curves):
            self._tone = Tone(curves, colour_range)
            noise *= max(_slope(curve.table, colour_range) for curve in curves)
        if local_contrast > 0.0:
            self._local_contrast = LocalContrast(local_contrast, colour_range)
        if sharpen > 0.0:
            self._sharpen = Sharpen(sharpen, noise)

    @property
    def is_identity(self) -> bool:
        """Whether every picture comes back as it went in."""
        operations = (self._denoise, self._colour, self._tone, self._local_contrast, self._sharpen)
        return all(operation is None for operation in operations)

    def process(self, planes: Planes, pts: int, out: Planes | None = None) -> Planes:
        """Write the enhanced picture, shown at `pts` ticks, to `out` and return it; the input is never written to.

        Without `out` the result is a new picture, the input itself where nothing is done.
        """
        if out is None:
            if self.is_identity:
                return planes
            out = new_planes(*planes.y.shape)
        if self.is_identity:
            for plane, target in zip(planes, out, strict=True):
                np.copyto(target, plane)
        # Each operation after the first works on `out` in place.
        if self._denoise is not None:
            self._denoise.process(planes, out)
            planes = out
        if self._colour is not None:
            self._colour.process(planes, out)
            planes = out
        if self._tone is not None:
            self._tone.process(planes, pts, out)
            planes = out
        if self._local_contrast is not None:
            self._local_contrast.process(planes, out)
            planes = out
        if self._sharpen is not None:
            self._sharpen.process(planes, out)
        return out

    def remember(self, planes: Planes) -> None:
        """Take in a warm-up picture: what those after it look back at is kept, its own result is not made."""
        if self._denoise is not None:
            self._denoise.remember(planes)

    def reset(self) -> None:
        """Forget the pictures seen, as before a jump: the next one is the first of a new run."""
        if self._denoise is not None:
            self._denoise.reset()


def _slope(table: tuple[int, ...], colour_range: str) -> float:
    """Return how much a table raises noise: its greatest mean slope over a quarter of the range, mostly the darkest."""
    black, white = luma_bounds(colour_range)
    width = (white - black) // 4
    return max(table[start + width] - table[start] for start in range(black, white - width + 1)) / width
