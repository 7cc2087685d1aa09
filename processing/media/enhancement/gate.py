"""The no-harm gate: an enhancement that harms the samples is stepped down, operation by operation, before the plan.

Invariant: what passes does no more harm to the samples than MOST allows, or has nothing left that could do it; each
step down is a fact that the enhancement carries on, with what was measured and what may be at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from types import MappingProxyType

import numpy as np

from processing.media.enhancement.harm import Harm, Sample, measure_harm
from processing.media.enhancement.planes import Planes
from processing.media.enhancement.presets import has_deinterlacing
from processing.media.enhancement.strength import weakened
from processing.media.specs import Enhancement, SteppedDown

MOST = Harm(clipping=0.005, colour_clipping=0.005, ringing=0.01, lost_detail=0.25, flicker=0.75)
"""What may be: half a percent of the picture clipped, one percent ringing, a quarter of strong detail lost, and three
quarters of a code value of flicker, each seen by nobody in trials or not at all."""
CULPRITS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "clipping": ("local_contrast", "tone", "sharpen"),
        "colour_clipping": ("saturation", "white_balance", "tone"),
        "ringing": ("sharpen", "local_contrast"),
        "lost_detail": ("denoise",),
        "flicker": ("local_contrast", "tone", "denoise", "sharpen"),
    }
)
"""Which operations may do a harm, the likeliest first."""
WORDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "clipping": ("clip {} of the picture", ".1%"),
        "colour_clipping": ("clip the colours of {} of the picture", ".1%"),
        "ringing": ("ring along {} of the picture", ".1%"),
        "lost_detail": ("lose {} of strong detail", ".0%"),
        "flicker": ("flicker by {} of 255", ".2f"),
    }
)
"""What a harm is called, and how its figure is told."""
STEP = 0.5
"""Share of its strength that an operation steps down to; where that is not enough, it is left out."""
BLAME = 0.8
"""An operation without which more of a harm than this share is left is not the one that does it."""
DIGITS = 4


def harmless(enhancement: Enhancement, samples: tuple[Sample, ...], colour_range: str) -> Enhancement:
    """Return the enhancement, each operation that harms the samples beyond MOST at half its strength or left out."""
    if not enhancement.choices or not samples:
        return enhancement
    if has_deinterlacing(enhancement):
        samples = tuple(_one_field(sample, enhancement.first_field) for sample in samples)
    down: list[SteppedDown] = []
    harm = _measured(enhancement, samples, colour_range)
    for kind, culprits in CULPRITS.items():
        for culprit in culprits:
            found = getattr(harm, kind)
            if found <= getattr(MOST, kind):
                break
            weaker = _weaker(enhancement, culprit, samples, colour_range, kind, found)
            if weaker is not None:
                down.append(_step(enhancement, weaker, culprit, kind, found))
                enhancement, harm = weaker, _measured(weaker, samples, colour_range)
    return replace(
        enhancement, stepped_down=tuple(down), reasons=(*enhancement.reasons, *(_sentence(step) for step in down))
    )


def _weaker(
    enhancement: Enhancement, culprit: str, samples: tuple[Sample, ...], colour_range: str, kind: str, found: float
) -> Enhancement | None:
    """Return the enhancement with one operation weaker or left out, None where it is not to blame for the harm."""
    if _strength(enhancement, culprit) == 0.0:
        return None
    most = getattr(MOST, kind)
    without = weakened(enhancement, culprit, 0.0)
    if getattr(_measured(without, samples, colour_range), kind) > max(most, BLAME * found):
        return None
    weaker = weakened(enhancement, culprit, STEP)
    return weaker if getattr(_measured(weaker, samples, colour_range), kind) <= most else without


def _step(before: Enhancement, after: Enhancement, operation: str, kind: str, found: float) -> SteppedDown:
    return SteppedDown(
        operation=operation,
        harm=kind,
        measured=found,
        most=getattr(MOST, kind),
        strength_before=_strength(before, operation),
        strength=_strength(after, operation),
    )


def _measured(enhancement: Enhancement, samples: tuple[Sample, ...], colour_range: str) -> Harm:
    # Rounded, lest a machine's last digit decide.
    harm = measure_harm(enhancement, samples, colour_range)
    return Harm(**{entry.name: round(getattr(harm, entry.name), DIGITS) for entry in fields(Harm)})


def _strength(enhancement: Enhancement, operation: str) -> float:
    return next((choice.strength for choice in enhancement.choices if choice.operation == operation), 0.0)


def _one_field(sample: Sample, first_field: str) -> Sample:
    """Return the pictures with the lines of one field, each twice: near enough to what deinterlacing leaves."""
    first = int(first_field == "bottom")
    pictures = tuple(
        Planes(*(np.repeat(plane[first::2], 2, axis=0)[: plane.shape[0]] for plane in picture))
        for picture in sample.pictures
    )
    return replace(sample, pictures=pictures)


def _sentence(step: SteppedDown) -> str:
    name = step.operation.replace("_", " ")
    words, figure = WORDS[step.harm]
    would = words.format(format(step.measured, figure))
    then = f"stepped down to {step.strength:g}" if step.strength else "left out"
    return f"{name} at {step.strength_before:g} would {would}, more than {format(step.most, figure)}: {then}"
