"""Clipping is seen wherever it happens, in 8 and 10 bits, and a flash is not taken for a scene."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from processing.media.enhancement.planes import DeepPlanes, Planes
from processing.media.enhancement.watch import EVERY_FRAMES, ClippingWatch
from tests.clips import make_clip
from tests.plans import DENOISE, plan_of, run_job
from tests.unit.pictures import enhancement, scene


def brightened(picture: Planes, share: float) -> Planes:
    """Return the picture with the first lines of it white."""
    luma = picture.y.copy()
    luma[: round(share * luma.shape[0])] = 235
    return Planes(luma, picture.u, picture.v)


def deep(picture: Planes) -> DeepPlanes:
    return DeepPlanes(*(np.left_shift(plane, 2, dtype=np.uint16) for plane in picture))


def test_what_comes_back_as_it_was_clips_nothing() -> None:
    watch = ClippingWatch("limited")
    assert watch.worst == 0.0
    for index in range(3 * EVERY_FRAMES):
        watch.look(index, scene(index), scene(index))
    assert watch.worst == 0.0


@pytest.mark.parametrize("form", [lambda picture: picture, deep], ids=["8 bits", "10 bits"])
def test_the_worst_scene_counts(form: type) -> None:
    watch = ClippingWatch("limited")
    for index in range(8 * EVERY_FRAMES):
        share = 0.25 if 16 <= index < 40 else 0.0
        watch.look(index, form(scene(index)), form(brightened(scene(index), share)))
    assert watch.worst == pytest.approx(0.25, abs=0.01)


def test_colours_at_their_limit_count_too() -> None:
    watch = ClippingWatch("limited")
    picture = scene(0)
    watch.look(0, picture, Planes(picture.y, np.full_like(picture.u, 240), picture.v))
    assert watch.worst == 1.0


def test_a_flash_does_not_count() -> None:
    watch = ClippingWatch("limited")
    for index in range(8 * EVERY_FRAMES):
        watch.look(index, scene(index), brightened(scene(index), 0.5 if index == 16 else 0.0))
    assert watch.worst == 0.0


@pytest.mark.parametrize(("gain", "warned"), [(2.0, True), (1.0, False)])
def test_the_receipt_tells_the_worst_segment(gain: float, warned: bool, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", frames=60, width=160, height=96)
    plan = plan_of(source, DENOISE)
    table = tuple(min(16 + round(gain * max(value - 16, 0)), 235) for value in range(256))
    plan = replace(plan, enhancement=enhancement(tone=1.0, denoise=0.5, table=table))
    job = run_job(source, tmp_path / "job", plan=plan)
    assert len(job.results) > 1
    assert job.receipt.clipped_share == max(result.clipped_share for result in job.results)
    assert (job.receipt.clipped_share > 0.005) == warned
    assert ("enhancement_clips" in job.receipt.warnings) == warned
