"""A limit of height: which size follows, nothing enlarged, fields made whole first, every frame kept."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from processing.media.diagnosis import diagnose
from processing.media.enhancement.presets import choose
from processing.media.parameters import Parameters
from processing.media.pictures import Normaliser
from processing.media.planning import choose_encoding, make_plan
from processing.media.probe import probe
from processing.media.sizes import planned_size
from processing.media.specs import Colour, Plan
from processing.media.timeline import read_timeline
from tests.clips import make_clip, read_numbers
from tests.plans import UNREMARKABLE, run_job
from tests.unit.pictures import diagnosis, even_timeline, media_probe
from tests.unit.test_pictures import frame_of

LOWEST = Parameters(max_height_px=144)


@pytest.mark.parametrize(
    ("width", "height", "rotation", "limit", "expected"),
    [
        (1920, 1080, 0, None, (1920, 1080)),
        (1920, 1080, 0, 1080, (1920, 1080)),
        (1920, 1080, 0, 4320, (1920, 1080)),
        (1920, 1080, 0, 720, (1280, 720)),
        (1920, 1080, 0, 480, (854, 480)),
        (1920, 1080, 180, 720, (1280, 720)),
        (1920, 1080, 90, 1280, (1280, 720)),
        (1920, 1080, -90, 1920, (1920, 1080)),
        (641, 359, 0, 360, (642, 360)),
        (641, 359, 0, 200, (358, 200)),
        (20, 4000, 0, 144, (2, 144)),
    ],
)
def test_the_size_that_follows(
    width: int, height: int, rotation: int, limit: int | None, expected: tuple[int, int]
) -> None:
    video = media_probe(width_px=width, height_px=height, rotation_degrees=rotation).video
    assert planned_size(video, limit) == expected


def test_aspect_and_turn_stay() -> None:
    video = media_probe(sample_aspect=Fraction(32, 27), rotation_degrees=180).video
    encoding = choose_encoding(video, Parameters(max_height_px=480, max_bitrate_kbps=900))
    assert (encoding.width_px, encoding.height_px) == (854, 480)
    assert (encoding.sample_aspect, encoding.rotation_degrees) == (Fraction(32, 27), 180)
    assert encoding.max_bitrate_kbps == 900


@pytest.mark.parametrize(
    ("height", "limit", "said", "written"),
    [
        (1080, 480, 2, 1),  # told: a player would take it for BT.601 now
        (1080, 480, 9, 9),
        (1080, 720, 2, 2),
        (576, 480, 2, 2),
        (719, None, 2, 6),  # padded to 720: a player would take it for BT.709 now
    ],
)
def test_colours_look_the_same_at_another_size(height: int, limit: int | None, said: int, written: int) -> None:
    video = media_probe(width_px=1280, height_px=height, colour=Colour(matrix=said)).video
    assert choose_encoding(video, Parameters(max_height_px=limit)).colour == Colour(matrix=written)


def test_scaling_keeps_levels_and_makes_grey_of_fine_lines() -> None:
    frame = frame_of("yuv420p", width=256, height=192)
    lines = np.zeros((192, frame.planes[0].line_size), np.uint8)
    lines[:, :256] = 60
    lines[::2, 128:256] = 180
    frame.planes[0].update(lines.tobytes())
    encoding = replace(choose_encoding(media_probe(width_px=256, height_px=192).video), width_px=128, height_px=96)
    luma = Normaliser(encoding).planes(frame).y
    assert luma.shape == (96, 128)
    assert set(np.unique(luma[:, :60])) == {60}
    assert np.abs(luma[4:-4, 68:].astype(int) - 120).max() <= 2


def plan_of(source: Path, parameters: Parameters) -> Plan:
    facts = probe(source)
    timeline = read_timeline(source, facts)
    found = diagnose(source, facts, timeline, parameters)
    return make_plan("", facts, timeline, found, choose("denoise", found, facts, parameters), parameters=parameters)


def test_a_clip_that_needs_nothing_is_scaled_down_and_otherwise_as_it_was(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", frames=40, width=256, height=192, rotation_degrees=90, audio=["aac"])
    plan = plan_of(source, LOWEST)
    assert plan.enhancement.choices == ()
    assert plan.video == "encode"
    assert plan.enhancement.reasons[-1] == "height at most 144: asked for, 256x192 to 144x108"
    job = run_job(source, tmp_path / "work", plan=plan)
    assert read_numbers(job.output) == list(range(40))
    receipt = job.receipt
    assert (receipt.width_px, receipt.height_px, receipt.rotation_degrees, receipt.pts_equal) == (144, 108, 90, True)
    assert receipt.audio[0].payload_equal
    assert plan_of(source, Parameters(max_height_px=256)).video == "copy"


def test_fields_become_whole_pictures_before_they_are_scaled(tmp_path: Path) -> None:
    source = make_clip(
        tmp_path / "a.mp4", frames=40, width=320, height=240, interlaced=True, first_field="top", speed=4.0
    )
    plan = plan_of(source, LOWEST)
    assert plan.diagnosis.is_interlaced
    assert [choice.operation for choice in plan.enhancement.choices][:1] == ["deinterlace"]
    assert "interlaced_kept" not in plan.warnings
    kept = choose("denoise", diagnosis(is_interlaced=True), media_probe(), Parameters(max_height_px=480))
    assert [choice.operation for choice in kept.choices] == ["deinterlace"]
    refused = Parameters(max_height_px=480, deinterlace=False)
    assert choose("auto", diagnosis(is_interlaced=True), media_probe(), refused).choices == ()


def test_an_odd_size_that_is_scaled_is_not_padded() -> None:
    facts = media_probe(width_px=641, height_px=359)
    source_plan = make_plan("", facts, even_timeline(), UNREMARKABLE, choose("auto", UNREMARKABLE, facts))
    limited = make_plan("", facts, even_timeline(), UNREMARKABLE, source_plan.enhancement, parameters=LOWEST)
    assert "size_padded" in source_plan.warnings
    assert "size_padded" not in limited.warnings
