"""From measurement to operation: the presets, and the one table that chooses operations, strengths and reasons.

Invariant: a preset says how much is wanted, the diagnosis how much is needed, what a person asked for overrides both,
and each thing looked at gets one reason, those left alone too. Nothing chosen means "left alone", which is a success.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from processing.media.enhancement.colour_choice import (
    choose_local_contrast,
    choose_saturation,
    choose_white_balance,
)
from processing.media.enhancement.preset import Preset
from processing.media.enhancement.strength import scaled
from processing.media.enhancement.tone_choice import choose_tone
from processing.media.measured import Diagnosis
from processing.media.parameters import NONE_GIVEN, Parameters
from processing.media.sizes import is_scaled, planned_size
from processing.media.specs import Choice, Enhancement, MediaProbe

COARSE_STEP = 36.0
"""Of a codec's quantiser, in code values, from which a picture is coarsely coded; x264 passes it from CRF 29 on."""
SMOOTHED = frozenset({"h264"})
"""Codecs that smooth the edges of their blocks. Sharpening would raise those of the others."""

AUTO = Preset(
    name="auto",
    summary="Measure, and do what is needed",
    denoise=1.05,
    noise_from=1.2,
    lift=0.85,
    low_key=0.25,
    dark_below=0.28,
    brightness_aim=0.42,
    sharpen=1.4,
    soft_below=0.4,
    sharpen_coarse=0.5,
    stretch=0.75,
    flat_below=0.5,
    local_contrast=0.3,
    saturation=0.2,
    white_balance=0.6,
)

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            AUTO,
            Preset(
                name="gentle",
                summary="Like auto, with a lighter hand",
                denoise=0.85,
                noise_from=1.8,
                lift=0.45,
                low_key=0.15,
                dark_below=0.22,
                brightness_aim=0.4,
                sharpen=0.8,
                soft_below=0.25,
                sharpen_coarse=0.3,
                stretch=0.4,
                flat_below=0.42,
                local_contrast=0.15,
                saturation=0.1,
                white_balance=0.4,
            ),
            Preset(
                name="low-light",
                summary="For evenings and rooms: more light, less noise",
                denoise=1.3,
                noise_from=0.8,
                lift=1.0,
                low_key=0.6,
                dark_below=0.42,
                brightness_aim=0.46,
                sharpen=1.0,
                soft_below=0.35,
                sharpen_coarse=0.3,
                stretch=0.75,
                flat_below=0.5,
                local_contrast=0.25,
                saturation=0.2,
                white_balance=0.6,
            ),
            Preset(
                name="denoise",
                summary="Remove noise and nothing else",
                denoise=1.3,
                noise_from=0.5,
                lift=0.0,
                low_key=0.0,
                dark_below=0.0,
                brightness_aim=0.0,
                sharpen=0.0,
                soft_below=0.0,
                deinterlace=False,
            ),
            replace(
                AUTO,
                name="fine",
                summary="Like auto, with a slow and thorough denoise",
                noise_from=0.8,
                denoise_method="fine",
            ),
            Preset(
                name="restore",
                summary="For old recordings: whole pictures from fields, less noise, crisper edges",
                denoise=1.3,
                noise_from=0.7,
                lift=0.6,
                low_key=0.25,
                dark_below=0.28,
                brightness_aim=0.42,
                sharpen=1.4,
                soft_below=0.5,
                sharpen_coarse=0.6,
                stretch=0.8,
                flat_below=0.6,
                local_contrast=0.3,
                saturation=0.25,
                white_balance=0.75,
            ),
        )
    }
)


def choose(preset: str, diagnosis: Diagnosis, probe: MediaProbe, parameters: Parameters = NONE_GIVEN) -> Enhancement:
    """Return what to do about a video so diagnosed; KeyError when `preset` is none of PRESETS."""
    is_limited = is_scaled(probe.video, parameters.max_height_px)
    wanted = _overridden(PRESETS[preset], parameters, is_limited)
    denoise, noise_reason = _denoise(wanted, diagnosis, parameters.denoise)
    balance, balance_reason = choose_white_balance(wanted, diagnosis, probe, parameters.white_balance)
    saturation, saturation_reason = choose_saturation(wanted, diagnosis, probe, parameters.saturation)
    tone = choose_tone(wanted, diagnosis, probe, parameters.lift)
    contrast, contrast_reason = choose_local_contrast(wanted, diagnosis, probe, parameters.local_contrast)
    sharpen, sharpness_reason = _sharpen(wanted, diagnosis, probe, parameters.sharpen)
    deinterlace, interlacing_reason = _deinterlace(wanted, diagnosis, parameters.deinterlace)
    choices = (
        Choice(operation="deinterlace", strength=deinterlace, reason=interlacing_reason),
        Choice(operation="denoise", strength=denoise, reason=noise_reason, method=wanted.denoise_method),
        Choice(operation="white_balance", strength=balance, reason=balance_reason),
        Choice(operation="saturation", strength=saturation, reason=saturation_reason),
        Choice(operation="tone", strength=tone.strength, reason=tone.reason),
        Choice(operation="local_contrast", strength=contrast, reason=contrast_reason),
        Choice(operation="sharpen", strength=sharpen, reason=sharpness_reason),
    )
    enhancement = Enhancement(
        preset=wanted.name,
        choices=tuple(choice for choice in choices if choice.strength != 0.0),
        reasons=(
            interlacing_reason,
            noise_reason,
            tone.reason,
            sharpness_reason,
            balance_reason,
            saturation_reason,
            contrast_reason,
            *_output_reasons(probe, parameters),
        ),
        noise_sigma_luma=diagnosis.noise_sigma_luma,
        noise_sigma_chroma=diagnosis.noise_sigma_chroma,
        tone=tone.curves,
        cast_u=diagnosis.cast_u,
        cast_v=diagnosis.cast_v,
        first_field=diagnosis.first_field,
    )
    if parameters.strength is None:
        return enhancement
    # Whatever the strength: scaling would mix the fields.
    kept = parameters.decided | {"deinterlace"} if is_limited else parameters.decided
    return scaled(enhancement, parameters.strength, kept)


