"""Cuts of a timeline: they tile it, can be decoded, cost little, and are about as long as wanted."""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate, pairwise
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from processing.media.segments import REDECODED_SHARE, WARMUP_FRAMES, plan_segments
from processing.media.specs import Segment, Timeline


def timeline_of(
    pts: list[int],
    keyframes: list[int],
    *,
    time_base: Fraction = Fraction(1, 25),
    identity: Literal["pts", "index"] = "pts",
    stamps: tuple[int, ...] = (),
) -> Timeline:
    return Timeline(
        time_base=time_base,
        pts=tuple(pts),
        keyframes=tuple(keyframes),
        identity=identity,
        last_duration=1,
        frames_from_header=None,
        packets_from_scan=len(pts),
        frames_from_scan=len(pts),
        discarded_from_scan=0,
        repaired=0,
        is_variable_rate=False,
        keyframe_spacing_seconds=(0.0, 0.0, 0.0),
        stamps=stamps,
    )


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    steps = draw(st.lists(st.integers(1, 400), min_size=0, max_size=300))
    pts = list(accumulate(steps, initial=draw(st.integers(-1000, 10**9))))
    keyframes = sorted(draw(st.sets(st.integers(0, len(pts) - 1), min_size=1)))
    return timeline_of(pts, keyframes, time_base=Fraction(1, draw(st.sampled_from([1, 25, 600, 90_000]))))


@given(timelines(), st.lists(st.sampled_from([0.25, 1, 2, 4, 8]), min_size=1, max_size=4))
def test_segments_tile_the_timeline_and_can_be_decoded(timeline: Timeline, targets: list[float]) -> None:
    segments = plan_segments(timeline, targets)
    borders = [segment.start for segment in segments] + [segments[-1].stop]
    assert borders[0] == 0
    assert borders[-1] == len(timeline.pts)
    assert all(before < after for before, after in pairwise(borders))
    assert [segment.index for segment in segments] == list(range(len(segments)))
    assert all(before.stop == after.start for before, after in pairwise(segments))
    for segment in segments:
        assert 0 <= segment.seek <= segment.warmup <= segment.start < segment.stop
        assert segment.warmup == max(segment.start - WARMUP_FRAMES, 0)
        assert segment.seek == 0 or segment.seek in timeline.keyframes


@given(timelines())
def test_redecoding_inside_gops_stays_within_its_share(timeline: Timeline) -> None:
    beside = {key + WARMUP_FRAMES for key in timeline.keyframes}
    inside = [segment for segment in plan_segments(timeline)[1:] if segment.start not in beside]
    assert sum(segment.start - segment.seek for segment in inside) <= REDECODED_SHARE * len(timeline.pts)


def test_cuts_lie_beside_keyframes_near_the_targets() -> None:
    timeline = timeline_of(list(range(1000)), list(range(0, 1000, 25)))
    starts = [segment.start for segment in plan_segments(timeline, (1, 1, 4, 8))]
    assert starts == [0, 33, 58, 158, 358, 558, 758, 883]
    assert [segment.seek for segment in plan_segments(timeline)][1:4] == [25, 50, 150]


@given(st.integers(250, 3000))
def test_the_last_segments_share_what_is_left(count: int) -> None:
    segments = plan_segments(timeline_of(list(range(count)), list(range(0, count, 25))))
    lengths = [(segment.stop - segment.start) / 25 for segment in segments]
    assert max(lengths[-2:]) <= 6.0, "half the longest, and a rest too short for itself"
    assert min(lengths) >= 1.0
    assert len(segments) <= count / 25 / 8 + 5


def test_a_long_gop_is_cut_inside_only_while_that_is_cheap() -> None:
    timeline = timeline_of(list(range(1500)), [0])
    starts = [segment.start for segment in plan_segments(timeline)]
    assert starts == [0, 25, 50, 150]


def test_a_short_rest_joins_the_last_segment() -> None:
    timeline = timeline_of(list(range(30)), [0, 10, 20])
    assert plan_segments(timeline, (1,)) == (Segment(index=0, seek=0, warmup=0, start=0, stop=30),)
    timeline = timeline_of(list(range(60)), [0, 50])
    assert plan_segments(timeline) == (Segment(index=0, seek=0, warmup=0, start=0, stop=60),)


def test_frames_that_only_counting_identifies_are_one_segment() -> None:
    keyframes = list(range(0, 1000, 25))
    pts = list(range(1000))
    counted = timeline_of(pts, keyframes, identity="index")
    stamped = timeline_of(pts, keyframes, identity="index", stamps=tuple(reversed(pts)))
    assert plan_segments(counted) == (Segment(index=0, seek=0, warmup=0, start=0, stop=1000),)
    assert len(plan_segments(stamped)) > 1


def test_one_frame_is_one_segment() -> None:
    assert plan_segments(timeline_of([7], [0])) == (Segment(index=0, seek=0, warmup=0, start=0, stop=1),)
