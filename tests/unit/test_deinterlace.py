"""Deinterlacing: which field is first is seen in the pictures, and each frame becomes one moment, none lost."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Literal

import av
import numpy as np
import pytest

from processing.media.decode import DecodedFrame
from processing.media.diagnosis import diagnose
from processing.media.enhancement.deinterlace import deinterlaced
from processing.media.enhancement.presets import choose
from processing.media.field_measures import field_evidence, show_fields
from processing.media.findings import COMBED_SHARE
from processing.media.measured import Diagnosis
from processing.media.measures import combing
from processing.media.planning import make_plan
from processing.media.probe import probe
from processing.media.specs import Plan
from processing.media.timeline import read_timeline
from tests.clips import Clip, draw, make_clip, read_numbers
from tests.plans import decoded_by_ffmpeg, run_job

Field = Literal["top", "bottom"]
WOVEN = Clip(width=160, height=96, codec="mpeg2video", gop=12, interlaced=True, first_field="top", speed=4.0)


def luma(number: int, first_field: Field | None) -> np.ndarray:
    first, second = draw(number, WOVEN, number)[0], draw(number, WOVEN, number + 0.5)[0]
    if first_field is not None:
        later = int(first_field == "top")
        first[later::2] = second[later::2]
    return first


def frames(count: int, first_field: Field | None, height: int = 96) -> Iterator[DecodedFrame]:
    for number in range(count):
        picture = luma(number, first_field)[:height]
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="gray")
        yield DecodedFrame(index=number, pts=10 * number, frame=frame, is_warmup=number < 2)


def diagnosis_of(path: Path) -> tuple[Diagnosis, Plan]:
    facts = probe(path)
    timeline = read_timeline(path, facts)
    found = diagnose(path, facts, timeline)
    return found, make_plan("", facts, timeline, found, choose("restore", found, facts))


@pytest.mark.parametrize("first_field", ["top", "bottom"])
def test_fields_become_the_moment_of_the_first(first_field: Field) -> None:
    pictures = list(deinterlaced(frames(12, first_field), first_field))
    assert [(item.index, item.pts, item.is_warmup) for item in pictures] == [
        (number, 10 * number, number < 2) for number in range(12)
    ]
    for item in pictures[1:-1]:
        truth, woven = luma(item.index, None)[24:], luma(item.index, first_field)[24:]
        picture = item.frame.to_ndarray()[24:]
        errors = [float(np.mean((seen.astype(float) - truth) ** 2)) for seen in (picture, woven)]
        assert errors[0] < 0.5 * errors[1]
        assert combing(picture, 1.0) < 0.2 * combing(woven, 1.0)


def test_the_wrong_order_is_worse() -> None:
    """The field kept is the first one, so the picture stands at its moment and not half a frame later."""
    errors = []
    for claimed in ("top", "bottom"):
        pictures = list(deinterlaced(frames(8, "top"), claimed))  # type: ignore[arg-type]
        errors.append(
            float(
                np.mean(
                    [np.square(item.frame.to_ndarray() - luma(item.index, None).astype(float)) for item in pictures]
                )
            )
        )
    assert errors[0] < errors[1]


@pytest.mark.parametrize(("first_field", "sign"), [("top", 1), ("bottom", -1)])
def test_the_order_of_fields_is_seen(first_field: Field, sign: int) -> None:
    found = [field_evidence(luma(number, first_field), luma(number + 1, first_field), 0.0) for number in range(6)]
    assert np.median([pair.order for pair in found]) * sign > 0.02
    assert show_fields(found)


def test_whole_pictures_have_no_order() -> None:
    found = [field_evidence(luma(number, None), luma(number + 1, None), 0.0) for number in range(6)]
    assert abs(np.median([pair.order for pair in found])) < 0.01
    assert not show_fields(found)


def still_but_for_a_square(number: int, half: int = 0) -> np.ndarray:
    """Return a still picture in which a small square moves two pixels a frame, one in each half."""
    plane = np.tile(np.linspace(60, 180, 256), (192, 1)).astype(np.uint8)
    left = 40 + 4 * number + 2 * half
    plane[80:128, left : left + 64] = 150 + (np.arange(64) // 4 % 2 * 8).astype(np.uint8)
    return plane


def test_a_few_moving_blocks_prove_fields() -> None:
    woven = [still_but_for_a_square(number) for number in range(4)]
    for number, plane in enumerate(woven):
        plane[1::2] = still_but_for_a_square(number, 1)[1::2]
    assert combing(woven[1], 0.0) < COMBED_SHARE
    assert show_fields([field_evidence(a, b, 0.0) for a, b in pairwise(woven)])
    whole = [still_but_for_a_square(number) for number in range(4)]
    assert not show_fields([field_evidence(a, b, 0.0) for a, b in pairwise(whole)])
    assert not show_fields([field_evidence(woven[0], woven[0], 0.0)])


def test_one_frame_and_tiny_frames_come_through() -> None:
    assert len(list(deinterlaced(frames(1, "top"), "top"))) == 1
    assert len(list(deinterlaced(frames(3, "top", height=2), "top"))) == 3


def test_a_change_of_size_loses_no_frame() -> None:
    small, large = list(frames(3, "top", height=48)), list(frames(3, "top"))
    heights = [item.frame.height for item in deinterlaced([*small, *large], "top")]
    assert heights == [48] * 3 + [96] * 3


@pytest.mark.parametrize("first_field", ["top", "bottom"])
def test_the_pictures_are_believed_and_not_the_flag(tmp_path: Path, first_field: Field) -> None:
    """The encoder flags every clip "top field first"; a bottom first one shows otherwise."""
    source = make_clip(tmp_path / "a.ts", Clip(**{**vars(WOVEN), "frames": 40, "first_field": first_field}))
    found, plan = diagnosis_of(source)
    assert found.is_interlaced
    assert found.first_field == first_field
    assert found.field_evidence > 0.02
    assert plan.enhancement.choices[0].operation == "deinterlace"
    assert all(segment.warmup == max(segment.start - 9, 0) for segment in plan.segments)
    job = run_job(source, tmp_path / "job", plan=plan)
    assert read_numbers(job.output) == list(range(40))
    assert len(decoded_by_ffmpeg(job.output)[0]) == 40
    assert "interlaced_kept" not in job.receipt.warnings
    after, _ = diagnosis_of(job.output)
    assert not after.is_interlaced
    assert after.combing < 0.2 * found.combing


def test_progressive_footage_is_left_alone(tmp_path: Path) -> None:
    found, plan = diagnosis_of(make_clip(tmp_path / "a.mp4", frames=40, width=160, height=96))
    assert not found.is_interlaced
    assert "deinterlace" not in {choice.operation for choice in plan.enhancement.choices}
