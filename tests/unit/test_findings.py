"""What runs of pictures show: bars, blocks, flicker, cuts and casts, and what must not be taken for them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from processing.media.colour_measures import colour_evidence
from processing.media.diagnosis import summarised
from processing.media.enhancement.planes import Planes
from processing.media.findings import RunFindings, bars_of, centre, measure_run
from processing.media.measured import Bars
from processing.media.measures import blocking, is_other_scene, signature
from tests.unit.pictures import media_probe, noisy, scene


def found(*pictures: Planes) -> RunFindings:
    return measure_run(list(pictures), 16, 235, pts=7, flagged_interlaced=0, most_px=1920)


def lit(picture: Planes, levels: float) -> Planes:
    return picture._replace(y=np.clip(picture.y.astype(int) + round(levels), 0, 255).astype(np.uint8))


def tinted(picture: Planes, u: float, v: float) -> Planes:
    """Return a grey picture under a coloured light: chroma in proportion to luma, (u, v) at white."""
    half = cv2.resize(picture.y, picture.u.shape[::-1], interpolation=cv2.INTER_AREA).astype(float)
    share = (half - 16) / 219
    return Planes(picture.y, *(np.rint(128 + share * cast).astype(np.uint8) for cast in (u, v)))


def test_bars_are_counted_in_rows_and_columns() -> None:
    luma = np.full((90, 160), 17, np.uint8)
    assert bars_of(luma, 16) == Bars(top_px=0, bottom_px=0, left_px=0, right_px=0)
    luma[10:78, 4:160] = scene(0).y[:68, :156]
    assert bars_of(luma, 16) == Bars(top_px=10, bottom_px=12, left_px=4, right_px=0)
    assert bars_of(np.full((90, 160), 16, np.uint8), 16) is None


def test_a_dark_run_does_not_make_bars() -> None:
    dark, whole = scene(0), scene(1)
    dark.y[:20] = 16
    black = Planes(np.full_like(dark.y, 16), dark.u, dark.v)
    runs = [found(dark), found(black), found(whole)]
    assert runs[0].bars == Bars(top_px=20)
    assert summarised(runs, media_probe(), 16, 235).bars == Bars()
    assert summarised(runs[:2], media_probe(), 16, 235).bars == Bars(top_px=20)


def test_the_centre_begins_with_a_block() -> None:
    picture = centre(Planes(*(np.zeros(size, np.uint8) for size in ((2160, 3840), (1080, 1920), (1080, 1920)))), 1920)
    assert picture.y.shape == (1920, 1920)
    assert picture.u.shape == (960, 960)
    tall = np.repeat(np.arange(60, dtype=np.uint8)[:, None], 4, axis=1)
    cut = centre(Planes(tall, tall[::2, ::2], tall[::2, ::2]), 24)
    assert (cut.y[0, 0], cut.u[0, 0]) == (16, 16)


def test_the_grid_of_a_codec_is_told_from_texture() -> None:
    smooth = cv2.GaussianBlur(scene(0, height=256, width=256).y, (9, 9), 0)
    flat = noisy(Planes(smooth, smooth[::2, ::2], smooth[::2, ::2]), 2, 1).y
    blocks = cv2.resize(
        cv2.resize(flat, (32, 32), interpolation=cv2.INTER_AREA), (256, 256), interpolation=cv2.INTER_NEAREST
    )
    mixed = cv2.addWeighted(flat, 0.5, blocks, 0.5, 0)
    assert blocking(flat) < 0.1
    assert blocking(mixed) > 0.5
    assert blocking(np.full((64, 64), 90, np.uint8)) == 0.0
    assert blocking(np.zeros((4, 4), np.uint8)) == 0.0


def test_flicker_is_told_from_a_fade() -> None:
    still = scene(0)
    assert found(still, lit(still, 4), still).flicker == pytest.approx(4.0, abs=0.1)
    assert found(still, lit(still, 4), lit(still, 8)).flicker == pytest.approx(0.0, abs=0.1)
    assert found(still, still).flicker is None


def test_a_change_of_scene_is_told_from_one_of_light() -> None:
    one, other = scene(0), scene(0)
    other = other._replace(y=np.ascontiguousarray(other.y[::-1, ::-1]))
    assert not is_other_scene(signature(one.y), signature(scene(5).y))
    assert not is_other_scene(signature(one.y), signature(scene(0, gain=0.4).y))
    assert is_other_scene(signature(one.y), signature(other.y))
    assert found(one, other, one).flicker is None
    told = summarised([found(one), found(lit(one, 9)), found(other), found(other, one)], media_probe(), 16, 235)
    assert [run.scene for run in told.runs] == [0, 0, 1, 2]
    assert told.scene_changes == 3
    assert told.exposure_drift == pytest.approx(9.0, abs=1.0)


def test_a_coloured_light_is_a_cast() -> None:
    told = colour_evidence(tinted(lit(scene(0), 40), -10.0, 14.0), 16, 235)
    assert told.follows_light
    assert told.neutral_share == pytest.approx(0.0, abs=0.01)
    assert told.share > 0.3
    assert (told.cast_u, told.cast_v) == pytest.approx((-10.0, 14.0), abs=1.0)


def test_a_grey_picture_has_no_cast_and_no_colour() -> None:
    told = colour_evidence(tinted(scene(0), 0.0, 0.0), 16, 235)
    assert (told.cast_u, told.cast_v, told.colourfulness) == (0.0, 0.0, 0.0)
    assert told.neutral_share == 1.0
    assert not told.follows_light


def test_a_coloured_surface_is_no_cast() -> None:
    grey = tinted(scene(0), 0.0, 0.0)
    wall = grey._replace(u=np.full_like(grey.u, 122), v=np.full_like(grey.v, 135))
    wall.u[:, 48:] = wall.v[:, 48:] = 128
    assert colour_evidence(wall, 16, 235).neutral_share > 0.3
    nothing_white = grey._replace(y=np.clip(grey.y, 110, 140))
    assert not colour_evidence(tinted(nothing_white, -10.0, 14.0), 16, 235).follows_light
    assert not colour_evidence(grey._replace(u=255 - grey.y[::2, ::2] // 8 - 116), 16, 235).follows_light


def test_a_dark_picture_tells_nothing_of_its_colours() -> None:
    told = colour_evidence(scene(0, gain=0.1), 16, 235)
    assert told.share == 0.0
    assert told.colourfulness is None


@pytest.mark.parametrize("colour", [0, 20])
def test_noise_makes_no_colour(colour: int) -> None:
    clean = tinted(scene(0), 0.0, 0.0)
    clean.u[:, : clean.u.shape[1] // 2] += np.uint8(colour)
    pictures = [noisy(clean, 7.0, seed) for seed in range(2)]
    told = summarised([found(*pictures)], media_probe(), 16, 235)
    assert told.noise_sigma_chroma == pytest.approx(7.0, abs=1.0)
    assert told.colourfulness == pytest.approx(colour, abs=5.0)
    assert colour_evidence(pictures[0], 16, 235).neutral_share > 0.3
