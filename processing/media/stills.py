"""The stills beside a result: its poster, its storyboard, and one moment before and after.

JPEG, upright, with square pixels, no EXIF. Invariant: both pictures of the pair are the same frame of the timeline,
found by its stamp, and equal files and plan give equal stills.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame

from processing.media.clock import ticks
from processing.media.decode import DecodeTally, OpenStream, decode_segment, raw_frames
from processing.media.durable import full_disk_is_typed
from processing.media.enhancement.planes import Plane, Planes, luma_bounds
from processing.media.errors import Damaged
from processing.media.measures import percentile, picture_area, value_counts
from processing.media.pictures import Normaliser
from processing.media.planning import choose_encoding
from processing.media.receipts import Stills, Storyboard
from processing.media.renditions import own_colour
from processing.media.shown import Picture, shown, small, write_still
from processing.media.sources import open_source, packets_of, picture_stream
from processing.media.specs import Encoding, Plan, Segment, SourceFacts
from processing.media.storyboard import MOST_MOMENTS, THUMBNAIL_PX, write_storyboard

POSTER_CANDIDATES = 6
FIRST_FRAME_WORTH = 0.7
"""Openings are titles and hands on the camera more often than what a video is about."""
PAIR_CANDIDATES = 5
FEW_MOMENTS = 10
"""A storyboard of fewer keyframes than this has so many moments from anywhere, where all may be decoded for it."""
MOST_DECODED_PX = 300_000_000
"""How many pixels may be: those of 145 frames of 1080p, or ten seconds of 720p, less than a second of work."""
FORWARD_FRAMES = 24
"""How far behind a keyframe a moment may lie: each frame on the way is decoded for it alone."""
SETTLED_FRAMES = 8
"""Frames after which the filters have their full reach; before, the pair would undersell them."""


@dataclass(frozen=True, kw_only=True)
class _Footage:
    """What a file says of its pictures without decoding one."""

    path: Path
    stream_index: int
    opened: OpenStream
    """The same stream, for looks at places that a stamp tells."""
    time_base: Fraction
    pts: tuple[int, ...]
    keyframes: tuple[int, ...]
    """Stamps, not indices; none where they are no guide for a seek."""
    zero_pts: int
    """The stamp at which its clock reads nought."""
    duration_ms: int
    """When its clock stops."""

    def ms(self, pts: int) -> int:
        """Return what the file's clock reads at a stamp."""
        return _ms(pts - self.zero_pts, self.time_base)


def make_stills(source: Path, plan: Plan, result: Path, directory: Path, *, comparison: Path | None = None) -> Stills:
    """Write poster.jpg, before.jpg and after.jpg to `directory`, at most 1280 pixels wide and high.

    `comparison` names a PNG to write, before and after beside each other or above each other, whichever is wider.
    Raises a SourceError where a file cannot be read, Damaged where no picture of it decodes, StorageFull.
    """
    cv2.setNumThreads(1)
    with open_source(result) as container:
        found = _read_result(result, container)
        normaliser = Normaliser(plan.encoding)
        poster_pts, poster = _poster(found, normaliser, plan.encoding)
        after_pts, before, after = _pair(source, plan, found, normaliser)
        if comparison is not None:
            _write_comparison(comparison, before, after, plan.encoding)
        return Stills(
            poster=write_still(directory / "poster.jpg", shown(poster, plan.encoding)),
            before=write_still(directory / "before.jpg", shown(before, plan.encoding)),
            after=write_still(directory / "after.jpg", shown(after, plan.encoding)),
            poster_seconds=found.ms(poster_pts) / 1000,
            pair_seconds=found.ms(after_pts) / 1000,
            storyboard=_storyboard(found, normaliser, plan.encoding, directory),
        )


def make_source_stills(source: Path, facts: SourceFacts, directory: Path) -> Stills:
    """Write poster and storyboard of a source that is not worked on to `directory`. Raises what make_stills raises.

    Its clock begins with the first picture, as its duration does: a recording may be stamped with the time of day.
    """
    cv2.setNumThreads(1)
    timeline, video = facts.timeline, facts.probe.video
    encoding = choose_encoding(video, hdr_table=facts.hdr_table)
    if video.hdr != "none" and facts.hdr_table is None:
        # Colours that cannot be mapped are shown as they are: pale, but better than no picture.
        encoding = replace(encoding, colour=own_colour(video))
    keyframes = timeline.keyframes if timeline.identity == "pts" else ()
    with open_source(source) as container:
        found = _Footage(
            path=source,
            stream_index=video.index,
            opened=OpenStream(container, video.index),
            time_base=timeline.time_base,
            pts=timeline.pts,
            keyframes=tuple(timeline.pts[index] for index in keyframes),
            zero_pts=timeline.pts[0],
            duration_ms=_ms(timeline.pts[-1] + timeline.last_duration - timeline.pts[0], timeline.time_base),
        )
        normaliser = Normaliser(encoding)
        poster_pts, poster = _poster(found, normaliser, encoding)
        return Stills(
            poster=write_still(directory / "poster.jpg", shown(poster, encoding)),
            poster_seconds=found.ms(poster_pts) / 1000,
            storyboard=_storyboard(found, normaliser, encoding, directory),
        )


