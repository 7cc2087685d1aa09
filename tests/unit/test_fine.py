"""The fine denoise: closer to the truth than the quick one, above all where the camera moves, and as repeatable."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from processing.media.enhancement.enhancer import Enhancer
from processing.media.enhancement.motion import LEAST_SIDE_PX, Mover
from processing.media.enhancement.planes import Plane, Planes
from processing.media.enhancement.presets import choose
from processing.media.enhancement.transform import TransformDenoise, inverse, transform
from processing.media.specs import Enhancement
from tests.unit.pictures import diagnosis, enhancement, media_probe, noisy, psnr, scene

ROOT = Path(__file__).parents[2]
WARMUP_FRAMES = 8
QUICK = enhancement(sigma=6.0, denoise=1.0)
FINE = replace(QUICK, choices=tuple(replace(choice, method="fine") for choice in QUICK.choices))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """As in a media process: the search for motion works in as many stripes as there are threads."""
    cv2.setNumThreads(1)


def run(pictures: list[Planes], chosen: Enhancement) -> list[Planes]:
    enhancer = Enhancer(chosen, "limited")
    return [Planes(*(plane.copy() for plane in enhancer.process(picture, 0))) for picture in pictures]


def textured(number: int, height: int = 144, width: int = 192) -> Planes:
    """Return picture `number` of a camera that pans over a wide textured scene, two and a half pixels a picture."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    columns = columns + 2.5 * number
    luma = 110 + 40 * np.sin(columns / 5.0) * np.cos(rows / 7.0) + 30 * np.sin((columns + 2 * rows) / 11.0)
    chroma = 128 + 20 * np.sin(columns[::2, ::2] / 23.0)
    planes = (luma, chroma, 256.0 - chroma)
    return Planes(*(np.rint(plane).clip(16, 235).astype(np.uint8) for plane in planes))


def gain(truth: list[Planes], source: list[Planes], result: list[Planes], plane: int = 0) -> float:
    """Return by how many dB the result comes closer to the truth than the source, after the warm-up."""
    triples = list(zip(truth, source, result, strict=True))[WARMUP_FRAMES:]
    return float(np.mean([psnr(c[plane], a[plane]) - psnr(b[plane], a[plane]) for a, b, c in triples]))


def test_the_fine_preset_chooses_the_fine_method() -> None:
    noise = {"noise_sigma_luma": 6.0, "noise_sigma_chroma": 4.0}
    methods = {name: choose(name, diagnosis(**noise), media_probe()).choices[0].method for name in ("auto", "fine")}
    assert methods == {"auto": "quick", "fine": "fine"}


@pytest.mark.parametrize(("make", "lead_db"), [(scene, 1.5), (textured, 3.0)], ids=["still camera", "moving camera"])
def test_it_comes_closer_to_the_truth_than_the_quick_one(make: object, lead_db: float) -> None:
    truth = [make(number) for number in range(12)]  # type: ignore[operator]
    source = [noisy(picture, 6, seed) for seed, picture in enumerate(truth)]
    quick, fine = run(source, QUICK), run(source, FINE)
    assert gain(truth, source, fine) > gain(truth, source, quick) + lead_db
    assert min(gain(truth, source, fine, plane) for plane in (1, 2)) > 8.0


