"""Exposure that changes is followed: at a cut to the frame, by and by where it drifts, not at all where it is even."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from processing.media import exposure
from processing.media.decode import raw_frames
from processing.media.diagnosis import diagnose
from processing.media.enhancement.enhancer import Enhancer
from processing.media.enhancement.planes import Planes, new_planes
from processing.media.enhancement.presets import choose
from processing.media.enhancement.tone import BLEND_STEPS, Tone, blended
from processing.media.measured import Diagnosis, ExposureMark
from processing.media.probe import probe
from processing.media.specs import Enhancement, ToneCurve
from processing.media.timeline import read_timeline
from tests.unit.pictures import diagnosis, media_probe, run_measures, scene

FRAMES = 120
TICK = 512


def clip(path: Path, gain: Callable[[int], float], *, keyframes: int = 10) -> Path:
    """Write a clip of FRAMES frames; `gain` is the exposure of each, a tick is 1/12800 s, a frame TICK ticks."""
    with av.open(path, "w") as output:
        options = {"preset": "ultrafast", "crf": "14", "x264-params": f"keyint={keyframes}:scenecut=0"}
        stream = output.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 192, 144, "yuv420p"
        for number in range(FRAMES):
            picture = scene(number, gain=gain(number))
            array = np.concatenate([plane.ravel() for plane in picture]).reshape(216, 192)
            frame = av.VideoFrame.from_ndarray(array, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def diagnosed(path: Path) -> Diagnosis:
    header = probe(path)
    return diagnose(path, header, read_timeline(path, header))


def test_a_cut_is_found_to_the_frame(tmp_path: Path) -> None:
    found = diagnosed(clip(tmp_path / "cut.mp4", lambda number: 0.25 if number < 73 else 0.9))
    first, second = found.exposure
    assert (first.pts, second.pts) == (0, 73 * TICK)
    assert not second.is_blended
    assert first.median_luma < 60 < 90 < second.median_luma


def test_pictures_of_more_than_one_packet_are_decoded_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where fields have packets of their own, the first one alone is half a picture: no packets are counted then."""
    asked = []

    def recorded(*arguments: Any, **words: Any) -> Any:
        asked.append(words["wanted"])
        return raw_frames(*arguments, **words)

    monkeypatch.setattr(exposure, "raw_frames", recorded)
    path = clip(tmp_path / "cut.mp4", lambda number: 0.25 if number < 73 else 0.9)
    header = probe(path)
    timeline = read_timeline(path, header)
    proved = diagnose(path, header, timeline).exposure
    assert all(asked)
    asked.clear()
    assert diagnose(path, header, replace(timeline, frames_from_decode=FRAMES)).exposure == proved
    assert asked
    assert not any(asked)


def test_a_drift_is_followed_by_and_by(tmp_path: Path) -> None:
    found = diagnosed(clip(tmp_path / "drift.mp4", lambda number: 0.2 + 0.5 * number / FRAMES))
    assert len(found.exposure) > 4
    assert [mark.is_blended for mark in found.exposure] == [False] + [True] * (len(found.exposure) - 1)
    medians = [mark.median_luma for mark in found.exposure]
    assert medians == sorted(medians)


def test_a_fade_is_left_alone(tmp_path: Path) -> None:
    assert diagnosed(clip(tmp_path / "fade.mp4", lambda number: 0.5 * number / FRAMES)).exposure == ()


@pytest.mark.parametrize("gain", [0.25, 0.9], ids=["dark", "bright"])
def test_even_exposure_has_no_track(tmp_path: Path, gain: float) -> None:
    assert diagnosed(clip(tmp_path / "even.mp4", lambda number: gain)).exposure == ()


def test_what_would_cost_too_much_has_no_track(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clip(tmp_path / "cut.mp4", lambda number: 0.25 if number < 73 else 0.9)
    monkeypatch.setattr(exposure, "MOST_DECODED_PX", 192 * 144 * 14)
    assert diagnosed(path).exposure == ()
    restless = clip(tmp_path / "many.mp4", lambda number: 0.2 if number // 12 % 2 else 0.9, keyframes=6)
    assert diagnosed(restless).exposure == ()


def mark(pts: int, level: float, *, is_blended: bool = False) -> ExposureMark:
    luma = 16 + 219 * level
    return ExposureMark(
        pts=pts, median_luma=luma, brightest_luma=luma, black_luma=18, white_luma=luma + 40, is_blended=is_blended
    )


def followed(*marks: ExposureMark) -> Enhancement:
    runs = run_measures(38.0, 42.0, 45.0, 130.0, black_luma=18.0, white_luma=180.0)
    found = diagnosis(runs=runs, mean_luma=60.0, black_luma=18.0, white_luma=180.0, exposure=marks)
    return choose("auto", found, media_probe())


def test_dark_parts_are_lifted_and_bright_ones_kept() -> None:
    chosen = followed(mark(0, 0.12), mark(9000, 0.52))
    dark, bright = chosen.tone
    assert dark.table[42] > 58
    assert bright.table == tuple(range(256))
    assert bright.pts == 9000
    assert "in 2 curves" in chosen.reasons[2]


def test_dark_parts_beside_bright_ones_are_lifted_less_than_a_dark_video() -> None:
    alone = choose("auto", diagnosis(runs=run_measures(42.0, black_luma=18.0), white_luma=82.0), media_probe())
    assert followed(mark(0, 0.12), mark(9000, 0.52)).tone[0].table[42] < alone.tone[0].table[42]


def test_hardly_different_curves_become_one() -> None:
    assert len(followed(mark(0, 0.12), mark(9000, 0.121)).tone) == 1


def test_a_picture_that_grows_brighter_never_turns_darker() -> None:
    levels = np.linspace(0.08, 0.6, 60)
    chosen = followed(*(mark(number * 1000, level) for number, level in enumerate(levels)))
    shown = [curve.table[round(16 + 219 * level)] for curve, level in zip(chosen.tone, levels, strict=True)]
    assert all(b >= a - 1 for a, b in pairwise(shown))


def test_tables_blend_over_time_without_a_jump() -> None:
    first, second = tuple(range(256)), tuple(min(value + 60, 255) for value in range(256))
    tone = Tone((ToneCurve(pts=0, table=first), ToneCurve(pts=6400, table=second, is_blended=True)), "limited")
    grey = Planes(np.full((4, 4), 100, np.uint8), np.full((2, 2), 128, np.uint8), np.full((2, 2), 128, np.uint8))
    out, seen = new_planes(4, 4), []
    for pts in range(-100, 7000, 50):
        tone.process(grey, pts, out)
        seen.append(int(out.y[0, 0]))
    assert (seen[0], seen[-1]) == (100, 160)
    assert all(0 <= b - a <= 1 for a, b in pairwise(seen))
    assert blended(first, second, BLEND_STEPS) == second


def test_a_segment_begins_where_its_neighbour_ends(tmp_path: Path) -> None:
    chosen = followed(mark(0, 0.1), mark(10_000, 0.5, is_blended=True))
    chosen = replace(chosen, choices=tuple(choice for choice in chosen.choices if choice.operation == "tone"))
    pictures = [scene(0, gain=0.3)] * 12
    whole, apart = Enhancer(chosen, "limited"), Enhancer(chosen, "limited")
    shown = [whole.process(picture, 900 * number).y.copy() for number, picture in enumerate(pictures)]
    for number in range(6, 12):
        np.testing.assert_array_equal(apart.process(pictures[number], 900 * number).y, shown[number])
