"""The frozen specs of a diagnosis: what was measured on a few runs of frames, each figure with its unit.

Invariant: figures are rounded where they were made, so that equal files give equal plans on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class RunMeasure:
    """What one run of consecutive frames showed. Luma in 8-bit code values of the source's range, chroma less 128.

    Bars above, below and beside the picture are left out of all but `scene`.
    """

    pts: int
    """Of its first frame, in ticks of the source's clock; 0 where that frame has none."""
    scene: int
    """0 for the first run; one more where the picture is another than that of the run before."""
    black_luma: float
    median_luma: float
    white_luma: float
    """1st, 50th and 99th percentile."""
    cast_u: float = 0.0
    cast_v: float = 0.0
    """Chroma of white, as near-grey, well exposed pixels tell it."""
    cast_share: float = 0.0
    """Share of the picture that those are; 0 where too few tell anything."""
    neutral_share: float = 0.0
    """Share of the well exposed pixels that have no colour at all, which a coloured light would leave none of."""
    follows_light: bool = False
    """Whether the cast grows from dark to bright pixels, as the tint of a light does; that of a surface need not."""


@dataclass(frozen=True, kw_only=True)
class Bars:
    """Black rows and columns around the picture, in pixels as they are coded."""

    top_px: int = 0
    bottom_px: int = 0
    left_px: int = 0
    right_px: int = 0


@dataclass(frozen=True, kw_only=True)
class ExposureMark:
    """How a video is exposed from a frame on. Luma in code values."""

    pts: int
    median_luma: float
    brightest_luma: float
    """The greatest median of the frames that tell it."""
    black_luma: float
    white_luma: float
    """1st and 99th percentile."""
    is_blended: bool = False
    """Whether exposure goes from the mark before to this one by and by; else it changes here, at a cut."""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What was measured on a few keyframe runs. Luma in 8-bit code values of the source's range, chroma less 128."""

    frames_sampled: int
    noise_sigma_luma: float
    noise_sigma_chroma: float
    mean_luma: float
    black_luma: float
    """1st percentile."""
    white_luma: float
    """99th percentile."""
    contrast: float
    """From black_luma to white_luma, as a share of the range from black to white."""
    sharpness: float
    """How steep the steepest edges are: 1 within one pixel, 0 over three or more; what noise adds is taken off."""
    is_interlaced: bool
    combing: float = 0.0
    """Share of the picture whose lines stand out from both neighbours, beyond what its columns do."""
    first_field: Literal["top", "bottom"] = "top"
    """Which field of an interlaced picture is the earlier one."""
    field_evidence: float = 0.0
    """How plainly the pictures tell it: 0 not at all, towards 1 surely; below 0.02 the flag was taken."""
    histogram: tuple[float, ...] = ()
    """Shares of the luma of all runs in 32 steps of 8 code values."""
    cast_u: float = 0.0
    cast_v: float = 0.0
    """Median of the runs' casts, at white: above 0, U is too blue and V too red."""
    cast_share: float = 0.0
    """Median share of the picture that told it."""
    colourfulness: float = 0.0
    """95th percentile of how far well exposed chroma lies from grey; 0 is a grey picture."""
    blocking: float = 0.0
    """By how much steps of luma across the edges of 8x8 blocks are greater than those inside, as a share: 0 if not."""
    quantiser_step: float = 0.0
    """To which the source's codec rounded luma, in code values of an orthonormal transform; 0 where it is not told."""
    flicker: float = 0.0
    """How far the mean luma of a frame lies from the mean of its neighbours'; median over the runs, without cuts."""
    exposure_drift: float = 0.0
    """Greatest difference of median luma between neighbouring runs of one scene."""
    scene_changes: int = 0
    """How often the picture was another than the one looked at before it, by a cut or by a camera that went on."""
    bars: Bars = field(default_factory=Bars)
    runs: tuple[RunMeasure, ...] = ()
    """In order of time."""
    exposure: tuple[ExposureMark, ...] = ()
    """Where it changes in a dark video and all changes could be found; else nothing."""