def test_motion_is_found_to_a_quarter_of_a_pixel_or_so() -> None:
    now, past = textured(2), textured(0)  # five pixels
    half = [cv2.resize(picture.y, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for picture in (now, past)]
    moved = Mover(144, 192).follow(half[0], half[1], past)
    inside = np.s_[16:-16, 16:-16]
    assert psnr(moved.y[inside], now.y[inside]) > 35.0 > psnr(past.y[inside], now.y[inside]) + 10.0
    half_inside = np.s_[8:-8, 8:-8]
    assert psnr(moved.u[half_inside], now.u[half_inside]) > 40.0


@pytest.mark.parametrize("start", [1, 5])
def test_a_segment_after_its_warm_up_equals_the_whole(start: int) -> None:
    source = [noisy(textured(number), 6, number) for number in range(start + WARMUP_FRAMES + 3)]
    whole, apart = run(source, FINE), run(source[start:], FINE)
    for index in range(start + WARMUP_FRAMES, len(source)):
        for plane, other in zip(whole[index], apart[index - start], strict=True):
            np.testing.assert_array_equal(plane, other)


def test_flat_pictures_stay_exactly_as_they_are() -> None:
    flat = Planes(np.full((72, 96), 90, np.uint8), np.full((36, 48), 70, np.uint8), np.full((36, 48), 200, np.uint8))
    for result in run([flat] * 10, FINE):
        for plane, expected in zip(result, flat, strict=True):
            np.testing.assert_array_equal(plane, expected)


@pytest.mark.parametrize(
    ("height", "width"), [(2, 2), (4, 2), (6, 10), (18, 34), (LEAST_SIDE_PX, LEAST_SIDE_PX), (66, 130), (70, 854)]
)
def test_every_even_size_passes(height: int, width: int) -> None:
    random = np.random.default_rng(0)
    sizes = [(height, width), (height // 2, width // 2), (height // 2, width // 2)]
    source = [Planes(*(random.integers(16, 236, size, np.uint8) for size in sizes)) for _ in range(9)]
    for result in run(source, FINE):
        assert [plane.shape for plane in result] == sizes


def test_the_transform_is_the_cosine_transform_and_its_inverse_undoes_it() -> None:
    random = np.random.default_rng(0)
    samples = random.normal(size=(8, 5)).astype(np.float32)
    ranks = np.arange(8)
    matrix = np.cos(np.pi * np.outer(ranks, 2 * ranks + 1) / 16.0) * np.where(ranks == 0, np.sqrt(0.125), 0.5)[:, None]
    done, scratch = samples.copy(), np.empty((2, 5), np.float32)
    transform(list(done), list(scratch))
    expected = np.sqrt(8.0) * matrix @ samples
    np.testing.assert_allclose(np.sort(np.abs(done), axis=0), np.sort(np.abs(expected), axis=0), atol=1e-5)
    np.testing.assert_allclose(done[0], expected[0], atol=1e-5)
    inverse(list(done), list(scratch))
    np.testing.assert_allclose(done / 8.0, samples, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(9, 13), (64, 40)])
def test_without_noise_the_transform_changes_nothing(height: int, width: int) -> None:
    plane: Plane = np.random.default_rng(0).integers(0, 256, (height, width), np.uint8)
    out, other = np.zeros_like(plane), np.zeros_like(plane)
    denoise = TransformDenoise(height, width, count=2)
    denoise.process([plane, 255 - plane], np.zeros((height // 2, width // 2), np.float32), [out, other])
    np.testing.assert_array_equal(out, plane)
    np.testing.assert_array_equal(other, 255 - plane)


def test_planes_together_become_what_each_becomes_alone() -> None:
    random = np.random.default_rng(0)
    planes: list[Plane] = [random.integers(100, 120, (50, 70), np.uint8) for _ in range(2)]
    noise = random.uniform(0.0, 6.0, (25, 35)).astype(np.float32)
    together, alone = ([np.zeros_like(plane) for plane in planes] for _ in range(2))
    TransformDenoise(50, 70, count=2).process(planes, noise, together)
    for plane, out in zip(planes, alone, strict=True):
        TransformDenoise(50, 70).process([plane], noise, [out])
    np.testing.assert_array_equal(together, alone)


def test_planes_worked_on_in_bands_become_what_they_become_whole() -> None:
    random = np.random.default_rng(0)
    plane: Plane = random.integers(100, 120, (90, 70), np.uint8)
    noise = random.uniform(0.0, 6.0, (45, 35)).astype(np.float32)
    whole, banded = np.zeros_like(plane), np.zeros_like(plane)
    TransformDenoise(90, 70).process([plane], noise, [whole])
    TransformDenoise(90, 70, band_px=80 * 32).process([plane], noise, [banded])
    np.testing.assert_array_equal(banded, whole)


def digest_of_fine() -> str:
    """Return a digest of what the operation makes of a few pictures of an awkward size."""
    cv2.setNumThreads(1)
    digest = hashlib.sha256()
    source = [noisy(textured(number, height=150, width=278), 6, number) for number in range(10)]
    for result in run(source, FINE):
        for plane in result:
            digest.update(plane.tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("disabled", ["AVX512_SKX,AVX512-SKX", "AVX2,FMA3,AVX512_SKX,AVX512-SKX"])
def test_every_vector_unit_gives_the_same_bytes(disabled: str) -> None:
    units = {"OPENCV_CPU_DISABLE": disabled, "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512_SKX"}
    code = "from tests.unit.test_fine import digest_of_fine; print(digest_of_fine())"
    plain = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, **units, "OPENCV_IPP": "disabled"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert plain.stdout.strip() == digest_of_fine()
