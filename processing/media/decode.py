"""Decoded frames of a source, each with its index and stamp in the timeline: whole, or one segment decoded apart.

Invariant: a segment decoded apart yields exactly the frames the sequential decode yields there, whatever seeking in the
container is worth; nothing is left out without being counted, and no error of the decoder passes in silence.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import av
from av.video.frame import VideoFrame

from processing.media.errors import ResourceExceeded, TimelineMismatch
from processing.media.sources import open_source, packets_of, prepare_decoder, stream_at
from processing.media.specs import MediaProbe, Segment, Timeline


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodedFrame:
    """One picture in the source's own format, with its place in the timeline."""

    index: int
    pts: int
    """Ticks of the timeline's time base; the frame's own stamp may differ where times were mended."""
    frame: VideoFrame
    is_warmup: bool
    """Decoded for the filters only; belongs to the segment before."""


@dataclass(kw_only=True, slots=True)
class DecodeTally:
    """What a decoder could not give, counted while it runs."""

    frames: int = 0
    corrupt_frames: int = 0
    decode_errors: int = 0


def raw_frames(
    path: Path, stream_index: int, tally: DecodeTally, *, threads: int = 1, seek_pts: int | None = None
) -> Generator[VideoFrame, None, None]:
    """Yield what the decoder gives for one stream, in its output order; errors and corrupt frames count in `tally`.

    From the first packet, or from the first keyframe the container finds for `seek_pts` (ticks of the stream), which
    may lie anywhere: a seek is a hint. Then the pictures that lead that keyframe in display order are left out, since
    they refer to frames before it. A packet the decoder refuses is counted and passed over.
    """
    with open_source(path) as container:
        stream = stream_at(container, stream_index)
        context = prepare_decoder(stream, threads=threads)
        first_pts = None
        is_waiting = seek_pts is not None
        if seek_pts is not None:
            try:
                container.seek(seek_pts, stream=stream)
            except av.error.FFmpegError:
                # Some containers cannot seek at all, and say so only when asked (MXF without an index).
                return
        for packet in chain(packets_of(container, stream), [None]):
            if is_waiting and packet is not None:
                if not packet.is_keyframe or packet.pts is None or packet.is_discard:
                    continue
                is_waiting, first_pts = False, packet.pts
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
                yield frame


def decode_all(path: Path, probe: MediaProbe, timeline: Timeline, *, threads: int = 1) -> FrameReader:
    """Return a reader of every frame of the timeline, decoded in one run from the start."""
    whole = Segment(index=0, seek=0, warmup=0, start=0, stop=len(timeline.pts))
    return FrameReader(path, probe, timeline, whole, threads=threads)


def decode_segment(
    path: Path, probe: MediaProbe, timeline: Timeline, segment: Segment, *, threads: int = 1
) -> FrameReader:
    """Return a reader of the frames [warmup, stop) of one segment, equal to those of the sequential decode."""
    return FrameReader(path, probe, timeline, segment, threads=threads)


class FrameReader:
    """The frames of a segment, to be iterated once; the counts are exact when the iteration has ended.

    Iterating raises TimelineMismatch where the decoder contradicts the timeline (plan again by decoding), a SourceError
    where the file cannot be opened, ResourceExceeded where memory ends.
    """

    def __init__(
        self, path: Path, probe: MediaProbe, timeline: Timeline, segment: Segment, *, threads: int = 1
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
        self._threads = threads

    @property
    def missing_frames(self) -> int:
        """Frames of [start, stop) that the decoder could not give."""
        return self._segment.stop - self._segment.start - self.frames_from_decode

    def __iter__(self) -> Iterator[DecodedFrame]:
        segment = self._segment
        for decoded in self._exact_run():
            if decoded.index >= segment.start:
                self.frames_from_decode += 1
                self.corrupt_frames += decoded.frame.is_corrupt
            yield decoded

    def _exact_run(self) -> Iterator[DecodedFrame]:
        """Yield from the first place to start at that proves exact."""
        for seek_pts in self._places():
            self.seeks += 1
            tally = DecodeTally()
            frames = self._numbered(
                raw_frames(self._path, self._stream_index, tally, threads=self._threads, seek_pts=seek_pts)
            )
            opening: list[DecodedFrame] = []
            if seek_pts is None or self._opens_exactly(frames, opening, tally):
                yield from opening
                yield from frames
                self.decode_errors = tally.decode_errors
                return
            frames.close()

    def _opens_exactly(self, frames: Iterator[DecodedFrame], opening: list[DecodedFrame], tally: DecodeTally) -> bool:
        """Read the frames [warmup, start] into `opening`; return whether they are all there and undamaged.

        Damage this early is concealed with pictures from before the place decoding started at, so there it would look
        different from the sequential decode; later damage would not.
        """
        try:
            for decoded in frames:
                opening.append(decoded)
                if not decoded.is_warmup:
                    break
        except TimelineMismatch:
            return False
        expected = range(self._segment.warmup, self._segment.start + 1)
        is_clean = not tally.decode_errors and not tally.corrupt_frames
        return is_clean and [decoded.index for decoded in opening] == list(expected)

    def _places(self) -> Iterator[int | None]:
        """Yield the stamps to seek to, nearest first, then None: the start of the file, which is exact by definition.

        Frames known by their index alone can only be counted from the start.
        """
        timeline, seek = self._timeline, self._segment.seek
        if timeline.identity == "pts" and self._segment.warmup > 0:
            last = bisect_right(timeline.keyframes, seek) - 1
            for steps_back in (0, 1, 3):
                if last - steps_back >= 0 and timeline.keyframes[last - steps_back] > 0:
                    yield timeline.pts[timeline.keyframes[last - steps_back]]
        yield None

    def _numbered(self, frames: Iterator[VideoFrame]) -> Generator[DecodedFrame, None, None]:
        """Give each frame its index in the timeline, from the warm-up to the segment's stop."""
        segment, pts = self._segment, self._timeline.pts
        previous = -1
        for count, frame in enumerate(frames):
            index = count if self._timeline.identity == "index" else self._index_of(frame)
            if index <= previous or index >= len(pts):
                raise TimelineMismatch(f"frame {index} after frame {previous}, of {len(pts)} in the timeline")
            previous = index
            if index >= segment.stop:
                return
            if index >= segment.warmup:
                yield DecodedFrame(index=index, pts=pts[index], frame=frame, is_warmup=index < segment.start)

    def _index_of(self, frame: VideoFrame) -> int:
        pts = self._timeline.pts
        if frame.pts is None:
            raise TimelineMismatch("the decoder gave a frame without a stamp")
        index = bisect_left(pts, frame.pts)
        if index == len(pts) or pts[index] != frame.pts:
            raise TimelineMismatch(f"the decoder gave a frame at pts {frame.pts}, where the timeline has none")
        return index
