"""Decoded frames of a source, each with its index and stamp in the timeline: whole, or one segment decoded apart.

Invariant: a segment decoded apart yields exactly the frames the sequential decode yields there, whatever seeking in the
container is worth; nothing is left out without being counted, and no error of the decoder passes in silence.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from processing.media.errors import ResourceExceeded, TimelineMismatch
from processing.media.pictures import top_down
from processing.media.sources import open_source, packets_of, prepare_decoder, stream_at
from processing.media.specs import MediaProbe, Segment, Timeline

TELLING_REFERENCES = frozenset({"h264", "mpeg1video", "mpeg2video", "mpeg4"})
"""Decoders that know of each frame whether any other refers to it. HEVC tells it of one temporal layer only."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodedFrame:
    """One picture in the source's own format, with its place in the timeline."""

    index: int
    pts: int
    """Ticks of the timeline's time base; the frame's own stamp may differ where times were mended."""
    frame: VideoFrame
    is_warmup: bool
    """Decoded for the filters only; belongs to the segment before or after."""
    restarts: bool = False
    """Whether decoding began anew before it, elsewhere: the warm-up frames given until then are void."""


@dataclass(kw_only=True, slots=True)
class DecodeTally:
    """What a decoder could not give, counted while it runs."""

    frames: int = 0
    corrupt_frames: int = 0
    decode_errors: int = 0
    landing: tuple[int, int] | None = None
    """Stamp and size of the keyframe's packet that decoding started at after a seek."""


def raw_frames(
    path: Path,
    stream_index: int,
    tally: DecodeTally,
    *,
    threads: int = 1,
    seek_pts: int | None = None,
    wanted: Collection[int] = (),
    tells_quantiser: bool = False,
) -> Generator[VideoFrame, None, None]:
    """Yield what the decoder gives for one stream, in its output order; errors and corrupt frames count in `tally`.

    From the first packet, or from the first keyframe the container finds for `seek_pts` (ticks of the stream), which
    may lie anywhere: a seek is a hint. Then the pictures that lead that keyframe in display order are left out, since
    they refer to frames before it. A packet the decoder refuses is counted and passed over.

    With `wanted`, stamps of frames, nothing is decoded beyond the packets that carry them: a decoder holds pictures
    back for those that may come before, and would be fed on for nothing. Frames between them that no other refers to
    are left out too. Where one that is wanted is missing, decoding goes on; where decoding starts elsewhere than at
    `seek_pts`, nothing is left out.
    """
    with open_source(path) as container:
        opened = OpenStream(container, stream_index, threads=threads, tells_quantiser=tells_quantiser)
        yield from opened.frames(tally, seek_pts=seek_pts, wanted=wanted)


class OpenStream:
    """One picture stream of an open file, and its decoder: to look in many places, where opening anew costs the most.

    Opening a file decodes its first picture and reads its whole index. One iteration at a time.
    """

    def __init__(
        self, container: InputContainer, stream_index: int, *, threads: int = 1, tells_quantiser: bool = False
    ) -> None:
        self._container = container
        self._stream = stream_at(container, stream_index)
        self._context = prepare_decoder(self._stream, threads=threads, tells_quantiser=tells_quantiser)

    def frames(
        self, tally: DecodeTally, *, seek_pts: int | None, wanted: Collection[int] = ()
    ) -> Generator[VideoFrame, None, None]:
        """Yield what `raw_frames` yields; without `seek_pts` from where the file stands, at first its start."""
        context = self._context
        if context.is_open:
            context.flush_buffers()
            context.skip_frame = "DEFAULT"
        first_pts = None
        is_waiting, is_there = seek_pts is not None, seek_pts is None
        if seek_pts is not None:
            try:
                self._container.seek(seek_pts, stream=self._stream)
            except av.error.FFmpegError:
                # Some containers cannot seek at all, and say so only when asked (MXF without an index).
                return
        for packet in chain(_until(wanted, packets_of(self._container, self._stream)), [None]):
            if is_waiting and packet is not None:
                if not packet.is_keyframe or packet.pts is None or packet.is_discard:
                    continue
                is_waiting, first_pts = False, packet.pts
                tally.landing = (packet.pts, packet.size)
                is_there = packet.pts == seek_pts
            if wanted and is_there and context.name in TELLING_REFERENCES:
                context.skip_frame = "DEFAULT" if packet is None or packet.pts in wanted else "NONREF"
            try:
                frames = context.decode(packet)
            except MemoryError as error:
                raise ResourceExceeded("decoding takes more memory than one video may have") from error
            except av.error.FFmpegError:
                tally.decode_errors += 1
                continue
            for frame in frames:
                if first_pts is not None and (frame.pts is None or frame.pts < first_pts):
                    continue
                tally.frames += 1
                tally.corrupt_frames += frame.is_corrupt
                yield top_down(frame)


