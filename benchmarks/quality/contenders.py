"""Who mends what: filters of ffmpeg and OpenCV, each told the noise and tuned to it, and this project's operations.

Invariant: a contender gives as many pictures as it gets and works on one thread; its cost is its own processor time,
without decoding, pipes or starting up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import av
import cv2
import numpy as np

from benchmarks.quality import ffmpeg
from benchmarks.quality.clips import Pictures, join, split
from benchmarks.quality.degradations import CHROMA_SHARE, Degraded
from processing.media.decode import DecodedFrame
from processing.media.diagnosis import diagnose
from processing.media.enhancement.deinterlace import deinterlaced
from processing.media.enhancement.enhancer import Enhancer
from processing.media.enhancement.planes import Planes, new_planes
from processing.media.enhancement.presets import choose, has_deinterlacing
from processing.media.probe import probe
from processing.media.specs import Choice, Enhancement
from processing.media.timeline import read_timeline

Kind = Literal["noise", "dark", "compression", "soft", "fields"]
Mended = tuple[Pictures, float]
"""Pictures, and the CPU seconds it took."""
PX_720P = 1280 * 720


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One way to mend pictures."""

    name: str
    kinds: tuple[Kind, ...]
    mend: Callable[[Degraded, Pictures], Mended]
    """The second argument is the part of the pictures to mend."""
    is_ours: bool = False
    looks_back: bool = True
    """Whether other pictures than the present one matter: then it gets those before the ones judged too."""


def by_ffmpeg(name: str, filters: Callable[[float], str] | str, *kinds: Kind, looks_back: bool = True) -> Contender:
    """Return a contender of the ffmpeg program; `filters` may depend on the noise."""

    def mend(degraded: Degraded, pictures: Pictures) -> Mended:
        chain = filters if isinstance(filters, str) else filters(degraded.sigma)
        mended, seconds = ffmpeg.filtered(pictures, chain)
        _, idle = ffmpeg.filtered(pictures, "null")
        return mended, max(seconds - idle, 0.0)

    return Contender(name=name, kinds=kinds, mend=mend, looks_back=looks_back)


def by_opencv(share: float) -> Contender:
    """Return fastNlMeansDenoising, plane by plane, its strength so many times the noise."""

    def mend(degraded: Degraded, pictures: Pictures) -> Mended:
        started = time.thread_time()
        planes = [
            [
                cv2.fastNlMeansDenoising(np.ascontiguousarray(picture), None, share * strength * degraded.sigma, 7, 21)
                for picture in plane
            ]
            for plane, strength in zip(split(pictures), (1.0, CHROMA_SHARE, CHROMA_SHARE), strict=True)
        ]
        seconds = time.thread_time() - started
        return join(*(np.stack(plane) for plane in planes)), seconds

    return Contender(name="OpenCV fastNlMeans", kinds=("noise",), mend=mend, looks_back=False)


def by_operation(name: str, operation: str, strength: float, *kinds: Kind, method: str = "quick") -> Contender:
    """Return one operation alone, told the noise."""

    def mend(degraded: Degraded, pictures: Pictures) -> Mended:
        choice = Choice(operation=operation, strength=strength, reason="", method=method)  # type: ignore[arg-type]
        enhancement = Enhancement(
            preset="",
            choices=(choice,),
            reasons=(),
            noise_sigma_luma=degraded.sigma if degraded.kind == "noise" else 0.0,
            noise_sigma_chroma=CHROMA_SHARE * degraded.sigma if degraded.kind == "noise" else 0.0,
        )
        return enhanced(pictures, enhancement)

    return Contender(name=name, kinds=kinds, mend=mend, is_ours=True)


def by_preset(preset: str, *kinds: Kind, only: str = "") -> Contender:
    """Return a preset, diagnosis included; `only` leaves one operation of it, which is named then."""

    def mend(degraded: Degraded, pictures: Pictures) -> Mended:
        return enhanced(pictures, chosen(degraded.path, preset, only))

    return Contender(name=f"{only} of {preset}" if only else preset, kinds=kinds, mend=mend, is_ours=True)


def chosen(path: Path, preset: str, only: str = "") -> Enhancement:
    """Return what a preset chooses for a file."""
    header = probe(path)
    enhancement = choose(preset, diagnose(path, header, read_timeline(path, header)), header)
    choices = tuple(choice for choice in enhancement.choices if not only or choice.operation == only)
    return replace(enhancement, choices=choices)


