"""Each operation and its tables by small examples."""

from __future__ import annotations

import numpy as np
import pytest

from processing.media.enhancement.colour import MOST_OFFSET, Colour, cast_offset, saturation_table
from processing.media.enhancement.local_contrast import LocalContrast, difference_table
from processing.media.enhancement.planes import (
    Planes,
    double,
    doublings,
    enlarge,
    halve,
    luma_bounds,
    new_planes,
    to_plane,
    to_signed,
    widen,
)
from processing.media.enhancement.sharpen import OVERSHOOT, Sharpen, make_amount_table
from processing.media.enhancement.spatial import make_loss_table
from processing.media.enhancement.temporal import HALF, LOG_STEPS_PER_OCTAVE, REMOVED_SHIFT, make_gate, mix
from processing.media.enhancement.tone import Curve, Tone, brightened, colour_gains, is_identity, lift_for, tone_table
from processing.media.specs import ToneCurve
from tests.unit.pictures import noisy, scene

IDENTITY = tuple(range(256))


def test_luma_bounds_follow_the_range() -> None:
    assert luma_bounds("limited") == luma_bounds("unspecified") == (16, 235)
    assert luma_bounds("full") == (0, 255)


def test_halve_takes_means_and_widen_repeats() -> None:
    plane = np.array([[1, 3, 10, 10], [5, 7, 10, 10]], np.uint8)
    small = np.zeros((1, 2), np.uint8)
    halve(plane, small)
    assert small.tolist() == [[4, 10]]
    wide = np.zeros((2, 4), np.uint8)
    widen(small, wide)
    assert wide.tolist() == [[4, 4, 10, 10], [4, 4, 10, 10]]


def test_widen_covers_an_odd_size() -> None:
    wide = np.zeros((3, 5), np.uint8)
    widen(np.array([[4, 10]], np.uint8), wide)
    assert wide.min() == 4
    assert wide.max() == 10


def test_double_saturates() -> None:
    plane = np.array([[3, 100]], np.uint8)
    double(plane, 2)
    assert plane.tolist() == [[12, 255]]


@pytest.mark.parametrize(("reach", "expected"), [(0.0, 3), (31.0, 3), (62.0, 2), (124.0, 1), (130.0, 0), (1000.0, 0)])
def test_doublings_stay_within_eight_bits(reach: float, expected: int) -> None:
    assert doublings(reach) == expected


def test_signed_planes_come_back_as_they_were() -> None:
    plane = np.array([[0, 1, 127, 128, 255]], np.uint8)
    signed, back = np.zeros((1, 5), np.int8), np.zeros((1, 5), np.uint8)
    to_signed(plane, signed)
    assert signed.tolist() == [[-128, -127, -1, 0, 127]]
    to_plane(signed, back)
    assert back.tolist() == plane.tolist()


def test_enlarge_interpolates_and_repeats_an_odd_last_column() -> None:
    wide = np.zeros((3, 5), np.uint8)
    enlarge(np.array([[0, 40]], np.uint8), wide)
    assert wide.tolist() == [[0, 10, 30, 40, 40]] * 3


def test_mix_moves_by_the_weight_and_rounds() -> None:
    now, past = np.array([[100, 100, 100, -100]], np.int8), np.array([[110, 90, 110, 120]], np.int8)
    weight = np.array([[HALF, HALF, 0, 0]], np.uint8)
    mix(now, past, weight)
    assert past.tolist() == [[105, 95, 100, -100]]
    assert now.tolist() == [[100, 100, 100, -100]]


def test_a_gate_is_open_for_noise_and_shut_for_motion() -> None:
    gate = make_gate(2.0, 1.9)
    unit = 2**gate.doublings
    assert gate.table[0] == gate.table[2 * unit] == HALF
    assert gate.table[4 * unit] == 0
    assert (np.diff(gate.table.astype(int)) <= 0).all()


def test_the_noise_removed_is_near_that_of_a_mean_of_independent_pictures() -> None:
    weight = np.arange(HALF + 1)
    left = np.hypot(1 - weight / 128, weight / 128)
    removed = (weight >> REMOVED_SHIFT) / LOG_STEPS_PER_OCTAVE
    assert removed[-1] == 0.5
    assert np.abs(removed + np.log2(left)).max() < 1 / 8


