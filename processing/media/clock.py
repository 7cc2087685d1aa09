"""How stamps of the source become stamps of what is written: pure arithmetic on a plan, the same for every segment.

A segment counts from the first frame of the video plus one constant delay, so that no decode time is negative
(fragment headers hold unsigned times) and every reader sees one clock over all segments. The joined file drops the
delay again and adds the one origin shared with the sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from processing.media.errors import ResourceExceeded
from processing.media.specs import Plan, Timeline

REORDER_FRAMES = 2
"""How many frames x264 holds back where B-frames may refer to each other: its default pyramid."""
MAX_TICKS = 2**31 - 1
"""Durations and offsets in a fragment of MP4 have 32 bits, the latter signed (ISO/IEC 14496-12, 8.8.8)."""


def refuse_unwritable(timeline: Timeline, tick: Fraction) -> None:
    """Raise ResourceExceeded (resource_duration) where frames lie further apart than ticks of an MP4 can say."""
    most = int(MAX_TICKS * tick / timeline.time_base)
    pts = timeline.pts
    apart = max((after - before for before, after in zip(pts, pts[REORDER_FRAMES:], strict=False)), default=0)
    apart = max(apart, pts[-1] - pts[0]) if len(pts) <= REORDER_FRAMES else apart
    if apart + timeline.last_duration > most:
        raise ResourceExceeded(
            f"neighbouring frames are {float(apart * timeline.time_base):.6g} s apart, "
            f"{float(most * timeline.time_base):.6g} s can be written",
            code="resource_duration",
        )


def ticks(plan: Plan, start: int = 0, stop: int | None = None) -> list[int]:
    """Return when the frames [start, stop) are shown, in ticks of the encoding counted from the video's first frame."""
    timeline = plan.timeline
    scale = timeline.time_base / plan.encoding.time_base
    first = timeline.pts[0]
    stamps = []
    for pts in timeline.pts[start:stop]:
        stamp, rest = divmod((pts - first) * scale.numerator, scale.denominator)
        if rest:
            raise ValueError(f"pts {pts} of the source is no whole number of ticks of {plan.encoding.time_base} s")
        stamps.append(stamp)
    return stamps


def last_duration(plan: Plan) -> int:
    """Return how long the last frame is shown, in ticks of the encoding, at least one."""
    return max(1, round(plan.timeline.last_duration * plan.timeline.time_base / plan.encoding.time_base))


def decode_delay(plan: Plan) -> int:
    """Return the delay added to the stamps of every segment, in ticks: the least that keeps decode times from 0 on."""
    return _extended(plan)[REORDER_FRAMES]


def lead_in(plan: Plan, start: int) -> tuple[int, ...]:
    """Return the decode times of the first packets of a segment that starts at frame `start`, delay included.

    A packet is decoded when the frame two places before it is shown, whichever segment that is in; so decode times
    go on from segment to segment without a step back or a gap.
    """
    first = _extended(plan)[:REORDER_FRAMES]
    delay = decode_delay(plan)
    before = [stamp + delay for stamp in ticks(plan, max(start - REORDER_FRAMES, 0), start)]
    return (*first[start:], *before)


def _extended(plan: Plan) -> list[int]:
    """Return the stamps of the first frames, gone on with where the video has fewer."""
    shown = ticks(plan, 0, REORDER_FRAMES + 1)
    while len(shown) <= REORDER_FRAMES:
        shown.append(shown[-1] + last_duration(plan))
    return shown


def decode_times(stamps: Sequence[int]) -> list[int]:
    """Return the decode time of each packet from the pts of a whole stream's packets, both in decode order.

    With B-frames d deep, packet j is decoded when the frame j - d is shown, the first d ones as far ahead of that as
    frame d is shown after frame 0. `[0, 20, 10, 30]` has d = 1 and gives `[-10, 0, 10, 20]`. The pts are distinct.
    """
    shown = sorted(stamps)
    place = {stamp: index for index, stamp in enumerate(shown)}
    depth = max((index - place[stamp] for index, stamp in enumerate(stamps)), default=0)
    if depth == 0:
        return shown
    lead = shown[depth] - shown[0]
    return [stamp - lead for stamp in shown[:depth]] + shown[: len(shown) - depth]


def last_sample(stamps: Sequence[int], decoded: Sequence[int], last_duration: int) -> tuple[int, int]:
    """Return the decode time and the duration of the last packet, for durations that add up to the time shown.

    Readers take the sum of a track's durations for its length. Each lasts until the next packet is decoded, so where
    the last frames lie further apart than the first ones, the sum falls short: then the last packet is decoded as late
    as it can be, and lasts as long as is missing. Arguments are in decode order; `last_duration` is that of the frame
    shown last. Where frames are evenly spaced, nothing changes.

    >>> last_sample([0, 20, 10, 30], [-10, 0, 10, 20], 10), last_sample([0, 20, 10, 90], [-10, 0, 10, 20], 10)
    ((20, 10), (80, 10))
    """
    shown = sorted(stamps)
    pts = stamps[-1]
    follows = shown.index(pts) + 1
    duration = shown[follows] - pts if follows < len(shown) else last_duration
    length = shown[-1] + last_duration - shown[0]
    dts = max(decoded[-1], min(pts, decoded[0] + length - duration))
    return dts, max(duration, decoded[0] + length - dts)


def frame_rate(timeline: Timeline) -> Fraction:
    """Return the average frame rate over all frames, with a denominator small enough for an encoder's header."""
    pts = timeline.pts
    shown = pts[-1] - pts[0] + max(1, timeline.last_duration)
    rate = len(pts) / (shown * timeline.time_base)
    return min(max(rate, Fraction(1, 60)), Fraction(1000)).limit_denominator(1001)
