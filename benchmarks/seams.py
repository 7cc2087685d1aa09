"""Do the borders of segments show? One noisy clip in one piece and in sixteen, compared frame by frame, and drawn.

Prints figures and writes a picture. Invariant: both results come from the product's own operations and differ in their
grid alone; what is drawn is amplified, never smoothed.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import av
import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from benchmarks.footage import footage, noisy_clip
from processing.media.diagnosis import diagnose
from processing.media.enhancement.presets import choose
from processing.media.planning import make_plan
from processing.media.probe import probe
from processing.media.timeline import read_timeline
from tests.plans import cut, run_job

FRAMES, HEIGHT, SIGMA = 128, 360, 6.0
PIECES = 16
AMPLIFIED = 16
Luma = NDArray[np.int16]


def main() -> None:
    """Make both results, print what differs, draw it."""
    parser = argparse.ArgumentParser(description="Do the borders of segments show?")
    parser.add_argument("--picture", type=Path, default=Path("docs/pictures/seams.png"))
    picture: Path = parser.parse_args().picture
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = noisy_clip(footage(folder), folder / "clip.mp4", height=HEIGHT, frames=FRAMES, sigma=SIGMA)
        facts = probe(clip)
        timeline = read_timeline(clip, facts)
        found = diagnose(clip, facts, timeline)
        plan = make_plan("", facts, timeline, found, choose("auto", found, facts))
        grids = [cut(plan, pieces) for pieces in (1, PIECES)]
        jobs = [run_job(clip, folder / str(len(grid.segments)), plan=grid) for grid in grids]
        whole, parts = (_luma(job.output) for job in jobs)
    difference = [float(np.abs(a - b).mean()) for a, b in zip(whole, parts, strict=True)]
    borders = [segment.start for segment in grids[1].segments[1:]]
    inside = [value for index, value in enumerate(difference) if index not in borders]
    at_borders = [difference[border] for border in borders]
    print(f"{FRAMES} frames in 1 and in {PIECES} pieces; mean difference of luma after the encoder, in code values:")
    print(f"at the {len(borders)} borders {np.mean(at_borders):.2f}, at most {max(at_borders):.2f}")
    print(f"elsewhere {np.mean(inside):.2f}, at most {max(inside):.2f}")
    picture.parent.mkdir(parents=True, exist_ok=True)
    _draw(picture, whole, parts, difference, borders)
    print(f"drawn: {picture}")


def _luma(path: Path) -> list[Luma]:
    with av.open(path) as container:
        return [frame.to_ndarray(format="gray").astype(np.int16) for frame in container.decode(video=0)]


def _draw(path: Path, whole: list[Luma], parts: list[Luma], difference: list[float], borders: list[int]) -> None:
    mpl.use("Agg")
    from matplotlib import pyplot

    border = borders[len(borders) // 2]
    middle = border + (borders[1] - borders[0]) // 2
    figure, axes = pyplot.subplot_mosaic([["bars"] * 3, ["picture", "border", "middle"]], figsize=(11, 5.2), dpi=100)
    colours = ["tab:red" if index in borders else "tab:gray" for index in range(len(difference))]
    axes["bars"].bar(range(len(difference)), difference, color=colours)
    axes["bars"].set_xlabel(f"frame; red: the first of a piece, of {PIECES}")
    axes["bars"].set_ylabel("mean |difference| of luma")
    axes["picture"].imshow(parts[border], cmap="gray", vmin=0, vmax=255)
    axes["picture"].set_title(f"frame {border}, the first of its piece", fontsize=9)
    for place, frame in (("border", border), ("middle", middle)):
        amplified = (128 + AMPLIFIED * (parts[frame] - whole[frame])).clip(0, 255)
        axes[place].imshow(amplified, cmap="gray", vmin=0, vmax=255)
        axes[place].set_title(f"difference at frame {frame}, times {AMPLIFIED}", fontsize=9)
    for place in ("picture", "border", "middle"):
        axes[place].axis("off")
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    main()
