"""Text subtitles on their way into the result: every cue at its time, in the one form MP4 has (3GPP timed text).

Invariant: cues of that form are copied byte for byte; others keep text, line breaks and plain styles. A digest over
times and bytes is taken of what is handed on, so that what was written can be compared with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Literal, cast

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Disposition
from av.subtitles.stream import SubtitleStream
from av.subtitles.subtitle import AssSubtitle, SubtitleSet

from processing.media.companions import Span
from processing.media.sources import open_source, read_only
from processing.media.specs import OtherStream

TIMED_TEXT = "mov_text"
TEXT_CODECS = frozenset({"subrip", "srt", "ass", "ssa", "webvtt", "text", TIMED_TEXT})
"""What has text in it; subtitles made of pictures stay behind."""
STYLED_CODECS = frozenset({"ass", "ssa", "webvtt"})
"""What may say where and how it is shown in ways that timed text cannot."""
MAX_CUES = 50_000
MAX_TEXT_BYTES = 16 * 1024 * 1024
LAST_CUE_SECONDS = 4
"""How long a cue without an end is shown where none follows it."""
LEAST_TICKS_PER_SECOND = 1_000
TEXT_FIELD = 8
"""Commas before the text of a dialogue line as FFmpeg's decoders give it (ASS without its times)."""
LINE_BREAK = rb"\N"


@dataclass(frozen=True, kw_only=True)
class Cue:
    """One text and when it is shown, [start, stop) in ticks of its track."""

    start: int
    stop: int
    content: bytes
    """A sample of timed text where copied, else the text of a dialogue line in ASS."""


@dataclass(frozen=True, kw_only=True)
class Script:
    """A subtitle stream read whole."""

    cues: Sequence[Cue]
    """In order of time, none overlapping another."""
    tick: Fraction
    styles: bytes | None
    """The header of ASS that FFmpeg's decoders make, which its encoder asks for."""


@dataclass(frozen=True, kw_only=True)
class SubtitleRecord:
    """What was handed on of one subtitle stream, to be compared with what was written."""

    index: int
    output_index: int
    codec: str
    mode: Literal["copied", "converted"]
    cues: int
    digest: str


class CueDigest:
    """SHA-256 over start, stop and bytes of each cue, in order; times in ticks of the track."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self.cues = 0

    def update(self, start: int, stop: int, sample: bytes) -> None:
        """Add one cue as it stands in the file."""
        self._digest.update(b"%d %d %d " % (start, stop, len(sample)) + sample)
        self.cues += 1

    def hexdigest(self) -> str:
        """Return the digest of all cues so far."""
        return self._digest.hexdigest()


class SubtitleTrack:
    """One subtitle stream of the source, read whole beforehand, written cue by cue."""

    def __init__(self, output: OutputContainer, template: SubtitleStream, facts: OtherStream, script: Script) -> None:
        self._facts = facts
        self._cues = script.cues
        self._tick = script.tick
        self._digest = CueDigest()
        if self._is_copied:
            self._stream = output.add_stream_from_template(template)
        else:
            self._stream = cast(SubtitleStream, output.add_stream(TIMED_TEXT))
            self._stream.codec_context.subtitle_header = script.styles
            self._stream.codec_context.time_base = script.tick
        self._stream.time_base = script.tick
        if facts.language:
            self._stream.metadata["language"] = facts.language
        for key in ("title", "handler_name"):
            if key in facts.tags:
                self._stream.metadata[key] = facts.tags[key]
        self._stream.disposition = Disposition.default if facts.is_default else Disposition(0)

    def packets(self) -> Iterator[Packet]:
        """Yield every cue as a packet, in order of time."""
        for cue in self._cues:
            packet = self._packet(cue)
            packet.stream, packet.time_base = self._stream, self._tick
            packet.pts = packet.dts = cue.start
            packet.duration = cue.stop - cue.start
            self._digest.update(cue.start, cue.stop, bytes(packet))
            yield packet

    def record(self) -> SubtitleRecord:
        """Return what was handed on; after the last packet."""
        return SubtitleRecord(
            index=self._facts.index,
            output_index=self._stream.index,
            codec=self._facts.codec or "unknown",
            mode="copied" if self._is_copied else "converted",
            cues=self._digest.cues,
            digest=self._digest.hexdigest(),
        )

    @property
    def _is_copied(self) -> bool:
        return self._facts.codec == TIMED_TEXT

    def _packet(self, cue: Cue) -> Packet:
        if self._is_copied:
            return Packet(cue.content)
        line = b"0,0,Default,,0,0,0,," + cue.content
        return self._stream.codec_context.encode_subtitle(SubtitleSet.create(line, 0, cue.stop - cue.start, cue.start))


def open_subtitles(
    output: OutputContainer,
    reader: InputContainer,
    source: Path,
    streams: Iterable[OtherStream],
    span: Span,
) -> list[SubtitleTrack]:
    """Return a track for each stream of text that could be read from `source`, which `reader` has open as well.

    Raises a SourceError where the file cannot be opened again.
    """
    tracks = []
    for facts in streams:
        if facts.kind == "subtitle" and facts.codec in TEXT_CODECS:
            script = _read(source, facts, span)
            if script is not None:
                template = cast(SubtitleStream, reader.streams[facts.index])
                tracks.append(SubtitleTrack(output, template, facts, script))
    return tracks


def written_cues(packets: Iterable[Packet]) -> CueDigest:
    """Return the digest over a written track's packets; the empty samples that fill its gaps are left out."""
    digest = CueDigest()
    for packet in packets:
        sample = bytes(packet)
        if len(sample) > 2 and sample[:2] != b"\0\0" and packet.pts is not None:
            digest.update(packet.pts, packet.pts + (packet.duration or 0), sample)
    return digest


