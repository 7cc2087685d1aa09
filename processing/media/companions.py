"""What goes with picture and sound: chapters, cover art, and the tags that MP4 has a place for.

Invariant: a promise made here holds in the written file or `missing` names what does not; nothing else is written of a
container's own description.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, cast

from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from processing.media.sources import read_only
from processing.media.specs import Chapter, MediaProbe, OtherStream

CONTAINER_TAGS = frozenset({
    "album", "album_artist", "artist", "comment", "composer", "copyright", "creation_time", "date", "description",
    "episode_id", "genre", "grouping", "keywords", "location", "lyrics", "network", "show", "synopsis", "title",
    "track",
})  # fmt: skip
"""What the MP4 muxer has a place for."""
OTHER_NAMES = {
    "com.apple.quicktime.location.iso6709": "location",
    "com.apple.quicktime.creationdate": "date",
    "date_recorded": "date",
}
DESCRIBING_TAGS = frozenset({
    "major_brand", "minor_version", "compatible_brands", "encoder", "duration", "handler_name", "vendor_id", "language",
})  # fmt: skip
"""What describes the old container, and would be wrong of the new one."""
COVER_CODECS = frozenset({"mjpeg", "png", "bmp"})
MAX_CHAPTERS = 1_000
MOST_COVER_BYTES = 16 * 1024 * 1024
UNTITLED = " "
"""FFmpeg's muxer leaves chapters without a title out of one of the two places where MP4 has them."""
CHAPTER_TICK = Fraction(1, 1000)


@dataclass(frozen=True, kw_only=True)
class Span:
    """The part of the source's clock that the result shows, from the common origin to the picture's end; in seconds."""

    start: Fraction
    stop: Fraction


@dataclass(frozen=True, kw_only=True)
class Companions:
    """What a file holds beside picture, sound and subtitles."""

    chapters: tuple[tuple[Fraction, str], ...]
    """When each begins, in seconds, and its title."""
    covers: tuple[str, ...]
    """Digests of the pictures."""
    tags: Mapping[str, str]
    dropped_chapters: int = 0
    """How many of the source have no place in the file."""
    cover_streams: frozenset[int] = frozenset()
    """The source's streams that the covers are from."""


def kept_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that go into an MP4, by the names its muxer knows; a container's own names win over others.

    >>> kept_tags({"TITLE": "One", "encoder": "Lavf"})
    {'title': 'One'}
    """
    kept: dict[str, str] = {}
    for key, value in tags.items():
        name = key.lower()
        known = OTHER_NAMES.get(name, name)
        if known in CONTAINER_TAGS and value and (known not in kept or known == name):
            kept[known] = value
    return kept


def dropped_tags(tags: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of tags that say something of the video and stay behind."""
    names = {key: key.lower() for key in tags}
    return tuple(
        key
        for key, name in names.items()
        if OTHER_NAMES.get(name, name) not in CONTAINER_TAGS | DESCRIBING_TAGS and not name.startswith("location-")
    )


def without_tags(probe: MediaProbe) -> MediaProbe:
    """Return a probe whose file said nothing of itself: no tag of the container or of a stream, but languages."""
    return replace(
        probe,
        tags={},
        video=replace(probe.video, tags={}),
        audio=tuple(replace(stream, tags={}) for stream in probe.audio),
        other=tuple(replace(stream, tags={}) for stream in probe.other),
    )


def is_carried_cover(stream: OtherStream) -> bool:
    """Return whether a stream is cover art that MP4 has a form for."""
    return stream.is_cover_art and stream.codec in COVER_CODECS


