"""The clips that benchmarks measure on: as long, as large and as noisy as they were asked for."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from benchmarks.footage import noisy_clip, repeated
from tests.clips import make_clip


def luma(path: Path) -> list[np.ndarray]:
    with av.open(path) as source:
        return [frame.to_ndarray(format="yuv420p")[: frame.height].astype(float) for frame in source.decode(video=0)]


def test_a_short_film_is_repeated_and_made_noisy(tmp_path: Path) -> None:
    film = make_clip(tmp_path / "film.mp4", frames=6, width=320, height=180)
    clip = noisy_clip(film, tmp_path / "noisy.mp4", height=180, frames=10, sigma=8.0)
    clean, noisy = luma(film), luma(clip)
    assert len(noisy) == 10
    assert noisy[0].shape == clean[0].shape
    assert float(np.std(noisy[7] - clean[1])) == pytest.approx(8.0, rel=0.35)


def test_a_clip_in_a_row_is_as_many_times_as_long(tmp_path: Path) -> None:
    film = make_clip(tmp_path / "film.mp4", frames=6)
    assert len(luma(repeated(film, tmp_path / "long.mp4", 3))) == 18