def test_detail_at_the_noise_floor_goes_and_strong_detail_stays() -> None:
    table = make_loss_table(8.0, 4.0)
    assert table[3 * 32] == 127
    assert table[7 * 32] <= 1


def test_no_lift_and_no_gain_is_identity() -> None:
    for colour_range in ("limited", "full"):
        assert is_identity(tone_table(Curve(), colour_range))
    assert colour_gains(IDENTITY, "limited").tolist() == [32] * 256


@pytest.mark.parametrize("colour_range", ["limited", "full"])
@pytest.mark.parametrize(("gain", "lift"), [(1.0, 0.5), (1.0, 5.0), (1.4, 1.0), (2.2, 1.0)])
def test_a_tone_table_is_monotone_brighter_and_keeps_black_and_white(
    gain: float, lift: float, colour_range: str
) -> None:
    black, white = luma_bounds(colour_range)
    table = np.array(tone_table(Curve(gain=gain, lift=lift), colour_range))
    inside = table[black : white + 1]
    assert (np.diff(table) >= 0).all()
    assert table[black] == black
    assert table[white] == white
    assert (inside >= np.arange(black, white + 1)).all()
    assert table[: black + 1].tolist() == list(range(black + 1))
    # Highlights are told apart up to white, not clipped together before it.
    assert len(set(inside[-40:].tolist())) >= 3
    assert np.count_nonzero(inside == white) < 16


@pytest.mark.parametrize("toe", [0.0, 0.1])
def test_the_curve_is_smooth_at_toe_and_knee(toe: float) -> None:
    slopes = np.diff(brightened(np.linspace(0, 1, 1001), Curve(gain=2.0, toe=toe))) * 1000
    assert np.abs(np.diff(slopes)).max() < 0.05


@pytest.mark.parametrize("colour_range", ["limited", "full"])
def test_a_toe_draws_black_down_and_cuts_nothing_off(colour_range: str) -> None:
    black, white = luma_bounds(colour_range)
    table = np.array(tone_table(Curve(gain=1.4, toe=0.15), colour_range))
    assert (np.diff(table) >= 0).all()
    milky = black + round(0.15 * (white - black))
    assert black < table[milky] < black + 0.5 * (milky - black)
    assert (table[black], table[white]) == (black, white)
    assert len(set(table[black + 15 : milky].tolist())) > 4


def test_lift_brings_a_level_to_its_target() -> None:
    for level, target, gain in ((0.2, 0.4, 1.0), (0.1, 0.3, 1.5)):
        lift = lift_for(level, target, gain)
        assert float(brightened(np.array(level), Curve(gain=gain, lift=lift))) == pytest.approx(target)
    assert lift_for(0.5, 0.4) == 0.0


def test_tone_lifts_luma_and_keeps_colours_from_going_grey() -> None:
    table = tone_table(Curve(lift=3.0), "limited")
    picture = Planes(np.full((4, 4), 40, np.uint8), np.full((2, 2), 148, np.uint8), np.full((2, 2), 108, np.uint8))
    result = new_planes(4, 4)
    Tone((ToneCurve(pts=0, table=table),), "limited").process(picture, 0, result)
    assert (result.y == table[40]).all()
    assert result.y[0, 0] > 75
    assert (result.u > 155).all()
    assert (result.v < 101).all()


def test_the_curve_at_or_before_the_picture_holds() -> None:
    dark, bright = tuple([10] * 256), tuple([200] * 256)
    tone = Tone((ToneCurve(pts=100, table=bright), ToneCurve(pts=0, table=dark)), "limited")
    picture = scene(0, height=8, width=8)
    values, result = [], new_planes(8, 8)
    for pts in (-5, 0, 99, 100, 1000):
        tone.process(picture, pts, result)
        values.append(int(result.y[0, 0]))
    assert values == [10, 10, 10, 200, 200]


