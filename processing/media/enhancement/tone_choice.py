"""Which tone curve a diagnosis calls for: light for dark pictures, range for flat ones, nothing for the rest.

Invariant: one curve's limits come from all that it will be applied to: no run's median is lifted beyond
BRIGHTEST_AFTER_LIFT, black is drawn no deeper than the darkest run's own, and white stays white.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

import numpy as np

from processing.media.enhancement.planes import luma_bounds
from processing.media.enhancement.preset import Preset
from processing.media.enhancement.tone import KNEE, MOST_GAIN, Curve, brightened, lift_for, tone_table
from processing.media.measured import Diagnosis, ExposureMark, RunMeasure
from processing.media.specs import MediaProbe, ToneCurve

BLACK_LEVEL = 0.03
"""A median below it is a black picture, not a dark one: there is nothing to lift but noise."""
BRIGHTEST_AFTER_LIFT = 0.6
"""No run's median is lifted beyond, so that a film's bright scenes do not pay for its dark ones."""
LEAST_LIFT = 0.1
"""A smaller gain in brightness, as a share of what it was, is not seen."""
LEAST_ASKED_LIFT = 0.01
"""Below it a table would change nothing but a rounding here and there, even if asked for."""
HEADROOM = 0.4
"""Range above the highlights that tells an underexposed picture from one with bright lights in the dark."""
WHITE_AIM = 0.85
"""Where the brightest hundredth of a dark picture is raised to, so that it does not turn grey when lifted."""
UNLIT_WHITE_AIM = 0.92
"""The same for a picture that has no highlights at all, as light from everywhere, but too little of it, makes."""
UNLIT_BELOW = 0.45
"""Of the range, below which the brightest hundredth is no highlight."""
MOST_KNEE = 0.85
"""Where the shoulder begins at the latest: what is brighter still, a lamp, keeps its differences."""
EVEN_CONTRAST = 0.2
"""Contrast below which a picture is a wall or fog: there is nothing to stretch but noise."""
FAINT_CONTRAST = 0.4
"""Contrast below which only pale colours tell a washed-out picture from an even one, such as a road or the sky."""
COLOURLESS, PALE = 4.0, 24.0
"""Colourfulness between which colours are there, and washed out."""
VIVID = 48.0
"""Colourfulness from which nothing is washed out, whatever its contrast."""
MILKY = 0.03
"""A darkest hundredth below it is black already."""
MOST_TOE = 0.2
"""Of the range from black to white that is drawn to black at most."""
TOE_OF_DARKEST = 0.9
"""Of the darkest hundredth, so that it keeps its own differences."""
MOST_STRETCH_GAIN = 1.5
MIXED_PART = 0.7
"""Part of the lift that dark parts get where others are bright."""
BRIGHTEST_UNSEEN = 0.85
"""Where the brightest run's median may come to lie under a dark part's curve, for bright moments that nobody saw."""
LEAST_PART = 0.05
LEAST_DIFFERENCE = 8
"""Code values by which curves must differ somewhere, or one does for all."""
LEAST_STRETCH = 0.03


@dataclass(frozen=True, kw_only=True)
class ToneChoice:
    """The tone operation's strength (how much the median or the range grows), its curves and why."""

    strength: float
    curves: tuple[ToneCurve, ...]
    reason: str


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """How pictures that share a curve are exposed, each figure between black (0) and white (1)."""

    level: float
    """Median of the runs' medians."""
    brightest: float
    """The greatest of them."""
    darkest: float
    """Least 1st percentile of a run."""
    highlight: float
    """99th percentile of all, no less than `brightest`."""


