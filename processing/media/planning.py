"""The plan of a video, everything its segments need beside the source: pure, so whoever computes it gets the same one.

Invariant: every stamp of the source is a whole number of the output's ticks, and whatever of the source the result will
not carry is named by a warning.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Literal

from processing.media.clock import refuse_unwritable
from processing.media.companions import MAX_CHAPTERS, is_carried_cover
from processing.media.encoders import is_hevc_size
from processing.media.enhancement.deinterlace import LOOK_BACK_FRAMES
from processing.media.enhancement.presets import COARSE_STEP, has_deinterlacing
from processing.media.formats import RGB_MATRIX, grey_colour, has_alpha, is_grey, is_rgb, is_xyz, loses_chroma
from processing.media.measured import Diagnosis
from processing.media.parameters import NONE_GIVEN, Parameters
from processing.media.renditions import HEVC_CRF_OFFSET, deep_encoding, further_name, is_too_large
from processing.media.segments import TARGETS_SECONDS, WARMUP_FRAMES, plan_segments
from processing.media.sizes import HD_HEIGHT_PX, is_scaled, planned_size
from processing.media.specs import Colour, Encoding, Enhancement, MediaProbe, Plan, Rendition, Timeline, VideoStream
from processing.media.subtitles import STYLED_CODECS, TEXT_CODECS

LEAST_TICKS_PER_SECOND = 10_000
"""MP4 writers double a coarser time scale until it is this fine; here it is done before, so that ticks stay known."""
FAITHFUL_CRF = 17.0
"""For pictures that are only brought to a form browsers play: VMAF 95 and more; 20 misses it by one."""
COARSE_CRF = 23.0
"""For pictures that their codec rounded coarsely: 20 is half a VMAF better, and 3.4 instead of 2.4 times the source."""
BT709, GAMMA_22, UNSPECIFIED_MATRIX, BT601_MATRIX = 1, 4, 2, 6
PLAYABLE_FORMATS = frozenset({"yuv420p", "yuvj420p"})
PLAYABLE_PROFILES = frozenset({"Constrained Baseline", "Baseline", "Main", "High"})
INTERLACED_ORDERS = frozenset({"tt", "bb", "tb", "bt"})


def make_plan(
    source_digest: str,
    probe: MediaProbe,
    timeline: Timeline,
    diagnosis: Diagnosis,
    enhancement: Enhancement,
    *,
    hdr_enhancement: Enhancement | None = None,
    hdr_table: str | None = None,
    parameters: Parameters = NONE_GIVEN,
    is_damaged: bool = False,
    with_deep: bool = True,
) -> Plan:
    """Return what is done to a video, frozen: encoding, segments, and the warnings a user should see.

    `hdr_enhancement` is what is done to HDR in its own code values, `hdr_table` how it becomes what ordinary screens
    show; both are None where the source is no HDR. `is_damaged` says that the packets cannot be passed on: decoding
    met errors, or they are not in MP4's form. Without `with_deep` there is no ten-bit rendition.
    """
    encoding = choose_encoding(probe.video, parameters, hdr_table)
    encoding = replace(encoding, crf=_crf(encoding, parameters, enhancement, diagnosis))
    is_own_encoding = is_damaged or _asks_for_encoding(probe.video, parameters)
    video = "encode" if is_own_encoding else video_mode(probe, timeline, enhancement, encoding.codec)
    is_copy = video == "copy"
    refuse_unwritable(timeline, output_time_base(probe.video.time_base))
    is_deinterlaced = has_deinterlacing(enhancement)
    return Plan(
        source_digest=source_digest,
        probe=probe,
        timeline=timeline,
        diagnosis=diagnosis,
        enhancement=enhancement,
        video=video,
        encoding=encoding,
        segments=()
        if is_copy
        else plan_segments(
            timeline,
            TARGETS_SECONDS,
            warmup_frames=WARMUP_FRAMES + (LOOK_BACK_FRAMES if is_deinterlaced else 0),
        ),
        warnings=_warnings(
            probe,
            timeline,
            diagnosis,
            encoding,
            enhancement,
            is_copy=is_copy,
            is_too_small=parameters.codec == "hevc" and encoding.codec == "h264",
            is_too_large=with_deep and is_too_large(probe.video, encoding),
        ),
        further=_further(probe, timeline, diagnosis, hdr_enhancement or enhancement, encoding, is_own=is_own_encoding)
        if with_deep
        else (),
    )


def _further(
    probe: MediaProbe,
    timeline: Timeline,
    diagnosis: Diagnosis,
    enhancement: Enhancement,
    main: Encoding,
    *,
    is_own: bool,
) -> tuple[Rendition, ...]:
    """Return the ten-bit rendition, where the source holds more than eight bits or more than an ordinary screen."""
    name = further_name(probe.video, main)
    if name is None:
        return ()
    encoding = deep_encoding(main, probe.video)
    if is_own or enhancement.choices or not _is_carried_deep(probe.video) or not _is_sound(timeline):
        video: Literal["encode", "copy"] = "encode"
    else:
        video = "copy"
    warnings = _warnings(probe, timeline, diagnosis, encoding, enhancement, is_copy=video == "copy")
    return (Rendition(name=name, video=video, encoding=encoding, enhancement=enhancement, warnings=warnings),)


def _is_carried_deep(video: VideoStream) -> bool:
    """Return whether the source's packets are what the ten-bit rendition would be."""
    return video.codec == "hevc" and video.pixel_format == "yuv420p10le" and video.field_order not in INTERLACED_ORDERS


