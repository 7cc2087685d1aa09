"""The contract of reading: each segment decoded apart equals the sequential decode, plane for plane."""

from __future__ import annotations

import os
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from processing.media.decode import DecodeTally, FrameReader, OpenStream, decode_all, decode_segment, raw_frames
from processing.media.errors import SourceError
from processing.media.probe import probe
from processing.media.segments import TARGETS_SECONDS, WARMUP_FRAMES, plan_segments
from processing.media.sources import open_source
from processing.media.timeline import read_timeline
from tests.clips import checksum, damaged, make_clip, read_number, truncated, without_composition_offsets

SHORT_TARGETS = (0.4,)
"""Many more cuts than a plan makes, most of them inside a GOP."""
LONG_FRAMES = 1500
CLIPS: dict[str, dict[str, Any]] = {
    "plain.mp4": {},
    "b_frames.mp4": {"b_frames": 3, "gop": 24, "frames": 90},
    "open_gop.mp4": {"b_frames": 3, "gop": 24, "frames": 90, "open_gop": True},
    "one_gop.mkv": {"b_frames": 2, "gop": 500, "frames": 90},
    "every_frame_a_keyframe.mp4": {"gop": 1},
    "rate_varies.mp4": {
        "pts": [0, 30, 31, 90, 200, 201, 202, 400, *range(450, 1800, 25)],
        "time_base": Fraction(1, 600),
    },
    "hour.ts": {"b_frames": 2, "gop": 15, "frames": 90, "start_seconds": 3600, "audio": ["aac"]},
    "wraps.ts": {"b_frames": 2, "gop": 15, "frames": 90, "start_seconds": 95_442},
    "broadcast.ts": {"codec": "mpeg2video", "b_frames": 2, "gop": 12, "open_gop": True, "rate": Fraction(25)},
    "interlaced.ts": {"codec": "mpeg2video", "interlaced": True, "height": 192, "rate": Fraction(25), "gop": 12},
    "program.mpg": {"codec": "mpeg1video", "b_frames": 2, "gop": 12, "rate": Fraction(25), "audio": ["mp2"]},
    "old.avi": {"codec": "mpeg4", "b_frames": 2, "gop": 20, "frames": 90, "audio": ["mp3"]},
    "flash.flv": {"codec": "flv1", "gop": 20},
    "web.webm": {"codec": "vp9", "gop": 20, "audio": ["opus"]},
    "deep.mp4": {"codec": "hevc", "pixel_format": "yuv420p10le", "gop": 20},
    "odd.mp4": {"width": 321, "height": 181, "pixel_format": "yuv444p"},
    "lone.mp4": {"frames": 1},
}
BROKEN = ("no_offsets.mp4", "cut_short.mp4", "flipped_bits.mp4", "flipped_bits.ts")


def sample_paths() -> list[str]:
    """Return the files that open in the folder named by VIDEOPROC_SAMPLES; none where it is not set."""
    folder = os.environ.get("VIDEOPROC_SAMPLES")
    files = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()] if folder else []
    return [str(path.absolute()) for path in files if opens(path)]


def opens(path: Path) -> bool:
    try:
        probe(path)
    except SourceError:
        return False
    return True


def write_clip(name: str, folder: Path) -> Path:
    target = folder / name  # a sample's name is absolute and stands for itself
    if target.exists():
        return target
    if name in CLIPS:
        return make_clip(target, **CLIPS[name])
    whole = make_clip(
        folder / f"whole_{name}", b_frames=2, gop=24, frames=90, container_options=[("movflags", "faststart")]
    )
    if name == "no_offsets.mp4":
        return without_composition_offsets(whole, target)
    if name == "cut_short.mp4":
        return truncated(whole, target, 0.6)
    return damaged(whole, target, every=499)


def seen(reader: FrameReader) -> list[tuple[int, int, int]]:
    frames: list[tuple[int, int, int]] = []
    for decoded in reader:
        if decoded.restarts:
            assert all(index < decoded.index + WARMUP_FRAMES for index, _, _ in frames), "nothing but warm-up is void"
            frames.clear()
        frames.append((decoded.index, decoded.pts, checksum(decoded.frame)))
    return frames


def assert_contract(path: Path) -> None:
    header = probe(path)
    timeline = read_timeline(path, header)
    sequential = decode_all(path, header, timeline)
    whole = seen(sequential)
    assert len(whole) + sequential.missing_frames == len(timeline.pts)
    assert [pts for index, pts, _ in whole] == [timeline.pts[index] for index, _, _ in whole]
    for targets in (TARGETS_SECONDS, SHORT_TARGETS) if len(whole) < LONG_FRAMES else (TARGETS_SECONDS,):
        missing = corrupt = 0
        for segment in plan_segments(timeline, targets):
            reader = decode_segment(path, header, timeline, segment)
            expected = [frame for frame in whole if segment.warmup <= frame[0] < segment.stop]
            assert seen(reader) == expected, segment
            missing += reader.missing_frames
            corrupt += reader.corrupt_frames
        assert (missing, corrupt) == (sequential.missing_frames, sequential.corrupt_frames)


@pytest.mark.parametrize("name", [*CLIPS, *BROKEN, *sample_paths()])
def test_each_segment_decoded_apart_equals_the_sequential_decode(name: str, tmp_path: Path) -> None:
    assert_contract(write_clip(name, tmp_path))


