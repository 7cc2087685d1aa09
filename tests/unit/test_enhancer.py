"""The chain of operations: closer to the truth, the same after a warm-up, the same on every CPU, inputs untouched."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from processing.media.enhancement.enhancer import LOOK_BACK_FRAMES, Enhancer, _slope
from processing.media.enhancement.local_contrast import LocalContrast
from processing.media.enhancement.planes import Planes, new_planes
from processing.media.enhancement.tone import Curve, tone_table
from processing.media.specs import Enhancement
from tests.unit.pictures import enhancement, noisy, psnr, scene

EVERYTHING = enhancement(
    sigma=6.0,
    table=tone_table(Curve(gain=1.3, lift=0.8, toe=0.05), "limited"),
    cast=(-9.0, 12.0),
    denoise=1.0,
    white_balance=0.8,
    saturation=0.3,
    tone=0.5,
    local_contrast=0.4,
    sharpen=0.6,
)
WARMUP_FRAMES = 8
ROOT = Path(__file__).parents[2]


def run(pictures: list[Planes], chosen: Enhancement) -> list[Planes]:
    enhancer = Enhancer(chosen, "limited")
    return [Planes(*(plane.copy() for plane in enhancer.process(picture, pts))) for pts, picture in enumerate(pictures)]


@pytest.mark.parametrize(("sigma", "gain_db", "chroma_gain_db"), [(3, 4.0, 6.0), (5, 6.0, 8.0), (10, 9.0, 9.0)])
def test_denoise_comes_closer_to_the_truth(sigma: float, gain_db: float, chroma_gain_db: float) -> None:
    truth = [scene(number) for number in range(16)]
    source = [noisy(picture, sigma, seed) for seed, picture in enumerate(truth)]
    result = run(source, enhancement(sigma=sigma, denoise=1.0))
    gains = [
        np.mean([psnr(after[plane], clean[plane]) - psnr(before[plane], clean[plane]) for before, after, clean in
                 list(zip(source, result, truth, strict=True))[WARMUP_FRAMES:]])
        for plane in range(3)
    ]  # fmt: skip
    assert gains[0] > gain_db
    assert min(gains[1:]) > chroma_gain_db


def test_moving_things_leave_no_ghost() -> None:
    truth = [scene(number) for number in range(16)]
    source = [noisy(picture, 4, seed) for seed, picture in enumerate(truth)]
    result = run(source, enhancement(sigma=4.0, denoise=1.0))
    for number in range(8, 16):
        # Where the dark square stood three pictures ago, and stands no more.
        left = (number - 3) * 3
        trail = np.s_[98:118, left : left + 7]
        shadow = float(truth[number].y[trail].mean()) - float(result[number].y[trail].mean())
        assert abs(shadow) < 1.5


def test_denoise_is_steady_from_picture_to_picture() -> None:
    still = scene(0)
    source = [noisy(still, 6, seed) for seed in range(20)]
    result = run(source, enhancement(sigma=6.0, denoise=1.0))

    def flicker(pictures: list[Planes]) -> float:
        return float(np.mean([np.abs(a.y.astype(int) - b.y).mean() for a, b in pairwise(pictures)]))

    assert flicker(result[8:]) < 0.2 * flicker(source[8:])
    means = [float(picture.y.mean()) for picture in result[8:]]
    assert max(means) - min(means) < 0.25
    assert means[0] == pytest.approx(float(still.y.mean()), abs=0.3)


@pytest.mark.parametrize("start", [1, 5, 11])
def test_a_segment_after_its_warm_up_equals_the_whole(start: int) -> None:
    source = [noisy(scene(number), 6, number) for number in range(start + WARMUP_FRAMES + 4)]
    whole = run(source, EVERYTHING)
    apart = run(source[start:], EVERYTHING)
    assert WARMUP_FRAMES > LOOK_BACK_FRAMES
    for index in range(start + WARMUP_FRAMES, len(source)):
        for plane, other in zip(whole[index], apart[index - start], strict=True):
            np.testing.assert_array_equal(plane, other)


def test_reset_forgets_what_was_seen() -> None:
    source = [noisy(scene(number), 6, number) for number in range(10)]
    fresh = run(source[5:], EVERYTHING)
    enhancer = Enhancer(EVERYTHING, "limited")
    for pts, picture in enumerate(source[:5]):
        enhancer.process(picture, pts)
    enhancer.reset()
    for pts, (picture, expected) in enumerate(zip(source[5:], fresh, strict=True), start=5):
        for plane, other in zip(enhancer.process(picture, pts), expected, strict=True):
            np.testing.assert_array_equal(plane, other)


@pytest.mark.parametrize("chosen", [EVERYTHING, enhancement(sharpen=0.6), enhancement()])
def test_inputs_are_never_written_to_and_a_given_picture_is(chosen: Enhancement) -> None:
    source = [noisy(scene(number), 6, number) for number in range(12)]
    untouched = [Planes(*(plane.copy() for plane in picture)) for picture in source]
    expected = run(source, chosen)
    enhancer, out = Enhancer(chosen, "limited"), new_planes(*source[0].y.shape)
    for pts, picture in enumerate(source):
        for plane in picture:
            plane.flags.writeable = False
        assert enhancer.process(picture, pts, out) is out
        for plane, other in zip(out, expected[pts], strict=True):
            np.testing.assert_array_equal(plane, other)
    for picture, before in zip(source, untouched, strict=True):
        for plane, other in zip(picture, before, strict=True):
            np.testing.assert_array_equal(plane, other)


def test_nothing_chosen_returns_the_input_itself() -> None:
    enhancer = Enhancer(enhancement(), "limited")
    picture = scene(0)
    assert enhancer.is_identity
    assert enhancer.process(picture, 0) is picture


def test_flat_pictures_stay_exactly_as_they_are() -> None:
    flat = Planes(np.full((32, 48), 90, np.uint8), np.full((16, 24), 70, np.uint8), np.full((16, 24), 200, np.uint8))
    for result in run([flat] * 10, enhancement(denoise=1.0, sharpen=0.8)):
        for plane, expected in zip(result, flat, strict=True):
            np.testing.assert_array_equal(plane, expected)


@pytest.mark.parametrize(("height", "width"), [(2, 2), (4, 2), (6, 10), (18, 34), (50, 130), (54, 854)])
def test_every_even_size_passes(height: int, width: int) -> None:
    random = np.random.default_rng(0)
    sizes = [(height, width), (height // 2, width // 2), (height // 2, width // 2)]
    source = [Planes(*(random.integers(16, 236, size, np.uint8) for size in sizes)) for _ in range(9)]
    for result in run(source, EVERYTHING):
        assert [plane.shape for plane in result] == sizes


def test_lines_with_padding_give_the_same_as_packed_ones() -> None:
    packed = [noisy(scene(number), 6, number) for number in range(9)]
    padded = [
        Planes(*(np.pad(plane, ((0, 0), (0, 32)))[:, : plane.shape[1]] for plane in picture)) for picture in packed
    ]
    for one, other in zip(run(packed, EVERYTHING), run(padded, EVERYTHING), strict=True):
        for plane, expected in zip(one, other, strict=True):
            np.testing.assert_array_equal(plane, expected)


def test_a_change_of_size_starts_anew() -> None:
    enhancer = Enhancer(EVERYTHING, "limited")
    for pts in range(3):
        enhancer.process(scene(pts), pts)
    small = noisy(scene(3, height=72, width=96), 6, 3)
    expected = Enhancer(EVERYTHING, "limited").process(small, 3)
    for plane, other in zip(enhancer.process(small, 3), expected, strict=True):
        np.testing.assert_array_equal(plane, other)


@pytest.mark.parametrize(("curve", "slope"), [(Curve(lift=3.0), 2.29), (Curve(gain=1.5), 1.5), (Curve(), 1.0)])
def test_the_noise_that_a_curve_raises(curve: Curve, slope: float) -> None:
    assert _slope(tone_table(curve, "limited"), "limited") == pytest.approx(slope, abs=0.03)
    with_toe = tone_table(Curve(gain=curve.gain, lift=curve.lift, toe=0.1), "limited")
    assert _slope(with_toe, "limited") > 1.05


def digest_of_everything() -> str:
    """Return a digest of what all operations make of a few pictures of an awkward size."""
    digest = hashlib.sha256()
    source = [noisy(scene(number, height=150, width=278), 6, number) for number in range(10)]
    for result in run(source, EVERYTHING):
        for plane in result:
            digest.update(plane.tobytes())
    # Local contrast's window is wide in high pictures only, and then found by other means.
    high = new_planes(1104, 160)
    LocalContrast(0.5, "limited").process(noisy(scene(0, height=1104, width=160), 6, 1), high)
    digest.update(high.y.tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("disabled", ["AVX512_SKX,AVX512-SKX", "AVX2,FMA3,AVX512_SKX,AVX512-SKX"])
def test_every_vector_unit_gives_the_same_bytes(disabled: str) -> None:
    environment = {**os.environ, "OPENCV_IPP": "disabled", "OPENCV_CPU_DISABLE": disabled}
    code = "from tests.unit.test_enhancer import digest_of_everything; print(digest_of_everything())"
    plain = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert plain.stdout.strip() == digest_of_everything()
