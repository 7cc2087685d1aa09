"""The storyboard: each moment one tile, one cue and one thumbnail, all showing the same frame."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from processing.media.errors import Damaged
from processing.media.facts import read_facts
from processing.media.receipts import Storyboard
from processing.media.stills import evenly, make_source_stills, make_stills
from processing.media.storyboard import MOST_MOMENTS, cues, write_storyboard
from tests.clips import make_clip, read_number
from tests.unit.test_stills import finished


def grey(data: bytes) -> np.ndarray:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8)


def thumbnails(board: Storyboard, folder: Path) -> list[np.ndarray]:
    data = (folder / board.thumbnails).read_bytes()
    assert board.stops_bytes[-1] == len(data)
    return [grey(data[start:stop]) for start, stop in zip((0, *board.stops_bytes), board.stops_bytes, strict=False)]


def boxes(text: str) -> list[tuple[int, int, int, int]]:
    found = re.findall(r"^storyboard#xywh=(\d+),(\d+),(\d+),(\d+)$", text, re.M)
    return [(int(x), int(y), int(w), int(h)) for x, y, w, h in found]


def test_tiles_cues_and_thumbnails_show_the_same_frames(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", frames=150, width=640, height=360, gop=12, b_frames=2, noise_sigma=6.0)
    plan, result = finished(source, tmp_path)
    board = make_stills(source, plan, result, tmp_path).storyboard
    assert board is not None
    numbers = [read_number(picture) for picture in thumbnails(board, tmp_path)]
    assert numbers == evenly(150, 10)
    assert board.moments_ms == tuple(round(number * 1000 / 30) for number in numbers)
    assert list(board.moments_ms) == sorted(set(board.moments_ms))
    text = (tmp_path / board.cues).read_text()
    sheet = grey((tmp_path / board.sheet.name).read_bytes())
    assert (board.sheet.width_px, board.sheet.height_px) == (1600, 90) == sheet.shape[::-1]
    tiles = [sheet[y : y + h, x : x + w] for x, y, w, h in boxes(text)]
    assert [read_number(tile) for tile in tiles] == numbers
    times = re.findall(r"(\S+) --> (\S+)", text)
    assert times[0][0] == "00:00:00.000"
    assert [stop for _, stop in times[:-1]] == [start for start, _ in times[1:]]
    assert times[-1][1] == "00:00:05.000"


def test_a_source_has_poster_and_storyboard_of_its_own(tmp_path: Path) -> None:
    source = make_clip(
        tmp_path / "a.mp4", frames=60, gop=20, start_seconds=3600, rotation_degrees=90, sample_aspect=Fraction(4, 3)
    )
    stills = make_source_stills(source, read_facts(source), tmp_path)
    assert (stills.before, stills.after, stills.pair_seconds) == (None, None, None)
    assert (stills.poster.width_px, stills.poster.height_px) == (180, 427)
    board = stills.storyboard
    assert board is not None
    pictures = thumbnails(board, tmp_path)
    assert [picture.shape for picture in pictures] == [(320, 135)] * 10
    assert [read_number(np.rot90(picture, k=-1)) for picture in pictures] == evenly(60, 10)
    assert board.moments_ms == tuple(round(number * 1000 / 30) for number in evenly(60, 10))


def test_of_a_video_too_long_to_be_decoded_for_it_the_keyframes_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processing.media.stills.MOST_DECODED_PX", 60 * 320 * 180 - 1)
    source = make_clip(tmp_path / "a.mp4", frames=60, gop=20)
    board = make_source_stills(source, read_facts(source), tmp_path).storyboard
    assert board is not None
    assert board.moments_ms == (0, 667, 1333)
    assert [read_number(picture) for picture in thumbnails(board, tmp_path)] == [0, 20, 40]


def test_where_stamps_are_no_guide_frames_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_clip(tmp_path / "a.mp4", frames=20, gop=5)
    facts = read_facts(source)
    untold = replace(facts, timeline=replace(facts.timeline, identity="index"))
    stills = make_source_stills(source, untold, tmp_path)
    assert stills.storyboard is not None
    assert [read_number(picture) for picture in thumbnails(stills.storyboard, tmp_path)] == evenly(20, 10)
    assert stills.poster_seconds == 0.0
    monkeypatch.setattr("processing.media.stills.MOST_DECODED_PX", 0)
    long = make_source_stills(source, untold, tmp_path).storyboard
    assert long is not None
    assert long.moments_ms == (0,)


def test_a_long_video_has_no_more_moments_than_fit_one_sheet(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", frames=240, width=64, height=48, gop=1)
    board = make_source_stills(source, read_facts(source), tmp_path).storyboard
    assert board is not None
    assert len(board.moments_ms) == MOST_MOMENTS
    assert (board.sheet.width_px, board.sheet.height_px) == (10 * 32, 10 * 24)
    assert len(set(boxes((tmp_path / board.cues).read_text()))) == MOST_MOMENTS
    spacing = np.diff(board.moments_ms)
    assert spacing.max() - spacing.min() <= 34, "evenly, within a frame"


def test_hours_are_written_as_such() -> None:
    text = cues([0, 7_446_008], [(0, 0, 1, 1)] * 2, 7_450_000)
    assert re.findall(r"(\S+) --> (\S+)", text) == [("00:00:00.000", "01:02:03.004"), ("01:02:03.004", "02:04:10.000")]


def test_equal_moments_give_equal_files_and_none_is_an_error(tmp_path: Path) -> None:
    picture = np.random.default_rng(1).integers(0, 255, (180, 320, 3), np.uint8)
    folders = (tmp_path / "one", tmp_path / "two")
    for folder in folders:
        folder.mkdir()
        write_storyboard([(0, picture), (40, picture)], 80, folder)
    for name in ("storyboard.jpg", "storyboard.vtt", "thumbnails.mjpeg"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    with pytest.raises(Damaged):
        write_storyboard([], 80, tmp_path)