def without_overlaps(cues: Sequence[Cue]) -> list[Cue]:
    """Return cues of text that follow each other: where several are shown at once, one holds them all, first on top.

    >>> [(cue.start, cue.stop, cue.content) for cue in without_overlaps([
    ...     Cue(start=0, stop=4, content=b"a"), Cue(start=2, stop=6, content=b"b")])]
    [(0, 2, b'a'), (2, 4, b'a\\\\Nb'), (4, 6, b'b')]
    """
    ordered = sorted(cues, key=lambda cue: cue.start)
    borders = sorted({border for cue in ordered for border in (cue.start, cue.stop)})
    single: list[Cue] = []
    shown: list[Cue] = []
    waiting = iter([*ordered, None])
    coming = next(waiting)
    for start, stop in pairwise(borders):
        shown = [cue for cue in shown if cue.stop > start]
        while coming is not None and coming.start == start:
            shown.append(coming)
            coming = next(waiting)
        if shown:
            single.append(Cue(start=start, stop=stop, content=LINE_BREAK.join(cue.content for cue in shown)))
    return single


def _read(source: Path, facts: OtherStream, span: Span) -> Script | None:
    """Return a stream's cues; None where there is nothing to read, or too much."""
    with open_source(source) as reader:
        stream = cast(SubtitleStream, reader.streams[facts.index])
        read_only(reader, [stream])
        time_base = Fraction(stream.time_base or Fraction(1, 1000))
        tick = _tick(time_base)
        is_copied = facts.codec == TIMED_TEXT
        found: list[tuple[int, int | None, bytes]] = []
        size = 0
        try:
            for packet in reader.demux(stream):
                if not packet.size or packet.pts is None:
                    continue
                start = round((packet.pts * time_base - span.start) / tick)
                length = round((packet.duration or 0) * time_base / tick)
                for content in [bytes(packet)] if is_copied else _texts(stream, packet):
                    found.append((start, start + length if length > 0 else None, content))
                    size += len(content)
                if len(found) > MAX_CUES or size > MAX_TEXT_BYTES:
                    return None
        except av.FFmpegError:
            return None
        styles = stream.codec_context.subtitle_header
    cues = _ended(found, round(LAST_CUE_SECONDS / tick), round((span.stop - span.start) / tick))
    if is_copied:
        cues = [cue for cue in cues if cue.content[:2] != b"\0\0"]
    return Script(cues=cues if is_copied else without_overlaps(cues), tick=tick, styles=styles) if cues else None


def _texts(stream: SubtitleStream, packet: Packet) -> Iterator[bytes]:
    decoded = stream.codec_context.decode2(packet)
    for line in decoded or ():
        if isinstance(line, AssSubtitle):
            text = line.ass.split(b",", TEXT_FIELD)[-1]
            if text:
                yield text


def _ended(found: list[tuple[int, int | None, bytes]], last_ticks: int, most_ticks: int) -> list[Cue]:
    """Give cues without an end that of the next one's start, and cut what lies outside [0, most_ticks)."""
    found.sort(key=lambda cue: cue[0])
    following = [*(start for start, _, _ in found[1:]), found[-1][0] + last_ticks] if found else []
    return [
        Cue(start=max(start, 0), stop=min(end, most_ticks), content=content)
        for (start, stop, content), later in zip(found, following, strict=True)
        if (end := stop if stop is not None else later) > max(start, 0) and start < most_ticks
    ]


def _tick(time_base: Fraction) -> Fraction:
    ticks_per_second = time_base.denominator
    while ticks_per_second < LEAST_TICKS_PER_SECOND:
        ticks_per_second *= 2
    return Fraction(1, ticks_per_second)
