"""When frames are shown: as written, trusted only where decoder output agrees, mended where it is broken."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from processing.media import timeline as timeline_module
from processing.media import wire
from processing.media.decode import DecodeTally, decode_all, raw_frames
from processing.media.errors import Damaged, ResourceExceeded, TimelineMismatch
from processing.media.probe import probe
from processing.media.specs import Timeline
from processing.media.timeline import _mended, read_timeline
from tests.clips import make_clip, read_number, truncated, without_composition_offsets


def timeline_of(path: Path) -> Timeline:
    return read_timeline(path, probe(path))


def test_a_steady_clip(tmp_path: Path) -> None:
    timeline = timeline_of(make_clip(tmp_path / "clip.mp4", frames=60, gop=20, b_frames=2, audio=["aac"]))
    assert [pts * timeline.time_base for pts in timeline.pts] == [Fraction(number, 30) for number in range(60)]
    assert timeline.keyframes == (0, 20, 40)
    assert (timeline.identity, timeline.repaired, timeline.is_variable_rate) == ("pts", 0, False)
    assert (timeline.frames_from_header, timeline.packets_from_scan, timeline.frames_from_scan) == (60, 60, 60)
    assert timeline.frames_from_decode is None
    assert timeline.last_duration * timeline.time_base == Fraction(1, 30)
    assert timeline.keyframe_spacing_seconds == pytest.approx((2 / 3, 2 / 3, 2 / 3), abs=1e-5)
    assert timeline.warnings == ()
    assert wire.from_json(wire.to_json(timeline), Timeline) == timeline


@pytest.mark.parametrize("seconds", [(0, 0), (20, 0), (0, 0, 7)], ids=["again", "back", "thrice"])
def test_recordings_put_together_follow_each_other(seconds: tuple[int, ...], tmp_path: Path) -> None:
    """As by `cat a.ts b.ts`, where the times of each begin anew; a gap in times that run on is kept."""
    whole, parts = tmp_path / "whole.ts", []
    for number, start in enumerate(seconds):
        part = make_clip(tmp_path / f"{number}.ts", frames=40, gop=20, b_frames=2, start_seconds=start, codec="h264")
        parts.append(part.read_bytes())
    whole.write_bytes(b"".join(parts))
    timeline = timeline_of(whole)
    assert (timeline.identity, len(timeline.pts)) == ("index", 40 * len(parts))
    distances = [float((after - before) * timeline.time_base) for before, after in pairwise(timeline.pts)]
    borders = [distances.pop(40 * number - 1) for number in range(len(parts) - 1, 0, -1)]
    assert distances == pytest.approx([1 / 30] * len(distances), abs=2e-5)
    assert borders[-1] == pytest.approx(1 / 30, abs=2e-5)
    if len(parts) == 3:
        assert borders[0] == pytest.approx(7 - 39 / 30, abs=0.1)
    assert "times_repaired" in timeline.warnings
    numbers = [read_number(frame.to_ndarray(format="gray")) for frame in raw_frames(whole, 0, DecodeTally())]
    assert numbers == [*range(40)] * len(parts)
    assert [decoded.pts for decoded in decode_all(whole, probe(whole), timeline)] == list(timeline.pts)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mkv", {}),
        ("a.flv", {}),
        ("a.webm", {"codec": "vp9", "audio": ["opus"]}),
        ("a.mp4", {"container_options": [("movflags", "frag_keyframe+empty_moov")]}),
        ("b.mp4", {"container_options": [("movflags", "faststart")]}),
    ],
)
def test_a_copy_that_broke_off_is_told(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    whole = make_clip(tmp_path / name, frames=120, gop=20, width=96, height=64, **{"audio": ["aac"], **options})
    assert timeline_of(whole).warnings == ()
    cut = timeline_of(truncated(whole, tmp_path / f"cut-{name}", 0.6))
    assert 20 < len(cut.pts) < 100
    assert "shorter_than_declared" in cut.warnings


def test_sound_that_ends_later_and_what_stands_behind_the_last_box_is_no_cut(tmp_path: Path) -> None:
    long = make_clip(tmp_path / "a.mkv", frames=10, pts=[*range(9), 90], width=96, height=64, audio=["opus"])
    with av.open(long) as source, av.open(tmp_path / "b.mkv", "w") as output:
        streams = {stream.index: output.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.size and (packet.stream.type == "audio" or packet.pts < 1000):
                packet.stream = streams[packet.stream_index]
                output.mux(packet)
    header = probe(tmp_path / "b.mkv")
    timeline = read_timeline(tmp_path / "b.mkv", header)
    assert header.duration_seconds_from_header > 2 > timeline.pts[-1] * timeline.time_base
    assert timeline.warnings == ()
    clip = make_clip(tmp_path / "a.mp4", frames=30, width=96, height=64)
    clip.write_bytes(clip.read_bytes() + b"of another program, and no box")
    assert timeline_of(clip).warnings == ()


def test_a_variable_rate_keeps_every_stamp(tmp_path: Path) -> None:
    stamps = [0, 10, 11, 60, 200, 201, 500]
    path = make_clip(tmp_path / "vfr.mp4", pts=stamps, time_base=Fraction(1, 600))
    timeline = timeline_of(path)
    assert [pts * timeline.time_base for pts in timeline.pts] == [Fraction(stamp, 600) for stamp in stamps]
    assert timeline.is_variable_rate


def test_rounded_stamps_are_a_steady_rate(tmp_path: Path) -> None:
    timeline = timeline_of(make_clip(tmp_path / "film.mkv", rate=Fraction(24_000, 1001), frames=48))
    assert timeline.time_base == Fraction(1, 1000)
    assert {after - before for before, after in pairwise(timeline.pts)} == {41, 42}
    assert not timeline.is_variable_rate


def test_a_recording_from_the_middle_keeps_its_hour(tmp_path: Path) -> None:
    timeline = timeline_of(make_clip(tmp_path / "hour.ts", start_seconds=3600, frames=30, b_frames=2))
    assert timeline.pts[0] * timeline.time_base == 3600
    assert timeline.identity == "pts"


def test_a_clock_that_wraps_still_increases(tmp_path: Path) -> None:
    # 33 bits at 90 kHz end 95443.7 s after their zero.
    timeline = timeline_of(make_clip(tmp_path / "wrap.ts", start_seconds=95_442, frames=90, gop=15))
    assert {after - before for before, after in pairwise(timeline.pts)} == {3000}
    assert len(timeline.pts) == 90


def test_b_frames_without_offsets_are_shown_in_decoder_output_order(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.mp4", b_frames=2, gop=24, frames=90)
    path = without_composition_offsets(whole, tmp_path / "broken.mp4")
    header = probe(path)
    own = [frame.pts for frame in raw_frames(path, header.video.index, DecodeTally())]
    timeline = read_timeline(path, header)
    assert any(after < before for before, after in pairwise(own))
    assert timeline.identity == "index"
    assert timeline.frames_from_decode == len(timeline.pts) == len(own)
    assert timeline.stamps == tuple(own)
    assert timeline.repaired == sum(before != after for before, after in zip(own, timeline.pts, strict=True)) > 0
    assert all(before < after for before, after in pairwise(timeline.pts))
    assert "times_repaired" in timeline.warnings
    numbers = [read_number(decoded.frame.to_ndarray(format="gray")) for decoded in decode_all(path, header, timeline)]
    assert numbers == sorted(numbers)


def test_by_decoding_confirms_what_the_packets_say(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", frames=40, b_frames=2)
    header = probe(path)
    trusted, proved = read_timeline(path, header), read_timeline(path, header, by_decoding=True)
    assert (trusted.frames_from_decode, proved.frames_from_decode) == (None, 40)
    assert (trusted.pts, trusted.keyframes, trusted.identity) == (proved.pts, proved.keyframes, proved.identity)


def test_a_timeline_that_the_decoder_contradicts_is_an_error(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", frames=20)
    other = make_clip(tmp_path / "other.mp4", pts=[*range(10), *range(20, 30)], time_base=Fraction(1, 30))
    with pytest.raises(TimelineMismatch):
        list(decode_all(path, probe(path), timeline_of(other)))


def test_equal_and_missing_stamps_move_by_the_least_that_does() -> None:
    assert _mended([0, 10, 10, 10, 12], 5, 10) == (0, 10, 11, 12, 13)
    assert _mended([0, 10, 20], 5, 10) == (0, 10, 20, 30, 40)
    assert _mended([5], 2, 0) == (5, 6)
    assert _mended([0, 10, 20, 30], 2, 10) == (0, 10)


def test_one_frame_has_a_duration(tmp_path: Path) -> None:
    timeline = timeline_of(make_clip(tmp_path / "one.mp4", frames=1))
    assert len(timeline.pts) == 1
    assert timeline.last_duration > 0
    assert not timeline.is_variable_rate


def test_packets_are_capped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_clip(tmp_path / "clip.mp4", frames=20)
    monkeypatch.setattr(timeline_module, "MAX_PACKETS", 19)
    with pytest.raises(ResourceExceeded) as caught:
        timeline_of(path)
    assert caught.value.code == "resource_packets"


def test_a_stream_that_decodes_to_nothing_is_damaged(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", frames=10)
    header = probe(path)
    data = path.read_bytes()
    start, stop = data.index(b"mdat") + 4, data.index(b"moov") - 4
    path.write_bytes(data[:start] + b"\xff" * (stop - start) + data[stop:])
    with pytest.raises(Damaged):
        read_timeline(path, header)