def choose_tone(wanted: Preset, diagnosis: Diagnosis, probe: MediaProbe, asked: float | None) -> ToneChoice:
    """Return the curve for a video so diagnosed; `asked` is the lift a person wants, None where it is the preset's."""
    if probe.video.hdr != "none":
        return _alone("exposure of HDR is the tone mapping's matter: left alone")
    if not diagnosis.runs:
        return _alone("exposure was not measured: left alone")
    seen = exposure_of(diagnosis.runs, diagnosis.white_luma, probe.video.colour.range)
    figure = f"brightness {seen.level:.0%} of white"
    if asked is not None:
        figure = f"lift {asked:g}: asked for, {figure}"
    if not wanted.lift and (not wanted.stretch or asked is not None):
        return _alone(f"{figure}: not asked for, left alone" if asked is None else figure)
    if seen.level < BLACK_LEVEL:
        return _alone(f"{figure} is black, not dark: left alone")
    if wanted.lift and (seen.level < wanted.dark_below or _is_unlit(wanted, seen, diagnosis)):
        if diagnosis.exposure and (followed := _followed(wanted, seen, diagnosis.exposure, probe)) is not None:
            return followed
        return _lifted(wanted, seen, probe, figure, LEAST_LIFT if asked is None else LEAST_ASKED_LIFT)
    if asked is None and is_flat(wanted, diagnosis):
        return _stretched(wanted, seen, diagnosis.contrast, probe)
    return _alone(f"{figure} is fine: left alone")


def _is_unlit(wanted: Preset, seen: Exposure, diagnosis: Diagnosis) -> bool:
    """Return whether nothing in a picture is bright, though it is neither bright in the middle nor even."""
    is_low = seen.highlight < UNLIT_BELOW and seen.level < wanted.brightness_aim
    return is_low and seen.darkest < MILKY and diagnosis.contrast >= EVEN_CONTRAST


def is_flat(wanted: Preset, diagnosis: Diagnosis) -> bool:
    """Return whether a picture has lost its range, by the preset's measure, and is not just one of little range."""
    if EVEN_CONTRAST <= diagnosis.contrast < FAINT_CONTRAST:
        return diagnosis.contrast < wanted.flat_below and COLOURLESS <= diagnosis.colourfulness < PALE
    return FAINT_CONTRAST <= diagnosis.contrast < wanted.flat_below and diagnosis.colourfulness < VIVID


def exposure_of(runs: tuple[RunMeasure, ...], white_luma: float, colour_range: str) -> Exposure:
    """Return what runs share; `white_luma` is the 99th percentile of all their luma, in code values."""
    black, white = luma_bounds(colour_range)
    span = white - black
    levels = [(run.median_luma - black) / span for run in runs]
    return Exposure(
        level=median(levels),
        brightest=max(levels),
        darkest=max(min((run.black_luma - black) / span for run in runs), 0.0),
        highlight=max((white_luma - black) / span, *levels),
    )


def lifting_curve(wanted: Preset, seen: Exposure, part: float = 1.0) -> Curve:
    """Return the curve that lifts dark pictures a `part` of the preset's way, and draws what was black to black."""
    unused = min(max((1.0 - seen.highlight) / HEADROOM, 0.0), 1.0)
    share = part * wanted.lift * (wanted.low_key + (1.0 - wanted.low_key) * unused)
    target = seen.level + share * (wanted.brightness_aim - seen.level)
    toe = _toe(wanted.stretch, seen)
    level, highlight, brightest = _after_toe(toe, seen)
    # Beside brighter parts, a part without highlights may be meant so.
    unlit = unused if part == 1.0 else 0.0
    white = WHITE_AIM + (UNLIT_WHITE_AIM - WHITE_AIM) * unlit
    # What has no highlights lacks light as a whole, and a gain alone gives that back: night stays darker than day.
    needed = max(target / level, 1.0 + share * unlit * (white / highlight - 1.0))
    gain = max(1.0, min(white / highlight, BRIGHTEST_AFTER_LIFT / brightest, needed, MOST_GAIN))
    lift = min(lift_for(level, target, gain), lift_for(brightest, BRIGHTEST_AFTER_LIFT, gain))
    # Bent below the highlights, the curve would take from a picture's brighter half the contrast it gives.
    knee = KNEE + unlit * max(min(gain * highlight, MOST_KNEE) - KNEE, 0.0)
    return Curve(gain=gain, lift=lift, toe=toe, knee=knee)


