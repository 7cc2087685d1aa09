"""The diagnosis of whole files."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from processing.media.diagnosis import MOST_RUNS, diagnose, run_starts
from processing.media.errors import Damaged
from processing.media.measured import Bars, Diagnosis
from processing.media.probe import probe
from processing.media.specs import Timeline
from processing.media.timeline import read_timeline
from tests.clips import make_clip, without_composition_offsets


def timeline(frames: int, keyframes: tuple[int, ...]) -> Timeline:
    return Timeline(
        time_base=Fraction(1, 25),
        pts=tuple(range(frames)),
        keyframes=keyframes,
        identity="pts",
        last_duration=1,
        frames_from_header=None,
        packets_from_scan=frames,
        frames_from_scan=frames,
        discarded_from_scan=0,
        repaired=0,
        is_variable_rate=False,
        keyframe_spacing_seconds=(1.0, 1.0, 1.0),
    )


def diagnosed(path: Path) -> Diagnosis:
    header = probe(path)
    return diagnose(path, header, read_timeline(path, header))


def test_many_keyframes_give_eight_runs_spread_over_the_video() -> None:
    starts = run_starts(timeline(2500, tuple(range(0, 2500, 25))))
    assert starts == [(25 * place, 1) for place in (6, 19, 31, 44, 56, 69, 81, 94)]


def test_where_keyframes_crowd_is_not_looked_at_more_closely() -> None:
    crowded = (*range(20), 40, 60, 80)
    assert run_starts(timeline(100, crowded), 4) == [(12, 1), (40, 1), (60, 1), (80, 1)]
    assert run_starts(timeline(100, (0, *range(90, 100))), 4) == [(0, 1), (90, 1), (91, 1), (92, 1)]


def test_few_keyframes_give_several_runs_each() -> None:
    assert run_starts(timeline(250, (0, 125))) == [(0, 4), (125, 4)]
    assert run_starts(timeline(30, (0, 25))) == [(0, 2), (25, 1)]
    assert run_starts(timeline(1, (0,))) == [(0, 1)]
    assert run_starts(timeline(1000, (0,))) == [(0, MOST_RUNS)]


def test_a_clean_clip_is_found_clean(tmp_path: Path) -> None:
    found = diagnosed(make_clip(tmp_path / "clean.mp4", frames=60, b_frames=2))
    assert found.noise_sigma_luma < 1.0
    assert found.noise_sigma_chroma < 1.0
    assert found.contrast > 0.7
    assert not found.is_interlaced
    assert found.frames_sampled == 3 * len(found.runs) > 6


def test_noise_and_darkness_are_measured_through_the_codec(tmp_path: Path) -> None:
    found = diagnosed(make_clip(tmp_path / "dark.mp4", frames=40, noise_sigma=6.0, gain=0.3))
    assert found.noise_sigma_luma == pytest.approx(6.0, rel=0.25)
    assert found.mean_luma < 60
    assert max(run.median_luma for run in found.runs) < 60


def test_two_runs_over_one_file_agree(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", frames=40, noise_sigma=3.0)
    assert diagnosed(path) == diagnosed(path)


def test_stamps_that_run_backwards_do_not_hinder(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=60, b_frames=2, noise_sigma=4.0, gop=20)
    found = diagnosed(without_composition_offsets(clip, tmp_path / "backwards.mp4"))
    assert found.noise_sigma_luma == pytest.approx(4.0, rel=0.3)


def test_ten_bit_and_odd_sizes_are_measured(tmp_path: Path) -> None:
    found = diagnosed(
        make_clip(tmp_path / "deep.mp4", frames=12, width=201, height=151, pixel_format="yuv444p10le", noise_sigma=4.0)
    )
    assert found.noise_sigma_luma == pytest.approx(4.0, rel=0.3)


def test_a_file_of_which_nothing_decodes_is_damaged(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", frames=10, container_options=[("movflags", "faststart")])
    header = probe(path)
    times = read_timeline(path, header)
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    data[start:] = bytes(len(data) - start)
    path.write_bytes(data)
    with pytest.raises(Damaged):
        diagnose(path, header, times)


def test_what_lies_around_and_between_pictures_is_measured(tmp_path: Path) -> None:
    found = diagnosed(make_clip(tmp_path / "clip.mp4", frames=60))
    assert len(found.histogram) == 32
    assert sum(found.histogram) == pytest.approx(1.0, abs=0.002)
    assert found.bars == Bars()
    assert 0 == found.runs[0].scene <= found.runs[-1].scene <= found.scene_changes
    pts = [run.pts for run in found.runs]
    assert pts == sorted(set(pts))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gop.mp4", {"gop": 250, "b_frames": 3}),
        ("open.mp4", {"gop": 24, "b_frames": 3, "open_gop": True}),
        ("deep.mkv", {"gop": 250, "codec": "hevc", "b_frames": 2}),
        ("fields.ts", {"gop": 12, "b_frames": 2, "codec": "mpeg2video", "rate": Fraction(25)}),
        ("old.avi", {"gop": 60, "b_frames": 2, "codec": "mpeg4"}),
    ],
)
def test_frames_that_are_not_looked_at_do_not_matter(name: str, words: dict[str, Any], tmp_path: Path) -> None:
    """Decoding only what is measured and what that refers to gives what decoding everything gives."""
    path = make_clip(tmp_path / name, frames=90, noise_sigma=4.0, **words)
    header = probe(path)
    times = read_timeline(path, header)
    known = diagnose(path, header, replace(times, frames_from_decode=None))
    assert known == diagnose(path, header, replace(times, frames_from_decode=len(times.pts)))
    assert known.frames_sampled >= 9
