"""Which of the colour operations and of local contrast a diagnosis calls for, and why.

Invariant: a cast is taken off only where all the evidence speaks for one coloured light: enough of the picture is near
grey, none of it is neutral, the cast grows with brightness, and all runs that tell anything agree. A sunset, a stage or
a room painted in one colour fails at least one of them.
"""

from __future__ import annotations

from math import hypot
from statistics import median

from processing.media.enhancement.preset import Preset
from processing.media.enhancement.tone_choice import COLOURLESS, PALE, is_flat
from processing.media.measured import Diagnosis
from processing.media.specs import MediaProbe

LEAST_CAST, MOST_CAST = 13.0, 34.0
"""Code values from grey, at white: a smaller cast is as often the picture's own, a greater one was meant."""
LEAST_CAST_SHARE = 0.2
"""Of the picture, in every run."""
MOST_NEUTRAL_SHARE = 0.03
"""Of well exposed pixels without any colour in a run: more, and the light has none either."""
LEAST_RUNS = 2
LEAST_LIGHT_RUNS = 0.75
"""Share of the runs that tell a cast, and of those in which it grows with brightness."""
MOST_SPREAD = 5.0
"""Code values by which one run's cast may lie beside the median."""


def choose_white_balance(
    wanted: Preset, diagnosis: Diagnosis, probe: MediaProbe, asked: float | None
) -> tuple[float, str]:
    """Return the share of the measured cast that is taken off, and why."""
    cast = hypot(diagnosis.cast_u, diagnosis.cast_v)
    figure = f"colour cast {cast:.0f} of 128"
    if asked is not None:
        return asked, f"white balance {asked:g}: asked for, {figure}"
    if not wanted.white_balance:
        return 0.0, f"{figure}: not asked for, left alone"
    if probe.video.hdr != "none":
        return 0.0, f"{figure}: HDR keeps the colours of its mapping, left alone"
    if cast < LEAST_CAST:
        return 0.0, f"{figure} is small: left alone"
    if not _is_a_light(diagnosis):
        return 0.0, f"{figure}, but colours of things tell no light's: left alone"
    return (
        wanted.white_balance,
        f"{figure} in {diagnosis.cast_share:.0%} of the picture: {wanted.white_balance:.0%} off",
    )


def choose_saturation(
    wanted: Preset, diagnosis: Diagnosis, probe: MediaProbe, asked: float | None
) -> tuple[float, str]:
    """Return what is added to the factor on colours (-1 is grey), and why; `asked` is the factor itself."""
    figure = f"colourfulness {diagnosis.colourfulness:.0f} of 128"
    if asked is not None:
        return round(asked - 1.0, 4), f"saturation {asked:g}: asked for, {figure}"
    if not wanted.saturation:
        return 0.0, f"{figure}: not asked for, left alone"
    if not _is_flat(wanted, diagnosis, probe):
        return 0.0, f"{figure}, contrast is fine: left alone"
    if not COLOURLESS <= diagnosis.colourfulness < PALE:
        words = "is none to speak of" if diagnosis.colourfulness < COLOURLESS else "is fine"
        return 0.0, f"{figure} {words}: left alone"
    return wanted.saturation, f"{figure} is pale: {wanted.saturation:.0%} added"


def choose_local_contrast(
    wanted: Preset, diagnosis: Diagnosis, probe: MediaProbe, asked: float | None
) -> tuple[float, str]:
    """Return the share of middle-sized differences that is added, and why."""
    figure = f"contrast {diagnosis.contrast:.0%} of black to white"
    if asked is not None:
        return asked, f"local contrast {asked:g}: asked for, {figure}"
    if not wanted.local_contrast:
        return 0.0, f"{figure}: local contrast not asked for, left alone"
    if not _is_flat(wanted, diagnosis, probe):
        return 0.0, f"{figure} needs no local contrast: left alone"
    return wanted.local_contrast, f"{figure} is flat: local contrast raised by {wanted.local_contrast:.0%}"


def _is_flat(wanted: Preset, diagnosis: Diagnosis, probe: MediaProbe) -> bool:
    return probe.video.hdr == "none" and is_flat(wanted, diagnosis)


def _is_a_light(diagnosis: Diagnosis) -> bool:
    """Return whether one coloured light explains what all runs show."""
    told = [run for run in diagnosis.runs if run.cast_share]
    if len(told) < max(LEAST_RUNS, LEAST_LIGHT_RUNS * len(diagnosis.runs)):
        return False
    spread = max(hypot(run.cast_u - diagnosis.cast_u, run.cast_v - diagnosis.cast_v) for run in told)
    return (
        hypot(diagnosis.cast_u, diagnosis.cast_v) <= MOST_CAST
        and min(run.cast_share for run in told) >= LEAST_CAST_SHARE
        and spread <= MOST_SPREAD
        and median(run.neutral_share for run in told) <= MOST_NEUTRAL_SHARE
        and sum(run.follows_light for run in told) >= LEAST_LIGHT_RUNS * len(told)
    )