def _is_sound(timeline: Timeline) -> bool:
    """Return whether no packet is cut short, broken in its time or meant to be left out."""
    return timeline.identity == "pts" and not timeline.warnings and not timeline.discarded_from_scan


def video_mode(
    probe: MediaProbe, timeline: Timeline, enhancement: Enhancement, codec: Literal["h264", "hevc"] = "h264"
) -> Literal["encode", "copy"]:
    """Return "copy" where nothing is enhanced and players of the codec take the packets as they are, else "encode".

    Packets that are cut short, broken in their times or meant to be left out are not passed on.
    """
    video = probe.video
    is_playable = (
        video.codec == codec
        and video.pixel_format in PLAYABLE_FORMATS
        and video.profile in PLAYABLE_PROFILES
        and video.hdr == "none"
        and video.field_order not in INTERLACED_ORDERS
    )
    return "copy" if is_playable and _is_sound(timeline) and not enhancement.choices else "encode"


def choose_encoding(video: VideoStream, parameters: Parameters = NONE_GIVEN, hdr_table: str | None = None) -> Encoding:
    """Return how pictures are written: even sizes, the source's aspect, rotation and colour, ticks fine enough.

    Codec, a limit of height and a cap of the bitrate are as a person asked for; pictures too small for x265 are H.264.
    """
    width, height = planned_size(video, parameters.max_height_px)
    is_hevc = parameters.codec == "hevc" and is_hevc_size(width, height)
    return Encoding(
        codec="hevc" if is_hevc else "h264",
        width_px=width,
        height_px=height,
        max_bitrate_kbps=parameters.max_bitrate_kbps,
        sample_aspect=video.sample_aspect,
        rotation_degrees=video.rotation_degrees,
        colour=_as_guessed(output_colour(video), video.height_px, height),
        hdr_table=hdr_table,
        time_base=output_time_base(video.time_base),
    )


def _asks_for_encoding(video: VideoStream, parameters: Parameters) -> bool:
    """Return whether the source's own packets cannot be what a person asked for."""
    asked = (parameters.crf, parameters.max_bitrate_kbps)
    return any(value is not None for value in asked) or is_scaled(video, parameters.max_height_px)


def _crf(encoding: Encoding, parameters: Parameters, enhancement: Enhancement, diagnosis: Diagnosis) -> float:
    """Return the quality that a person asked for, else the one that suits what is done and what it is done to."""
    if parameters.crf is not None:
        return parameters.crf
    crf = encoding.crf
    if not enhancement.choices:
        crf = FAITHFUL_CRF
    elif diagnosis.quantiser_step >= COARSE_STEP:
        crf = COARSE_CRF
    return crf + (HEVC_CRF_OFFSET if encoding.codec == "hevc" else 0.0)


