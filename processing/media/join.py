"""Finished segments and the source's sound into one MP4: only remuxing, no picture is touched here.

Invariant: equal plan, segments and source give equal bytes; a receipt is returned only for a file that was read again
and found as promised.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from processing.media.clock import decode_delay, decode_times, last_duration, last_sample, ticks
from processing.media.companions import CompanionWriter, Span
from processing.media.durable import full_disk_is_typed, make_durable, sha256_of
from processing.media.encoders import HEVC_TAG
from processing.media.errors import Damaged, OutputMismatch, SegmentDamaged
from processing.media.receipts import Receipt, SegmentResult
from processing.media.sound import Track, open_tracks
from processing.media.sources import PACKETS_ONLY, open_source, read_only
from processing.media.specs import Plan
from processing.media.subtitles import open_subtitles
from processing.media.verify import Promise, verify

Report = Callable[[int], None]
Placed = tuple[float, int, Packet]
"""A packet ready for the muxer: its decode time in seconds and its place among equals, for the order in the file."""


def join_segments(
    source: Path,
    plan: Plan,
    segments: Sequence[Path],
    results: Sequence[SegmentResult],
    output: Path,
    report: Report,
) -> Receipt:
    """Write `output` from the plan's finished segments and the source's sound and tags, check it, return its receipt.

    `segments` and `results` are those of the plan's own rendition, in its order; both are empty where it copies the
    source's video packets.
    `report` is told the number of frames written so far.

    Raises SegmentDamaged with the index of a segment that is missing or changed, StorageFull, OutputMismatch where the
    written file is not as promised, Damaged where no frame is left, and a SourceError where the source cannot be read.
    """
    _check_segments(segments, results)
    stamps = _source_stamps(source, plan) if plan.video == "copy" else _segment_stamps(segments, plan, results)
    if not stamps:
        raise Damaged("no frame of the video could be decoded")
    with open_source(source) as reader, full_disk_is_typed(output):
        promise = _write(reader, source, plan, segments, stamps, output, report)
    make_durable(output)
    return verify(output, plan, promise, results)


def packet_stamps(path: Path) -> list[int]:
    """Return the pts of a segment's packets in decode order, in ticks of its encoding, the constant delay included."""
    with _open_segment(path) as container:
        return [packet.pts for packet in container.demux(video=0) if packet.size and packet.pts is not None]


def _check_segments(segments: Sequence[Path], results: Sequence[SegmentResult]) -> None:
    for path, result in zip(segments, results, strict=True):
        try:
            found = sha256_of(path)
        except FileNotFoundError as exc:
            raise SegmentDamaged(f"segment {result.index}: its file is missing", index=result.index) from exc
        if found != result.sha256:
            raise SegmentDamaged(
                f"segment {result.index}: digest {found[:12]} instead of {result.sha256[:12]}", index=result.index
            )


def _segment_stamps(segments: Sequence[Path], plan: Plan, results: Sequence[SegmentResult]) -> list[int]:
    """Return the pts of all packets in decode order, from the video's first frame, checked against plan and results."""
    delay = decode_delay(plan)
    whole: list[int] = []
    for segment, path, result in zip(plan.segments, segments, results, strict=True):
        stamps = [stamp - delay for stamp in packet_stamps(path)]
        if len(stamps) != result.frames_out:
            raise OutputMismatch(f"segment {segment.index}: {len(stamps)} frames, {result.frames_out} were reported")
        if not set(stamps) <= set(ticks(plan, segment.start, segment.stop)) or len(set(stamps)) != len(stamps):
            raise OutputMismatch(f"segment {segment.index}: a frame is shown at a time that is not in the plan")
        whole += stamps
    return whole


def _source_stamps(source: Path, plan: Plan) -> list[int]:
    with open_source(source) as reader:
        picture = _picture(reader, plan)
        read_only(reader, [picture])
        return [
            _to_ticks(packet.pts, plan) for packet in reader.demux(picture) if packet.size and packet.pts is not None
        ]


def _write(
    reader: InputContainer,
    source: Path,
    plan: Plan,
    segments: Sequence[Path],
    stamps: Sequence[int],
    output: Path,
    report: Report,
) -> Promise:
    tick = plan.encoding.time_base
    origin = _origin_seconds(reader, plan)
    start = round((plan.timeline.pts[0] * plan.timeline.time_base - origin) / tick)
    with _open_output(output, tick) as writer:
        picture = _add_picture(writer, reader, plan, segments)
        tracks = {
            facts.index: open_tracks(writer, _audio(reader, facts.index), facts, origin) for facts in plan.probe.audio
        }
        span = Span(start=origin, stop=origin + (start + max(stamps) + last_duration(plan)) * tick)
        subtitles = open_subtitles(writer, reader, source, plan.probe.other, span)
        companions = CompanionWriter(writer, reader, plan.probe, span)
        place = _Placer(picture, stamps, start=start, tick=tick, last_duration=last_duration(plan))
        try:
            carried = Carried(tracks=tracks, companions=companions)
            packets = _in_order(reader, plan, segments, place, carried)
            cues = (_placed(track.packets()) for track in subtitles)
            for _, kind, packet in heapq.merge(packets, *cues, key=lambda placed: placed[:2]):
                writer.mux(packet)
                if kind == 0:
                    report(place.done)
        except av.error.ArgumentError as exc:
            raise OutputMismatch(f"the muxer refuses a packet: {exc}") from exc
    records = sorted(
        (track.record() for group in tracks.values() for track in group), key=lambda record: record.output_index
    )
    return Promise(
        shown=sorted(stamps),
        start=start,
        tracks=tuple(records),
        subtitles=tuple(track.record() for track in subtitles),
        companions=companions.promise(),
    )


