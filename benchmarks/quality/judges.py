"""How near pictures are to the truth: PSNR, SSIM, VMAF and its NEG variant, and flicker.

Invariant: only luma is judged, of pictures in the midst of a video: the first WARMUP_FRAMES are left to the filters.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.clips import Pictures, split

WARMUP_FRAMES = 8
BLOCK_PX = 16


@dataclass(frozen=True, kw_only=True)
class Score:
    """What the judges say of one result on one clip."""

    psnr_db: float
    ssim: float
    vmaf: float
    vmaf_neg: float
    flicker: float
    """Mean absolute error of the change of 16x16 means from picture to picture, in code values."""


def score(truth: Pictures, pictures: Pictures, folder: Path) -> Score:
    """Judge pictures; `folder` takes files for a while."""
    clean, done = split(truth)[0], split(pictures)[0]
    ssim, vmaf, neg = _by_program(truth, pictures, folder)
    return Score(psnr_db=psnr(clean, done), ssim=ssim, vmaf=vmaf, vmaf_neg=neg, flicker=flicker(clean, done))


def psnr(truth: Pictures, luma: Pictures) -> float:
    """Return the mean over the pictures of the peak signal to noise ratio in dB.

    >>> psnr(np.zeros((1, 2, 2), np.uint8), np.full((1, 2, 2), 255, np.uint8))
    0.0
    """
    errors = [np.square(one.astype(np.float32) - other).mean() for one, other in zip(truth, luma, strict=True)]
    return float(np.mean([10.0 * np.log10(255.0**2 / max(error, 1e-2)) for error in errors]))


def flicker(truth: Pictures, luma: Pictures) -> float:
    """Return how far brightness moves from picture to picture where the truth's does not, or fails to."""
    return float(np.abs(np.diff(_blocks(luma), axis=0) - np.diff(_blocks(truth), axis=0)).mean())


def same_tone(truth: Pictures, pictures: Pictures) -> Pictures:
    """Return pictures with the one luma table, over the whole clip, that comes closest to the truth.

    What brightness is right after darkness is a matter of taste: with the best table for each, what is left to judge is
    noise and detail. The table is the mean of the truth at each value, made never to fall.
    """
    luma, truth_luma = split(pictures)[0], split(truth)[0]
    count = np.bincount(luma.ravel(), minlength=256)
    total = np.bincount(luma.ravel(), weights=truth_luma.ravel(), minlength=256)
    seen = np.flatnonzero(count)
    rising = _isotonic(total[seen] / count[seen], count[seen].astype(np.float64))
    table = np.rint(np.interp(np.arange(256), seen, rising)).astype(np.uint8)
    matched = pictures.copy()
    matched[:, : luma.shape[1]] = table[luma]
    return matched


def _isotonic(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the nearest values that never fall (pool adjacent violators)."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        pool = (float(value), float(weight), 1)
        while pools and pools[-1][0] >= pool[0]:
            before = pools.pop()
            both = before[1] + pool[1]
            pool = ((before[0] * before[1] + pool[0] * pool[1]) / both, both, before[2] + pool[2])
        pools.append(pool)
    return np.concatenate([np.full(size, value) for value, _, size in pools])


def _blocks(luma: Pictures) -> NDArray[np.float64]:
    frames, height, width = luma.shape
    rows, columns = height // BLOCK_PX, width // BLOCK_PX
    whole = luma[:, : rows * BLOCK_PX, : columns * BLOCK_PX]
    return whole.reshape(frames, rows, BLOCK_PX, columns, BLOCK_PX).mean(axis=(2, 4))


def _by_program(truth: Pictures, pictures: Pictures, folder: Path) -> tuple[float, float, float]:
    """Return SSIM, VMAF (v0.6.1) and its NEG variant from the ffmpeg program's libvmaf."""
    form = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{truth.shape[2]}x{truth.shape[1] * 2 // 3}"]
    with tempfile.TemporaryDirectory(dir=folder) as name:
        first, second, log = (Path(name) / part for part in ("pictures", "truth", "log"))
        first.write_bytes(pictures.tobytes())
        second.write_bytes(truth.tobytes())
        models = r"version=vmaf_v0.6.1\:name=vmaf|version=vmaf_v0.6.1neg\:name=neg"
        options = f"model='{models}':feature=name=float_ssim:log_fmt=json:log_path={log}"
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", *form, "-i", str(first), *form]
        command += ["-i", str(second), "-filter_complex", f"[0:v][1:v]libvmaf=n_threads=2:{options}", "-f", "null", "-"]
        subprocess.run(command, check=True, timeout=1800)
        pooled = json.loads(log.read_text())["pooled_metrics"]
    return tuple(float(pooled[metric]["mean"]) for metric in ("float_ssim", "vmaf", "neg"))  # type: ignore[return-value]
