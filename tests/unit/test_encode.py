"""Segments as files: equal bytes, one initialisation part, true times, readable by an independent player."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Literal

import av
import numpy as np
import pytest

from processing.media.encode import SegmentEncoder, WrittenSegment, frame_of, new_deep_frame
from processing.media.encoders import encoder_options, is_hevc_size, written_aspect
from processing.media.enhancement.planes import Planes
from processing.media.errors import OutputMismatch, StorageFull
from processing.media.specs import Colour, Encoding, LightLevel, MasteringDisplay
from tests.clips import Clip, draw, read_numbers
from tests.plans import decoded_by_ffmpeg

RATE = Fraction(30_000, 1001)
TICKS = 1001
ENCODING = Encoding(
    width_px=160,
    height_px=96,
    time_base=Fraction(1, 30_000),
    rotation_degrees=90,
    sample_aspect=Fraction(5744, 5769),
    colour=Colour(range="full", primaries=1, transfer=13, matrix=6),
)
HEVC = replace(ENCODING, codec="hevc", crf=21.0)
HDR = replace(
    HEVC,
    bit_depth=10,
    colour=Colour(range="limited", primaries=9, transfer=16, matrix=9),
    mastering_display=MasteringDisplay(
        red=(34_000, 16_000),
        green=(13_250, 34_500),
        blue=(7_500, 3_000),
        white=(15_635, 16_450),
        least_luminance=50,
        most_luminance=10_000_000,
    ),
    light_level=LightLevel(most=1_000, most_average=400),
)
ENCODINGS = {"h264": ENCODING, "hevc": HEVC, "hdr": HDR}
PROFILES = {"h264": "High", "hevc": "Main", "hdr": "Main 10"}
CLIP = Clip(width=160, height=96)


def picture(number: int, bit_depth: int = 8) -> av.VideoFrame:
    y, u, v = draw(number, CLIP)
    planes = Planes(y, u[::2, ::2], v[::2, ::2])
    if bit_depth == 8:
        return frame_of(planes)
    frame, deep = new_deep_frame(*y.shape)
    for plane, target in zip(planes, deep, strict=True):
        np.multiply(plane, 4, out=target, dtype=np.uint16)
    return frame


def write(path: Path, numbers: range, encoding: Encoding = ENCODING) -> WrittenSegment:
    with SegmentEncoder(path, encoding, RATE, [numbers[0] * TICKS, (numbers[0] + 1) * TICKS]) as encoder:
        for number in numbers:
            encoder.encode(picture(number, encoding.bit_depth), (number + 2) * TICKS)
        return encoder.close()


@pytest.mark.parametrize(("width", "height"), [(16, 16), (20, 20), (4096, 30), (4098, 32)])
def test_x265_takes_small_and_narrow_pictures_whatever_the_cap(width: int, height: int, tmp_path: Path) -> None:
    assert is_hevc_size(width, height)
    encoding = replace(HDR, width_px=width, height_px=height, max_bitrate_kbps=200_000)
    frame, deep = new_deep_frame(height, width)
    for plane in deep:
        plane[:] = 512
    with SegmentEncoder(tmp_path / "a.mp4", encoding, RATE, [0, TICKS]) as encoder:
        encoder.encode(frame, 2 * TICKS)
        assert encoder.close().frames == 1


def parts(path: Path) -> tuple[bytes, bytes]:
    """Return the initialisation part and the media of a segment."""
    data = path.read_bytes()
    border = data.index(b"moof") - 4
    return data[:border], data[border:]


@pytest.fixture(scope="module", params=ENCODINGS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def segments(kind: str, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("segments")
    paths = [folder / name for name in ("0", "1", "2")]
    for path, numbers in zip(paths, (range(70), range(70, 71), range(71, 120)), strict=True):
        assert write(path, numbers, ENCODINGS[kind]).frames == len(numbers)
    return paths


def test_equal_frames_give_equal_bytes(kind: str, segments: list[Path], tmp_path: Path) -> None:
    again = write(tmp_path / "again", range(70), ENCODINGS[kind])
    assert (tmp_path / "again").read_bytes() == segments[0].read_bytes()
    assert again.size_bytes == segments[0].stat().st_size


def test_every_segment_has_the_same_initialisation_part(segments: list[Path]) -> None:
    assert len({parts(path)[0] for path in segments}) == 1


def test_times_are_true_and_never_negative(segments: list[Path]) -> None:
    for path, numbers in zip(segments, (range(70), range(70, 71), range(71, 120)), strict=True):
        with av.open(path, format="mp4") as container:
            packets = [packet for packet in container.demux(video=0) if packet.size]
        assert packets[0].is_keyframe
        assert packets[0].time_base == ENCODING.time_base
        assert sorted(packet.pts for packet in packets) == [number * TICKS + 2 * TICKS for number in numbers]
        assert [packet.dts for packet in packets] == [number * TICKS for number in numbers]


def test_the_header_says_what_the_encoding_says(kind: str, segments: list[Path]) -> None:
    written = (1, 9, 16, 9) if kind == "hdr" else (2, 1, 13, 6)
    with av.open(segments[2], format="mp4") as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.color_range, context.color_primaries, context.color_trc, context.colorspace) == written
        assert stream.sample_aspect_ratio == ENCODING.sample_aspect
        assert (context.profile, context.codec_tag) == (PROFILES[kind], "avc1" if kind == "h264" else "hvc1")
        assert next(container.decode(video=0)).rotation == 90


def test_no_segment_names_its_encoder(segments: list[Path]) -> None:
    assert not any(name in path.read_bytes() for path in segments for name in (b"x265", b"Lavc"))


@pytest.mark.parametrize("size", [(16, 16), (34, 50), (48, 48), (320, 34)])
def test_small_pictures_are_hevc_too(size: tuple[int, int], tmp_path: Path) -> None:
    width, height = size
    encoding = replace(HDR, width_px=width, height_px=height)
    frame, planes = new_deep_frame(height, width)
    for plane in planes:
        plane[:] = np.arange(plane.size, dtype=np.uint16).reshape(plane.shape) % 1024
    with SegmentEncoder(tmp_path / "a", encoding, RATE, [0, TICKS]) as encoder:
        for number in range(4):
            encoder.encode(frame, (number + 2) * TICKS)
        encoder.close()
    assert decoded_by_ffmpeg(tmp_path / "a") == ([(number + 2) * TICKS for number in range(4)], "")


def test_keyframes_come_every_four_seconds_at_the_latest(tmp_path: Path) -> None:
    with SegmentEncoder(tmp_path / "a", ENCODING, Fraction(10), [0, 3000]) as encoder:
        for number in range(90):
            encoder.encode(picture(number), (number + 2) * 3000)
        encoder.close()
    with av.open(tmp_path / "a", format="mp4") as container:
        keyframes = [packet.pts for packet in container.demux(video=0) if packet.size and packet.is_keyframe]
    gaps = [later - earlier for earlier, later in pairwise(keyframes)]
    assert len(gaps) >= 2
    assert max(gaps) <= 40 * 3000


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_rate_cap_holds_over_every_second(tmp_path: Path, codec: Literal["h264", "hevc"]) -> None:
    random = np.random.default_rng(3)
    noise = [random.integers(16, 235, (96, 160), np.uint8) for _ in range(100)]
    grey = np.full((48, 80), 128, np.uint8)

    def seconds(cap: int | None) -> list[int]:
        encoding = replace(ENCODING, codec=codec, max_bitrate_kbps=cap)
        with SegmentEncoder(tmp_path / "a", encoding, Fraction(25), [0, 1200]) as encoder:
            for number, luma in enumerate(noise):
                encoder.encode(frame_of(Planes(luma, grey, grey)), (number + 2) * 1200)
            encoder.close()
        with av.open(tmp_path / "a", format="mp4") as container:
            sizes = [packet.size for packet in container.demux(video=0) if packet.size]
        return [8 * sum(sizes[start : start + 25]) for start in range(75)]

    assert min(seconds(None)) > 1_000_000
    capped = seconds(400)
    assert max(capped) <= 1.5 * 400_000
    assert sum(capped[::25]) <= 1.2 * 3 * 400_000


def test_segments_play_one_after_the_other_under_a_playlist(segments: list[Path], tmp_path: Path) -> None:
    (tmp_path / "init.mp4").write_bytes(parts(segments[0])[0])
    lines = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-TARGETDURATION:3", "#EXT-X-PLAYLIST-TYPE:EVENT"]
    lines.append('#EXT-X-MAP:URI="init.mp4"')
    for index, (path, frames) in enumerate(zip(segments, (70, 1, 49), strict=True)):
        (tmp_path / f"{index}.m4s").write_bytes(parts(path)[1])
        lines += [f"#EXTINF:{frames * TICKS / 30_000:.5f},", f"{index}.m4s"]
    playlist = tmp_path / "list.m3u8"
    playlist.write_text("\n".join([*lines, "#EXT-X-ENDLIST", ""]))
    stamps, complaints = decoded_by_ffmpeg(playlist, "-allowed_extensions", "ALL")
    assert complaints == ""
    assert stamps == [number * TICKS + 2 * TICKS for number in range(120)]


def test_a_segment_without_a_frame_is_its_initialisation_part(kind: str, segments: list[Path], tmp_path: Path) -> None:
    with SegmentEncoder(tmp_path / "none", ENCODINGS[kind], RATE, [0, TICKS]) as encoder:
        assert encoder.close().frames == 0
    assert (tmp_path / "none").read_bytes() == parts(segments[0])[0]


def test_frames_keep_their_numbers(segments: list[Path]) -> None:
    assert [number for path in segments for number in read_numbers(path)] == list(range(120))


def test_a_frame_out_of_order_or_of_another_size_is_refused(tmp_path: Path) -> None:
    with SegmentEncoder(tmp_path / "a", ENCODING, RATE, [0, 1]) as encoder:
        encoder.encode(picture(0), 5)
        with pytest.raises(OutputMismatch, match="pts 5 does not follow 5"):
            encoder.encode(picture(1), 5)
        with pytest.raises(OutputMismatch, match="planned size"):
            encoder.encode(av.VideoFrame(64, 64, "yuv420p"), 6)


def test_a_full_disk_is_told_as_such() -> None:
    random = np.random.default_rng(1)
    noise = Planes(
        random.integers(0, 256, (96, 160), np.uint8),
        random.integers(0, 256, (48, 80), np.uint8),
        random.integers(0, 256, (48, 80), np.uint8),
    )

    def fill() -> None:
        with SegmentEncoder(Path("/dev/full"), ENCODING, RATE, [-2, -1]) as encoder:
            for number in range(200):
                encoder.encode(frame_of(noise), number)
            encoder.close()

    with pytest.raises(StorageFull, match="no space left while writing full"):
        fill()


@pytest.mark.parametrize(
    ("aspect", "expected"),
    [
        (Fraction(4, 3), Fraction(4, 3)),
        (Fraction(5744, 5769), Fraction(5744, 5769)),
        (Fraction(100_001, 100_000), Fraction(65_535, 65_534)),
        (Fraction(1, 1_000_000), Fraction(1, 65_535)),
    ],
)
def test_an_aspect_is_told_in_sixteen_bits(aspect: Fraction, expected: Fraction) -> None:
    found = written_aspect(aspect)
    assert max(found.numerator, found.denominator) <= 65_535
    assert abs(found - expected) < Fraction(1, 60_000)


def test_large_pictures_are_encoded_with_less_memory() -> None:
    large, usual = (
        replace(ENCODING, width_px=width, height_px=height) for width, height in [(3840, 2160), (1920, 1080)]
    )
    assert "b-pyramid=none" in encoder_options(large, Fraction(25))["x264-params"]
    assert "b-pyramid" not in encoder_options(usual, Fraction(25))["x264-params"]
