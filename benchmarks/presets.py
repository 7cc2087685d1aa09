"""Draws what `auto` makes of one film that was spoilt in three ways: too dark and noisy, washed out, soft.

Invariant: before and after are the same moment of the same clip, through the product's own job; nothing is retouched.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from benchmarks.footage import footage
from processing.media.local_job import LocalJob
from processing.media.process.launcher import MediaProcesses

WIDTH, HEIGHT, FRAMES = 640, 360, 50
SHOWN = 36
NOISE_SIGMA = 5.0
JPEG_QUALITY = 84
Planes = list[np.ndarray]


def main() -> None:
    """Spoil, enhance, say what was chosen, draw."""
    parser = argparse.ArgumentParser(description="Draw what `auto` makes of a film spoilt in three ways.")
    parser.add_argument("--film", type=Path, help="a clean film; without it one is fetched")
    parser.add_argument("--picture", type=Path, default=Path("docs/pictures/presets.jpg"))
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name, MediaProcesses() as processes:
        folder = Path(name)
        film = options.film or footage(folder)
        for kind, spoil in SPOILT.items():
            clip = _spoilt(film, folder / f"{kind}.mp4", spoil)
            work = folder / kind
            work.mkdir()
            result = LocalJob(processes, clip, work, slots=1).run()
            print(f"{kind}: " + ", ".join(choice.reason for choice in result.chosen.enhancement.choices))
            rows.append(np.hstack([_frame(clip), _frame(result.path)]))
    cv2.imwrite(str(options.picture), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    print(f"drawn: {options.picture}")


def _dark(planes: Planes, random: np.random.Generator) -> Planes:
    y, u, v = planes
    return [
        22 + (y - 16) * 0.33 + random.normal(0, NOISE_SIGMA, y.shape),
        *(128 + (plane - 128) * 0.5 + random.normal(0, NOISE_SIGMA / 2, plane.shape) for plane in (u, v)),
    ]


def _washed_out(planes: Planes, random: np.random.Generator) -> Planes:
    y, u, v = planes
    return [64 + (y - 16) * 0.52, *(128 + (plane - 128) * 0.4 for plane in (u, v))]


def _soft(planes: Planes, random: np.random.Generator) -> Planes:
    return [cv2.GaussianBlur(planes[0], (0, 0), 1.6), *planes[1:]]


SPOILT: Mapping[str, Callable[[Planes, np.random.Generator], Planes]] = {
    "dark": _dark,
    "washed-out": _washed_out,
    "soft": _soft,
}


def _spoilt(film: Path, target: Path, spoil: Callable[[Planes, np.random.Generator], Planes]) -> Path:
    random = np.random.default_rng(1)
    with av.open(film) as source, av.open(target, "w") as output:
        options = {"preset": "veryfast", "crf": "18", "x264-params": "keyint=12"}
        stream = output.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number, shown in zip(range(FRAMES), source.decode(video=0), strict=False):
            picture = shown.reformat(width=WIDTH, height=HEIGHT, format="yuv420p").to_ndarray().astype(np.float32)
            half = (2, HEIGHT // 2, WIDTH // 2)
            planes = [picture[:HEIGHT], *picture[HEIGHT:].reshape(half)]
            spoilt = np.concatenate([plane.ravel() for plane in spoil(planes, random)])
            values = np.rint(spoilt.clip(0, 255)).astype(np.uint8).reshape(HEIGHT * 3 // 2, WIDTH)
            frame = av.VideoFrame.from_ndarray(values, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return target


def _frame(path: Path) -> np.ndarray:
    with av.open(path) as container:
        shown = next(frame for number, frame in enumerate(container.decode(video=0)) if number == SHOWN)
        return shown.to_ndarray(format="bgr24")


if __name__ == "__main__":
    main()
