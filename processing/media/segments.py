"""Where a timeline is cut into segments: pure arithmetic, so whoever plans the same timeline gets the same segments.

Invariant: segments tile the timeline without gap or overlap, and each can be decoded from a keyframe at or before its
warm-up. Cuts lie a few frames after a keyframe, never on it: then the warm-up is the start of that GOP, no earlier one
is decoded, and pictures that lead an open GOP's keyframe fall outside.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from fractions import Fraction

from processing.media.specs import Segment, Timeline

WARMUP_FRAMES = 8
"""How far the filters look back on planes; deinterlacing before them looks one frame further."""
REDECODED_SHARE = Fraction(1, 4)
"""Frames decoded a second time to reach cuts inside a GOP, as a share of all: no more than this."""
TARGETS_SECONDS = (1, 1, 4, 8)


def plan_segments(
    timeline: Timeline, targets: Sequence[float] = TARGETS_SECONDS, *, warmup_frames: int = WARMUP_FRAMES
) -> tuple[Segment, ...]:
    """Return the segments of a timeline, about as long as `targets` (seconds; the last one repeats).

    `warmup_frames` is how far the operations look back in all.

    The first are short, so that the first picture comes soon. The last share what is left, down to half the longest
    target, lest one worker is still at a long one when the others have nothing; shorter ones would cost more in warm-up
    frames than they gain. A cut beside a keyframe between half and twice the target is taken; without one the cut lies
    inside a GOP while the re-decoding that costs stays within bounds; else the segment reaches to the next keyframe.
    No cut leaves less than half the first target. Frames that only their index identifies are counted from the start:
    one segment.
    """
    count = len(timeline.pts)
    if timeline.identity == "index" and not timeline.stamps:
        return (Segment(index=0, seek=0, warmup=0, start=0, stop=count),)
    end = timeline.pts[-1] + timeline.last_duration
    latest = bisect_right(timeline.pts, end - targets[0] / timeline.time_base / 2)
    beside_keyframes = [key + warmup_frames for key in timeline.keyframes if key + warmup_frames < latest]
    budget = REDECODED_SHARE * count
    cuts = [0]
    while True:
        half_left = (end - timeline.pts[cuts[-1]]) / 2 * timeline.time_base
        share = max(half_left, targets[-1] / 2, targets[0])
        target = min(targets[min(len(cuts), len(targets)) - 1], share) / timeline.time_base
        cut, cost = _next_cut(timeline, beside_keyframes, cuts[-1], int(target), budget, warmup_frames)
        if cut is None:
            break
        budget -= cost
        cuts.append(cut)
    return tuple(
        _segment(timeline, index, start, stop, warmup_frames)
        for index, (start, stop) in enumerate(zip(cuts, [*cuts[1:], count], strict=True))
    )


def _next_cut(
    timeline: Timeline,
    beside_keyframes: Sequence[int],
    start: int,
    target: int,
    budget: Fraction,
    warmup_frames: int,
) -> tuple[int | None, int]:
    """Return where the segment that begins at `start` ends, and the frames decoded twice for it; None for the end."""
    pts = timeline.pts
    wanted = pts[start] + target
    if pts[-1] + timeline.last_duration - wanted < target / 2:
        return None, 0
    first = bisect_left(beside_keyframes, start + 1)
    near = bisect_left(beside_keyframes, wanted, lo=first, key=lambda cut: pts[cut])
    closest = min(
        beside_keyframes[max(near - 1, first) : near + 1], key=lambda cut: abs(pts[cut] - wanted), default=None
    )
    if closest is not None and target / 2 <= pts[closest] - pts[start] <= 2 * target:
        return closest, warmup_frames
    inside = bisect_left(pts, wanted)
    cost = inside - _segment(timeline, 0, inside, inside + 1, warmup_frames).seek
    if start < inside < len(pts) and cost <= budget:
        return inside, cost
    return (beside_keyframes[near], warmup_frames) if near < len(beside_keyframes) else (None, 0)


def _segment(timeline: Timeline, index: int, start: int, stop: int, warmup_frames: int) -> Segment:
    warmup = max(start - warmup_frames, 0)
    before = bisect_right(timeline.keyframes, warmup) - 1
    seek = timeline.keyframes[before] if before >= 0 else 0
    return Segment(index=index, seek=seek, warmup=warmup, start=start, stop=stop)