@dataclass(frozen=True, kw_only=True)
class Carried:
    """What takes the source's packets, beside its picture."""

    tracks: Mapping[int, tuple[Track, ...]]
    companions: CompanionWriter

    def indices(self) -> Iterator[int]:
        """Yield the streams that are carried."""
        yield from (index for index, group in self.tracks.items() if group)
        yield from self.companions.cover_indices

    def take(self, packet: Packet) -> Iterator[Packet]:
        """Yield what a packet of the source becomes."""
        index = packet.stream_index
        if index not in self.tracks:
            yield from self.companions.take(packet)
        for track in self.tracks.get(index, ()):
            yield from track.take(packet)

    def finish(self) -> Iterator[Packet]:
        """Yield what the tracks still hold back."""
        for group in self.tracks.values():
            for track in group:
                yield from track.finish()


class _Placer:
    """Gives the picture's packets their final stamps, in decode order."""

    def __init__(
        self, stream: VideoStream, stamps: Sequence[int], *, start: int, tick: Fraction, last_duration: int
    ) -> None:
        self.done = 0
        self._stream = stream
        self._stamps = stamps
        self._decoded = decode_times(stamps)
        shown = sorted(stamps)
        self._durations = {stamp: later - stamp for stamp, later in pairwise(shown)} | {shown[-1]: last_duration}
        self._decoded[-1], self._durations[stamps[-1]] = last_sample(stamps, self._decoded, last_duration)
        self._start, self._tick = start, tick

    def __call__(self, packet: Packet) -> Placed:
        """Return the next packet of the picture, stamped."""
        pts, dts = self._stamps[self.done], self._decoded[self.done]
        packet.stream = self._stream
        packet.pts, packet.dts = pts + self._start, dts + self._start
        packet.duration = self._durations[pts]
        packet.time_base = self._tick
        self.done += 1
        return float(packet.dts * self._tick), 0, packet


def _in_order(
    reader: InputContainer,
    plan: Plan,
    segments: Sequence[Path],
    place: _Placer,
    carried: Carried,
) -> Iterator[Placed]:
    if plan.video == "copy":
        return _source_packets(reader, carried, {plan.probe.video.index: place})
    return heapq.merge(
        (place(packet) for packet in _segment_packets(segments)),
        _source_packets(reader, carried, {}),
        key=lambda placed: placed[:2],
    )


def _segment_packets(segments: Iterable[Path]) -> Iterator[Packet]:
    for path in segments:
        with _open_segment(path) as container:
            yield from (packet for packet in container.demux(video=0) if packet.size)


def _source_packets(reader: InputContainer, carried: Carried, pictures: Mapping[int, _Placer]) -> Iterator[Placed]:
    """Yield the packets that the source's own become, in the order of the source."""
    streams = [reader.streams[index] for index in (*pictures, *carried.indices())]
    if not streams:
        return
    read_only(reader, streams)
    for packet in _readable(reader, streams):
        if packet.stream_index in pictures:
            yield pictures[packet.stream_index](packet)
        else:
            yield from _placed(carried.take(packet))
    yield from _placed(carried.finish())


def _readable(reader: InputContainer, streams: Sequence[Any]) -> Iterator[Packet]:
    """Yield packets up to the end of the file or of what can be read of it."""
    packets = reader.demux(streams)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.InvalidDataError, av.error.EOFError):
            return
        if packet.size:
            yield packet


def _placed(packets: Iterable[Packet]) -> Iterator[Placed]:
    for packet in packets:
        yield float((packet.dts or 0) * Fraction(packet.time_base or 0)), 1, packet


def _origin_seconds(reader: InputContainer, plan: Plan) -> Fraction:
    """Return the one origin: when the first of picture and sound is presented, on the source's clock.

    A stream's start leaves out the samples a decoder swallows (priming): they stay before the origin.
    """
    starts = [plan.timeline.pts[0] * plan.timeline.time_base]
    for facts in plan.probe.audio:
        stream = reader.streams[facts.index]
        if stream.start_time is not None and stream.time_base:
            starts.append(stream.start_time * stream.time_base)
    return min(starts)


def _to_ticks(pts: int, plan: Plan) -> int:
    return round((pts - plan.timeline.pts[0]) * plan.timeline.time_base / plan.encoding.time_base)


def _add_picture(writer: OutputContainer, reader: InputContainer, plan: Plan, segments: Sequence[Path]) -> VideoStream:
    if plan.video == "copy":
        stream = writer.add_stream_from_template(_picture(reader, plan))
    else:
        with _open_segment(segments[0], packets_only=False) as first:
            stream = writer.add_stream_from_template(first.streams.video[0])
    stream.time_base = plan.encoding.time_base
    if stream.codec_context.codec.canonical_name == "hevc":
        stream.codec_context.codec_tag = HEVC_TAG
    if plan.probe.video.language:
        stream.metadata["language"] = plan.probe.video.language
    return stream


def _picture(reader: InputContainer, plan: Plan) -> VideoStream:
    return cast(VideoStream, reader.streams[plan.probe.video.index])


def _audio(reader: InputContainer, index: int) -> AudioStream:
    return cast(AudioStream, reader.streams[index])


def _open_segment(path: Path, *, packets_only: bool = True) -> InputContainer:
    return av.open(
        f"file:{path.absolute()}",
        format="mp4",
        options=PACKETS_ONLY if packets_only else {},
        container_options={"protocol_whitelist": "file"},
    )


def _open_output(path: Path, tick: Fraction) -> OutputContainer:
    options = {
        "movflags": "+faststart",
        # Edit lists count in the movie's ticks: with those of the picture its start is exact.
        "movie_timescale": str(tick.denominator),
        "video_track_timescale": str(tick.denominator),
        "fflags": "+bitexact",
    }
    return av.open(path, "w", format="mp4", options=options)
