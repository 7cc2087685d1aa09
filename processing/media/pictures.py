"""Decoded pictures brought to the one form the filters work on: 4:2:0 planes of the planned, even size and depth.

Invariant: code values change only where the format forces it (bit depth, chroma sampling, RGB, HDR for an ordinary
screen); the common case, 4:2:0 of the planned depth, is handed on as views of the decoder's own memory without a copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TypeVar, cast

import av
import numpy as np
from av.filter.graph import Graph
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from processing.media.encoders import pixel_format
from processing.media.enhancement.planes import DeepPlanes, Planes, rounded_to_eight
from processing.media.formats import is_coarse_rgb, is_grey, is_rgb
from processing.media.hdr_table import HDR_TRANSFERS, ToneMapper, make_table
from processing.media.sizes import even
from processing.media.specs import Encoding

PLANAR_FORMATS = {"yuv420p": frozenset({"yuv420p", "yuvj420p"}), "yuv420p10le": frozenset({"yuv420p10le"})}
"""Formats that are the planned one already, by its name."""
FULL_FORMATS = frozenset({"yuvj420p", "yuvj422p", "yuvj444p", "yuvj440p", "yuvj411p"})
"""Formats that say by their name that they are of full range."""
EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
"""The same result on every CPU."""
LIMITED, FULL, ITU709 = 1, 2, 1
Sample = TypeVar("Sample", np.uint8, np.uint16)
UNSPECIFIED_MATRIX = 2
KNOWN_MATRICES = frozenset({0, 1, 2, 3, 4, 5, 6, 7, 9})
"""FFmpeg refuses pictures of another, even where none is applied; so any other is named there, on both sides."""


class Normaliser:
    """Bring the frames of one source to the form of an encoding; it keeps converters, so one instance per segment."""

    def __init__(self, encoding: Encoding) -> None:
        self.resized_frames = 0
        """Frames whose own size was not the planned one: the height is limited, or the source changes its size."""
        self._encoding = encoding
        self._format = pixel_format(encoding)
        self._reformatter = VideoReformatter()
        self._tone_mapper: tuple[tuple[int, int, str], ToneMapper] | None = None

    def planes(self, frame: VideoFrame) -> Planes:
        """Return the 8-bit planes of a decoded frame; views of its memory where nothing has to change.

        HDR (PQ and HLG) is tone-mapped to the encoding's colours where those are no HDR, RGB gets the encoding's
        matrix, other formats keep their code values as far as 8 bits hold them. Odd sizes are padded by one replicated
        row or column, other sizes scaled. For an encoding of ten bits these are its pictures, rounded.
        """
        if self._encoding.bit_depth > 8:
            deep = self.deep_planes(frame)
            return Planes(*(rounded_to_eight(plane, np.empty(plane.shape, np.uint8)) for plane in deep))
        return Planes(*self._padded(frame, np.uint8))

    def deep_planes(self, frame: VideoFrame) -> DeepPlanes:
        """Return the ten-bit planes of a decoded frame, as `planes` does, for an encoding of ten bits."""
        return DeepPlanes(*self._padded(frame, np.uint16))

    def _padded(self, frame: VideoFrame, kind: type[Sample]) -> Iterator[NDArray[Sample]]:
        if frame.color_trc in HDR_TRANSFERS and self._encoding.colour.transfer not in HDR_TRANSFERS:
            frame = self._tone_mapped(frame)
        elif frame.format.name not in PLANAR_FORMATS[self._format] or self._range_of(frame) != self._planned_range:
            frame = self._converted(frame)
        if not self._is_planned_size(frame):
            frame = self._resized(frame)
        y, u, v = (_view(plane, kind) for plane in frame.planes)
        width, height = self._encoding.width_px, self._encoding.height_px
        if y.shape != (height, width):
            y = np.pad(y, ((0, height - y.shape[0]), (0, width - y.shape[1])), mode="edge")
        yield from (y, u, v)

    def _is_planned_size(self, frame: VideoFrame) -> bool:
        return (even(frame.width), even(frame.height)) == (self._encoding.width_px, self._encoding.height_px)

    def _converted(self, frame: VideoFrame) -> VideoFrame:
        """Convert to 4:2:0 in the planned range; equal ranges on both sides leave code values alone.

        Grey pictures are read as of full range by FFmpeg, and keep their values.
        """
        source_range, target_range = self._range_of(frame), self._planned_range
        if is_grey(frame.format.name):
            source_range = target_range = FULL
        source_matrix = target_matrix = _stand_in(frame)
        if is_rgb(frame.format.name):
            source_range = FULL
            if is_coarse_rgb(frame.format.name):
                frame = self._reformatter.reformat(frame, format="rgb24", interpolation=EXACT)
            matrix = self._encoding.colour.matrix
            target_matrix = matrix if matrix != UNSPECIFIED_MATRIX else None
        return self._reformatter.reformat(
            frame,
            format=self._format,
            interpolation=EXACT,
            src_color_range=source_range,
            dst_color_range=target_range,
            src_colorspace=source_matrix,
            dst_colorspace=target_matrix,
        )

    def _resized(self, frame: VideoFrame) -> VideoFrame:
        self.resized_frames += 1
        code_range = self._planned_range
        return self._reformatter.reformat(
            frame,
            width=self._encoding.width_px,
            height=self._encoding.height_px,
            format=self._format,
            interpolation=EXACT,
            src_color_range=code_range,
            dst_color_range=code_range,
            src_colorspace=_stand_in(frame),
            dst_colorspace=_stand_in(frame),
        )

    def _tone_mapped(self, frame: VideoFrame) -> VideoFrame:
        shape = (frame.width, frame.height, frame.format.name)
        if self._tone_mapper is None or self._tone_mapper[0] != shape:
            table = self._encoding.hdr_table or make_table(frame)
            self._tone_mapper = (shape, ToneMapper(table, *shape))
        return self._tone_mapper[1](frame)

    def _range_of(self, frame: VideoFrame) -> int:
        """Return the range of a frame's code values: its own word, for it may change, or the planned one."""
        if frame.format.name in FULL_FORMATS:
            return FULL
        return frame.color_range if frame.color_range in {LIMITED, FULL} else self._planned_range

    @property
    def _planned_range(self) -> int:
        return FULL if self._encoding.colour.range == "full" else LIMITED


def top_down(frame: VideoFrame) -> VideoFrame:
    """Return a frame whose lines run downwards in memory: a copy where they do not, as in some raw video in AVI.

    PyAV takes a plane's memory to begin at its first line, so views of the others would reach beyond it.
    """
    if all(plane.line_size > 0 for plane in frame.planes):
        return frame
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, av.time_base)
    )
    graph.link_nodes(source, graph.add("copy"), graph.add("buffersink")).configure()
    graph.push(frame)
    return cast(VideoFrame, graph.pull())


def _stand_in(frame: VideoFrame) -> int | None:
    """Return the matrix to name for a picture whose own one FFmpeg does not know; None where it does."""
    return None if frame.colorspace in KNOWN_MATRICES else ITU709


def _view(plane: VideoPlane, kind: type[Sample]) -> NDArray[Sample]:
    """Return the picture in a plane as an array over its memory, without the padding of its lines."""
    samples = np.frombuffer(plane, kind)  # type: ignore[call-overload]  # a buffer
    return cast(
        NDArray[Sample], samples.reshape(-1, plane.line_size // samples.itemsize)[: plane.height, : plane.width]
    )