def _followed(wanted: Preset, seen: Exposure, marks: tuple[ExposureMark, ...], probe: MediaProbe) -> ToneChoice | None:
    """Return a curve for each mark of a video whose exposure changes, None where they hardly differ.

    Dark parts are lifted less than in a video that is dark throughout, for beside bright ones they may be meant so.
    The lift fades out towards the brightness aimed at, so that a picture that grows brighter never turns darker.
    """
    colour_range = probe.video.colour.range
    curves, gains = [], []
    for mark in marks:
        own = _exposure_at(mark, colour_range)
        fade = (wanted.brightness_aim - own.level) / max(wanted.brightness_aim - wanted.dark_below, 1e-3)
        part = MIXED_PART * min(max(fade, 0.0), 1.0)
        is_lifted = part > 0.0 and own.level >= BLACK_LEVEL
        curve = lifting_curve(wanted, own, part) if is_lifted else Curve()
        while at(curve, seen.brightest) > BRIGHTEST_UNSEEN and part > LEAST_PART:
            part *= 0.9
            curve = lifting_curve(wanted, own, part)
        curves.append(ToneCurve(pts=mark.pts, table=tone_table(curve, colour_range), is_blended=mark.is_blended))
        if is_lifted:
            gains.append(at(curve, own.level) / own.level - 1.0)
    tables = np.array([curve.table for curve in curves])
    if int((tables.max(axis=0) - tables.min(axis=0)).max()) < LEAST_DIFFERENCE or max(gains, default=0.0) < LEAST_LIFT:
        return None
    figure = f"brightness {seen.level:.0%} of white, up to {seen.brightest:.0%} in places"
    return ToneChoice(
        strength=round(max(gains), 2),
        curves=tuple(curves),
        reason=f"{figure}: dark parts lifted by up to {max(gains):.0%}, bright ones kept, in {len(curves)} curves",
    )


def _exposure_at(mark: ExposureMark, colour_range: str) -> Exposure:
    black, white = luma_bounds(colour_range)
    level, brightest, darkest, highlight = (
        (luma - black) / (white - black)
        for luma in (mark.median_luma, mark.brightest_luma, mark.black_luma, mark.white_luma)
    )
    brightest = max(brightest, level, 1e-3)
    return Exposure(level=level, brightest=brightest, darkest=max(darkest, 0.0), highlight=max(highlight, brightest))


def _lifted(wanted: Preset, seen: Exposure, probe: MediaProbe, figure: str, least: float) -> ToneChoice:
    curve = lifting_curve(wanted, seen)
    after = at(curve, seen.level)
    brighter = after / seen.level - 1.0
    if brighter < least:
        return _alone(f"{figure} with scenes up to {seen.brightest:.0%}: left alone")
    return ToneChoice(
        strength=round(brighter, 2),
        curves=(ToneCurve(pts=0, table=tone_table(curve, probe.video.colour.range)),),
        reason=f"{figure} is dark: lifted to {after:.0%}, highlights kept",
    )


def _stretched(wanted: Preset, seen: Exposure, contrast: float, probe: MediaProbe) -> ToneChoice:
    """Return the curve that gives a flat picture its range back; its median stays about where it was."""
    toe = _toe(wanted.stretch, seen)
    level, highlight, _ = _after_toe(toe, seen)
    gain = min(1.0 + wanted.stretch * max(WHITE_AIM / highlight - 1.0, 0.0), MOST_STRETCH_GAIN)
    curve = Curve(gain=gain, lift=lift_for(level, seen.level, gain), toe=toe)
    grown = at(curve, seen.highlight) - at(curve, seen.darkest)
    figure = f"contrast {contrast:.0%} of black to white"
    if grown - contrast < LEAST_STRETCH:
        return _alone(f"{figure} cannot be stretched without harm: left alone")
    return ToneChoice(
        strength=round(grown / contrast - 1.0, 2),
        curves=(ToneCurve(pts=0, table=tone_table(curve, probe.video.colour.range)),),
        reason=f"{figure} is flat: stretched to {grown:.0%}",
    )


def at(curve: Curve, level: float) -> float:
    """Return what a level becomes."""
    return float(brightened(np.array(level), curve))


def _toe(stretch: float, seen: Exposure) -> float:
    return min(stretch * TOE_OF_DARKEST * seen.darkest, MOST_TOE) if seen.darkest >= MILKY else 0.0


def _after_toe(toe: float, seen: Exposure) -> tuple[float, float, float]:
    levels = brightened(np.array([seen.level, seen.highlight, seen.brightest]), Curve(toe=toe))
    level, highlight, brightest = (max(float(value), 1e-3) for value in levels)
    return level, highlight, brightest


def _alone(reason: str) -> ToneChoice:
    return ToneChoice(strength=0.0, curves=(), reason=reason)