def test_sharpen_steepens_an_edge_without_a_halo() -> None:
    ramp = np.repeat(np.array([[60] * 6 + [75, 90, 105] + [120] * 7], np.uint8), 16, axis=0)
    chroma = np.full((8, 8), 128, np.uint8)
    result = new_planes(16, 16)
    Sharpen(0.8, 0.5).process(Planes(ramp, chroma, chroma), result)
    row = result.y[8].astype(int)
    assert np.abs(np.diff(row)).max() > 15
    assert row.min() >= 60 - OVERSHOOT
    assert row.max() <= 120 + OVERSHOOT
    assert np.array_equal(result.u, chroma)


def test_sharpen_leaves_noise_alone() -> None:
    flat = Planes(np.full((64, 64), 100, np.uint8), np.full((32, 32), 128, np.uint8), np.full((32, 32), 128, np.uint8))
    source = noisy(flat, 4, 1)
    result = new_planes(64, 64)
    Sharpen(0.8, 4.0).process(source, result)
    assert float(result.y.std()) < 1.05 * float(source.y.std())


def test_the_amount_rises_above_the_noise_and_falls_on_strong_edges() -> None:
    amounts = make_amount_table(1.0, 2.0).astype(int)
    assert amounts[: 8 * 2].max() == 0
    assert amounts.max() > 40
    assert amounts[255] < amounts.max()


def test_a_cast_is_taken_off_in_proportion_to_luma() -> None:
    offset = cast_offset(-20.0, "limited")
    assert (offset[0], offset[16], offset[235], offset[255]) == (0, 0, 20, 20)
    assert offset[125] == 10
    assert cast_offset(90.0, "full").min() == -MOST_OFFSET
    luma = np.repeat(np.arange(16, 236, dtype=np.uint8)[None, :], 4, axis=0)
    luma = luma[:, : luma.shape[1] // 2 * 2]
    level = (luma[::2, ::2] - 16.0) / 219
    tinted = Planes(luma, *(np.rint(128 + cast * level).astype(np.uint8) for cast in (-18.0, 14.0)))
    result = new_planes(*luma.shape)
    Colour((-18.0, 14.0), 0.0, "limited").process(tinted, result)
    for plane in result[1:]:
        assert np.abs(plane.astype(int) - 128).max() <= 1
    np.testing.assert_array_equal(result.y, luma)


def test_saturation_keeps_grey_spares_what_is_colourful_and_never_turns_back() -> None:
    more, none = saturation_table(0.5).astype(int), saturation_table(-1.0).astype(int)
    assert (none == 128).all()
    assert saturation_table(0.0).tolist() == list(range(256))
    assert more[128] == 128
    assert more[138] == 142
    assert (np.diff(more) >= 0).all()
    assert (more[240], more[16]) == (240, 16)
    assert saturation_table(-0.5)[168] == 148


def test_local_contrast_raises_what_stands_out_a_little() -> None:
    table = difference_table(0.4).astype(int) - 128
    assert table[128] == 0
    assert table[128 + 14] in (5, 6)
    assert abs(table[128 + 100]) <= 1
    np.testing.assert_array_equal(table[1:], -table[:0:-1])


def test_local_contrast_leaves_no_halo_along_an_edge_and_cuts_nothing_off() -> None:
    luma = np.full((256, 256), 60, np.uint8)
    luma[:, 128:] = 190
    luma[72:88, 40:56] = 74
    chroma = np.full((128, 128), 128, np.uint8)
    result = new_planes(256, 256)
    LocalContrast(0.5, "limited").process(Planes(luma, chroma, chroma), result)
    near_edge = result.y[160:, 100:156].astype(int) - luma[160:, 100:156]
    assert np.abs(near_edge).max() <= 0.04 * (190 - 60)
    assert result.y[80, 48] >= 78
    dark = np.where(luma == 60, 18, 17).astype(np.uint8)
    LocalContrast(1.0, "limited").process(Planes(dark, chroma, chroma), result)
    assert result.y.min() >= 16
    below = np.full((256, 256), 3, np.uint8)
    LocalContrast(1.0, "limited").process(Planes(below, chroma, chroma), result)
    assert (result.y == 3).all()
