"""The stills beside a result: its poster, and one moment before and after; JPEG, upright, with square pixels, no EXIF.

Invariant: both pictures of the pair are the same frame of the timeline, found by its stamp, and equal files and plan
give equal stills.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from processing.media.clock import ticks
from processing.media.decode import DecodeTally, decode_segment, raw_frames
from processing.media.durable import full_disk_is_typed, make_durable
from processing.media.encode import frame_of
from processing.media.enhancement.planes import Plane, Planes, luma_bounds
from processing.media.errors import Damaged
from processing.media.measures import picture_area
from processing.media.pictures import EXACT, Normaliser
from processing.media.sources import open_source, packets_of, picture_stream
from processing.media.specs import Encoding, Plan, Segment, Still, Stills

LONGEST_SIDE_PX = 1280
JPEG_QUALITY = 90
POSTER_CANDIDATES = 6
FIRST_FRAME_WORTH = 0.7
"""Openings are titles and hands on the camera more often than what a video is about."""
PAIR_CANDIDATES = 5
SETTLED_FRAMES = 8
"""Frames after which the filters have their full reach; before, the pair would undersell them."""
HD_HEIGHT_PX = 720
ITU709, ITU601 = 1, 5
"""FFmpeg's names for the matrices; SD without a tag is BT.601 to every player, larger pictures BT.709."""
MATRICES = {1: ITU709, 4: 4, 5: ITU601, 6: ITU601, 7: 7, 9: 9, 10: 9}
LIMITED, FULL = 1, 2

Picture = NDArray[np.uint8]
"""Height x width x 3, blue first."""


@dataclass(frozen=True, kw_only=True)
class _Result:
    """What a result says of its pictures without decoding one."""

    path: Path
    stream_index: int
    time_base: Fraction
    pts: tuple[int, ...]
    keyframes: tuple[int, ...]
    """Stamps, not indices."""


def make_stills(source: Path, plan: Plan, result: Path, directory: Path, *, comparison: Path | None = None) -> Stills:
    """Write poster.jpg, before.jpg and after.jpg to `directory`, at most 1280 pixels wide and high.

    `comparison` names a PNG to write, before and after beside each other or above each other, whichever is wider.
    Raises a SourceError where a file cannot be read, Damaged where no picture of it decodes, StorageFull.
    """
    cv2.setNumThreads(1)
    found = _read_result(result)
    normaliser = Normaliser(plan.encoding)
    poster_pts, poster = _poster(found, normaliser, plan.encoding)
    after_pts, before, after = _pair(source, plan, found, normaliser)
    if comparison is not None:
        _write_comparison(comparison, before, after, plan.encoding)
    return Stills(
        poster=_write(directory / "poster.jpg", poster, plan.encoding),
        before=_write(directory / "before.jpg", before, plan.encoding),
        after=_write(directory / "after.jpg", after, plan.encoding),
        poster_seconds=round(float((poster_pts - found.pts[0]) * found.time_base), 3),
        pair_seconds=round(float((after_pts - found.pts[0]) * found.time_base), 3),
    )


def upright(picture: Picture, sample_aspect: Fraction, rotation_degrees: int) -> Picture:
    """Return a picture as it is to be seen: square pixels, turned counter-clockwise by the nearest quarter turn.

    No side is longer than LONGEST_SIDE_PX; nothing is enlarged but the narrower side of oblong pixels.
    """
    height, width = picture.shape[:2]
    aspect = sample_aspect if sample_aspect > 0 else Fraction(1)
    shown_width, shown_height = (
        (width * aspect, Fraction(height)) if aspect >= 1 else (Fraction(width), height / aspect)
    )
    scale = min(Fraction(1), Fraction(LONGEST_SIDE_PX) / max(shown_width, shown_height))
    size = (max(round(shown_width * scale), 1), max(round(shown_height * scale), 1))
    if size != (width, height):
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(np.rot90(picture, k=round(rotation_degrees / 90) % 4))


def to_bgr(planes: Planes, encoding: Encoding) -> Picture:
    """Return planes as a colour picture, by the encoding's matrix and range."""
    untagged = ITU709 if encoding.height_px >= HD_HEIGHT_PX else ITU601
    frame = frame_of(planes).reformat(
        format="bgr24",
        src_colorspace=MATRICES.get(encoding.colour.matrix, untagged),
        src_color_range=FULL if encoding.colour.range == "full" else LIMITED,
        dst_color_range=FULL,
        interpolation=EXACT,
    )
    return np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)


def interest(luma: Plane, colour_range: str) -> float:
    """Return how much there is to see in a picture: the spread of its luma and of its detail; 0 for a plain one."""
    black, _ = luma_bounds(colour_range)
    seen = luma[picture_area(luma, black)]
    low, high = np.percentile(seen, (5, 95))
    detail = np.percentile(cv2.absdiff(seen, cv2.GaussianBlur(seen, (5, 5), 0)), 95)
    return float((high - low) * (1.0 + min(float(detail), 20.0)))


