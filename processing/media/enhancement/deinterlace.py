"""The deinterlace operation: one whole picture for each frame of two fields, by FFmpeg's bwdif.

It comes before everything else, on the decoder's own frames: what follows takes a picture for one moment, and reducing
4:2:2 to 4:2:0 would mix the chroma of two. Invariant: frames out are frames in, in order, with their index and stamp;
each depends on itself and one neighbour on either side, which is LOOK_BACK_FRAMES and LOOK_AHEAD_FRAMES.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Literal

import av
from av.filter.graph import Graph
from av.video.frame import VideoFrame

from processing.media.decode import DecodedFrame

LOOK_BACK_FRAMES = 1
LOOK_AHEAD_FRAMES = 1
LEAST_SIDE_PX = 4
"""bwdif refuses smaller pictures; there is nothing to see in them either."""


def deinterlaced(frames: Iterable[DecodedFrame], first_field: Literal["top", "bottom"]) -> Iterator[DecodedFrame]:
    """Yield each frame as one moment, that of the field shown first; `frames` follow each other in time.

    All frames are treated as interlaced, whatever their flags say. A change of size or format begins anew.
    Source: bwdif, T. Mundt, after the BBC's w3fdif and yadif.
    """
    waiting: deque[DecodedFrame] = deque()
    graph: Graph | None = None
    kind: tuple[int, int, str] | None = None
    for decoded in frames:
        if decoded.restarts:
            waiting.clear()
            graph = kind = None
        shape = (decoded.frame.width, decoded.frame.height, decoded.frame.format.name)
        if shape != kind:
            if graph is not None:
                yield from _rest(graph, waiting)
            kind, graph = shape, _graph(*shape, first_field)
        if graph is None:
            yield decoded
            continue
        waiting.append(decoded)
        decoded.frame.pts = len(waiting)
        graph.push(decoded.frame)
        yield from _ready(graph, waiting)
    if graph is not None:
        yield from _rest(graph, waiting)


def _graph(width: int, height: int, pixel_format: str, first_field: str) -> Graph | None:
    if min(width, height) < LEAST_SIDE_PX:
        return None
    graph = Graph()
    graph.threads = 1
    source = graph.add_buffer(
        width=width, height=height, format=av.VideoFormat(pixel_format), time_base=Fraction(1, av.time_base)
    )
    parity = "tff" if first_field == "top" else "bff"
    bwdif = graph.add("bwdif", f"mode=send_frame:parity={parity}:deint=all")
    graph.link_nodes(source, bwdif, graph.add("buffersink")).configure()
    return graph


def _ready(graph: Graph, waiting: deque[DecodedFrame]) -> Iterator[DecodedFrame]:
    """Yield the pictures that are complete; the filter gives one for each, in order."""
    while True:
        try:
            picture = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        if isinstance(picture, VideoFrame):
            yield replace(waiting.popleft(), frame=picture)


def _rest(graph: Graph, waiting: deque[DecodedFrame]) -> Iterator[DecodedFrame]:
    graph.push(None)
    yield from _ready(graph, waiting)