def enhanced(pictures: Pictures, enhancement: Enhancement) -> Mended:
    """Return pictures after an enhancement, and the CPU seconds of the operations alone."""
    height, width = pictures.shape[1] * 2 // 3, pictures.shape[2]
    seconds = 0.0
    if has_deinterlacing(enhancement):
        frames = list(_frames(pictures))
        started = time.process_time()
        whole = list(deinterlaced(frames, enhancement.first_field))
        seconds += time.process_time() - started
        pictures = np.stack([decoded.frame.to_ndarray() for decoded in whole])
    enhancer, out = Enhancer(enhancement, "limited"), new_planes(height, width)
    if enhancer.is_identity:
        return pictures, seconds
    done: tuple[list[Pictures], ...] = ([], [], [])
    for pts, planes in enumerate(zip(*split(pictures), strict=True)):
        started = time.thread_time()
        enhancer.process(Planes(*planes), pts, out)
        seconds += time.thread_time() - started
        for plane, kept in zip(out, done, strict=True):
            kept.append(plane.copy())
    return join(*(np.stack(plane) for plane in done)), seconds


def _frames(pictures: Pictures) -> Iterator[DecodedFrame]:
    for index, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        yield DecodedFrame(index=index, pts=index, frame=frame, is_warmup=False)


def _fftdnoiz(sigma: float) -> str:
    return f"fftdnoiz=sigma={min(min(5.0, max(2.0, 0.4 * sigma)) * sigma, 100.0):.2f}"


def _atadenoise(sigma: float) -> str:
    first = min(0.02 * sigma, 0.3)
    return "atadenoise=" + ":".join(f"{plane}a={first:.3f}:{plane}b={2.0 * first:.3f}" for plane in range(3))


CONTENDERS = (
    by_ffmpeg("untouched", "null", "noise", "dark", "compression", "soft", "fields", looks_back=False),
    by_ffmpeg("hqdn3d", "hqdn3d", "noise", "compression"),
    by_ffmpeg("hqdn3d tuned", lambda sigma: f"hqdn3d={2.2 * sigma:.2f}", "noise"),
    by_ffmpeg("atadenoise tuned", _atadenoise, "noise"),
    by_ffmpeg("vaguedenoiser", lambda s: f"vaguedenoiser=threshold={2.4 * s:.2f}:nsteps=4", "noise", looks_back=False),
    by_ffmpeg("fftdnoiz", _fftdnoiz, "noise", looks_back=False),
    by_ffmpeg("nlmeans", lambda s: f"nlmeans=s={min(0.85 * s, 30.0):.2f}", "noise", looks_back=False),
    by_ffmpeg("nlmeans small", lambda s: f"nlmeans=s={min(0.8 * s, 30.0):.2f}:p=5:r=7", "noise", looks_back=False),
    by_ffmpeg("bm3d", lambda s: f"bm3d=sigma={4.2 * s:.2f}", "noise", looks_back=False),
    by_opencv(1.05),
    by_ffmpeg("deblock", "deblock=filter=strong:block=8", "compression", looks_back=False),
    by_ffmpeg("fftdnoiz", "fftdnoiz=sigma=4", "compression", looks_back=False),
    by_ffmpeg("histeq", "histeq", "dark", looks_back=False),
    by_ffmpeg("normalize", "normalize", "dark"),
    by_ffmpeg("normalize, hqdn3d", "hqdn3d=8,normalize", "dark"),
    by_ffmpeg("unsharp", "unsharp", "soft", looks_back=False),
    by_ffmpeg("cas", "cas=0.8", "soft", looks_back=False),
    by_ffmpeg("yadif", "yadif=mode=send_frame:parity=tff", "fields"),
    by_ffmpeg("bwdif", "bwdif=mode=send_frame:parity=tff", "fields"),
    by_ffmpeg("estdif", "estdif=mode=frame:parity=tff", "fields"),
    by_operation("denoise", "denoise", 1.0, "noise"),
    by_operation("fine denoise", "denoise", 1.0, "noise", method="fine"),
    by_preset("auto", "dark", only="tone"),
    by_operation("sharpen", "sharpen", 1.0, "soft"),
    by_operation("deinterlace", "deinterlace", 1.0, "fields"),
    by_preset("auto", "noise", "dark", "compression", "soft", "fields"),
    by_preset("fine", "noise", "dark", "compression"),
    by_preset("low-light", "dark"),
)
