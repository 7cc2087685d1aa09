"""When each frame of a source is shown: read from all packets, proved on decoder output, mended where it is broken.

Invariant: pts increase strictly, one for each frame expected. Identity "pts" is only claimed where decoder output was
seen to agree with the packets; where it does not, the whole stream is decoded once and its output is the truth.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from statistics import median

from processing.media.decode import DecodeTally, raw_frames
from processing.media.ending import ends_early
from processing.media.errors import Damaged, ResourceExceeded
from processing.media.sources import open_source, packets_of, stream_at
from processing.media.specs import MediaProbe, Timeline

MAX_PACKETS = 2_000_000
"""Nine hours at 60 frames a second; the header's own count is never believed."""
MAX_LAST_SECONDS = 3600
"""A last frame that claims to be shown for longer has the usual duration instead."""
CHECKED_FRAMES = 18
"""Decoder output compared with the packets at the start: longer than any reordering."""
CHECKED_LATER = 8
"""And at a later keyframe: there a reader of a segment looks again, and says so where this was too short."""
RESTART_SECONDS = 0.5
"""Decode times that run back by more begin anew: recordings that were put together as they were."""
STEADY_TICKS = 2
STEADY_SHARE = 0.05
"""Distances between frames that differ by no more than rounding does are one rate."""


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What the packets of the picture stream say, those flagged discard left out of all but their count."""

    pts: tuple[int, ...]
    """Known stamps, sorted; decode stamps stand in where a packet has no other. Where times begin anew, those that
    follow are moved to where the ones before end."""
    key_bytes: dict[int, int]
    """Size of the packet of each keyframe, by its stamp in `pts`; in order of the stamps."""
    own_stamps: dict[int, int]
    """The stamp that the packet itself has, of each keyframe whose stamp was moved."""
    packets: int
    discarded: int
    is_complete: bool
    """Whether each packet has a pts of its own, and times begin once."""
    last_duration: int
    ends_early: bool
    """Whether the file is shorter than its header promises."""


def read_timeline(path: Path, probe: MediaProbe, *, by_decoding: bool = False) -> Timeline:
    """Return when each frame of the picture stream is shown.

    `by_decoding` decodes the whole stream even where a short check would trust the packets: the way to plan again after
    a TimelineMismatch. Raises Damaged where no frame can be expected, ResourceExceeded (resource_packets), or another
    SourceError.
    """
    scan = _scan(path, probe)
    if not scan.pts:
        raise Damaged("the video stream has no packets")
    pts = None if by_decoding or not scan.is_complete else _checked(path, probe.video.index, scan)
    if pts is not None:
        return _timeline(probe, scan, pts)
    return _decoded_timeline(path, probe, scan)


def _scan(path: Path, probe: MediaProbe) -> Scan:
    stamps: list[int] = []
    key_bytes: dict[int, int] = {}
    own_stamps: dict[int, int] = {}
    packets = discarded = unknown = 0
    last = (0, 0)
    restarts = _Restarts(probe.video.time_base)
    with open_source(path) as container:
        for packet in packets_of(container, stream_at(container, probe.video.index)):
            packets += 1
            if packets > MAX_PACKETS:
                raise ResourceExceeded(f"more than {MAX_PACKETS} packets of video", code="resource_packets")
            shift = restarts.shift_of(packet.dts)
            if packet.is_discard:
                discarded += 1
                continue
            unknown += packet.pts is None
            own = packet.pts if packet.pts is not None else packet.dts
            if own is None:
                continue
            stamp = own + shift
            stamps.append(stamp)
            last = max(last, (stamp, packet.duration or 0)) if len(stamps) > 1 else (stamp, packet.duration or 0)
            if packet.is_keyframe:
                key_bytes[stamp] = packet.size
                if shift:
                    own_stamps[stamp] = own
    stamps.sort()
    return Scan(
        pts=tuple(stamps),
        key_bytes=dict(sorted(key_bytes.items())),
        own_stamps=own_stamps,
        packets=packets,
        discarded=discarded,
        is_complete=not unknown and not restarts.count and len(set(stamps)) == len(stamps),
        last_duration=last[1],
        ends_early=bool(stamps) and ends_early(path, probe, (stamps[-1] + last[1]) * probe.video.time_base),
    )


class _Restarts:
    """Where times begin anew within a stream, and by how much what follows has to be moved."""

    def __init__(self, time_base: Fraction) -> None:
        self.count = 0
        self._least = RESTART_SECONDS / time_base
        self._shift = 0
        self._last: int | None = None
        self._step = 1

    def shift_of(self, dts: int | None) -> int:
        """Return what is added to the stamps of the next packet, in ticks; a packet without a dts follows the last."""
        if dts is None:
            return self._shift
        if self._last is not None:
            if self._last - dts > self._least:
                self.count += 1
                self._shift += self._last + self._step - dts
            elif dts > self._last:
                self._step = dts - self._last
        self._last = dts
        return self._shift


def _checked(path: Path, stream_index: int, scan: Scan) -> tuple[int, ...] | None:
    """Return the stamps of the frames that decoding gives, or None where short runs do not agree with the packets.

    Packets at the very start that refer to pictures before them give no frame and have no place in the timeline.
    """
    keys = [pts for pts in scan.key_bytes if pts > scan.pts[:CHECKED_FRAMES][-1]]
    with ThreadPoolExecutor(2) as pool:
        later = pool.submit(_run_later, path, stream_index, scan, keys[len(keys) // 2]) if keys else None
        opening = _run(path, stream_index, CHECKED_FRAMES)
        run = later.result() if later else ()
    if not opening:
        return None
    first = bisect_left(scan.pts, opening[0])
    expected = scan.pts[first:]
    if opening != expected[: len(opening)] or (len(opening) < CHECKED_FRAMES and len(opening) < len(expected)):
        return None
    start = bisect_left(expected, run[0]) if run else 0
    if keys and (not run or run != expected[start : start + len(run)]):
        return None
    return expected


def _run_later(path: Path, stream_index: int, scan: Scan, keyframe: int) -> tuple[int, ...]:
    start = bisect_left(scan.pts, keyframe)
    return _run(path, stream_index, CHECKED_LATER, keyframe, scan.pts[start : start + CHECKED_LATER])


def _run(
    path: Path, stream_index: int, count: int, seek_pts: int | None = None, wanted: Sequence[int] = ()
) -> tuple[int, ...]:
    """Return the stamps of the first frames the decoder gives; none where one has no stamp or a packet was refused."""
    tally = DecodeTally()
    with closing(raw_frames(path, stream_index, tally, seek_pts=seek_pts, wanted=wanted)) as frames:
        stamps = [frame.pts for frame in islice(frames, count)]
    known = tuple(pts for pts in stamps if pts is not None)
    return () if tally.decode_errors or len(known) < len(stamps) else known


def _decoded_timeline(path: Path, probe: MediaProbe, scan: Scan) -> Timeline:
    """Decode everything once: as many frames as come out are expected, at their own times if these can be trusted."""
    own = [frame.pts for frame in raw_frames(path, probe.video.index, DecodeTally())]
    if not own:
        raise Damaged("no frame of the video stream can be decoded")
    known = [pts for pts in own if pts is not None]
    if len(known) == len(own) and all(before < after for before, after in pairwise(known)):
        return _timeline(probe, scan, tuple(known), frames_from_decode=len(own))
    pts = _mended(scan.pts, len(own), scan.last_duration)
    repaired = sum(before != after for before, after in zip(own, pts, strict=True))
    stamps = tuple(known) if len(set(known)) == len(own) else ()
    return _timeline(probe, scan, pts, frames_from_decode=len(own), repaired=repaired, stamps=stamps, is_by_index=True)


def _mended(stamps: Sequence[int], count: int, duration: int) -> tuple[int, ...]:
    """Return `count` strictly increasing stamps: the smallest of `stamps`, equal ones moved on by the least that does.

    >>> _mended([0, 2, 2, 3], 5, 2)
    (0, 2, 3, 4, 6)
    """
    mended: list[int] = []
    step = _usual_distance(stamps) or duration or 1
    for index in range(count):
        wanted = stamps[index] if index < len(stamps) else mended[-1] + step
        mended.append(max(wanted, mended[-1] + 1) if mended else wanted)
    return tuple(mended)


def _timeline(
    probe: MediaProbe,
    scan: Scan,
    pts: tuple[int, ...],
    *,
    frames_from_decode: int | None = None,
    repaired: int = 0,
    stamps: tuple[int, ...] = (),
    is_by_index: bool = False,
) -> Timeline:
    time_base = probe.video.time_base
    distances = [after - before for before, after in pairwise(pts)]
    usual = _usual_distance(pts)
    last_duration = scan.last_duration if 0 < scan.last_duration * time_base <= MAX_LAST_SECONDS else usual or 1
    place = {stamp: index for index, stamp in enumerate(stamps or pts)}
    key_bytes = {scan.own_stamps.get(key, key) if stamps else key: size for key, size in scan.key_bytes.items()}
    keyframe_bytes = dict(sorted((place[key], size) for key, size in key_bytes.items() if key in place))
    keyframes = tuple(keyframe_bytes) or (0,)
    expected = scan.packets - scan.discarded
    warnings = []
    if repaired:
        warnings.append("times_repaired")
    if probe.video.frames_from_header is not None and scan.packets < probe.video.frames_from_header:
        warnings.append("fewer_frames_than_declared")
    if scan.ends_early:
        warnings.append("shorter_than_declared")
    if len(pts) < expected:
        warnings.append("packets_without_frame")
    return Timeline(
        time_base=time_base,
        pts=pts,
        keyframes=keyframes,
        keyframe_bytes=tuple(keyframe_bytes.values()) or (0,),
        identity="index" if is_by_index else "pts",
        last_duration=last_duration,
        frames_from_header=probe.video.frames_from_header,
        packets_from_scan=scan.packets,
        frames_from_scan=expected,
        discarded_from_scan=scan.discarded,
        frames_from_decode=frames_from_decode,
        stamps=stamps,
        repaired=repaired,
        is_variable_rate=bool(distances)
        and max(distances) - min(distances) > max(STEADY_TICKS, STEADY_SHARE * (usual or 0)),
        keyframe_spacing_seconds=_spacing(pts, keyframes, float(time_base)),
        warnings=tuple(warnings),
    )


def _usual_distance(stamps: Sequence[int]) -> int | None:
    distances = [after - before for before, after in pairwise(stamps) if after > before]
    return round(median(distances)) if distances else None


def _spacing(pts: Sequence[int], keyframes: Sequence[int], tick_seconds: float) -> tuple[float, float, float]:
    """Return the least, median and greatest distance between keyframes; with fewer than two, the whole length."""
    distances = [pts[after] - pts[before] for before, after in pairwise(keyframes)] or [pts[-1] - pts[0]]
    return tuple(round(ticks * tick_seconds, 6) for ticks in (min(distances), median(distances), max(distances)))  # type: ignore[return-value]
