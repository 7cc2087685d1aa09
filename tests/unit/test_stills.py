"""The poster and the pair: the right frame, upright, square pixels, nothing but a picture in the file."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from processing.media.diagnosis import diagnose
from processing.media.enhance import enhance_segment
from processing.media.enhancement.presets import choose
from processing.media.join import join_segments
from processing.media.planning import make_plan
from processing.media.probe import probe
from processing.media.receipts import Stills
from processing.media.shown import LONGEST_SIDE_PX, upright
from processing.media.specs import Plan
from processing.media.stills import evenly, interest, make_stills
from processing.media.timeline import read_timeline
from tests.clips import make_clip, read_number


def finished(source: Path, folder: Path) -> tuple[Plan, Path]:
    """Return the plan of a source and its result, made without any server."""
    header = probe(source)
    times = read_timeline(source, header)
    found = diagnose(source, header, times)
    plan = make_plan("digest", header, times, found, choose("auto", found, header))
    parts = [folder / f"{segment.index}.mp4" for segment in plan.segments]
    results = [enhance_segment(source, plan, index, part, lambda _: None) for index, part in enumerate(parts)]
    join_segments(source, plan, parts, results, folder / "result.mp4", lambda _: None)
    return plan, folder / "result.mp4"


def stills_of(source: Path, folder: Path) -> Stills:
    plan, result = finished(source, folder)
    return make_stills(source, plan, result, folder)


def luma(path: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION), cv2.COLOR_BGR2GRAY)


@pytest.mark.parametrize("b_frames", [0, 2])
def test_before_and_after_are_the_same_frame(tmp_path: Path, b_frames: int) -> None:
    source = make_clip(tmp_path / "clip.mp4", frames=70, gop=20, b_frames=b_frames, noise_sigma=5.0, gain=0.35)
    stills = stills_of(source, tmp_path)
    before, after = luma(tmp_path / stills.before.name), luma(tmp_path / stills.after.name)
    number = read_number(before)
    assert read_number(after) == number
    assert stills.pair_seconds == pytest.approx(number / 30, abs=0.001)
    assert after.mean() > 1.3 * before.mean()
    poster = luma(tmp_path / stills.poster.name)
    assert read_number(poster) == pytest.approx(stills.poster_seconds * 30, abs=0.05)


def test_stills_are_upright_with_square_pixels(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "clip.mp4", frames=12, rotation_degrees=90, sample_aspect=Fraction(4, 3))
    stills = stills_of(source, tmp_path)
    after = luma(tmp_path / stills.after.name)
    assert (stills.after.width_px, stills.after.height_px) == (after.shape[1], after.shape[0])
    # 320x180 with pixels of 4:3 is 427x180; a quarter turn counter-clockwise makes it tall.
    assert after.shape == (427, 180)
    assert read_number(np.rot90(after, k=-1)) == read_number(np.rot90(luma(tmp_path / "before.jpg"), k=-1))


def test_equal_input_gives_equal_files_without_tags(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "clip.mp4", frames=20, noise_sigma=3.0)
    plan, result = finished(source, tmp_path)
    names = ("poster.jpg", "before.jpg", "after.jpg")
    folders = (tmp_path / "one", tmp_path / "two")
    for folder in folders:
        folder.mkdir()
        make_stills(source, plan, result, folder)
    for name in names:
        data = (folders[0] / name).read_bytes()
        assert data == (folders[1] / name).read_bytes()
        assert b"Exif" not in data
        assert data.startswith(b"\xff\xd8\xff")


def test_times_are_those_of_the_result_where_sound_begins_before_the_picture(tmp_path: Path) -> None:
    """A player shows the first picture at 3 s, and plays 6 s: so say the storyboard, its cues and the stills."""
    source = make_clip(tmp_path / "clip.mp4", frames=90, gop=15, pts=range(90, 180), noise_sigma=5.0, audio=["aac"])
    stills = stills_of(source, tmp_path)
    assert stills.storyboard is not None
    assert stills.storyboard.moments_ms == tuple(round((90 + number) * 1000 / 30) for number in evenly(90, 10))
    times = re.findall(r"(\S+) --> (\S+)", (tmp_path / stills.storyboard.cues).read_text())
    assert (times[0][0], times[-1][1]) == ("00:00:00.000", "00:00:06.000")
    poster, after = luma(tmp_path / stills.poster.name), luma(tmp_path / stills.after.name)
    assert stills.poster_seconds == pytest.approx(3 + read_number(poster) / 30, abs=0.001)
    assert stills.pair_seconds == pytest.approx(3 + read_number(after) / 30, abs=0.001)


def test_a_single_frame_has_stills(tmp_path: Path) -> None:
    stills = stills_of(make_clip(tmp_path / "clip.mp4", frames=1), tmp_path)
    assert (stills.poster_seconds, stills.pair_seconds) == (0.0, 0.0)


def test_a_video_without_whole_keyframes_has_stills(tmp_path: Path) -> None:
    """A decoder shows nothing at first where it starts at a recovery point; the packets are copied as they are."""
    source = make_clip(tmp_path / "live.mkv", frames=100, gop=25, intra_refresh=True)
    plan, result = finished(source, tmp_path)
    assert (plan.video, len(plan.timeline.keyframes)) == ("copy", 4)
    stills = make_stills(source, plan, result, tmp_path)
    number = read_number(luma(tmp_path / stills.after.name))
    assert read_number(luma(tmp_path / stills.before.name)) == number
    assert stills.pair_seconds == pytest.approx(number / 30, abs=0.001)


def test_a_copied_video_has_stills(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "clip.mp4", frames=60, gop=15, b_frames=2)
    plan, result = finished(source, tmp_path)
    assert plan.video == "copy"
    stills = make_stills(source, plan, result, tmp_path)
    assert read_number(luma(tmp_path / stills.before.name)) == read_number(luma(tmp_path / stills.after.name))


@pytest.mark.parametrize(
    ("height", "width", "aspect", "rotation", "expected"),
    [
        (100, 200, Fraction(1), 0, (100, 200)),
        (100, 200, Fraction(1), 180, (100, 200)),
        (100, 200, Fraction(1), -90, (200, 100)),
        (480, 720, Fraction(32, 27), 0, (480, 853)),
        (480, 720, Fraction(1, 2), 0, (960, 720)),
        (2160, 3840, Fraction(1), 90, (LONGEST_SIDE_PX, 720)),
        (100, 200, Fraction(0), 0, (100, 200)),
    ],
)
def test_upright_sizes(height: int, width: int, aspect: Fraction, rotation: int, expected: tuple[int, int]) -> None:
    assert upright(np.zeros((height, width, 3), np.uint8), aspect, rotation).shape == (*expected, 3)


def test_upright_turns_counter_clockwise() -> None:
    picture = np.zeros((2, 3, 3), np.uint8)
    picture[0, 2] = 255  # top right becomes top left
    assert upright(picture, Fraction(1), 90)[0, 0, 0] == 255


def test_a_black_picture_is_of_no_interest() -> None:
    black = np.full((64, 96), 16, np.uint8)
    telling = black.copy()
    telling[10:50, 20:70] = np.random.default_rng(0).integers(60, 200, (40, 50), np.uint8)
    assert interest(black, "limited") == 0.0
    assert interest(telling, "limited") > 100.0


def test_evenly_takes_the_middles() -> None:
    assert evenly(100, 4) == [12, 37, 62, 87]
    assert evenly(3, 6) == [0, 1, 2]
    assert evenly(1, 5) == [0]
