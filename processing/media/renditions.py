"""Which files a video becomes: "web" for every browser, and one of ten bits beside it where the source holds more.

The plan lists them, and everything that works on a plan sees one rendition of it at a time, as a plan of its own.
Invariant: all renditions have the same frames at the same times and, where they are encoded, the same segments; the
segments of all of them are counted through, those of the first rendition first.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from processing.media.encoders import is_hevc_size
from processing.media.formats import RGB_MATRIX, grey_colour, is_grey, is_rgb
from processing.media.specs import Choice, Colour, Encoding, Enhancement, Plan, VideoStream

RenditionName = Literal["web", "deep", "hdr"]
IN_ANY_VALUES = frozenset({"deinterlace", "denoise", "sharpen"})
"""Operations that work on code values whatever light they stand for; brightness and colour of HDR are left alone."""
MOST_DEEP_PX = 12_000_000
"""At 3840x2160 a media process reaches 2.7 GiB of address space, of the 4 it may have."""
HEVC_CRF_OFFSET = 1.0
"""x265 at crf 21 is as good as x264 at 20: VMAF 95.5 and 96 against 94.6 and 96.3 on two clips, at 0.5 to 1.0 times
the size."""
BT2020_MATRIX = 9


def renditions_of(plan: Plan) -> tuple[Plan, ...]:
    """Return the plan as each rendition sees it, the one every browser plays first."""
    first = replace(plan, further=())
    return (
        first,
        *(
            replace(
                first,
                rendition=further.name,
                video=further.video,
                encoding=further.encoding,
                enhancement=further.enhancement,
                segments=plan.segments if further.video == "encode" else (),
                warnings=further.warnings,
            )
            for further in plan.further
        ),
    )


def segment_at(plan: Plan, index: int) -> tuple[Plan, int]:
    """Return the rendition and the segment of it that work number `index` is."""
    encoded = [rendition for rendition in renditions_of(plan) if rendition.video == "encode"]
    number, segment = divmod(index, len(plan.segments))
    return encoded[number], segment


def segments_of(plan: Plan) -> tuple[tuple[Plan, range], ...]:
    """Return each rendition with the numbers of its segments, none where its packets are copied."""
    found, first = [], 0
    for rendition in renditions_of(plan):
        count = len(rendition.segments)
        found.append((rendition, range(first, first + count)))
        first += count
    return tuple(found)


def further_name(video: VideoStream, main: Encoding) -> Literal["deep", "hdr"] | None:
    """Return which rendition there is beside the main one; None where eight bits hold it all, or x265 cannot do it."""
    if not is_hevc_size(main.width_px, main.height_px) or is_too_large(video, main):
        return None
    if video.hdr != "none":
        return "hdr"
    return "deep" if video.bit_depth > 8 else None


def is_too_large(video: VideoStream, main: Encoding) -> bool:
    """Return whether the source deserves a further rendition that takes more memory than a media process may have."""
    return (video.hdr != "none" or video.bit_depth > 8) and main.width_px * main.height_px > MOST_DEEP_PX


def deep_encoding(main: Encoding, video: VideoStream) -> Encoding:
    """Return how the ten-bit rendition is written: as the main one, in HEVC, with the source's own colours."""
    return replace(
        main,
        codec="hevc",
        bit_depth=10,
        crf=main.crf + (HEVC_CRF_OFFSET if main.codec == "h264" else 0.0),
        colour=main.colour if video.hdr == "none" else own_colour(video),
        hdr_table=None,
        mastering_display=video.mastering_display if video.hdr != "none" else None,
        light_level=video.light_level if video.hdr != "none" else None,
    )


def in_own_values(enhancement: Enhancement) -> Enhancement:
    """Return what of an enhancement is done to HDR: nothing that changes its brightness or its colours."""

    def is_kept(choice: Choice) -> bool:
        return choice.operation in IN_ANY_VALUES

    return replace(enhancement, choices=tuple(filter(is_kept, enhancement.choices)), tone=())


def own_colour(video: VideoStream) -> Colour:
    """Return the colour description under which HDR stays HDR: the source's, with a YUV matrix for RGB."""
    if is_grey(video.pixel_format):
        return grey_colour(video.colour, BT2020_MATRIX)
    if video.colour.matrix == RGB_MATRIX or is_rgb(video.pixel_format):
        return replace(video.colour, range="limited", matrix=BT2020_MATRIX)
    return video.colour