class CompanionWriter:
    """Writes chapters, tags and covers to a file not yet begun; `promise` is what it must then hold."""

    def __init__(self, output: OutputContainer, reader: InputContainer, probe: MediaProbe, span: Span) -> None:
        tags = kept_tags(probe.tags)
        output.metadata.update(tags)
        carried = carried_chapters(probe.chapters, span)
        self._dropped_chapters = len(probe.chapters) - len(carried)
        chapters = from_the_start(carried)
        output.set_chapters([
            {
                "id": number,
                "start": chapter.start,
                "end": chapter.stop,
                "time_base": chapter.time_base,
                "metadata": {"title": chapter.title or UNTITLED},
            }
            for number, chapter in enumerate(chapters)
        ])  # fmt: skip
        self._covers: dict[int, VideoStream] = {}
        for facts in filter(is_carried_cover, probe.other):
            stream = output.add_stream_from_template(cast(VideoStream, reader.streams[facts.index]))
            stream.disposition = Disposition.attached_pic
            self._covers[facts.index] = stream
        self._digests: dict[int, str] = {}
        self._tags = tags
        self._chapters = tuple((chapter.start * chapter.time_base, chapter.title) for chapter in chapters)

    @property
    def cover_indices(self) -> tuple[int, ...]:
        """The source's streams whose packets are to be given to `take`."""
        return tuple(self._covers)

    def take(self, packet: Packet) -> Iterator[Packet]:
        """Yield a cover's first picture, stamped for the output."""
        index = packet.stream_index
        if index not in self._digests and packet.size <= MOST_COVER_BYTES:
            self._digests[index] = hashlib.sha256(bytes(packet)).hexdigest()
            packet.stream = self._covers[index]
            packet.pts = packet.dts = 0
            yield packet

    def promise(self) -> Companions:
        """Return what the file must hold; after the last packet."""
        return Companions(
            chapters=self._chapters,
            covers=tuple(sorted(self._digests.values())),
            tags=self._tags,
            dropped_chapters=self._dropped_chapters,
            cover_streams=frozenset(self._digests),
        )


def from_the_start(chapters: list[Chapter]) -> list[Chapter]:
    """Return chapters with an untitled one before a first that begins late: MP4's first begins with the video."""
    if not chapters or chapters[0].start == 0:
        return chapters
    return [replace(chapters[0], start=0, stop=chapters[0].start, title=""), *chapters]


def read_companions(container: InputContainer) -> Companions:
    """Return what an open MP4 holds beside picture, sound and subtitles."""
    pictures = [stream for stream in container.streams.video if stream.disposition & Disposition.attached_pic]
    covers: list[str] = []
    if pictures:
        container.seek(0)
        read_only(container, pictures)
        covers += [hashlib.sha256(bytes(packet)).hexdigest() for packet in container.demux(pictures) if packet.size]
    return Companions(
        chapters=tuple((chapter.start * chapter.time_base, chapter.title) for chapter in chapters_of(container)),
        covers=tuple(sorted(covers)),
        tags=dict(container.metadata),
    )


def chapters_of(container: InputContainer, most: int | None = None) -> tuple[Chapter, ...]:
    """Return the chapters of an open file in its own order, the first `most` of them, titles as they are."""
    entries: list[dict[str, Any]] = cast(list[dict[str, Any]], container.chapters())
    return tuple(
        Chapter(
            start=entry["start"],
            stop=entry["end"],
            time_base=Fraction(entry["time_base"]),
            title=entry["metadata"].get("title", "").strip(),
        )
        for entry in entries[:most]
        if entry["time_base"]
    )


def missing(promised: Companions, found: Companions) -> list[str]:
    """Return everything promised that was not found, each as a clause."""
    wrong = []
    if len(promised.chapters) != len(found.chapters) or any(
        abs(before - after) > CHAPTER_TICK or title != written
        for (before, title), (after, written) in zip(promised.chapters, found.chapters, strict=True)
    ):
        wrong.append(f"chapters {found.chapters} instead of {promised.chapters}")
    if promised.covers != found.covers:
        wrong.append(f"{len(found.covers)} cover pictures, not the {len(promised.covers)} of the source")
    return wrong


def carried_chapters(chapters: Sequence[Chapter], span: Span) -> list[Chapter]:
    """Return chapters by the result's clock, in milliseconds and in order.

    Left out is what lies outside the span, or begins with another: MP4 has one title at a time.
    """
    carried: list[Chapter] = []
    for chapter in sorted(chapters, key=lambda chapter: chapter.start * chapter.time_base):
        begin, end = (
            round((ticks * chapter.time_base - span.start) / CHAPTER_TICK) for ticks in (chapter.start, chapter.stop)
        )
        start, stop = max(begin, 0), min(end, round((span.stop - span.start) / CHAPTER_TICK))
        if start < stop and (not carried or start > carried[-1].start):
            carried.append(replace(chapter, start=start, stop=stop, time_base=CHAPTER_TICK))
    return carried
