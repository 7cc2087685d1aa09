"""What is done to clean footage, the truth kept: noise of sensors, darkness, a low bit rate, interlacing.

Invariant: a degradation of the same clip gives the same pictures in every run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.quality import ffmpeg
from benchmarks.quality.clips import Clip, Pictures, join, split

CHROMA_SHARE = 0.7
"""Chroma noise as a share of luma's, as a converted camera picture has it."""
BLACK, WHITE = 16.0, 235.0
READ_ELECTRONS = 3.0
"""Deviation of the noise that no light makes."""
DARKENED = 0.2
"""Share of the light that is left: 2.3 stops less."""
DARK_ELECTRONS = 2500.0
LOW_QUALITY_CRF = 36
SOFT_SIGMA_PX = 1.2
NOISY = frozenset({"noise", "dark", "compression"})


@dataclass(frozen=True, kw_only=True)
class Degraded:
    """Pictures to mend, and what they were."""

    kind: str
    truth: Pictures
    pictures: Pictures
    path: Path
    """The same pictures as a file: H.264 where it is that which degraded them, else lossless."""
    sigma: float
    """Deviation of the noise on luma, which contenders that need it are told; 0 where there is none to speak of."""


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """One way to spoil a clip."""

    name: str
    kind: str
    spoil: Callable[[Clip, Path], tuple[Pictures, Pictures]]
    """Returns truth and spoilt pictures; may write its own file to the path."""
    frames_each: int = 1
    """How many pictures of the clip make one."""

    def of(self, clip: Clip, folder: Path) -> Degraded:
        """Return the clip spoilt, its file in `folder`."""
        own = folder / f"{clip.name}.mp4"
        own.unlink(missing_ok=True)
        truth, pictures = self.spoil(clip, own)
        path = own if own.exists() else ffmpeg.written(pictures, folder / f"{clip.name}.mkv")
        sigma = _deviation(truth, pictures) if self.kind in NOISY else 0.0
        return Degraded(kind=self.kind, truth=truth, pictures=pictures, path=path, sigma=sigma)


def gaussian(sigma: float) -> Degradation:
    """White noise of deviation `sigma` on luma."""

    def spoil(clip: Clip, path: Path) -> tuple[Pictures, Pictures]:
        random = np.random.default_rng(round(sigma * 10))
        planes = (
            _rounded(plane + random.normal(0.0, sigma * share, plane.shape).astype(np.float32))
            for plane, share in zip(split(clip.pictures), (1.0, CHROMA_SHARE, CHROMA_SHARE), strict=True)
        )
        return clip.pictures, join(*planes)

    return Degradation(name=f"Gaussian {sigma:g}", kind="noise", spoil=spoil)


def poisson(electrons: float) -> Degradation:
    """Shot noise of light, `electrons` where it is white, and a little beside."""

    def spoil(clip: Clip, path: Path) -> tuple[Pictures, Pictures]:
        return clip.pictures, _exposed(clip.pictures, electrons, 1.0)

    return Degradation(name=f"Poisson {electrons:g}", kind="noise", spoil=spoil)


def darkness() -> Degradation:
    """A fifth of the light, with the noise that goes with it."""

    def spoil(clip: Clip, path: Path) -> tuple[Pictures, Pictures]:
        return clip.pictures, _exposed(clip.pictures, DARK_ELECTRONS, DARKENED)

    return Degradation(name="dark", kind="dark", spoil=spoil)


def compression() -> Degradation:
    """A far too low bit rate."""

    def spoil(clip: Clip, path: Path) -> tuple[Pictures, Pictures]:
        options = ("-c:v", "libx264", "-preset", "veryfast", "-crf", str(LOW_QUALITY_CRF), "-g", "12")
        ffmpeg.written(clip.pictures, path, *options)
        return clip.pictures, ffmpeg.decoded(path, clip.height, clip.width)

    return Degradation(name=f"x264 at {LOW_QUALITY_CRF}", kind="compression", spoil=spoil)