def output_colour(video: VideoStream) -> Colour:
    """Return the colour description of the result: the source's, BT.709 for HDR and XYZ, with a YUV matrix for RGB.

    Grey pictures keep their code values, which are of full range where nothing else is said.
    """
    if video.hdr != "none":
        return Colour(range="limited", primaries=BT709, transfer=BT709, matrix=BT709)
    if is_xyz(video.pixel_format):
        return Colour(range="limited", primaries=BT709, transfer=GAMMA_22, matrix=BT709)
    colour = video.colour
    if is_grey(video.pixel_format):
        return grey_colour(colour, BT709)
    if colour.matrix == RGB_MATRIX or is_rgb(video.pixel_format):
        return Colour(range="limited", primaries=colour.primaries, transfer=colour.transfer, matrix=BT709)
    return colour


def _as_guessed(colour: Colour, before_px: int, after_px: int) -> Colour:
    """Return a colour description with the matrix that players guess for the source, where they would guess another
    for pictures of the result's height."""
    if colour.matrix != UNSPECIFIED_MATRIX or (before_px >= HD_HEIGHT_PX) == (after_px >= HD_HEIGHT_PX):
        return colour
    return replace(colour, matrix=BT709 if before_px >= HD_HEIGHT_PX else BT601_MATRIX)


def output_time_base(time_base: Fraction) -> Fraction:
    """Return 1/n such that every stamp in ticks of `time_base` is a whole number of its ticks.

    >>> output_time_base(Fraction(1001, 30000)), output_time_base(Fraction(1, 1000))
    (Fraction(1, 30000), Fraction(1, 16000))
    """
    ticks_per_second = time_base.denominator
    while ticks_per_second < LEAST_TICKS_PER_SECOND:
        ticks_per_second *= 2
    return Fraction(1, ticks_per_second)


def _warnings(
    probe: MediaProbe,
    timeline: Timeline,
    diagnosis: Diagnosis,
    encoding: Encoding,
    enhancement: Enhancement,
    *,
    is_copy: bool,
    is_too_small: bool = False,
    is_too_large: bool = False,
) -> tuple[str, ...]:
    video = probe.video
    subtitles = [stream for stream in probe.other if stream.kind == "subtitle"]
    found = {
        "hevc_too_small": is_too_small,
        "deep_too_large": is_too_large,
        "hdr_tone_mapped": video.hdr != "none" and not is_copy and encoding.colour.transfer != video.colour.transfer,
        "dolby_vision_dropped": video.has_dolby_vision and not is_copy,
        "bit_depth_reduced": video.bit_depth > encoding.bit_depth and not is_copy,
        "chroma_reduced": not is_copy and loses_chroma(video.pixel_format),
        "alpha_dropped": not is_copy and (has_alpha(video.pixel_format) or video.has_alpha_beside),
        "size_padded": not is_copy and (encoding.width_px > video.width_px or encoding.height_px > video.height_px),
        "enhancement_stepped_down": bool(enhancement.stepped_down),
        "interlaced_kept": diagnosis.is_interlaced and not has_deinterlacing(enhancement),
        "cover_art_dropped": any(stream.is_cover_art and not is_carried_cover(stream) for stream in probe.other),
        "subtitles_dropped": any(stream.codec not in TEXT_CODECS for stream in subtitles),
        "chapters_dropped": len(probe.chapters) >= MAX_CHAPTERS,
        "captions_dropped": video.has_captions and not is_copy,
        "subtitle_styles_dropped": any(stream.codec in STYLED_CODECS for stream in subtitles),
        "further_video_dropped": any(stream.kind == "video" and not stream.is_cover_art for stream in probe.other),
        "data_dropped": any(stream.kind in {"data", "attachment", "unknown"} for stream in probe.other),
    }
    return (*timeline.warnings, *(code for code, holds in found.items() if holds))
