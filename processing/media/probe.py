"""What a file says of itself: container, streams, colour, tags, read from the header and at most one decoded frame.

Invariant: every fact is copied while the file is open; text of the file is valid, printable Unicode of bounded length.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream as AvVideoStream

from processing.media.brightness import light_level, mastering_display
from processing.media.companions import MAX_CHAPTERS, chapters_of
from processing.media.errors import Damaged, ResourceExceeded
from processing.media.sources import is_cover_art, open_source, packets_of, picture_stream, prepare_decoder
from processing.media.specs import AudioStream, Colour, MediaProbe, OtherStream, VideoStream

MAX_TAGS = 64
MAX_TAG_KEY_CHARACTERS = 64
MAX_TAG_CHARACTERS = 1_000
MAX_TITLE_CHARACTERS = 200
FIRST_FRAME_PACKETS = 200
"""How many packets may pass before the first frame, from which the display matrix is read."""
MAX_RATE = Fraction(100_000)
RANGES: dict[int, Literal["limited", "full", "unspecified"]] = {1: "limited", 2: "full"}
TRANSFERS: dict[int, Literal["pq", "hlg"]] = {16: "pq", 18: "hlg"}
FIELD_ORDERS = {1: "progressive", 2: "tt", 3: "bb", 4: "tb", 5: "bt"}
DOLBY_VISION_TAGS = frozenset({"dvh1", "dvhe", "dva1", "dvav", "dav1"})
ALPHA_TAG = "alpha_mode"
"""What FFmpeg makes of Matroska's element, and some writers a tag."""
KINDS: dict[str, Literal["video", "subtitle", "data", "attachment"]] = {
    "video": "video",
    "subtitle": "subtitle",
    "data": "data",
    "attachment": "attachment",
}


def probe(path: Path) -> MediaProbe:
    """Return what the file at `path` says of itself.

    Raises a SourceError that says why it is no video that can be worked on, or OSError when it cannot be read.
    """
    with open_source(path) as container:
        video = picture_stream(container)
        audio = tuple(_audio(stream) for stream in container.streams.audio if stream.codec_context is not None)
        chapters = tuple(
            replace(chapter, title=clean_text(chapter.title, MAX_TITLE_CHARACTERS))
            for chapter in chapters_of(container, MAX_CHAPTERS)
        )
        taken = {video.index, *(stream.index for stream in audio), *_chapter_tracks(container, len(chapters))}
        other = tuple(_other(stream) for stream in container.streams if stream.index not in taken)
        return MediaProbe(
            container=container.format.name,
            duration_seconds_from_header=_seconds(container.duration, Fraction(1, av.time_base)),
            bit_rate_bps_from_header=container.bit_rate or None,
            audio=audio,
            other=other,
            chapters=chapters,
            tags=clean_tags(container.metadata),
            video=_video(container, video),
        )


