"""From HDR to an ordinary screen: FFmpeg's perceptual mapping, asked once for a cube of colours and then looked up.

FFmpeg's scale filter spends seconds on its tables whenever it begins; a table of 49^3 colours holds its answers and
travels with the plan, and FFmpeg's haldclut filter interpolates in it (tetrahedra) from the first picture on.
Invariant: equal sources give equal tables and equal pictures on every machine: 14 bits are looked up by plain C.
"""

from __future__ import annotations

import errno
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from typing import cast

import av
import numpy as np
from av.filter.context import FilterContext
from av.filter.graph import Graph
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from processing.media.errors import UnsupportedCodec

HDR_TRANSFERS = frozenset({16, 18})
"""SMPTE ST 2084 (PQ) and ARIB STD-B67 (HLG), code points of ISO/IEC 23091-2."""
LEVEL = 7
EDGE = LEVEL**2
SIDE = LEVEL**3
"""A Hald picture: all colours of a cube in one square picture, red changing first, then green, then blue."""
EXACT = "flags=bicubic+accurate_rnd+bitexact"
MAPPING = f"out_primaries=bt709:out_transfer=bt709:intent=perceptual:{EXACT}"
TO_BT709 = f"out_color_matrix=bt709:out_range=limited:{EXACT}"
CUBE_FORMAT, CUBE_WHITE = "gbrp16le", 65_535
TABLE_FORMAT, TABLE_WHITE = "gbrp14le", 16_383
_TICK = Fraction(1, av.time_base)

Channels = NDArray[np.uint16]
"""Green, blue and red, each SIDE x SIDE: 3 x SIDE x SIDE."""


def make_table(frame: VideoFrame) -> str:
    """Return the table for pictures of the colours and brightness of an HDR frame, as text; it takes seconds.

    Raises UnsupportedCodec where FFmpeg does not know the frame's matrix, as that of ICtCp or of constant luminance.
    """
    graph = _chain(frame.width, frame.height, frame.format.name, f"w={SIDE}:h={SIDE}:flags=neighbor", CUBE_FORMAT)
    with _unknown_colours_are_typed(frame):
        graph.push(frame)
        # A picture made from the frame has its colours and its brightness beside it; then every colour is put in.
        cube = cast(VideoFrame, graph.pull())
    steps = np.rint(np.linspace(0, CUBE_WHITE, EDGE)).astype(np.uint16)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
    _fill(cube, np.stack([part.reshape(SIDE, SIDE) for part in (green, blue, red)]))
    graph = _chain(SIDE, SIDE, CUBE_FORMAT, MAPPING, CUBE_FORMAT)
    with _unknown_colours_are_typed(frame):
        graph.push(cube)
        mapped = _channels(cast(VideoFrame, graph.pull())).astype(np.uint32)
    table = (mapped * TABLE_WHITE + CUBE_WHITE // 2) // CUBE_WHITE
    return b64encode(table.astype("<u2").tobytes()).decode()


class ToneMapper:
    """Maps HDR frames of one size and format to 8-bit BT.709 in limited range, by a table of `make_table`."""

    def __init__(self, table: str, width: int, height: int, pixel_format: str) -> None:
        self._graph = Graph()
        self._graph.threads = 1
        self._frames = 0
        self._source = _buffer(self._graph, width, height, pixel_format)
        clut = _buffer(self._graph, SIDE, SIDE, TABLE_FORMAT)
        lookup = self._graph.add("haldclut", "clut=first:interp=tetrahedral")
        self._sink = self._graph.add("buffersink")
        _link(self._source, self._graph.add("scale", EXACT), self._graph.add("format", TABLE_FORMAT), lookup)
        clut.link_to(lookup, 0, 1)
        _link(lookup, self._graph.add("scale", TO_BT709), self._graph.add("format", "yuv420p"), self._sink)
        self._graph.configure()
        clut.push(_hald(table))
        clut.push(None)

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        """Return the frame mapped; the stamp of the result means nothing. Raises what `make_table` raises."""
        self._frames += 1
        # The two inputs are brought together by their stamps.
        stamp, frame.pts = frame.pts, self._frames
        with _unknown_colours_are_typed(frame):
            self._source.push(frame)
            frame.pts = stamp
            return cast(VideoFrame, self._sink.pull())


@contextmanager
def _unknown_colours_are_typed(frame: VideoFrame) -> Iterator[None]:
    try:
        yield
    except av.error.OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        raise UnsupportedCodec(
            f"HDR of matrix {frame.colorspace}, primaries {frame.color_primaries} and transfer {frame.color_trc} "
            "cannot be mapped to an ordinary screen"
        ) from error


def _hald(table: str) -> VideoFrame:
    green, blue, red = np.frombuffer(b64decode(table), "<u2").reshape(3, SIDE, SIDE)
    frame = VideoFrame(SIDE, SIDE, TABLE_FORMAT)
    # The filter reads a planar table as red, green, blue, whatever the order of the format's planes.
    _fill(frame, np.stack([red, green, blue]))
    frame.pts = 0
    return frame


def _buffer(graph: Graph, width: int, height: int, pixel_format: str) -> FilterContext:
    return graph.add_buffer(width=width, height=height, format=VideoFormat(pixel_format), time_base=_TICK)


def _chain(width: int, height: int, pixel_format: str, scale: str, target: str) -> Graph:
    graph = Graph()
    source = _buffer(graph, width, height, pixel_format)
    graph.link_nodes(source, graph.add("scale", scale), graph.add("format", target), graph.add("buffersink"))
    graph.configure()
    return graph


def _link(*nodes: FilterContext) -> None:
    for before, after in pairwise(nodes):
        before.link_to(after)


def _channels(frame: VideoFrame) -> Channels:
    planes = [np.frombuffer(memoryview(plane), np.uint16).reshape(plane.height, -1) for plane in frame.planes]
    return np.stack([plane[:, : frame.width] for plane in planes])


def _fill(frame: VideoFrame, channels: Channels) -> None:
    for plane, values in zip(frame.planes, channels, strict=True):
        lines = np.frombuffer(memoryview(plane), np.uint16).reshape(plane.height, -1)
        lines[:, : frame.width] = values