def evenly(count: int, most: int) -> list[int]:
    """Return the middles of `most` equal parts of range(count), all of it where it is shorter.

    >>> evenly(8, 2), evenly(2, 5)
    ([2, 6], [0, 1])
    """
    most = min(count, most)
    return [(2 * part + 1) * count // (2 * most) for part in range(most)]


def _poster(found: _Result, normaliser: Normaliser, encoding: Encoding) -> tuple[int, Planes]:
    """Return the stamp and the planes of the most telling of a few keyframes; the earlier one of equals."""
    best: tuple[float, int, Planes] | None = None
    for index in evenly(len(found.keyframes), POSTER_CANDIDATES):
        for pts, planes in islice(_from(found, found.keyframes[index], normaliser), 1):
            worth = interest(planes.y, encoding.colour.range)
            if pts == found.pts[0]:
                worth *= FIRST_FRAME_WORTH
            if best is None or worth > best[0]:
                best = (worth, pts, _copy(planes))
    if best is None:
        raise Damaged("no keyframe of the result could be decoded")
    return best[1:]


def _pair(source: Path, plan: Plan, found: _Result, normaliser: Normaliser) -> tuple[int, Planes, Planes]:
    """Return the result's stamp of one frame with typical exposure, and its planes before and after."""
    stamps = _stamps_in_result(plan, found)
    typical = float(np.median([run.median_luma for run in plan.diagnosis.runs] or plan.diagnosis.mean_luma))
    best: tuple[float, int, Planes] | None = None
    for index, seek in _moments(plan):
        if index not in stamps:
            continue
        before = _source_planes(source, plan, index, seek, normaliser)
        if before is not None:
            distance = abs(float(np.median(before.y)) - typical)
            if best is None or distance < best[0]:
                best = (distance, index, before)
    if best is None:
        raise Damaged("no frame could be decoded both before and after")
    _, index, before = best
    for pts, planes in _from(found, stamps[index], normaliser):
        if pts == stamps[index]:
            return pts, before, _copy(planes)
    raise Damaged(f"the result's frame at {stamps[index]} could not be decoded")


def _moments(plan: Plan) -> Iterator[tuple[int, int]]:
    """Yield indices of frames to compare at, each with the keyframe to decode from; at last any frame at all."""
    keyframes = plan.timeline.keyframes or (0,)
    frames = len(plan.timeline.pts)
    for place in evenly(len(keyframes), PAIR_CANDIDATES):
        seek = keyframes[place]
        yield min(max(seek, SETTLED_FRAMES), frames - 1), seek
    if keyframes[0] < SETTLED_FRAMES < frames:
        yield frames // 2, max(keyframe for keyframe in keyframes if keyframe <= frames // 2)


def _stamps_in_result(plan: Plan, found: _Result) -> dict[int, int]:
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


def _read_result(path: Path) -> _Result:
    with open_source(path) as container:
        stream = picture_stream(container)
        index, time_base = stream.index, stream.time_base
        packets = [
            (packet.pts, packet.is_keyframe) for packet in packets_of(container, stream) if packet.pts is not None
        ]
    if not packets or time_base is None:
        raise Damaged("the result holds no picture")
    return _Result(
        path=path,
        stream_index=index,
        time_base=time_base,
        pts=tuple(sorted(pts for pts, _ in packets)),
        keyframes=tuple(sorted(pts for pts, is_keyframe in packets if is_keyframe)),
    )


def _from(found: _Result, pts: int, normaliser: Normaliser) -> Iterator[tuple[int, Planes]]:
    """Yield stamps and planes of the result from the last keyframe at or before `pts` on."""
    seek_pts = max((keyframe for keyframe in found.keyframes if keyframe <= pts), default=None)
    with closing(raw_frames(found.path, found.stream_index, DecodeTally(), seek_pts=seek_pts)) as frames:
        for frame in frames:
            if frame.pts is not None:
                yield frame.pts, normaliser.planes(frame)


def _copy(planes: Planes) -> Planes:
    """Return planes that outlive the frame whose memory they may lie in."""
    return Planes(*(plane.copy() for plane in planes))


def _write_comparison(path: Path, before: Planes, after: Planes, encoding: Encoding) -> None:
    pictures = [_shown(planes, encoding) for planes in (before, after)]
    height, width = pictures[0].shape[:2]
    done, data = cv2.imencode(".png", cv2.vconcat(pictures) if width > height else cv2.hconcat(pictures))
    if not done:
        raise Damaged("no PNG could be made of the pair")
    with full_disk_is_typed(path):
        path.write_bytes(data.tobytes())


def _shown(planes: Planes, encoding: Encoding) -> Picture:
    return upright(to_bgr(planes, encoding), encoding.sample_aspect, encoding.rotation_degrees)


def _write(path: Path, planes: Planes, encoding: Encoding) -> Still:
    picture = _shown(planes, encoding)
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise Damaged(f"no JPEG could be made of {path.stem}")
    with full_disk_is_typed(path):
        path.write_bytes(data.tobytes())
    make_durable(path)
    return Still(name=path.name, width_px=picture.shape[1], height_px=picture.shape[0])
