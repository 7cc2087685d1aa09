"""Pictures into one segment: fragmented MP4 (CMAF) of H.264 that starts with a keyframe and refers to nothing outside.

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
from typing import Self

import av
import numpy as np
from av.container import OutputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from processing.media.durable import full_disk_is_typed, make_durable, sha256_of
from processing.media.enhancement.planes import Planes
from processing.media.errors import OutputMismatch
from processing.media.specs import Colour, Encoding

KEYFRAME_SECONDS = 4
"""At the latest; every two seconds costs a tenth of the size, every four half of that."""
MOVFLAGS = "+frag_keyframe+empty_moov+default_base_moof+frag_discont+skip_trailer"
"""One fragment per keyframe; no index at the end, so all after the first fragment's start is media."""
MAX_ASPECT = 65_535
RANGES = {"unspecified": 0, "limited": 1, "full": 2}


@dataclass(frozen=True, kw_only=True)
class WrittenSegment:
    """A closed segment file."""

    frames: int
    size_bytes: int
    sha256: str


class SegmentEncoder:
    """Write one segment: `with SegmentEncoder(path, …) as encoder: encoder.encode(frame, pts) …; encoder.close()`.

    `frame_rate` steers rate control, the H.264 level and the distance of keyframes; the stamps alone say when a frame
    is shown. `lead_in` are the decode times of the first packets, as many as frames are held back for B-frames; each
    later packet is decoded when a frame is shown. One thread: x264's bytes depend on the number of threads.
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
        """Append a yuv420p frame of the encoding's size, shown from `pts` (ticks of the encoding, strictly increasing).

        The frame's own stamp and picture type are overwritten: the source's choice of I-frames is not ours. x264 copies
        the picture, so the frame may be filled anew when this returns.
        """
        if self._last_pts is not None and pts <= self._last_pts:
            raise OutputMismatch(f"frame {self._frames}: pts {pts} does not follow {self._last_pts}")
        if (frame.width, frame.height, frame.format.name) != (self._stream.width, self._stream.height, "yuv420p"):
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


def frame_of(planes: Planes) -> av.VideoFrame:
    """Return a new yuv420p frame holding a copy of 8-bit planes y (height x width), u and v (half of each)."""
    frame, targets = new_frame(*planes.y.shape)
    for target, source in zip(targets, planes, strict=True):
        np.copyto(target, source)
    return frame


def apply_colour(context: VideoCodecContext, colour: Colour) -> None:
    """Tag an encoder's output with a colour description; limited and full range are one pixel format here."""
    context.color_range = RANGES[colour.range]
    context.color_primaries = colour.primaries
    context.color_trc = colour.transfer
    context.colorspace = colour.matrix


def written_aspect(aspect: Fraction) -> Fraction:
    """Return the sample aspect as H.264 can say it: both numbers in 16 bits."""
    if max(aspect.numerator, aspect.denominator) <= MAX_ASPECT:
        return aspect
    if aspect > 1:
        return 1 / (1 / aspect).limit_denominator(MAX_ASPECT)
    return aspect.limit_denominator(MAX_ASPECT)


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
    keyint = min(max(round(frame_rate * KEYFRAME_SECONDS), 2), 250)
    aspect = written_aspect(encoding.sample_aspect)
    options = {
        "preset": encoding.x264_preset,
        "crf": str(encoding.crf),
        "flags": "+bitexact+cgop",
        # stitchable: headers independent of the content, so that segments encoded apart share them.
        # The aspect goes to x264 itself: FFmpeg's wrapper rounds it to 12 bits.
        "x264-params": (
            f"cpu-independent=1:stitchable=1:keyint={keyint}:sar={aspect.numerator}\\:{aspect.denominator}"
        ),
    }
    stream = output.add_stream("libx264", rate=frame_rate, options=options)
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = encoding.width_px, encoding.height_px, "yuv420p"
    context.time_base = stream.time_base = encoding.time_base
    context.thread_count = 1
    context.sample_aspect_ratio = aspect
    apply_colour(context, encoding.colour)
    if encoding.rotation_degrees:
        stream.set_display_rotation(encoding.rotation_degrees)
    return stream