def _overridden(preset: Preset, parameters: Parameters, is_limited: bool) -> Preset:
    """Return the preset as it is where a person decides.

    A lift that is asked for needs no dark picture, and scaling needs whole ones: it would mix the fields.
    """
    if parameters.lift is not None:
        aim = preset.brightness_aim or AUTO.brightness_aim
        preset = replace(preset, lift=parameters.lift, low_key=1.0, dark_below=aim, brightness_aim=aim)
    if parameters.deinterlace is not None:
        return replace(preset, deinterlace=parameters.deinterlace)
    return replace(preset, deinterlace=True) if is_limited else preset


def _output_reasons(probe: MediaProbe, parameters: Parameters) -> tuple[str, ...]:
    """Return a sentence for each thing asked for that concerns the result's form."""
    video, reasons = probe.video, []
    if parameters.max_height_px is not None:
        width, height = planned_size(video, parameters.max_height_px)
        form = f"height at most {parameters.max_height_px}: asked for"
        is_limited = is_scaled(video, parameters.max_height_px)
        change = f"{video.width_px}x{video.height_px} to {width}x{height}" if is_limited else "not reached"
        reasons.append(f"{form}, {change}")
    if parameters.codec is not None:
        reasons.append(f"codec {parameters.codec}: asked for")
    if parameters.crf is not None:
        reasons.append(f"quality at CRF {parameters.crf:g}: asked for")
    if parameters.max_bitrate_kbps is not None:
        reasons.append(f"bitrate at most {parameters.max_bitrate_kbps} kbit/s: asked for")
    return tuple(reasons)


def has_deinterlacing(enhancement: Enhancement) -> bool:
    """Return whether fields become whole pictures."""
    return any(choice.operation == "deinterlace" for choice in enhancement.choices)


def _denoise(wanted: Preset, diagnosis: Diagnosis, asked: float | None) -> tuple[float, str]:
    sigma = diagnosis.noise_sigma_luma
    if asked is not None:
        return asked, f"denoise {asked:g}: asked for, noise {sigma:.1f} of 255"
    # Chroma noise is seen as blotches of colour; it alone may be the reason.
    if max(sigma, diagnosis.noise_sigma_chroma) < wanted.noise_from:
        return 0.0, f"noise {sigma:.1f} of 255 is hardly seen: left alone"
    return wanted.denoise, f"noise {sigma:.1f} of 255: denoise at {wanted.denoise:.3g}"


def _sharpen(wanted: Preset, diagnosis: Diagnosis, probe: MediaProbe, asked: float | None) -> tuple[float, str]:
    sharpness, step = diagnosis.sharpness, diagnosis.quantiser_step
    figure = f"sharpness {sharpness:.2f} of 1"
    if asked is not None:
        return asked, f"sharpen {asked:g}: asked for, {figure}"
    if not wanted.sharpen:
        return 0.0, f"{figure}: not asked for, left alone"
    if diagnosis.is_interlaced and not wanted.deinterlace:
        return 0.0, f"{figure}, interlaced: sharpening would raise the combing, left alone"
    if sharpness < wanted.soft_below:
        strength = round(wanted.sharpen * (0.4 + 0.6 * (1.0 - sharpness / wanted.soft_below)), 2)
        return strength, f"{figure} is soft: sharpen at {strength:.2g}"
    if step >= COARSE_STEP and wanted.sharpen_coarse and probe.video.codec in SMOOTHED:
        coded = f"coarsely coded (rounded in steps of {step:.0f})"
        return wanted.sharpen_coarse, f"{figure}, {coded}: sharpen at {wanted.sharpen_coarse:.2g}"
    return 0.0, f"{figure} is fine: left alone"


def _deinterlace(wanted: Preset, diagnosis: Diagnosis, asked: bool | None) -> tuple[float, str]:
    if asked is not None and asked != diagnosis.is_interlaced:
        return float(asked), f"deinterlace {str(asked).lower()}: asked for"
    if not diagnosis.is_interlaced:
        return 0.0, "progressive: left alone"
    figure = f"interlaced (combing in {diagnosis.combing:.1%} of the picture), {diagnosis.first_field} field first"
    if not wanted.deinterlace:
        return 0.0, f"{figure}: not asked for, fields are kept"
    return 1.0, f"{figure}: deinterlaced"
