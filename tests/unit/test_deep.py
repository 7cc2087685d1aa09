"""Ten bits through the operations: kept where nothing is done, no bands where noise goes, curves in fine steps."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from processing.media.enhancement.deep import DeepEnhancer
from processing.media.enhancement.enhancer import Enhancer
from processing.media.enhancement.planes import DeepPlanes, Planes, rounded_to_eight
from processing.media.enhancement.tone import Curve, tone_table
from processing.media.specs import Choice, Enhancement, ToneCurve

ROOT = Path(__file__).resolve().parents[2]
HEIGHT, WIDTH = 96, 320
RAMP = np.broadcast_to(400.0 + np.arange(WIDTH) / 5.0, (HEIGHT, WIDTH))
"""One step of ten bits every five pixels, one of eight every twenty."""


def enhancement(*operations: str, sigma: float = 2.0, tone: tuple[ToneCurve, ...] = ()) -> Enhancement:
    choices = tuple(Choice(operation=operation, strength=1.0, reason="") for operation in operations)  # type: ignore[arg-type]
    return Enhancement(
        preset="auto", choices=choices, reasons=(), noise_sigma_luma=sigma, noise_sigma_chroma=sigma, tone=tone
    )


def picture(luma: np.ndarray) -> DeepPlanes:
    chroma = np.full((HEIGHT // 2, WIDTH // 2), 512, np.uint16)
    return DeepPlanes(np.rint(luma).clip(0, 1023).astype(np.uint16), chroma, chroma.copy())


def blank() -> DeepPlanes:
    return DeepPlanes(*(np.zeros_like(plane) for plane in picture(RAMP)))


def eight_bits(planes: DeepPlanes) -> Planes:
    eight = Planes(*(np.zeros(plane.shape, np.uint8) for plane in planes))
    for plane, target in zip(planes, eight, strict=True):
        rounded_to_eight(plane, target)
    return eight


def levels(luma: np.ndarray) -> np.ndarray:
    """Return the mean of each column's middle, which is what an eye makes of a ramp."""
    return luma[16:-16].mean(axis=0)


def test_without_operations_every_code_value_stays() -> None:
    random = np.random.default_rng(1)
    given = DeepPlanes(*(random.integers(0, 1024, plane.shape, np.uint16) for plane in picture(RAMP)))
    out = blank()
    DeepEnhancer(enhancement(), "limited").process(given, 0, out)
    assert all(np.array_equal(plane, target) for plane, target in zip(given, out, strict=True))


@pytest.mark.parametrize("sigma", [0.0, 8.0], ids=["clean", "noisy"])
def test_a_denoised_ramp_has_no_bands(sigma: float) -> None:
    random = np.random.default_rng(2)
    deep, shallow = DeepEnhancer(enhancement("denoise"), "limited"), Enhancer(enhancement("denoise"), "limited")
    out = blank()
    for number in range(10):
        noisy = picture(RAMP + random.normal(0, sigma, RAMP.shape))
        deep.process(noisy, number, out)
        seen = shallow.process(eight_bits(noisy), number)
    inner = np.s_[16:-16]
    off = (levels(out.y) - RAMP[0])[inner]
    banded = (levels(4.0 * seen.y) - RAMP[0])[inner]
    assert np.abs(off).max() < (1.0 if sigma == 0.0 else 1.3)
    # In eight bits a clean ramp is a stair; a noisy one is not, its noise is what hides the steps.
    assert np.abs(banded).max() >= 1.8
    assert np.abs(off).std() < np.abs(banded).std()
    assert (out.y - RAMP)[inner, 16:-16].std() < 0.8 * (4.0 * seen.y - RAMP)[inner, 16:-16].std()


def test_detail_is_what_eight_bits_make_of_it() -> None:
    random = np.random.default_rng(3)
    given = picture(random.integers(100, 900, RAMP.shape).astype(float))
    out = blank()
    DeepEnhancer(enhancement("denoise", sigma=0.5), "limited").process(given, 0, out)
    seen = Enhancer(enhancement("denoise", sigma=0.5), "limited").process(eight_bits(given), 0)
    assert np.abs(out.y.astype(int) - 4 * seen.y.astype(int)).max() <= 2


@pytest.mark.parametrize("colour_range", ["limited", "full"])
def test_a_curve_keeps_ten_bit_steps(colour_range: str) -> None:
    table = tone_table(Curve(gain=1.3, lift=1.0), colour_range)
    out = blank()
    tone = (ToneCurve(pts=0, table=table),)
    DeepEnhancer(enhancement("tone", tone=tone), colour_range).process(picture(RAMP), 0, out)
    exact = np.interp(np.rint(RAMP[0]) / 4, np.arange(256), table) * 4
    assert np.abs(out.y[40] - exact).max() <= 1
    assert np.all(np.diff(out.y[40].astype(int)) >= 0)
    assert len(np.unique(out.y[40])) == len(np.unique(np.rint(RAMP[0])))


def test_white_and_black_stay_within_a_step() -> None:
    table = tone_table(Curve(gain=1.3, lift=1.0), "full")
    luma = np.zeros_like(RAMP)
    luma[:, WIDTH // 2 :] = 1023
    out = blank()
    DeepEnhancer(enhancement("tone", tone=(ToneCurve(pts=0, table=table),)), "full").process(picture(luma), 0, out)
    assert out.y.min() == 0
    assert out.y.max() >= 1020


def test_sharpening_leaves_a_ramp_alone_and_steepens_an_edge() -> None:
    luma = np.array(RAMP)
    luma[:, 160:] += 200
    luma[:, 158:162] = np.linspace(luma[0, 157], luma[0, 162], 6)[1:5]
    given, out = picture(luma), blank()
    DeepEnhancer(enhancement("sharpen", sigma=0.5), "limited").process(given, 0, out)
    assert np.array_equal(out.y[:, 8:140], given.y[:, 8:140])
    assert np.diff(out.y[40].astype(int)).max() > np.diff(given.y[40].astype(int)).max()
    assert np.array_equal(out.u, given.u)


def test_the_input_is_never_written_to() -> None:
    given = picture(RAMP)
    for plane in given:
        plane.flags.writeable = False
    curve = (ToneCurve(pts=0, table=tone_table(Curve(gain=1.2, lift=0.5), "limited")),)
    DeepEnhancer(enhancement("denoise", "tone", "sharpen", tone=curve), "limited").process(given, 0, blank())


def digest_of_everything() -> str:
    """Return a digest of what the operations make of a few noisy pictures."""
    random = np.random.default_rng(5)
    curve = (ToneCurve(pts=0, table=tone_table(Curve(gain=1.2, lift=0.5), "limited")),)
    deep = DeepEnhancer(enhancement("denoise", "tone", "local_contrast", "sharpen", tone=curve), "limited")
    digest, out = hashlib.sha256(), blank()
    for number in range(9):
        deep.process(picture(RAMP + random.normal(0, 8, RAMP.shape)), number, out)
        for plane in out:
            digest.update(plane.tobytes())
    return digest.hexdigest()


def test_every_vector_unit_gives_the_same_bytes() -> None:
    units = {"OPENCV_IPP": "disabled", "OPENCV_CPU_DISABLE": "AVX2,FMA3,AVX512_SKX,AVX512-SKX"}
    units["NPY_DISABLE_CPU_FEATURES"] = "AVX512F AVX512_SKX"
    code = "from tests.unit.test_deep import digest_of_everything; print(digest_of_everything())"
    plain = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **units}, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert plain.stdout.strip() == digest_of_everything()
