"""What a preset is: how much of each operation is wanted, as numbers that a diagnosis is held against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Preset:
    """How much of each operation is wanted; 0 for none at all."""

    name: str
    summary: str
    denoise: float
    """Multiple of the measured noise that is removed; above 1, for codecs hide a part of it from the measurement."""
    noise_from: float
    """Deviation of luma noise, in code values of 255, from which it is removed."""
    lift: float
    """Share of the way from the measured brightness to `brightness_aim` that a dark picture is lifted."""
    low_key: float
    """Part of that share where highlights reach white already: a dark picture with bright lights may be meant so."""
    dark_below: float
    """Median between black (0) and white (1) under which a picture is dark."""
    brightness_aim: float
    sharpen: float
    """Share of detail added to the softest picture."""
    soft_below: float
    """Sharpness under which a picture is soft."""
    sharpen_coarse: float = 0.0
    """Share of detail added to a picture that its codec rounded coarsely."""
    deinterlace: bool = True
    """Whether an interlaced picture becomes a whole one."""
    denoise_method: Literal["quick", "fine"] = "quick"
    stretch: float = 0.0
    """Share of the way that a flat picture's darkest and brightest parts are moved to black and near white."""
    flat_below: float = 0.0
    """Contrast under which a picture is flat."""
    local_contrast: float = 0.0
    """Share of middle-sized differences added to a flat picture."""
    saturation: float = 0.0
    """Share of colour added to a flat picture whose colours are washed out too."""
    white_balance: float = 0.0
    """Share of a coloured light's cast that is taken off; a part of it is what the eye expects."""
