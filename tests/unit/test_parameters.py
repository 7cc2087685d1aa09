"""The table of parameters: what is taken, what is refused and in which words; and what a parameter does to a choice."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import pytest

from processing.media import wire
from processing.media.enhancement.presets import choose
from processing.media.enhancement.strength import scaled
from processing.media.parameters import NONE_GIVEN, PARAMETERS, BadParameters, Parameters, checked
from processing.media.planning import make_plan
from processing.media.specs import Enhancement, Plan
from tests.unit.pictures import diagnosis, even_timeline, media_probe, run_measures

DARK = {"runs": run_measures(38.0, 42.0, 45.0), "mean_luma": 44.0, "black_luma": 17.0, "white_luma": 110.0}


def chosen(parameters: dict[str, object], preset: str = "auto", **changes: object) -> Enhancement:
    return choose(preset, diagnosis(**changes), media_probe(), checked(parameters))


def strengths(enhancement: Enhancement) -> dict[str, float]:
    return {choice.operation: choice.strength for choice in enhancement.choices}


def test_the_table_and_the_spec_have_the_same_names() -> None:
    assert list(PARAMETERS) == [field.name for field in fields(Parameters)]
    assert all(parameter.sentence.endswith(".") for parameter in PARAMETERS.values())


@pytest.mark.parametrize("parameter", PARAMETERS.values(), ids=lambda parameter: parameter.name)
def test_the_ends_of_each_range_are_taken_and_what_lies_beyond_is_not(parameter: Any) -> None:
    if parameter.kind == "boolean":
        taken: list[object] = [True, False]
        refused: list[object] = [0, 1, "true"]
    elif parameter.kind == "choice":
        taken = [*parameter.choices]
        refused = ["av1", "", 0, True, ["h264"]]
    else:
        taken = [parameter.lowest, parameter.highest]
        refused = [parameter.lowest + 0.3] if parameter.kind == "integer" else []
        refused += [parameter.lowest - 2, parameter.highest + 2, math.nan, math.inf, True, "1", [1], {}]
    for value in taken:
        assert checked({parameter.name: value}).given == {parameter.name: value}
    for value in refused:
        with pytest.raises(BadParameters) as caught:
            checked({parameter.name: value})
        (fault,) = caught.value.faults
        assert (fault.name, fault.code) == (parameter.name, "bad_parameter")
        assert parameter.range in fault.sentence


def test_nothing_given_is_the_presets_matter() -> None:
    assert checked({}) == checked(dict.fromkeys(PARAMETERS)) == NONE_GIVEN
    assert NONE_GIVEN.given == {}
    assert NONE_GIVEN.decided == frozenset()


def test_every_fault_is_told() -> None:
    with pytest.raises(BadParameters, match="there are strength, denoise, ") as caught:
        checked({"denoise": 3, "glow": 1, "lift": 0.5})
    assert [(fault.name, fault.code) for fault in caught.value.faults] == [
        ("denoise", "bad_parameter"),
        ("glow", "unknown_parameter"),
    ]
    assert caught.value.faults[0].sentence == "Must be 0 to 2 times the measured noise."
    with pytest.raises(BadParameters, match="max_height_px: Must be even, 144 to 4320 px"):
        checked({"max_height_px": 721})


def test_parameters_survive_the_wire() -> None:
    asked = checked({"denoise": 1, "deinterlace": False, "crf": 23})
    assert wire.from_json(wire.to_json(asked), Parameters) == asked


def test_what_is_asked_for_is_done_whatever_was_measured() -> None:
    asked = chosen({"denoise": 0.8, "sharpen": 0.5, "deinterlace": True})
    assert strengths(asked) == {"deinterlace": 1.0, "denoise": 0.8, "sharpen": 0.5}
    assert asked.reasons[0] == "deinterlace true: asked for"
    assert asked.reasons[1] == "denoise 0.8: asked for, noise 0.3 of 255"
    assert asked.reasons[3].startswith("sharpen 0.5: asked for")


def test_zero_and_false_leave_out_what_was_needed() -> None:
    needed = {**DARK, "noise_sigma_luma": 6.0, "sharpness": 0.2, "is_interlaced": True, "combing": 0.02}
    asked = chosen({"denoise": 0, "lift": 0, "sharpen": 0, "deinterlace": False}, "restore", **needed)
    assert asked.choices == ()
    assert asked.tone == ()
    assert all("asked for" in reason for reason in asked.reasons[:4])


def test_a_lift_that_is_asked_for_needs_no_dark_picture() -> None:
    dim = {"runs": run_measures(85.0, 90.0), "white_luma": 200.0}
    assert strengths(chosen({}, **dim)) == {}
    for preset in ("auto", "denoise"):
        asked = chosen({"lift": 1.0}, preset, **dim)
        assert set(strengths(asked)) == {"tone"}
        assert asked.tone[0].table[88] > 95
        assert asked.reasons[2].startswith("lift 1: asked for, brightness 33% of white")


def test_strength_is_a_factor_on_what_no_other_parameter_decides() -> None:
    needed = {**DARK, "noise_sigma_luma": 6.0, "sharpness": 0.2}
    whole, half = chosen({}, **needed), chosen({"strength": 0.5, "denoise": 0.8}, **needed)
    assert strengths(half)["denoise"] == 0.8
    assert strengths(half)["sharpen"] == pytest.approx(0.5 * strengths(whole)["sharpen"])
    assert half.tone[0].table[42] - 42 == pytest.approx(0.5 * (whole.tone[0].table[42] - 42), abs=1)
    assert half.reasons[-1] == "the rest at 0.5 times that strength"
    nothing = chosen({"strength": 0, "denoise": 0.8}, **needed)
    assert strengths(nothing) == {"denoise": 0.8}
    assert nothing.reasons[-1] == "strength 0: the rest left alone"
    assert chosen({"strength": 0}, **needed).reasons[-1] == "strength 0: left alone"


def test_strength_one_changes_nothing() -> None:
    whole = chosen({}, noise_sigma_luma=6.0)
    assert scaled(whole, 1.0) == whole


def plan(parameters: dict[str, object], **changes: object) -> Plan:
    asked, found = checked(parameters), diagnosis(**changes)
    chosen = choose("auto", found, media_probe(), asked)
    return make_plan("", media_probe(), even_timeline(), found, chosen, parameters=asked)


def test_an_encoding_that_is_asked_for_is_made_even_of_what_is_left_alone() -> None:
    assert plan({}).video == "copy"
    assert plan({}, noise_sigma_luma=6.0).encoding.crf == 20.0
    assert plan({"crf": 28}, noise_sigma_luma=6.0).encoding.crf == 28.0
    asked = plan({"crf": 28})
    assert (asked.video, asked.encoding.crf, asked.enhancement.choices) == ("encode", 28.0, ())
    assert asked.enhancement.reasons[-1] == "quality at CRF 28: asked for"
    capped = plan({"max_bitrate_kbps": 900})
    assert (capped.video, capped.encoding.max_bitrate_kbps) == ("encode", 900)
    assert capped.enhancement.reasons[-1] == "bitrate at most 900 kbit/s: asked for"
    assert plan({"max_height_px": 720}).video == "encode"
    fields = plan({"max_height_px": 720, "strength": 0}, is_interlaced=True, combing=0.02)
    assert [choice.operation for choice in fields.enhancement.choices] == ["deinterlace"], "scaling would mix fields"
    assert plan({"max_height_px": 1080}).video == "copy"


def test_colours_and_local_contrast_are_what_is_asked_for() -> None:
    asked = chosen({"white_balance": 1, "saturation": 0.5, "local_contrast": 0.4}, cast_u=-4.0, cast_v=2.0)
    assert strengths(asked) == {"white_balance": 1.0, "saturation": -0.5, "local_contrast": 0.4}
    assert (asked.cast_u, asked.cast_v) == (-4.0, 2.0)
    assert all("asked for" in reason for reason in asked.reasons[4:7])
    assert chosen({"saturation": 1}).choices == ()
