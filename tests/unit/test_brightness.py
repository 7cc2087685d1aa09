"""The brightness facts of HDR: what is written is read again, what cannot be is not taken over."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from processing.media.brightness import light_level, mastering_display
from processing.media.probe import probe
from processing.media.specs import LightLevel
from tests.unit.test_encode import HDR, write


def data_of(*numbers: int, flags: tuple[int, int] = (1, 1)) -> bytes:
    """Return colours in 1/50,000 and luminances in 1/10,000 as FFmpeg hands them over."""
    units = [50_000] * 8 + [10_000] * 2
    pairs = [value for pair in zip(numbers, units, strict=True) for value in pair]
    return struct.pack("=20i2i", *pairs, *flags)


P3 = (34_000, 16_000, 13_250, 34_500, 7_500, 3_000, 15_635, 16_450, 50, 10_000_000)


def test_what_a_segment_carries_is_what_its_encoding_says(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", range(4), HDR)
    video = probe(tmp_path / "a.mp4").video
    assert video.mastering_display == HDR.mastering_display
    assert video.light_level == HDR.light_level
    assert (video.hdr, video.bit_depth, video.codec_tag) == ("pq", 10, "hvc1")


def test_units_are_those_of_the_message() -> None:
    assert mastering_display(data_of(*P3)) == HDR.mastering_display
    assert light_level(struct.pack("=2I", 1000, 400)) == LightLevel(most=1000, most_average=400)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        data_of(*P3, flags=(1, 0)),
        data_of(-1, *P3[1:]),
        data_of(*P3[:9], 10),
        struct.pack("=20i2i", *[1, 0] * 10, 1, 1),
    ],
    ids=["nothing", "no luminance", "no such colour", "darker than black", "no denominators"],
)
def test_what_no_screen_has_is_not_taken_over(data: bytes) -> None:
    assert mastering_display(data) is None


@pytest.mark.parametrize(
    "numbers",
    [
        (0,) * 8 + P3[8:],
        (40_000, *P3[1:]),
        (*P3[:7], 45_000, *P3[8:]),
        (*P3[:8], 0, 40_000),
        (*P3[:9], 200_000_000),
        (*P3[:8], 60_000, P3[9]),
        (*P3[:8], 50_000, 50_000),
    ],
    ids=["no colours", "red", "white", "too dim a peak", "too bright a peak", "too bright a black", "no contrast"],
)
def test_what_hevc_may_not_say_is_not_taken_over(numbers: tuple[int, ...]) -> None:
    assert mastering_display(data_of(*numbers)) is None


@pytest.mark.parametrize(
    "numbers", [(5, 5) * 4 + (0, 50_000), (37_000, 42_000) * 4 + (50_000, 100_000_000)], ids=["least", "most"]
)
def test_the_bounds_of_what_is_taken_over_survive_writing(numbers: tuple[int, ...], tmp_path: Path) -> None:
    display = mastering_display(data_of(*numbers))
    assert display is not None
    write(tmp_path / "a.mp4", range(1), replace(HDR, mastering_display=display))
    assert probe(tmp_path / "a.mp4").video.mastering_display == display


def test_a_light_level_of_zero_is_none() -> None:
    assert light_level(struct.pack("=2I", 0, 0)) is None
    assert light_level(struct.pack("=2I", 70_000, 0)) is None