@pytest.mark.parametrize("name", ["index_last.mp4", "index_first.mp4", "stream.ts", "old.avi", "studio.mxf"])
def test_a_file_cut_at_any_tenth_is_refused_or_keeps_the_contract(name: str, tmp_path: Path) -> None:
    mpeg2 = {"codec": "mpeg2video", "rate": Fraction(25)} if name == "studio.mxf" else {}
    flags = [("movflags", "faststart")] if name == "index_first.mp4" else []
    codec = {"codec": "mpeg4"} if name == "old.avi" else mpeg2
    whole = make_clip(tmp_path / name, b_frames=2, gop=12, frames=60, container_options=flags, **codec)
    refused = []
    for tenth in range(1, 10):
        path = truncated(whole, tmp_path / f"{tenth}_{name}", tenth / 10)
        try:
            assert_contract(path)
        except SourceError as error:
            refused.append((tenth, error.code))
    expected = {"index_last.mp4": [(tenth, "truncated") for tenth in range(1, 10)], "old.avi": [(1, "damaged")]}
    assert refused == expected.get(name, [])


@pytest.mark.parametrize("name", sorted(CLIPS))
def test_frames_come_in_order_and_complete(name: str, tmp_path: Path) -> None:
    path = write_clip(name, tmp_path)
    header = probe(path)
    timeline = read_timeline(path, header)
    reader = decode_all(path, header, timeline)
    numbers = [read_number(decoded.frame.reformat(format="gray").to_ndarray()) for decoded in reader]
    assert numbers == list(range(len(CLIPS[name].get("pts", ())) or CLIPS[name].get("frames", 60)))
    assert (reader.missing_frames, reader.corrupt_frames, reader.decode_errors) == (0, 0, 0)


def test_a_segment_is_found_by_one_seek_where_the_container_has_an_index(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "indexed.mp4", b_frames=2, gop=15, frames=120)
    header = probe(path)
    timeline = read_timeline(path, header)
    segments = plan_segments(timeline, (1,))
    readers = [decode_segment(path, header, timeline, segment) for segment in segments]
    assert len(segments) == 4
    assert [len(list(reader)) for reader in readers] == [segment.stop - segment.warmup for segment in segments]
    assert [reader.seeks for reader in readers] == [1, 1, 1, 1]


def test_warmup_frames_are_marked_and_not_counted(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", gop=20, frames=80)
    header = probe(path)
    timeline = read_timeline(path, header)
    segment = plan_segments(timeline, (1,))[1]
    reader = decode_segment(path, header, timeline, segment)
    marks = [decoded.is_warmup for decoded in reader]
    assert marks == [True] * (segment.start - segment.warmup) + [False] * (segment.stop - segment.start)
    assert reader.frames_from_decode == segment.stop - segment.start
    assert reader.missing_frames == 0


def test_a_file_cut_short_gives_what_it_holds_and_counts_the_rest(tmp_path: Path) -> None:
    path = write_clip("cut_short.mp4", tmp_path)
    header = probe(path)
    timeline = read_timeline(path, header)
    reader = decode_all(path, header, timeline)
    numbers = [read_number(decoded.frame.to_ndarray(format="gray")) for decoded in reader]
    assert "fewer_frames_than_declared" in timeline.warnings
    assert timeline.frames_from_header == 90
    assert numbers == list(range(len(numbers)))
    assert 0 < len(numbers) <= len(timeline.pts) < 90
    assert reader.missing_frames == len(timeline.pts) - len(numbers)


@pytest.mark.parametrize("key", [0, 24])
def test_no_more_is_decoded_than_is_wanted(key: int, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", b_frames=3, gop=24, frames=90)
    header = probe(path)
    timeline = read_timeline(path, header)
    wanted = timeline.pts[key : key + 3]
    tally = DecodeTally()
    seek_pts = timeline.pts[key] if key else None
    frames = list(raw_frames(path, header.video.index, tally, seek_pts=seek_pts, wanted=wanted))
    assert [frame.pts for frame in frames[:3]] == list(wanted)
    assert [read_number(frame.to_ndarray(format="gray")) for frame in frames[:3]] == [key, key + 1, key + 2]
    assert tally.frames <= 3 + 3, "the frames wanted and at most the B-frames' references"
    to_the_end = [frame.pts for frame in raw_frames(path, header.video.index, DecodeTally(), wanted=[-1])]
    assert set(to_the_end) < set(timeline.pts), "frames that no other refers to are left out"
    assert to_the_end[-1] >= timeline.pts[-4]


@pytest.mark.parametrize("name", ["b_frames.mp4", "open_gop.mp4", "web.webm", "old.avi", "interlaced.ts"])
def test_a_file_kept_open_gives_at_each_place_what_one_opened_there_gives(name: str, tmp_path: Path) -> None:
    path = make_clip(tmp_path / name, **CLIPS[name])
    header = probe(path)
    timeline = read_timeline(path, header)
    stamps = timeline.pts if timeline.identity == "pts" else timeline.stamps
    places = [stamps[key] for key in timeline.keyframes]
    with open_source(path) as container:
        opened = OpenStream(container, header.video.index)
        # There and back, each place left in the middle, at its end, or after the decoder was emptied.
        for place in [*places, *reversed(places)]:
            for wanted, most in (((place,), None), ((), 2), ((), None)):
                fresh = raw_frames(path, header.video.index, DecodeTally(), seek_pts=place, wanted=wanted)
                kept = opened.frames(DecodeTally(), seek_pts=place, wanted=wanted)
                expected = [(frame.pts, checksum(frame)) for frame in islice(fresh, most)]
                assert [(frame.pts, checksum(frame)) for frame in islice(kept, most)] == expected
