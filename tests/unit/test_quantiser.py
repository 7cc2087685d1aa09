"""How coarsely a codec rounded is read as its decoder tells it, and never guessed."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from processing.media.decode import DecodeTally, raw_frames
from processing.media.quantiser import quantiser_step, step_of
from tests.clips import make_clip

VP9, H264, MPEG = 0, 1, 2


def side_data(kind: int, own: int, differences: list[int]) -> bytes:
    head = struct.pack("@INNii8i", len(differences), 64, 20, kind, own, *[0] * 8)
    return head + b"".join(struct.pack("@5i", 0, 0, 16, 16, difference) for difference in differences)


def test_six_more_are_twice_the_step_in_h264() -> None:
    assert step_of(side_data(H264, 26, [-22, -22])) == pytest.approx(1.0)
    assert step_of(side_data(H264, 26, [8, 8])) == pytest.approx(32.0)
    assert step_of(side_data(H264, 26, [2, 14])) == pytest.approx(32.0)
    assert step_of(side_data(H264, 46, []) + bytes(20)) is None
    assert step_of(side_data(H264, 26, [20]), 10) == pytest.approx(32.0)


def test_the_mpeg_family_tells_the_step_itself() -> None:
    assert step_of(side_data(MPEG, 0, [4, 16])) == pytest.approx(8.0)


def test_what_is_not_told_is_not_guessed() -> None:
    assert step_of(side_data(VP9, 120, [0])) is None
    assert step_of(side_data(H264, 26, [1, 2])[:-1]) is None
    assert step_of(b"") is None


@pytest.mark.parametrize(("name", "codec", "first"), [("a.mp4", "h264", 2.83), ("a.ts", "mpeg2video", 8.0)])
def test_decoders_tell_it_where_they_are_asked_to(tmp_path: Path, name: str, codec: str, first: float) -> None:
    path = make_clip(tmp_path / name, frames=6, codec=codec)
    told = [quantiser_step(frame) for frame in raw_frames(path, 0, DecodeTally(), tells_quantiser=True)]
    assert told[0] == pytest.approx(first, abs=0.01)
    assert len([step for step in told if step is not None and step >= first]) >= 5
    assert {quantiser_step(frame) for frame in raw_frames(path, 0, DecodeTally())} == {None}


def test_a_codec_whose_decoder_keeps_it_to_itself(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=2, codec="hevc")
    assert {quantiser_step(frame) for frame in raw_frames(path, 0, DecodeTally(), tells_quantiser=True)} == {None}
