"""A chosen enhancement made weaker or stronger, as a whole by a factor that a person names, or in one operation.

Invariant: factor 0 is "left alone", factor 1 changes nothing, a tone curve keeps its order of brightness, and what a
person asked for by itself stays as asked.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from processing.media.specs import Choice, Enhancement, ToneCurve

ALL_OR_NOTHING = frozenset({"deinterlace"})
"""Operations that have no degrees."""


def scaled(enhancement: Enhancement, factor: float, decided: frozenset[str] = frozenset()) -> Enhancement:
    """Return the enhancement with each strength times `factor` (0 to 2), its reasons saying so.

    Operations named in `decided` keep their strength.
    """
    if factor == 1.0:
        return enhancement
    choices = tuple(
        choice if choice.operation in decided else _choice(choice, factor) for choice in enhancement.choices
    )
    tone = enhancement.tone if "tone" in decided else tuple(_curve(curve, factor) for curve in enhancement.tone)
    left = tuple(choice for choice in choices if choice.strength != 0.0)
    rest = "the rest " if decided else ""
    return replace(
        enhancement,
        choices=left,
        tone=tone if any(choice.operation == "tone" for choice in left) else (),
        reasons=(
            *enhancement.reasons,
            f"{rest or 'all '}at {factor:g} times that strength" if factor else f"strength 0: {rest}left alone",
        ),
    )


def weakened(enhancement: Enhancement, operation: str, factor: float) -> Enhancement:
    """Return the enhancement with one operation at `factor` (0 to 1) of its strength."""
    weaker = (
        replace(choice, strength=round(choice.strength * factor, 4)) if choice.operation == operation else choice
        for choice in enhancement.choices
    )
    tone = enhancement.tone
    if operation == "tone":
        tone = tuple(_curve(curve, factor) for curve in tone) if factor else ()
    return replace(enhancement, choices=tuple(choice for choice in weaker if choice.strength != 0.0), tone=tone)


def _choice(choice: Choice, factor: float) -> Choice:
    if choice.operation in ALL_OR_NOTHING and factor > 0.0:
        return choice
    return replace(choice, strength=round(choice.strength * factor, 4))


def _curve(curve: ToneCurve, factor: float) -> ToneCurve:
    """Move each value of the table along the line from where it was, but past none that the curve leaves alone.

    >>> _curve(ToneCurve(pts=0, table=(0, 100, 240)), 0.5).table
    (0, 50, 121)
    """
    own = np.arange(len(curve.table), dtype=np.float64)
    table = np.asarray(curve.table, np.float64)
    still = np.append(np.flatnonzero(table == own), table.max())
    moved = np.minimum(own + factor * (table - own), still[np.searchsorted(still[:-1], own)])
    return replace(curve, table=tuple(int(value) for value in np.rint(np.maximum.accumulate(moved))))
