"""Renditions: which there are, how their segments are counted, and that each file is what its receipt says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from benchmarks.fidelity import faults
from processing.media.local_job import LocalJob
from processing.media.parameters import Parameters
from processing.media.planning import make_plan
from processing.media.probe import probe
from processing.media.process.launcher import MediaProcesses
from processing.media.renditions import in_own_values, renditions_of, segment_at, segments_of
from processing.media.specs import Colour, Plan
from tests.clips import make_clip, read_numbers
from tests.plans import UNREMARKABLE, decoded_by_ffmpeg
from tests.unit.pictures import enhancement, even_timeline, media_probe
from tests.unit.test_encode import HDR, write

HDR10 = Colour(range="limited", primaries=9, transfer=16, matrix=9)


@pytest.fixture(scope="module")
def processes() -> Iterator[MediaProcesses]:
    with MediaProcesses() as processes:
        yield processes


def plan_of(*, frames: int = 10, parameters: Parameters | None = None, **stream: object) -> Plan:
    return make_plan(
        "",
        media_probe(**stream),
        even_timeline(frames),
        UNREMARKABLE,
        enhancement(),
        parameters=parameters or Parameters(),
    )


DEEP = {"codec": "hevc", "pixel_format": "yuv420p10le", "bit_depth": 10, "codec_tag": "hvc1", "profile": "Main 10"}


@pytest.mark.parametrize(
    ("stream", "name"),
    [
        ({}, None),
        (DEEP, "deep"),
        (DEEP | {"hdr": "pq"}, "hdr"),
        ({"hdr": "hlg"}, "hdr"),
        ({"bit_depth": 12}, "deep"),
        (DEEP | {"width_px": 14}, None),
        (DEEP | {"width_px": 5312, "height_px": 2988}, None),
        (DEEP | {"width_px": 90, "height_px": 1920}, "deep"),
        (DEEP | {"width_px": 90, "height_px": 1920, "parameters": Parameters(max_height_px=144)}, None),
        (DEEP | {"width_px": 6000, "height_px": 30}, None),
    ],
)
def test_what_eight_bits_cannot_hold_has_a_further_rendition(stream: dict[str, object], name: str | None) -> None:
    plan = plan_of(**stream)
    assert [rendition.name for rendition in plan.further] == ([name] if name else [])
    assert ("deep_too_large" in plan.warnings) == (stream.get("width_px") == 5312)


def test_the_further_one_is_as_the_source_is() -> None:
    light = {"mastering_display": HDR.mastering_display, "light_level": HDR.light_level, "codec_tag": "hev1"}
    web, hdr = renditions_of(plan_of(**{**DEEP, **light}, hdr="pq", colour=HDR10, parameters=Parameters(crf=20.0)))
    assert (web.encoding.codec, web.encoding.bit_depth, web.encoding.colour.transfer) == ("h264", 8, 1)
    assert (hdr.encoding.codec, hdr.encoding.bit_depth, hdr.encoding.colour) == ("hevc", 10, HDR10)
    assert hdr.encoding.mastering_display == HDR.mastering_display
    assert hdr.encoding.light_level == HDR.light_level
    assert {"hdr_tone_mapped", "bit_depth_reduced"} <= set(web.warnings)
    assert not {"hdr_tone_mapped", "bit_depth_reduced"} & set(hdr.warnings)


@pytest.mark.parametrize(("pixel_format", "matrix"), [("gbrp10le", 2), ("gbrp10le", 0), ("yuv444p10le", 0)])
def test_hdr_in_rgb_is_written_in_limited_range_by_the_matrix_of_bt2020(pixel_format: str, matrix: int) -> None:
    colour = Colour(range="full", primaries=9, transfer=16, matrix=matrix)
    plan = plan_of(codec="ffv1", pixel_format=pixel_format, bit_depth=10, hdr="pq", colour=colour)
    assert plan.further[0].encoding.colour == HDR10


@pytest.mark.parametrize(
    ("changes", "video"),
    [
        ({}, "copy"),
        ({"codec_tag": "hev1"}, "copy"),
        ({"codec": "vp9"}, "encode"),
        ({"pixel_format": "yuv422p10le"}, "encode"),
        ({"parameters": Parameters(crf=25.0)}, "encode"),
        ({"parameters": Parameters(max_height_px=480)}, "encode"),
    ],
)
def test_packets_are_passed_on_where_they_are_what_is_wanted(changes: dict[str, object], video: str) -> None:
    assert plan_of(**{**DEEP, **changes}).further[0].video == video  # type: ignore[arg-type]


def test_brightness_and_colour_of_hdr_are_left_alone() -> None:
    kept = in_own_values(enhancement(denoise=1.0, tone=0.5, sharpen=0.3, table=tuple(range(256))))
    assert [choice.operation for choice in kept.choices] == ["denoise", "sharpen"]
    assert kept.tone == ()


def test_segments_are_counted_through_all_renditions() -> None:
    plan = plan_of(frames=100, **DEEP, parameters=Parameters(crf=20.0))
    count = len(plan.segments)
    assert count > 1
    assert [(one.rendition, numbers) for one, numbers in segments_of(plan)] == [
        ("web", range(count)),
        ("deep", range(count, 2 * count)),
    ]
    found = [segment_at(plan, index) for index in range(2 * count)]
    assert [(one.rendition, segment) for one, segment in found] == [
        *(("web", segment) for segment in range(count)),
        *(("deep", segment) for segment in range(count)),
    ]


def test_copied_renditions_have_no_segments() -> None:
    plan = plan_of(frames=100, **DEEP)
    assert [(one.rendition, len(numbers)) for one, numbers in segments_of(plan)] == [
        ("web", len(plan.segments)),
        ("deep", 0),
    ]


def test_hdr_that_needs_nothing_is_copied_and_mapped_beside(processes: MediaProcesses, tmp_path: Path) -> None:
    source = tmp_path / "in.mp4"
    write(source, range(20), HDR)
    result = LocalJob(processes, source, tmp_path, slots=2).run()
    assert faults(source, result) == []
    web, (hdr,) = result.receipt, result.receipt.further
    assert (web.rendition, web.codec, web.bit_depth, web.hdr) == ("web", "h264", 8, "none")
    assert (hdr.rendition, hdr.codec, hdr.bit_depth, hdr.hdr) == ("hdr", "hevc", 10, "pq")
    assert hdr.mastering_display == HDR.mastering_display
    assert hdr.light_level == HDR.light_level
    with av.open(source) as before, av.open(result.further["hdr"]) as after:
        payloads = [[bytes(packet) for packet in file.demux(video=0) if packet.size] for file in (before, after)]
    assert payloads[0] == payloads[1]
    assert probe(result.further["hdr"]).video.codec_tag == "hvc1"


def test_a_noisy_deep_source_is_denoised_in_ten_bits(processes: MediaProcesses, tmp_path: Path) -> None:
    options = {"codec": "hevc", "pixel_format": "yuv420p10le", "audio": ["aac"], "noise_sigma": 5.0}
    source = make_clip(tmp_path / "in.mp4", frames=60, width=160, height=96, **options)
    result = LocalJob(processes, source, tmp_path, slots=2).run(preset="denoise")
    assert faults(source, result) == []
    assert result.planned.further == ("deep",)
    assert result.further["deep"].name == "result.deep.mp4"
    (deep,) = result.receipt.further
    assert (deep.codec, deep.bit_depth, deep.frames_out) == ("hevc", 10, 60)
    assert [track.payload_equal for track in deep.audio] == [True]
    assert read_numbers(result.further["deep"]) == read_numbers(result.path) == list(range(60))
    assert decoded_by_ffmpeg(result.further["deep"])[1] == ""
    with av.open(result.further["deep"]) as file:
        luma = next(file.decode(video=0)).to_ndarray()[:96]
    # Not eight bits in disguise: the low bits are in use.
    assert len(np.unique(luma % 4)) == 4


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "copied"), ("a.mp4", "copied"), ("a.ts", "encoded")])
def test_hevc_is_passed_on_where_its_headers_stand_apart(
    name: str, codec: str, processes: MediaProcesses, tmp_path: Path
) -> None:
    options = {"codec": "hevc", "pixel_format": "yuv420p10le", "b_frames": 2}
    source = make_clip(tmp_path / name, frames=30, width=96, height=64, **options)
    assert probe(source).video.codec_tag != "hvc1"
    result = LocalJob(processes, source, tmp_path, slots=2).run(parameters=Parameters(strength=0.0))
    assert faults(source, result) == []
    segments = len(result.planned.segments)
    assert result.planned.further == ("deep",)
    assert segments == (2 if codec == "encoded" else 1)
    assert probe(result.further["deep"]).video.codec_tag == "hvc1"
    assert read_numbers(result.further["deep"]) == list(range(30))


def test_the_same_job_gives_the_same_bytes(processes: MediaProcesses, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", frames=40, width=96, height=64, codec="hevc", pixel_format="yuv420p10le")
    digests = []
    for slots in (1, 2):
        folder = tmp_path / str(slots)
        folder.mkdir()
        receipt = LocalJob(processes, source, folder, slots=slots).run(preset="denoise").receipt
        digests.append([one.sha256 for one in (receipt, *receipt.further)])
    assert digests[0] == digests[1]


def test_the_deep_rendition_can_be_left_out(processes: MediaProcesses, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", frames=20, width=96, height=64, codec="hevc", pixel_format="yuv420p10le")
    result = LocalJob(processes, source, tmp_path, slots=1).run(with_deep=False)
    assert (result.further, result.receipt.further) == ({}, ())


def test_hevc_is_made_where_it_is_asked_for(processes: MediaProcesses, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", frames=30, width=96, height=64, noise_sigma=5.0)
    result = LocalJob(processes, source, tmp_path, slots=2).run(parameters=Parameters(codec="hevc"))
    assert faults(source, result) == []
    assert (result.receipt.codec, result.receipt.bit_depth, result.further) == ("hevc", 8, {})
    assert read_numbers(result.path) == list(range(30))
    assert probe(result.path).video.codec_tag == "hvc1"
    assert "x265/" in result.receipt.fingerprints[0]


@pytest.mark.parametrize(
    ("stream", "codec", "video"),
    [
        ({"codec_tag": "avc1"}, None, "copy"),
        ({"codec_tag": "avc1"}, "h264", "copy"),
        ({"codec_tag": "avc1"}, "hevc", "encode"),
        ({"codec": "hevc", "profile": "Main", "codec_tag": "hvc1"}, "hevc", "copy"),
        ({"codec": "hevc", "profile": "Main", "codec_tag": "hvc1"}, None, "encode"),
    ],
)
def test_what_is_in_the_codec_asked_for_is_passed_on(stream: dict[str, object], codec: str | None, video: str) -> None:
    plan = plan_of(**stream, parameters=Parameters(codec=codec))  # type: ignore[arg-type]
    assert (plan.video, plan.encoding.codec) == (video, codec or "h264")


def test_a_picture_too_small_for_hevc_is_h264_and_says_so() -> None:
    plan = plan_of(width_px=14, height_px=64, parameters=Parameters(codec="hevc"))
    assert plan.encoding.codec == "h264"
    assert "hevc_too_small" in plan.warnings
