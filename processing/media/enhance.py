"""One segment of a plan: decoded, enhanced and encoded while it streams through, then flushed to the disk.

Invariant: the segment's frames are exactly the plan's, in order and at their times, or the result counts what the
source could not give; warm-up frames pass the filters and are never written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

import av
import cv2

from processing.media.clock import decode_delay, frame_rate, lead_in, ticks
from processing.media.decode import DecodedFrame, decode_segment
from processing.media.encode import SegmentEncoder, new_deep_frame, new_frame
from processing.media.enhancement import deinterlace
from processing.media.enhancement.deep import DeepEnhancer
from processing.media.enhancement.enhancer import Enhancer
from processing.media.enhancement.planes import DeepPlanes, Planes
from processing.media.enhancement.presets import has_deinterlacing
from processing.media.enhancement.watch import ClippingWatch
from processing.media.errors import OutputMismatch
from processing.media.fingerprint import fingerprint
from processing.media.pictures import Normaliser
from processing.media.receipts import SegmentResult
from processing.media.specs import Plan
from processing.media.stages import ITEMS_BETWEEN, run_stages

Report = Callable[[int], None]
Drawn = TypeVar("Drawn", Planes, DeepPlanes)
Taken = TypeVar("Taken", Planes, DeepPlanes, contravariant=True)
Picture = tuple[av.VideoFrame, Callable[[DecodedFrame], object]]
"""A frame to encode, and what draws the enhanced picture of a decoded frame into it; one to warm up is only seen."""


class _Enhancing(Protocol[Taken]):
    """What the enhancers of both depths have in common."""

    def remember(self, planes: Taken) -> None: ...

    def process(self, planes: Taken, pts: int, out: Taken) -> object: ...

    def reset(self) -> None: ...


def enhance_segment(source: Path, plan: Plan, index: int, output: Path, report: Report) -> SegmentResult:
    """Write segment `index` of the plan to `output` and return what it became.

    `report` is told the number of frames encoded so far. Decoding, filters and encoding each have a thread; encoder
    and filters use one each, since segments run in parallel.

    Raises a SourceError or TimelineMismatch from reading, StorageFull, and OutputMismatch where the count of frames
    written is not that of the frames decoded.
    """
    cv2.setNumThreads(1)
    segment = plan.segments[index]
    is_deinterlaced = has_deinterlacing(plan.enhancement)
    ahead = deinterlace.LOOK_AHEAD_FRAMES if is_deinterlaced else 0
    reader = decode_segment(source, plan.probe, plan.timeline, segment, ahead=ahead)
    frames = deinterlace.deinterlaced(reader, plan.enhancement.first_field) if is_deinterlaced else reader
    delay = decode_delay(plan)
    stamps = [stamp + delay for stamp in ticks(plan, segment.start, segment.stop)]
    frames_out = 0
    watch = ClippingWatch(plan.encoding.colour.range)

    # Frames go round: one is filled, as many wait as may, one is encoded. New memory for each would cost page faults.
    free = deque(islice(_pictures(plan, watch), ITEMS_BETWEEN + 2))

    def change(decoded: DecodedFrame) -> tuple[Picture, int] | None:
        picture = free.popleft()
        picture[1](decoded)
        if decoded.is_warmup:
            free.append(picture)
            return None
        return picture, stamps[decoded.index - segment.start]

    with SegmentEncoder(output, plan.encoding, frame_rate(plan.timeline), lead_in(plan, segment.start)) as encoder:

        def write(changed: tuple[Picture, int]) -> None:
            nonlocal frames_out
            picture, stamp = changed
            encoder.encode(picture[0], stamp)
            free.append(picture)
            frames_out += 1
            report(frames_out)

        run_stages(frames, change, write)
        written = encoder.close()
    if not written.frames == frames_out == reader.frames_from_decode:
        raise OutputMismatch(
            f"segment {index}: {reader.frames_from_decode} frames decoded, {frames_out} encoded, "
            f"{written.frames} written, {segment.stop - segment.start} planned"
        )
    return SegmentResult(
        index=index,
        frames_from_decode=reader.frames_from_decode,
        frames_out=frames_out,
        corrupt_frames=reader.corrupt_frames,
        size_bytes=written.size_bytes,
        sha256=written.sha256,
        fingerprint=fingerprint(plan.encoding.codec),
        clipped_share=watch.worst,
    )


def _pictures(plan: Plan, watch: ClippingWatch) -> Iterator[Picture]:
    """Yield pictures to be drawn, of the plan's size and depth; all of them share the state of the operations.

    `watch` sees each as it was and as it became.
    """
    normaliser = Normaliser(plan.encoding)
    if plan.encoding.bit_depth == 8:
        enhancer = Enhancer(plan.enhancement, plan.encoding.colour.range)
        return _drawn(plan, enhancer, normaliser.planes, new_frame, watch)
    deep = DeepEnhancer(plan.enhancement, plan.encoding.colour.range)
    return _drawn(plan, deep, normaliser.deep_planes, new_deep_frame, watch)


def _drawn(
    plan: Plan,
    enhancer: _Enhancing[Drawn],
    planes_of: Callable[[av.VideoFrame], Drawn],
    new: Callable[[int, int], tuple[av.VideoFrame, Drawn]],
    watch: ClippingWatch,
) -> Iterator[Picture]:
    def draw(planes: Drawn, decoded: DecodedFrame) -> None:
        if decoded.restarts:
            enhancer.reset()
        picture = planes_of(decoded.frame)
        if decoded.is_warmup:
            enhancer.remember(picture)
        else:
            enhancer.process(picture, decoded.pts, planes)
            watch.look(decoded.index, picture, planes)

    while True:
        frame, planes = new(plan.encoding.height_px, plan.encoding.width_px)
        yield frame, partial(draw, planes)
