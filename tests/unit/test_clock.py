"""Stamps of the source become stamps of what is written."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.media.clock import decode_times, frame_rate
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
