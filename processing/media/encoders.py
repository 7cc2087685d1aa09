"""What x264 and x265 are told, so that segments encoded apart share their headers and repeat byte for byte.

Invariant: one thread, closed GOPs, no word on versions or dates; what is written depends on the encoding, the frame
rate and the pictures alone. Only this module knows an encoder's options by name.
"""

from __future__ import annotations

from fractions import Fraction

from av.video.codeccontext import VideoCodecContext

from processing.media.specs import Encoding, LightLevel, MasteringDisplay

KEYFRAME_SECONDS = 4
"""At the latest; every two seconds costs a tenth of the size, every four half of that."""
MAX_ASPECT = 65_535
RANGES = {"unspecified": 0, "limited": 1, "full": 2}
HEVC_TAG = "hvc1"
"""Says that parameter sets stand in the header alone; some players refuse the other form."""
LARGE_PX = 2560 * 1600
"""Pictures of more are encoded with less memory."""
LEAST_HEVC_SIDE_PX = 16
"""x265 refuses smaller pictures."""
NARROW_SIDE_PX, MOST_NARROW_SIDE_PX, MOST_NARROW_KBPS = 32, 4096, 50_000
"""Below 32 pixels x265 has blocks of 16, with which HEVC allows level 4.1 at most, whose bounds these are: with the
longest side, 1000 frames a second are still allowed."""
LEAST_CUTREE_WIDTH_PX = 64
"""x265's cutree writes beyond its memory where a picture is narrower than 58 pixels."""


def is_hevc_size(width_px: int, height_px: int) -> bool:
    """Return whether x265 takes pictures of this size."""
    least, most = sorted((width_px, height_px))
    return least >= NARROW_SIDE_PX or (least >= LEAST_HEVC_SIDE_PX and most <= MOST_NARROW_SIDE_PX)


def encoder_name(encoding: Encoding) -> str:
    """Return FFmpeg's name for the encoder."""
    return {"h264": "libx264", "hevc": "libx265"}[encoding.codec]


def pixel_format(encoding: Encoding) -> str:
    """Return FFmpeg's name for 4:2:0 planes of the encoding's depth; ten bits lie in the low bits of sixteen."""
    return "yuv420p" if encoding.bit_depth == 8 else "yuv420p10le"


def encoder_options(encoding: Encoding, frame_rate: Fraction) -> dict[str, str]:
    """Return the options of the encoder, FFmpeg's and the library's own."""
    keyint = min(max(round(frame_rate * KEYFRAME_SECONDS), 2), 250)
    common = {"crf": str(encoding.crf), "flags": "+bitexact+cgop"}
    if encoding.codec == "hevc":
        return {**common, "preset": encoding.x265_preset, "x265-params": _x265(encoding, keyint)}
    return {**common, "preset": encoding.x264_preset, "x264-params": _x264(encoding, keyint)}


def prepare_context(context: VideoCodecContext, encoding: Encoding) -> None:
    """Set size, format, aspect, colour and ticks of an encoder before it opens."""
    context.width, context.height, context.pix_fmt = encoding.width_px, encoding.height_px, pixel_format(encoding)
    context.time_base = encoding.time_base
    context.thread_count = 1
    context.sample_aspect_ratio = written_aspect(encoding.sample_aspect)
    if encoding.codec == "hevc":
        context.codec_tag = HEVC_TAG
    colour = encoding.colour
    context.color_range = RANGES[colour.range]
    context.color_primaries = colour.primaries
    context.color_trc = colour.transfer
    context.colorspace = colour.matrix


def written_aspect(aspect: Fraction) -> Fraction:
    """Return the sample aspect as H.264 and HEVC can say it: both numbers in 16 bits."""
    if max(aspect.numerator, aspect.denominator) <= MAX_ASPECT:
        return aspect
    if aspect > 1:
        return 1 / (1 / aspect).limit_denominator(MAX_ASPECT)
    return aspect.limit_denominator(MAX_ASPECT)


def _rate_cap(encoding: Encoding) -> list[str]:
    """Return the cap of the rate as both libraries name it: a buffer of one second, half full at a segment's start.

    Segments are encoded apart, so each may bring half a second's worth more than its share, not a whole buffer.
    """
    cap = encoding.max_bitrate_kbps
    if cap is None:
        return []
    if encoding.codec == "hevc" and min(encoding.width_px, encoding.height_px) < NARROW_SIDE_PX:
        cap = min(cap, MOST_NARROW_KBPS)
    return [f"vbv-maxrate={cap}", f"vbv-bufsize={cap}", "vbv-init=0.5"]


def _x264(encoding: Encoding, keyint: int) -> str:
    # stitchable: headers independent of the content. The aspect goes to x264 itself: FFmpeg's wrapper rounds it to 12
    # bits.
    aspect = written_aspect(encoding.sample_aspect)
    parameters = [
        *("cpu-independent=1", "stitchable=1", f"keyint={keyint}"),
        f"sar={aspect.numerator}\\:{aspect.denominator}",
    ]
    if encoding.width_px * encoding.height_px > LARGE_PX:
        # One reference less to hold, each with its interpolated planes: 83 of 540 MiB at 2160p for 3 % of size.
        parameters.append("b-pyramid=none")
    return ":".join(parameters + _rate_cap(encoding))


def _x265(encoding: Encoding, keyint: int) -> str:
    # x265's bytes are the same in C, SSE4 and AVX2; its headers never depend on the content.
    parameters = ["log-level=none", "pools=none", "frame-threads=1", "wpp=0", "info=0", f"keyint={keyint}"]
    if encoding.width_px < LEAST_CUTREE_WIDTH_PX:
        parameters.append("cutree=0")
    if encoding.width_px * encoding.height_px > LARGE_PX:
        # Fewer pictures held: a fifth of the memory at 2160p, and no larger files.
        parameters += ["rc-lookahead=5", "b-pyramid=0"]
    if encoding.mastering_display is not None:
        parameters.append(f"master-display={_mastering_display(encoding.mastering_display)}")
    if encoding.light_level is not None:
        parameters.append(f"max-cll={_light_level(encoding.light_level)}")
    return ":".join(parameters + _rate_cap(encoding))


def _mastering_display(display: MasteringDisplay) -> str:
    points = {"G": display.green, "B": display.blue, "R": display.red, "WP": display.white}
    written = "".join(f"{name}({x},{y})" for name, (x, y) in points.items())
    return f"{written}L({display.most_luminance},{display.least_luminance})"


def _light_level(level: LightLevel) -> str:
    return f"{level.most},{level.most_average}"
