"""The no-harm gate: ordinary enhancements pass as they are, exaggerated ones step down and say so."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from processing.media.diagnosis import MOST_SAMPLES, SAMPLE_PX, look, summarised
from processing.media.enhancement.gate import MOST, harmless
from processing.media.enhancement.harm import Harm, Sample, measure_harm
from processing.media.enhancement.planes import Planes
from processing.media.enhancement.tone import Curve, tone_table
from processing.media.findings import measure_run
from processing.media.operations import OPERATIONS
from processing.media.parameters import checked
from processing.media.planning import make_plan
from processing.media.probe import probe
from processing.media.requests import DiagnoseRequest
from processing.media.specs import Enhancement
from processing.media.timeline import read_timeline
from tests.clips import make_clip
from tests.unit.pictures import diagnosis, enhancement, media_probe, noisy, scene


def samples(*pictures: Planes) -> tuple[Sample, ...]:
    return (Sample(pts=0, pictures=pictures),)


def moving(sigma: float = 0.0, gain: float = 1.0) -> tuple[Sample, ...]:
    return samples(*(noisy(scene(number, gain=gain), sigma, number) for number in range(3)))


def strengths(chosen: Enhancement) -> dict[str, float]:
    return {choice.operation: choice.strength for choice in chosen.choices}


def mottled(amplitude: float, number: int = 0) -> Planes:
    """Return a picture of soft spots, of a size that local contrast raises, that move a little with each picture."""
    spots = np.random.default_rng(3).normal(0.0, 1.0, (160, 192))
    spots = cv2.GaussianBlur(spots, (0, 0), 5.0)
    spots = np.roll(spots / spots.std(), 2 * number, axis=1)
    grey = np.full((80, 96), 128, np.uint8)
    return Planes(np.clip(np.rint(126 + amplitude * spots), 0, 255).astype(np.uint8), grey, grey)


ORDINARY = enhancement(
    sigma=4.0,
    table=tone_table(Curve(gain=1.5, lift=0.8), "limited"),
    cast=(-8.0, 6.0),
    denoise=1.05,
    white_balance=0.6,
    saturation=0.2,
    tone=0.8,
    local_contrast=0.3,
    sharpen=1.0,
)


def test_an_ordinary_enhancement_passes_as_it_is() -> None:
    assert harmless(ORDINARY, moving(4.0, gain=0.5), "limited") == ORDINARY
    harm = measure_harm(ORDINARY, moving(4.0, gain=0.5), "limited")
    assert harm.clipping < MOST.clipping
    assert harm.flicker < MOST.flicker


def test_nothing_chosen_and_nothing_to_try_on_pass() -> None:
    assert harmless(enhancement(), moving(), "limited") == enhancement()
    assert harmless(ORDINARY, (), "limited") == ORDINARY
    assert measure_harm(enhancement(), moving(), "limited") == Harm()


def test_a_curve_that_clips_is_halved() -> None:
    table = np.arange(256)
    table[120:236] = np.minimum(120 + 2 * (table[120:236] - 120), 235)
    clipping = enhancement(table=tuple(int(value) for value in table), tone=1.0)
    bright = samples(
        *(Planes(np.clip(scene(n).y.astype(int) + 20, 0, 200).astype(np.uint8), *scene(n)[1:]) for n in (0, 1, 2))
    )
    passed = harmless(clipping, bright, "limited")
    (step,) = passed.stepped_down
    assert (step.operation, step.harm, step.strength_before, step.strength) == ("tone", "clipping", 1.0, 0.5)
    assert step.measured > step.most == MOST.clipping
    assert strengths(passed) == {"tone": 0.5}
    assert passed.tone[0].table[150] == pytest.approx(165, abs=1)
    assert passed.reasons[-1].startswith("tone at 1 would clip ")
    assert passed.reasons[-1].endswith("stepped down to 0.5")
    assert measure_harm(passed, bright, "limited").clipping <= MOST.clipping


def test_local_contrast_that_rings_steps_down_alone() -> None:
    spots = samples(*(mottled(14.0, number) for number in range(3)))
    whole = enhancement(sigma=0.5, local_contrast=1.5, saturation=0.2)
    assert measure_harm(whole, spots, "limited").ringing > MOST.ringing
    passed = harmless(whole, spots, "limited")
    assert strengths(passed)["saturation"] == 0.2
    assert strengths(passed).get("local_contrast", 0.0) <= 0.75
    assert {step.operation for step in passed.stepped_down} == {"local_contrast"}
    assert measure_harm(passed, spots, "limited").ringing <= MOST.ringing


def test_a_denoise_that_takes_the_picture_with_it_is_left_out_or_halved() -> None:
    texture = np.random.default_rng(1).normal(0.0, 9.0, (160, 256))
    pictures = [
        Planes(
            np.clip(np.rint(120 + np.roll(texture, 3 * n, axis=1)), 0, 255).astype(np.uint8),
            *scene(n, height=160, width=256)[1:],
        )
        for n in range(3)
    ]
    whole = enhancement(sigma=1.5, denoise=8.0)
    passed = harmless(whole, samples(*pictures), "limited")
    (step,) = passed.stepped_down
    assert (step.operation, step.harm) == ("denoise", "lost_detail")
    assert strengths(passed).get("denoise", 0.0) <= 4.0
    assert harmless(enhancement(sigma=1.5, denoise=1.05), samples(*pictures), "limited").stepped_down == ()


def test_colours_that_clip_are_no_more_than_they_were() -> None:
    vivid = Planes(scene(0).y, np.full((72, 96), 60, np.uint8), np.full((72, 96), 200, np.uint8))
    whole = enhancement(cast=(30.0, -30.0), white_balance=1.0)
    bright = vivid._replace(y=np.full((144, 192), 220, np.uint8), u=np.full((72, 96), 30, np.uint8))
    (step,) = harmless(whole, samples(bright, bright), "limited").stepped_down
    assert (step.operation, step.harm) == ("white_balance", "colour_clipping")
    assert harmless(enhancement(saturation=1.0), samples(vivid, vivid), "limited").stepped_down == ()


def test_fields_are_tried_one_by_one() -> None:
    woven = scene(0)
    woven.y[1::2] = 255 - woven.y[1::2]
    passed = harmless(enhancement(sigma=0.5, deinterlace=1.0, sharpen=1.0), samples(woven, woven), "limited")
    assert passed.stepped_down == ()


def test_the_plan_warns_and_samples_are_small(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", frames=60, width=640, height=560, noise_sigma=3.0, gop=6)
    facts = probe(path)
    times = read_timeline(path, facts)
    seen = look(path, facts, times)
    assert 1 < len(seen.samples) <= MOST_SAMPLES
    assert all(sample.pictures[0].y.shape == (SAMPLE_PX, SAMPLE_PX) for sample in seen.samples)
    assert [sample.pts for sample in seen.samples] == sorted({sample.pts for sample in seen.samples})
    spots = samples(*(mottled(14.0, number) for number in range(3)))
    passed = harmless(enhancement(sigma=0.5, local_contrast=1.5), spots, "limited")
    assert "enhancement_stepped_down" in make_plan("", facts, times, diagnosis(), passed).warnings
    assert "enhancement_stepped_down" not in make_plan("", facts, times, diagnosis(), enhancement(sharpen=1.0)).warnings


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [(2, 2), (2, 64), (16, 2), (10, 6), (18, 34)])
@pytest.mark.parametrize("levels", [(0, 256), (16, 17), (235, 236)], ids=["noise", "black", "white"])
def test_every_size_is_measured_and_tried(size: tuple[int, int], levels: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    half = (size[0] // 2, size[1] // 2)
    pictures = [
        Planes(
            random.integers(*levels, size).astype(np.uint8),
            *(random.integers(0, 256, half, np.uint8) for _ in range(2)),
        )
        for _ in range(3)
    ]
    found = measure_run(pictures, 16, 235, pts=0, flagged_interlaced=0, most_px=1920)
    assert summarised([found], media_probe(), 16, 235).frames_sampled == 3
    assert harmless(ORDINARY, samples(*pictures), "limited").preset == ORDINARY.preset


def test_one_lit_column_is_measured() -> None:
    lit = scene(0)
    lit.y[:] = 16
    lit.y[:, 97] = 200
    assert measure_run([lit], 16, 235, pts=0, flagged_interlaced=0, most_px=1920).colour.share == 0.0


def test_what_is_asked_for_is_held_to_the_limits_too(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", frames=24, width=320, height=240, gain=0.5)
    diagnose = OPERATIONS["diagnose"].function

    def asked(**parameters: object) -> Enhancement:
        request = DiagnoseRequest(source=str(path), preset="auto", parameters=checked(parameters))
        return diagnose(request, lambda frames: None).enhancement

    assert asked(local_contrast=0.2).stepped_down == ()
    (step,) = asked(local_contrast=1.0).stepped_down
    assert step.operation == "local_contrast"
    assert step.strength < step.strength_before == 1.0