def _until(wanted: Collection[int], packets: Iterator[Packet[VideoStream]]) -> Iterator[Packet[VideoStream]]:
    """Yield packets until those of all the `wanted` stamps were among them; all packets where none is wanted."""
    missing = set(wanted)
    if not missing:
        yield from packets
    for packet in packets:
        yield packet
        missing.discard(packet.pts)  # type: ignore[arg-type]  # None is among no stamps
        if not missing:
            return


def decode_all(path: Path, probe: MediaProbe, timeline: Timeline, *, threads: int = 1) -> FrameReader:
    """Return a reader of every frame of the timeline, decoded in one run from the start."""
    whole = Segment(index=0, seek=0, warmup=0, start=0, stop=len(timeline.pts))
    return FrameReader(path, probe, timeline, whole, threads=threads)


def decode_segment(
    path: Path, probe: MediaProbe, timeline: Timeline, segment: Segment, *, threads: int = 1, ahead: int = 0
) -> FrameReader:
    """Return a reader of the frames [warmup, stop + ahead) of one segment, equal to those of the sequential decode."""
    return FrameReader(path, probe, timeline, segment, threads=threads, ahead=ahead)


class FrameReader:
    """The frames of a segment, to be iterated once; the counts are exact when the iteration has ended.

    Iterating raises TimelineMismatch where the decoder contradicts the timeline (plan again by decoding), a SourceError
    where the file cannot be opened, ResourceExceeded where memory ends.
    """

    def __init__(
        self,
        path: Path,
        probe: MediaProbe,
        timeline: Timeline,
        segment: Segment,
        *,
        threads: int = 1,
        ahead: int = 0,
    ) -> None:
        self.frames_from_decode = 0
        """Frames given in [start, stop); warm-up frames are not counted."""
        self.corrupt_frames = 0
        """Those among them that the decoder gave, but flagged as damaged."""
        self.decode_errors = 0
        """Packets the decoder refused, from where decoding started."""
        self.seeks = 0
        """How many places were tried before the decode was exact; the last may be the start of the file."""
        self._path = path
        self._stream_index = probe.video.index
        self._timeline = timeline
        self._segment = segment
        self._ahead = ahead
        self._threads = threads
        self._stamps = timeline.pts if timeline.identity == "pts" else timeline.stamps
        self._keyframe_packets = {
            (self._stamps[key], size)
            for key, size in zip(timeline.keyframes, timeline.keyframe_bytes, strict=False)
            if self._stamps
        }
        # Where each packet is known to be one frame; the one after the last shows that this is whole, and ends the run.
        is_one_each = timeline.identity == "pts" and timeline.frames_from_decode is None
        self._wanted = frozenset(timeline.pts[segment.warmup : segment.stop + ahead + 1] if is_one_each else ())
        self._index_of_stamp = {stamp: index for index, stamp in enumerate(timeline.stamps)}

    @property
    def missing_frames(self) -> int:
        """Frames of [start, stop) that the decoder could not give."""
        return self._segment.stop - self._segment.start - self.frames_from_decode

    def __iter__(self) -> Iterator[DecodedFrame]:
        for decoded in self._exact_run():
            if not decoded.is_warmup:
                self.frames_from_decode += 1
                self.corrupt_frames += decoded.frame.is_corrupt
            yield decoded

    def _exact_run(self) -> Iterator[DecodedFrame]:
        """Yield from the first place to start at that proves exact, warm-up frames as they come, before it has.

        Held back until then, they would be the greater part of a decoder's memory. Stamps that only the sequential
        decode knows may still differ later; then the next place goes on where this one stops.
        """
        last, restarts = -1, False
        for seek_pts in (*self._places(), None):
            tally = DecodeTally()
            try:
                with closing(self._run(tally, seek_pts)) as frames:
                    for decoded in frames if seek_pts is None else self._proved(frames, tally):
                        if decoded.index > last:
                            yield replace(decoded, restarts=True) if restarts else decoded
                            restarts = False
                            if last >= 0 or not decoded.is_warmup:
                                last = decoded.index
            except TimelineMismatch:
                if seek_pts is None:
                    raise
                restarts = last < 0
                continue
            self.decode_errors = tally.decode_errors
            return

    def _proved(self, frames: Iterator[DecodedFrame], tally: DecodeTally) -> Iterator[DecodedFrame]:
        """Yield the frames; TimelineMismatch before the segment's first one where the place does not prove exact.

        Exact is a place that is the keyframe it claims to be, and whose frames [warmup, start] are all there and
        undamaged. Damage this early is concealed with pictures from before the place, and what they lack with those
        before them; damage later on is not.
        """
        start, warmup = self._segment.start, self._segment.warmup
        for count, decoded in enumerate(frames):
            if not decoded.is_warmup:
                is_clean = not tally.decode_errors and not tally.corrupt_frames
                is_whole = decoded.index == start and count == start - warmup
                if not (is_clean and is_whole and tally.landing in self._keyframe_packets):
                    break
                yield decoded
                yield from frames
                return
            yield decoded
        raise TimelineMismatch(f"no exact decode of frame {start} from there")

    def _places(self) -> Iterator[int]:
        """Yield the stamps to seek to, nearest first; none where only counting from the start identifies a frame."""
        timeline = self._timeline
        if self._stamps and self._segment.warmup > 0:
            last = bisect_right(timeline.keyframes, self._segment.seek) - 1
            for steps_back in (0, 1, 3):
                if last - steps_back >= 0 and timeline.keyframes[last - steps_back] > 0:
                    yield self._stamps[timeline.keyframes[last - steps_back]]

    def _run(self, tally: DecodeTally, seek_pts: int | None) -> Generator[DecodedFrame, None, None]:
        """Give each frame its index in the timeline, from the warm-up to the segment's stop."""
        self.seeks += 1
        segment, pts = self._segment, self._timeline.pts
        is_counted = seek_pts is None and self._timeline.identity == "index"
        must_follow = seek_pts is not None and self._timeline.identity == "index"
        previous = -1
        frames = raw_frames(
            self._path,
            self._stream_index,
            tally,
            threads=self._threads,
            seek_pts=seek_pts,
            wanted=self._wanted if seek_pts is not None else frozenset(),
        )
        with closing(frames):
            for count, frame in enumerate(frames):
                index = count if is_counted else self._index_of(frame)
                if not previous < index < len(pts) or (must_follow and previous >= 0 and index != previous + 1):
                    raise TimelineMismatch(f"frame {index} after frame {previous}, of {len(pts)} in the timeline")
                if seek_pts is not None and previous < 0 and index > segment.warmup:
                    raise TimelineMismatch(f"decoding started at frame {index}, after the warm-up at {segment.warmup}")
                previous = index
                if index >= segment.stop + self._ahead:
                    return
                if index >= segment.warmup:
                    is_warmup = not segment.start <= index < segment.stop
                    yield DecodedFrame(index=index, pts=pts[index], frame=frame, is_warmup=is_warmup)

    def _index_of(self, frame: VideoFrame) -> int:
        stamp, pts = frame.pts, self._timeline.pts
        if stamp is not None and self._timeline.identity == "index":
            index = self._index_of_stamp.get(stamp, -1)
        elif stamp is not None:
            index = bisect_left(pts, stamp)
            index = index if index < len(pts) and pts[index] == stamp else -1
        if stamp is None or index < 0:
            raise TimelineMismatch(f"the decoder gave a frame at pts {stamp}, where the timeline has none")
        return index
