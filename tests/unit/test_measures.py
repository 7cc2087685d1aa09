"""What is measured on planes, and by what it is not fooled."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from processing.media.measures import (
    coarse_noise_sigma,
    combing,
    edge_steepness,
    luma_histogram,
    noise_sigma,
    percentile,
    picture_area,
)
from tests.unit.pictures import noisy, scene


@pytest.mark.parametrize("sigma", [1.5, 4.0, 9.0])
def test_noise_is_measured_through_texture_and_motion(sigma: float) -> None:
    first, second = noisy(scene(0), sigma, 1), noisy(scene(1), sigma, 2)
    measured = noise_sigma(first.y, second.y, 16, 235)
    assert measured == pytest.approx(sigma, rel=0.15)
    assert noise_sigma(first.u, second.u) == pytest.approx(sigma, rel=0.15)


def test_space_alone_tells_noise_where_there_is_one_picture() -> None:
    assert noise_sigma(noisy(scene(0), 5, 1).y, None) == pytest.approx(5, rel=0.2)


@pytest.mark.parametrize("halvings", [0, 1, 2])
def test_white_noise_measures_the_same_at_every_size(halvings: int) -> None:
    flat = scene(0, height=288, width=384)._replace(y=np.full((288, 384), 110, np.uint8))
    first, second = noisy(flat, 4, 1), noisy(flat, 4, 2)
    assert coarse_noise_sigma(first.y, second.y, halvings, 16, 235) == pytest.approx(4.0, rel=0.15)


def test_noise_that_lost_its_fine_part_shows_at_half_the_size() -> None:
    flat = np.full((288, 384), 110.0)
    random = np.random.default_rng(0)
    first, second = (
        np.clip(np.rint(cv2.GaussianBlur(flat + random.normal(0, 6, flat.shape), (3, 3), 0)), 0, 255).astype(np.uint8)
        for _ in range(2)
    )
    full = noise_sigma(first, second)
    assert full is not None
    assert coarse_noise_sigma(first, second, 1) > 1.3 * full


def test_a_clean_moving_scene_has_no_noise() -> None:
    assert noise_sigma(scene(0).y, scene(1).y) == pytest.approx(0, abs=0.35)


def test_texture_that_stands_still_is_no_noise() -> None:
    texture = np.random.default_rng(0).integers(60, 200, (128, 128), np.uint8)
    assert noise_sigma(texture, texture.copy()) == 0


def test_no_block_to_measure_on_tells_nothing() -> None:
    tiny, black = np.zeros((8, 8), np.uint8), np.full((64, 64), 16, np.uint8)
    assert noise_sigma(tiny, tiny) is None
    assert noise_sigma(black, black, 19, 232) is None


def test_bars_are_no_picture() -> None:
    luma = np.full((40, 60), 16, np.uint8)
    assert picture_area(luma, 16) == (slice(0, 40), slice(0, 60))
    luma[5:35, 10:50] = 90
    assert picture_area(luma, 16) == (slice(5, 35), slice(10, 50))


def test_percentiles_of_a_histogram() -> None:
    histogram = np.bincount([10] * 98 + [200, 250], minlength=256)
    assert percentile(histogram, 1) == 10
    assert percentile(histogram, 99) == 200
    assert percentile(histogram, 100) == 250


@pytest.mark.parametrize("sigma", [5.0, 10.0, 20.0])
def test_noise_does_not_widen_a_flat_picture(sigma: float) -> None:
    rows, columns = np.mgrid[0:256, 0:256]
    clean = (100 + 40 * (columns // 64 % 2) + 10 * (rows // 128)).astype(np.uint8)
    random = np.random.default_rng(0)
    grainy = np.clip(clean + random.normal(0, sigma, clean.shape), 0, 255).astype(np.uint8)
    counted = luma_histogram(grainy, 16, sigma)
    assert percentile(counted, 1) == pytest.approx(100, abs=8)
    assert percentile(counted, 99) == pytest.approx(150, abs=8)
    assert percentile(luma_histogram(clean, 16), 1) == 100


def step(width: int) -> np.ndarray:
    """Return a plane of vertical edges from 50 to 200 whose steps take `width` pixels; 0 is a hard one."""
    half = max(width / 2, 0.01)
    corners = [15.5 - half, 15.5 + half, 47.5 - half, 47.5 + half]
    period = np.interp(np.arange(64), corners, [50, 200, 200, 50])
    return np.tile(np.rint(period).astype(np.uint8), (128, 4))


def test_sharp_edges_are_steeper_than_soft_ones() -> None:
    sharp, soft, softer = (edge_steepness(step(width), 0.0) for width in (0, 2, 8))
    assert sharp > 0.9
    assert sharp > soft > softer
    assert softer < 0.2


def test_noise_does_not_make_a_soft_picture_sharp() -> None:
    random = np.random.default_rng(0)
    soft = step(8)
    grainy = np.clip(soft + random.normal(0, 4, soft.shape), 0, 255).astype(np.uint8)
    assert edge_steepness(grainy, 4.0) < 0.5


def test_a_plane_without_edges_is_not_called_soft() -> None:
    assert edge_steepness(np.full((64, 64), 90, np.uint8), 0.0) == 1.0


def test_fields_of_two_times_comb_and_whole_pictures_do_not() -> None:
    early, late = scene(0).y, scene(4).y
    woven = early.copy()
    woven[1::2] = late[1::2]
    assert combing(woven, 0.0) > 0.004
    assert combing(early, 0.0) < 0.0005
    assert combing(noisy(scene(0), 10, 1).y, 10.0) < 0.0005
