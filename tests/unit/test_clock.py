"""Stamps of the source become stamps of what is written."""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.media.clock import decode_times, frame_rate, last_sample
from processing.media.specs import Timeline


def timeline(pts: tuple[int, ...], time_base: Fraction, last_duration: int) -> Timeline:
    return Timeline(
        time_base=time_base,
        pts=pts,
        keyframes=(0,),
        identity="pts",
        last_duration=last_duration,
        frames_from_header=None,
        packets_from_scan=len(pts),
        frames_from_scan=len(pts),
        discarded_from_scan=0,
        repaired=0,
        is_variable_rate=False,
        keyframe_spacing_seconds=(0, 0, 0),
    )


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        ([], []),
        ([7], [7]),
        ([0, 10, 20], [0, 10, 20]),
        ([0, 20, 10, 30], [-10, 0, 10, 20]),
        ([0, 40, 20, 10, 30], [-20, -10, 0, 10, 20]),
        ([0, 1000, 10], [-10, 0, 10]),
    ],
)
def test_decode_times(stamps: list[int], expected: list[int]) -> None:
    assert decode_times(stamps) == expected


@given(st.lists(st.integers(-1000, 1000), unique=True, min_size=1, max_size=12))
def test_a_packet_is_decoded_before_it_is_shown_and_after_the_one_before(stamps: list[int]) -> None:
    decoded = decode_times(stamps)
    assert all(dts <= pts for dts, pts in zip(decoded, stamps, strict=True))
    assert all(later > earlier for earlier, later in pairwise(decoded))


@pytest.mark.parametrize(
    ("pts", "time_base", "last_duration", "expected"),
    [
        (tuple(range(0, 300_300, 1001)), Fraction(1, 30_000), 1001, Fraction(30_000, 1001)),
        ((0,), Fraction(1, 25), 1, Fraction(25)),
        ((0,), Fraction(1, 90_000), 0, Fraction(1000)),
        ((0, 1000), Fraction(1, 1), 1000, Fraction(1, 60)),
    ],
)
def test_the_frame_rate_stays_within_what_an_encoder_takes(
    pts: tuple[int, ...], time_base: Fraction, last_duration: int, expected: Fraction
) -> None:
    assert frame_rate(timeline(pts, time_base, last_duration)) == expected


@given(st.lists(st.integers(1, 2000), min_size=1, max_size=12), st.permutations(range(4)), st.integers(1, 2000))
def test_durations_add_up_to_the_time_shown(steps: list[int], order: list[int], last_duration: int) -> None:
    shown = list(accumulate(steps, initial=0))
    # Groups of four in any order, as B-frames reorder them.
    stamps = [stamp for start in range(0, len(shown), 4) for stamp in _reordered(shown[start : start + 4], order)]
    decoded = decode_times(stamps)
    dts, duration = last_sample(stamps, decoded, last_duration)
    length = shown[-1] + last_duration
    assert decoded[-1] <= dts <= stamps[-1]
    assert dts - decoded[0] + duration >= length
    if dts > decoded[-1] or dts - decoded[0] + duration == length:
        assert dts - decoded[0] + duration == length
        assert stamps[-1] + duration <= length, "no later than the last frame is shown"


def _reordered(stamps: list[int], order: list[int]) -> list[int]:
    return [stamps[place] for place in order if place < len(stamps)]
