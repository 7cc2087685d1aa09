"""Pictures into one segment: fragmented MP4 (CMAF), H.264 or HEVC, from a keyframe on and referring to nothing outside.

Invariant: equal frames, stamps and encoding give equal bytes under one engine fingerprint, and the part before the
first fragment is the same for every segment of a plan, so segments play one after the other and join by remuxing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import av
import numpy as np
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from processing.media.durable import full_disk_is_typed, make_durable, sha256_of
from processing.media.encoders import encoder_name, encoder_options, pixel_format, prepare_context
from processing.media.enhancement.planes import DeepPlanes, Planes
from processing.media.errors import OutputMismatch
from processing.media.specs import Encoding

MOVFLAGS = "+frag_keyframe+empty_moov+default_base_moof+frag_discont+skip_trailer"
"""One fragment per keyframe; no index at the end, so all after the first fragment's start is media."""


@dataclass(frozen=True, kw_only=True)
class WrittenSegment:
    """A closed segment file."""

    frames: int
    size_bytes: int
    sha256: str


class SegmentEncoder:
    """Write one segment: `with SegmentEncoder(path, …) as encoder: encoder.encode(frame, pts) …; encoder.close()`.

    `frame_rate` steers rate control, the codec's level and the distance of keyframes; the stamps alone say when a frame
    is shown. `lead_in` are the decode times of the first packets, as many as frames are held back for B-frames; each
    later packet is decoded when a frame is shown. One thread: the bytes depend on the number of threads.
    """

    def __init__(self, path: Path, encoding: Encoding, frame_rate: Fraction, lead_in: Sequence[int]) -> None:
        self.path = path
        self._encoding = encoding
        self._frames = 0
        self._decode_times = deque(lead_in)
        self._last_pts: int | None = None
        with full_disk_is_typed(path):
            self._output = _open_output(path, encoding.time_base)
            self._stream = _add_stream(self._output, encoding, frame_rate)
            self._output.start_encoding()
        self._is_open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_open:
            self._is_open = False
            with full_disk_is_typed(self.path):
                self._output.close()

    def encode(self, frame: av.VideoFrame, pts: int) -> None:
        """Append a frame of the encoding's size and format, shown from `pts` (its ticks, strictly increasing).

        The frame's own stamp and picture type are overwritten: the source's choice of I-frames is not ours. The encoder
        copies the picture, so the frame may be filled anew when this returns.
        """
        if self._last_pts is not None and pts <= self._last_pts:
            raise OutputMismatch(f"frame {self._frames}: pts {pts} does not follow {self._last_pts}")
        planned = (self._encoding.width_px, self._encoding.height_px, pixel_format(self._encoding))
        if (frame.width, frame.height, frame.format.name) != planned:
            raise OutputMismatch(f"frame {self._frames}: {frame} is not of the planned size and format")
        frame.pts, frame.time_base, frame.pict_type = pts, self._encoding.time_base, 0
        self._last_pts = pts
        self._decode_times.append(pts)
        with full_disk_is_typed(self.path):
            self._mux(self._stream.encode(frame))
        self._frames += 1

    def close(self) -> WrittenSegment:
        """Write what the encoder still holds, flush the file to the disk and return its size and digest."""
        self._is_open = False
        with full_disk_is_typed(self.path):
            try:
                self._mux(self._stream.encode(None))
            finally:
                self._output.close()
        make_durable(self.path)
        return WrittenSegment(frames=self._frames, size_bytes=self.path.stat().st_size, sha256=sha256_of(self.path))

    def _mux(self, packets: Sequence[Packet]) -> None:
        for packet in packets:
            packet.dts = self._decode_times.popleft()
            packet.duration = self._decode_times[0] - packet.dts
            self._output.mux(packet)


def new_frame(height: int, width: int) -> tuple[av.VideoFrame, Planes]:
    """Return a yuv420p frame of undefined content and its planes, to be written to as long as the frame lives."""
    frame = av.VideoFrame(width, height, "yuv420p")
    y, u, v = (
        np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
        for plane in frame.planes
    )
    return frame, Planes(y, u, v)


def new_deep_frame(height: int, width: int) -> tuple[av.VideoFrame, DeepPlanes]:
    """Return a yuv420p10le frame of undefined content and its planes, uint16, as `new_frame` does."""
    frame = av.VideoFrame(width, height, "yuv420p10le")
    y, u, v = (
        np.frombuffer(memoryview(plane), np.uint16).reshape(plane.height, plane.line_size // 2)[:, : plane.width]
        for plane in frame.planes
    )
    return frame, DeepPlanes(y, u, v)


def frame_of(planes: Planes) -> av.VideoFrame:
    """Return a new yuv420p frame holding a copy of 8-bit planes y (height x width), u and v (half of each)."""
    frame, targets = new_frame(*planes.y.shape)
    for target, source in zip(targets, planes, strict=True):
        np.copyto(target, source)
    return frame


def _open_output(path: Path, tick: Fraction) -> OutputContainer:
    # No edit list and untouched stamps: a fragment then says its true decode time, whichever segment it is in.
    options = {
        "movflags": MOVFLAGS,
        "avoid_negative_ts": "disabled",
        "use_editlist": "0",
        "video_track_timescale": str(tick.denominator),
        "fflags": "+bitexact",
    }
    return av.open(path, "w", format="mp4", options=options)


def _add_stream(output: OutputContainer, encoding: Encoding, frame_rate: Fraction) -> VideoStream:
    options = encoder_options(encoding, frame_rate)
    stream = cast(VideoStream, output.add_stream(encoder_name(encoding), rate=frame_rate, options=options))
    prepare_context(stream.codec_context, encoding)
    stream.time_base = encoding.time_base
    if encoding.rotation_degrees:
        stream.set_display_rotation(encoding.rotation_degrees)
    return stream