def interest(luma: Plane, colour_range: str) -> float:
    """Return how much there is to see in a picture: the spread of its luma and of its detail; 0 for a plain one."""
    black, _ = luma_bounds(colour_range)
    seen = luma[picture_area(luma, black)]
    levels = value_counts(seen)
    detail = percentile(value_counts(cv2.absdiff(seen, cv2.GaussianBlur(seen, (5, 5), 0))), 95.0)
    return (percentile(levels, 95.0) - percentile(levels, 5.0)) * (1.0 + min(detail, 20.0))


def evenly(count: int, most: int) -> list[int]:
    """Return the middles of `most` equal parts of range(count), all of it where it is shorter.

    >>> evenly(8, 2), evenly(2, 5)
    ([2, 6], [0, 1])
    """
    most = min(count, most)
    return [(2 * part + 1) * count // (2 * most) for part in range(most)]


def _poster(found: _Footage, normaliser: Normaliser, encoding: Encoding) -> tuple[int, Planes]:
    """Return the stamp and the planes of the most telling of a few keyframes; the earlier one of equals."""
    best: tuple[float, int, Planes] | None = None
    for pts, planes in _at_keyframes(found, POSTER_CANDIDATES, normaliser):
        worth = interest(planes.y, encoding.colour.range)
        if pts == found.pts[0]:
            worth *= FIRST_FRAME_WORTH
        if best is None or worth > best[0]:
            best = (worth, pts, _copy(planes))
    if best is None:
        raise Damaged("no keyframe could be decoded")
    return best[1:]


def _storyboard(found: _Footage, normaliser: Normaliser, encoding: Encoding, directory: Path) -> Storyboard:
    moments: dict[int, Picture] = {}
    frames = len(found.pts)
    if len(found.keyframes) < FEW_MOMENTS and frames * encoding.width_px * encoding.height_px <= MOST_DECODED_PX:
        seen = _at_indices(found, set(evenly(frames, FEW_MOMENTS)), normaliser)
    else:
        seen = _at_keyframes(found, MOST_MOMENTS, normaliser)
    for pts, planes in seen:
        moments.setdefault(max(found.ms(pts), 0), small(planes, encoding, THUMBNAIL_PX))
    return write_storyboard(sorted(moments.items(), key=itemgetter(0)), found.duration_ms, directory)


def _at_indices(found: _Footage, wanted: set[int], normaliser: Normaliser) -> Iterator[tuple[int, Planes]]:
    """Yield stamps and planes of frames by their index in decoder output, decoding everything up to the last."""
    with closing(_from_start(found)) as frames:
        for index, frame in enumerate(islice(frames, max(wanted) + 1)):
            if index in wanted:
                yield found.pts[index], normaliser.planes(frame)


def _at_keyframes(found: _Footage, most: int, normaliser: Normaliser) -> Iterator[tuple[int, Planes]]:
    """Yield stamps and planes of keyframes spread evenly; the first picture alone where seeking leads nowhere."""
    seen = False
    for index in evenly(len(found.keyframes), most):
        keyframe = found.keyframes[index]
        alone = _from(found, keyframe, normaliser, wanted=(keyframe,))
        # A recovery point gives no picture by itself.
        for pts, planes in islice(chain(alone, _from(found, keyframe, normaliser)), 1):
            seen = True
            yield pts, planes
    if not seen:
        with closing(_from_start(found)) as frames:
            for frame in islice(frames, 1):
                yield found.pts[0], normaliser.planes(frame)


def _pair(source: Path, plan: Plan, found: _Footage, normaliser: Normaliser) -> tuple[int, Planes, Planes]:
    """Return the result's stamp of one frame with typical exposure, and its planes before and after."""
    stamps = _stamps_in_result(plan, found)
    typical = float(np.median([run.median_luma for run in plan.diagnosis.runs] or plan.diagnosis.mean_luma))
    best: tuple[float, int, Planes] | None = None
    for index, seek in _moments(plan):
        if index not in stamps:
            continue
        before = _source_planes(source, plan, index, seek, normaliser)
        if before is not None:
            distance = abs(percentile(value_counts(before.y), 50.0) - typical)
            if best is None or distance < best[0]:
                best = (distance, index, before)
    if best is None:
        raise Damaged("no frame could be decoded both before and after")
    _, index, before = best
    return stamps[index], before, _exactly(found, stamps[index], normaliser)


def _exactly(found: _Footage, wanted: int, normaliser: Normaliser) -> Planes:
    """Return the result's picture at a stamp, decoded from further back where its keyframe does not lead there.

    Packets that were copied may begin with a recovery point: pictures right after it are not shown by a decoder that
    starts there.
    """
    before = [keyframe for keyframe in found.keyframes if keyframe <= wanted]
    for start in [*before[-1:], *before[-2:-1], *before[-4:-3], found.pts[0]]:
        for pts, planes in _from(found, start, normaliser):
            if pts == wanted:
                return _copy(planes)
            if pts > wanted:
                break
    raise Damaged(f"the result's frame at {wanted} could not be decoded")


def _moments(plan: Plan) -> Iterator[tuple[int, int]]:
    """Yield indices of frames to compare at, each with the keyframe to decode from; at last any frame at all."""
    keyframes = plan.timeline.keyframes or (0,)
    frames = len(plan.timeline.pts)
    for place in evenly(len(keyframes), PAIR_CANDIDATES):
        seek = keyframes[place]
        yield min(max(seek, SETTLED_FRAMES), frames - 1), seek
    if keyframes[0] < SETTLED_FRAMES < frames:
        seek = max(keyframe for keyframe in keyframes if keyframe <= frames // 2)
        yield min(frames // 2, seek + FORWARD_FRAMES), seek


def _stamps_in_result(plan: Plan, found: _Footage) -> dict[int, int]:
    """Return where each frame of the timeline is in the result; frames that were never decoded are missing.

    Stamps in the result are the plan's ticks plus one origin, which is that of the first frame not missing.
    """
    scale = plan.encoding.time_base / found.time_base
    planned = [round(tick * scale) for tick in ticks(plan)]
    present = set(found.pts)
    for tick in planned:
        origin = found.pts[0] - tick
        shifted = [stamp + origin for stamp in planned]
        if present <= set(shifted):
            return {index: stamp for index, stamp in enumerate(shifted) if stamp in present}
    return {}


def _source_planes(source: Path, plan: Plan, index: int, seek: int, normaliser: Normaliser) -> Planes | None:
    moment = Segment(index=0, seek=seek, warmup=index, start=index, stop=index + 1)
    for decoded in decode_segment(source, plan.probe, plan.timeline, moment):
        if decoded.index == index:
            return _copy(normaliser.planes(decoded.frame))
    return None


def _read_result(path: Path, container: InputContainer) -> _Footage:
    """Read what a result says of its pictures; its clock is the container's, which sound may begin and end."""
    stream = picture_stream(container)
    packets = [(packet.pts, packet.is_keyframe) for packet in packets_of(container, stream) if packet.pts is not None]
    if not packets or stream.time_base is None:
        raise Damaged("the result holds no picture")
    return _Footage(
        path=path,
        stream_index=stream.index,
        opened=OpenStream(container, stream.index),
        time_base=stream.time_base,
        pts=tuple(sorted(pts for pts, _ in packets)),
        keyframes=tuple(sorted(pts for pts, is_keyframe in packets if is_keyframe)),
        zero_pts=0,
        duration_ms=round((container.duration or 0) * Fraction(1000, av.time_base)),
    )


def _from_start(found: _Footage) -> Generator[VideoFrame, None, None]:
    return raw_frames(found.path, found.stream_index, DecodeTally())


def _ms(count: int, time_base: Fraction) -> int:
    return round(count * time_base * 1000)


def _from(
    found: _Footage, pts: int, normaliser: Normaliser, *, wanted: Collection[int] = ()
) -> Iterator[tuple[int, Planes]]:
    """Yield stamps and planes of the result from the last keyframe at or before `pts` on.

    With `wanted` nothing is decoded beyond the packets with these stamps.
    """
    seek_pts = max((keyframe for keyframe in found.keyframes if keyframe <= pts), default=None)
    at_keyframe = seek_pts is not None
    decoded = (
        found.opened.frames(DecodeTally(), seek_pts=seek_pts, wanted=wanted) if at_keyframe else _from_start(found)
    )
    with closing(decoded) as frames:
        for frame in frames:
            if frame.pts is not None:
                yield frame.pts, normaliser.planes(frame)


def _copy(planes: Planes) -> Planes:
    """Return planes that outlive the frame whose memory they may lie in."""
    return Planes(*(plane.copy() for plane in planes))


def _write_comparison(path: Path, before: Planes, after: Planes, encoding: Encoding) -> None:
    pictures = [shown(planes, encoding) for planes in (before, after)]
    height, width = pictures[0].shape[:2]
    done, data = cv2.imencode(".png", cv2.vconcat(pictures) if width > height else cv2.hconcat(pictures))
    if not done:
        raise Damaged("no PNG could be made of the pair")
    with full_disk_is_typed(path):
        path.write_bytes(data.tobytes())