def clean_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags as safe text: no control, format or surrogate characters, bounded in number and length."""
    cleaned: dict[str, str] = {}
    for key, value in tags.items():
        if len(cleaned) == MAX_TAGS:
            break
        name = clean_text(key, MAX_TAG_KEY_CHARACTERS)
        if name:
            cleaned[name] = clean_text(value, MAX_TAG_CHARACTERS)
    return cleaned


def clean_text(text: str, most_characters: int) -> str:
    """Return text without NUL, control, direction-override and surrogate characters; line breaks become spaces."""
    # Cut first: ten megabytes of tag must not be walked character by character.
    kept = (
        " " if character in "\n\r\t" else character
        for character in text[: 4 * most_characters]
        if character in "\n\r\t" or unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co", "Cn"}
    )
    return "".join(kept).strip()[:most_characters]


def _video(container: InputContainer, stream: AvVideoStream) -> VideoStream:
    context = stream.codec_context
    frame = _first_frame(container, stream)
    name = frame.format.name if frame is not None else (context.pix_fmt or "unknown")
    transfer = int(context.color_trc)
    if not (context.width and context.height):
        raise Damaged("the size of the picture is not known, or larger than any that is read")
    side_data = _side_data(frame) if frame is not None else {}
    return VideoStream(
        index=stream.index,
        codec=_codec(stream) or "unknown",
        profile=context.profile,
        pixel_format=name,
        bit_depth=_bit_depth(name),
        width_px=context.width,
        height_px=context.height,
        time_base=Fraction(stream.time_base or Fraction(1, av.time_base)),
        average_frame_rate=_rate(stream.average_rate),
        nominal_frame_rate=_rate(stream.base_rate),
        sample_aspect=_aspect(stream.sample_aspect_ratio or context.sample_aspect_ratio, context.width, context.height),
        rotation_degrees=frame.rotation if frame is not None else 0,
        colour=Colour(
            range="full" if name.startswith("yuvj") else RANGES.get(int(context.color_range), "unspecified"),
            primaries=int(context.color_primaries),
            transfer=transfer,
            matrix=int(context.colorspace),
        ),
        hdr=TRANSFERS.get(transfer, "none"),
        has_dolby_vision=context.codec_tag in DOLBY_VISION_TAGS or any(kind.startswith("DOVI") for kind in side_data),
        field_order=FIELD_ORDERS.get(int(context.field_order), "unknown"),
        frames_from_header=stream.frames or None,
        duration_seconds_from_header=_seconds(stream.duration, stream.time_base),
        language=_language(stream),
        tags=clean_tags(stream.metadata),
        has_captions="A53_CC" in side_data,
        has_alpha_beside=any(key.lower() == ALPHA_TAG and value == "1" for key, value in stream.metadata.items()),
        codec_tag=clean_text(context.codec_tag or "", MAX_TAG_KEY_CHARACTERS),
        mastering_display=mastering_display(side_data.get("MASTERING_DISPLAY_METADATA", b"")),
        light_level=light_level(side_data.get("CONTENT_LIGHT_LEVEL", b"")),
    )


def _audio(stream: Any) -> AudioStream:
    context = stream.codec_context
    return AudioStream(
        index=stream.index,
        codec=_codec(stream) or "unknown",
        profile=context.profile,
        sample_rate_hz=context.sample_rate or 0,
        channels=context.channels,
        layout=clean_text(context.layout.name if context.layout else "", MAX_TAG_KEY_CHARACTERS),
        bit_rate_bps_from_header=context.bit_rate or None,
        language=_language(stream),
        is_default=bool(stream.disposition & av.stream.Disposition.default),
        tags=clean_tags(stream.metadata),
    )


def _other(stream: Any) -> OtherStream:
    return OtherStream(
        index=stream.index,
        kind=KINDS.get(stream.type, "unknown"),
        codec=_codec(stream),
        language=_language(stream),
        is_cover_art=is_cover_art(stream),
        is_default=bool(stream.disposition & av.stream.Disposition.default),
        tags=clean_tags(stream.metadata),
    )


def _chapter_tracks(container: InputContainer, chapters: int) -> Iterator[int]:
    """Yield the tracks that MOV and MP4 keep chapters in, told by having as many entries as there are chapters."""
    for stream in container.streams if chapters else ():
        if stream.type == "data" and stream.frames == chapters and container.format.name.startswith("mov"):
            yield stream.index


def _first_frame(container: InputContainer, stream: AvVideoStream) -> VideoFrame | None:
    """Return the first frame that can be decoded: the display matrix and the true pixel format come with it."""
    context = prepare_decoder(stream)
    for packet in chain(islice(packets_of(container, stream), FIRST_FRAME_PACKETS), [None]):
        try:
            frames = context.decode(packet)
        except MemoryError as error:
            raise ResourceExceeded("decoding takes more memory than one video may have") from error
        except av.error.FFmpegError:
            continue
        if frames:
            return frames[0]
    return None


def _side_data(frame: VideoFrame) -> dict[str, bytes]:
    # Typed as a mapping by name, but iterated it gives the side data themselves.
    values: Any = frame.side_data
    return {data.type.name: bytes(data) for data in values}


def _codec(stream: Any) -> str | None:
    context = stream.codec_context
    return context.codec.canonical_name if context is not None else None


def _bit_depth(pixel_format: str) -> int:
    try:
        return max(component.bits for component in av.VideoFormat(pixel_format).components)
    except ValueError:
        return 8


def _rate(rate: Fraction | None) -> Fraction | None:
    """Return a frame rate, or None where the header has none or an absurd one."""
    return Fraction(rate) if rate and 0 < rate <= MAX_RATE else None


def _aspect(aspect: Fraction | None, width: int, height: int) -> Fraction:
    """Return the shape of a pixel; square where the header has none, or one that leaves less than a line of them."""
    if not aspect or aspect < 0 or min(width * aspect, height / aspect) < 1:
        return Fraction(1)
    return Fraction(aspect)


def _seconds(ticks: int | None, time_base: Fraction | None) -> float | None:
    return float(ticks * time_base) if ticks is not None and ticks > 0 and time_base else None


def _language(stream: Any) -> str | None:
    language = clean_text(stream.language or "", 16)
    return language if language not in {"", "und"} else None