def softness() -> Degradation:
    """A lens out of focus."""

    def spoil(clip: Clip, path: Path) -> tuple[Pictures, Pictures]:
        planes = (
            [cv2.GaussianBlur(plane, (0, 0), SOFT_SIGMA_PX) for plane in planes] for planes in split(clip.pictures)
        )
        return clip.pictures, join(*(np.stack(plane) for plane in planes))

    return Degradation(name="soft", kind="soft", spoil=spoil)


def interlacing() -> Degradation:
    """Fields of twice the frame rate, top field first; the truth is the moment of the first."""

    def spoil(clip: Clip, path: Path) -> tuple[Pictures, Pictures]:
        truth = clip.pictures[::2]
        planes = [plane[::2].copy() for plane in split(clip.pictures)]
        for woven, plane in zip(planes, split(clip.pictures), strict=True):
            woven[:, 1::2] = plane[1::2, 1::2]
        return truth, join(*planes)

    return Degradation(name="interlaced", kind="fields", spoil=spoil, frames_each=2)


DEGRADATIONS = (
    gaussian(5.0),
    gaussian(10.0),
    gaussian(20.0),
    poisson(1000.0),
    poisson(250.0),
    poisson(60.0),
    darkness(),
    compression(),
    softness(),
    interlacing(),
)


def _exposed(pictures: Pictures, electrons: float, light: float) -> Pictures:
    """Return what a sensor sees of the pictures: luma in linear light, less of it, Poisson and read noise, back.

    Chroma gets noise of its own, as strong beside luma's as CHROMA_SHARE says, and pales with the light.
    """
    random = np.random.default_rng(round(electrons))
    planes: tuple[list[Pictures], ...] = ([], [], [])
    for luma, *chroma in zip(*split(pictures), strict=True):
        scene = ((luma - BLACK) / (WHITE - BLACK)).clip(0.0, 1.1)
        linear = light * _to_light(scene)
        seen = (random.poisson(linear * electrons) + random.normal(0.0, READ_ELECTRONS, linear.shape)) / electrons
        noisy = BLACK + (WHITE - BLACK) * _to_code(seen)
        clean = BLACK + (WHITE - BLACK) * _to_code(linear)
        planes[0].append(_rounded(noisy))
        spread = np.abs(noisy - clean)[::2, ::2]
        paler = (clean - BLACK + 1.0)[::2, ::2] / (luma - BLACK + 1.0).clip(1.0)[::2, ::2]
        for plane, done in zip(chroma, planes[1:], strict=True):
            noise = CHROMA_SHARE * spread * random.choice((-1.0, 1.0), spread.shape)
            done.append(_rounded(128.0 + paler.clip(0.0, 1.0) * (plane.astype(np.float32) - 128.0) + noise))
    return join(*(np.stack(plane) for plane in planes))


def _to_light(code: NDArray[np.floating]) -> NDArray[np.floating]:
    """Undo the camera's curve of ITU-R BT.709."""
    return np.where(code < 0.081, code / 4.5, ((code + 0.099) / 1.099) ** (1.0 / 0.45))


def _to_code(light: NDArray[np.floating]) -> NDArray[np.floating]:
    """Apply the camera's curve of ITU-R BT.709, which is straight near black."""
    return np.where(light < 0.018, light * 4.5, 1.099 * light.clip(0.018) ** 0.45 - 0.099)


def _deviation(truth: Pictures, pictures: Pictures) -> float:
    """Return the deviation of what differs between pictures, where one table of luma makes them equal but for noise."""
    clean, spoilt = split(truth)[0].astype(np.int16), split(pictures)[0].astype(np.int16)
    count = np.bincount(clean.ravel().astype(np.intp), minlength=256).clip(1)
    mean = np.bincount(clean.ravel().astype(np.intp), weights=spoilt.ravel(), minlength=256) / count
    return float(np.sqrt(np.mean(np.square(spoilt - mean[clean]))))


def _rounded(values: NDArray[np.floating]) -> Pictures:
    return np.rint(values).clip(0, 255).astype(np.uint8)
