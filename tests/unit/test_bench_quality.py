"""The judges and tables of `make bench-quality`: what they call better is better."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.quality.clips import Clip, join, split
from benchmarks.quality.degradations import DEGRADATIONS, Degradation
from benchmarks.quality.judges import Score, flicker, psnr, same_tone, score
from benchmarks.quality.tables import Result, of_degradation, verdicts
from tests.unit.pictures import scene


def clip(frames: int = 12) -> Clip:
    planes = [np.stack(plane) for plane in zip(*(scene(number) for number in range(frames)), strict=True)]
    return Clip(name="scene", pictures=join(*planes))


def result(contender: str, psnr_db: float, ms: float, *, is_ours: bool = False) -> Result:
    mine = Score(psnr_db=psnr_db, ssim=0.9, vmaf=90.0, vmaf_neg=89.0, flicker=0.1)
    return Result(
        degradation="Gaussian 5",
        kind="noise",
        clip="scene",
        contender=contender,
        is_ours=is_ours,
        score=mine,
        matched=None,
        cpu_seconds=ms / 1000.0,
        pictures_720p=1.0,
    )


def test_planes_are_split_and_joined_as_in_a_raw_file() -> None:
    picture = scene(3)
    raw = np.concatenate([plane.ravel() for plane in picture])
    pictures = join(*(plane[None] for plane in picture))
    np.testing.assert_array_equal(pictures.ravel(), raw)
    for plane, expected in zip(split(pictures), picture, strict=True):
        np.testing.assert_array_equal(plane[0], expected)


@pytest.mark.parametrize("degradation", DEGRADATIONS, ids=lambda one: one.name)
def test_a_degradation_is_the_same_each_time_and_its_file_holds_it(degradation: Degradation, tmp_path: Path) -> None:
    first, second = (degradation.of(clip(), tmp_path) for _ in range(2))
    np.testing.assert_array_equal(first.pictures, second.pictures)
    assert first.truth.shape == first.pictures.shape
    assert len(first.truth) == 12 // degradation.frames_each
    assert first.path.stat().st_size > 0
    assert not np.array_equal(first.truth, first.pictures)
    if degradation.name == "Gaussian 5":
        assert first.sigma == pytest.approx(5.0, abs=0.2)


def test_psnr_of_a_known_error() -> None:
    luma = split(clip().pictures)[0]
    assert psnr(luma, luma ^ 1) == pytest.approx(20.0 * np.log10(255.0))


def test_flicker_is_what_moves_in_brightness_and_should_not() -> None:
    still = np.full((6, 64, 64), 100, np.uint8)
    flickering = still + (np.arange(6, dtype=np.uint8) % 2)[:, None, None]
    assert flicker(still, still) == 0.0
    assert flicker(still, flickering) == pytest.approx(1.0)


def test_the_same_tone_undoes_a_curve_and_nothing_else() -> None:
    truth = clip().pictures
    darker = truth.copy()
    darker[:, :144] = truth[:, :144] // 2
    matched = same_tone(truth, darker)
    assert psnr(split(truth)[0], split(matched)[0]) > 50.0
    np.testing.assert_array_equal(matched[:, 144:], truth[:, 144:])


def test_the_truth_scores_best(tmp_path: Path) -> None:
    truth = clip().pictures
    noisy = DEGRADATIONS[1].of(clip(), tmp_path).pictures
    best, worse = score(truth, truth, tmp_path), score(truth, noisy, tmp_path)
    assert best.vmaf > worse.vmaf
    assert best.ssim > worse.ssim
    assert best.psnr_db > 60.0 > worse.psnr_db


def test_aims_are_missed_where_somebody_is_faster_and_better() -> None:
    ours, slower = result("denoise", 40.0, 5.0, is_ours=True), result("nlmeans", 42.0, 50.0)
    table = of_degradation("Gaussian 5", [ours, slower])
    assert "| **denoise** | 40.00 |" in table
    assert all(verdict.is_kept for verdict in verdicts([ours, slower]))
    faster = verdicts([ours, slower, result("hqdn3d", 41.0, 4.0)])
    assert [verdict.sentence for verdict in faster if not verdict.is_kept] == [
        "- MISSED: Gaussian 5: nobody both faster and better by PSNR; hqdn3d beats denoise"
    ]
