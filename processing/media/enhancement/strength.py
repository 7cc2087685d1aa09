"""A chosen enhancement made weaker or stronger as a whole, by a factor that a person names.

Invariant: factor 0 is "left alone", factor 1 changes nothing, and a tone curve keeps its order of brightness.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from processing.media.specs import Choice, Enhancement, ToneCurve

ALL_OR_NOTHING = frozenset({"deinterlace"})
"""Operations that have no degrees."""


def scaled(enhancement: Enhancement, factor: float) -> Enhancement:
    """Return the enhancement with each strength times `factor` (0 to 2), its reasons saying so."""
    if factor == 1.0:
        return enhancement
    if factor == 0.0:
        return replace(enhancement, choices=(), tone=(), reasons=(*enhancement.reasons, "strength 0: left alone"))
    return replace(
        enhancement,
        choices=tuple(_choice(choice, factor) for choice in enhancement.choices),
        tone=tuple(_curve(curve, factor) for curve in enhancement.tone),
        reasons=(*enhancement.reasons, f"all at {factor:g} times that strength"),
    )


def _choice(choice: Choice, factor: float) -> Choice:
    if choice.operation in ALL_OR_NOTHING:
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
