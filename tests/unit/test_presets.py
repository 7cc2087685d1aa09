"""From measurement to operation, strength and reason."""

from __future__ import annotations

import pytest

from processing.media import wire
from processing.media.enhancement.presets import PRESETS, choose
from processing.media.enhancement.tone_choice import BRIGHTEST_AFTER_LIFT
from processing.media.specs import Colour, Enhancement
from tests.unit.pictures import diagnosis, media_probe, run_measures

FLAT = {"black_luma": 62.0, "white_luma": 162.0, "contrast": 0.457, "runs": run_measures(108.0, 112.0, black_luma=62.0)}
LIGHT = {"cast_u": -18.0, "cast_v": 14.0, "neutral_share": 0.0, "follows_light": True}
DARK = {"runs": run_measures(38.0, 42.0, 45.0), "mean_luma": 44.0, "black_luma": 17.0, "white_luma": 110.0}


def chosen(preset: str = "auto", **changes: object) -> Enhancement:
    return choose(preset, diagnosis(**changes), media_probe())


def strengths(enhancement: Enhancement) -> dict[str, float]:
    return {choice.operation: choice.strength for choice in enhancement.choices}


def test_the_presets_and_their_names() -> None:
    assert {"auto", "gentle", "low-light", "denoise"} <= set(PRESETS)
    assert all(name == preset.name and preset.summary for name, preset in PRESETS.items())


def test_auto_leaves_clean_and_well_exposed_footage_alone() -> None:
    enhancement = chosen()
    assert enhancement.choices == ()
    assert enhancement.tone == ()
    assert len(enhancement.reasons) == 7
    assert all(reason.endswith("left alone") for reason in enhancement.reasons)


def test_noise_is_removed_at_its_measured_strength() -> None:
    enhancement = chosen(noise_sigma_luma=6.1, noise_sigma_chroma=4.0)
    assert strengths(enhancement) == {"denoise": 1.05}
    assert enhancement.choices[0].reason == enhancement.reasons[1] == "noise 6.1 of 255: denoise at 1.05"
    assert (enhancement.noise_sigma_luma, enhancement.noise_sigma_chroma) == (6.1, 4.0)


def test_noise_of_colour_alone_is_a_reason_too() -> None:
    assert "denoise" in strengths(chosen(noise_sigma_chroma=3.0))


def test_a_dark_picture_is_lifted_and_its_highlights_kept() -> None:
    enhancement = chosen(**DARK)
    assert set(strengths(enhancement)) == {"tone"}
    table = enhancement.tone[0].table
    assert table[42] > 70
    assert table[235] == 235
    assert "is dark: lifted to" in enhancement.reasons[2]


def test_bright_scenes_limit_the_lift() -> None:
    dark_film = chosen(**DARK)
    mixed = chosen(**{**DARK, "runs": run_measures(38.0, 42.0, 140.0), "white_luma": 225.0})
    table = mixed.tone[0].table
    assert dark_film.tone[0].table[42] > table[42] > 42
    assert (table[140] - 16) / 219 <= BRIGHTEST_AFTER_LIFT + 0.005


def test_bright_lights_in_the_dark_are_taken_for_meant() -> None:
    lights = chosen(**{**DARK, "white_luma": 235.0})
    assert 42 < lights.tone[0].table[42] < 0.75 * chosen(**DARK).tone[0].table[42]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"runs": run_measures(16.0, 17.0)}, "is black, not dark"),
        ({"runs": run_measures()}, "not measured"),
        ({"runs": run_measures(70.0, 190.0, 60.0), "white_luma": 235.0}, "scenes up to"),
    ],
)
def test_what_must_not_be_lifted(changes: dict[str, object], words: str) -> None:
    enhancement = chosen(**changes)
    assert "tone" not in strengths(enhancement)
    assert words in enhancement.reasons[2]


def test_hdr_keeps_the_brightness_of_its_mapping() -> None:
    enhancement = choose("auto", diagnosis(**DARK), media_probe(hdr="pq"))
    assert enhancement.tone == ()
    assert "HDR" in enhancement.reasons[2]


def test_levels_are_read_in_the_range_of_the_source() -> None:
    # Code value 73 is 26 % of white in limited range, 29 % in full range: dark in the one, fine in the other.
    values = diagnosis(runs=run_measures(73.0), white_luma=160.0)
    assert choose("auto", values, media_probe()).tone
    assert not choose("auto", values, media_probe(colour=Colour(range="full"))).tone


def test_a_soft_picture_is_sharpened_unless_fields_stay() -> None:
    soft = chosen(sharpness=0.2)
    assert 0.8 < strengths(soft)["sharpen"] < 1.2
    fields = {"sharpness": 0.2, "is_interlaced": True, "combing": 0.012, "first_field": "bottom"}
    assert strengths(chosen(**fields)).keys() == {"deinterlace", "sharpen"}
    assert chosen(**fields).first_field == "bottom"
    assert "bottom field first: deinterlaced" in chosen(**fields).reasons[0]
    kept = chosen("denoise", **fields)
    assert kept.choices == ()
    assert "fields are kept" in kept.reasons[0]


def test_a_coarsely_coded_picture_is_sharpened_a_little() -> None:
    enhancement = chosen(quantiser_step=52.0)
    assert strengths(enhancement) == {"sharpen": 0.5}
    assert "coarsely coded (rounded in steps of 52): sharpen at 0.5" in enhancement.reasons[3]
    assert chosen(quantiser_step=33.0).choices == ()
    assert chosen("denoise", quantiser_step=52.0).choices == ()
    assert choose("auto", diagnosis(quantiser_step=52.0), media_probe(codec="mpeg4")).choices == ()
    assert strengths(chosen(quantiser_step=52.0, sharpness=0.2))["sharpen"] > 0.8


def test_a_picture_without_highlights_gets_its_light_back() -> None:
    """The middle of an even scene lies near its highlights, so it comes up with them."""
    even = {"runs": run_measures(70.0, 71.0, black_luma=17.0), "white_luma": 104.0, "contrast": 0.4}
    table = chosen(**even).tone[0].table
    assert 190 < table[104] < 225
    assert table[71] <= 16 + 219 * BRIGHTEST_AFTER_LIFT + 1
    assert table[71] > 120
    assert (table[104] - table[95]) > 1.6 * 9
    unlit = {**even, "runs": run_measures(89.0, 90.0, black_luma=16.0), "white_luma": 100.0, "contrast": 0.38}
    assert 130 < chosen(**unlit).tone[0].table[90] < 150
    assert chosen(**{**unlit, "contrast": 0.15}).tone == ()
    assert chosen(**{**unlit, "runs": run_measures(89.0, 90.0, black_luma=60.0)}).tone == ()


def test_gentle_does_less_and_low_light_more_than_auto() -> None:
    changes = {**DARK, "noise_sigma_luma": 5.0, "sharpness": 0.2}
    by_preset = {preset: strengths(chosen(preset, **changes)) for preset in ("gentle", "auto", "low-light")}
    for operation in ("denoise", "tone"):
        assert by_preset["gentle"][operation] < by_preset["auto"][operation] < by_preset["low-light"][operation]


def test_denoise_does_nothing_else() -> None:
    assert set(strengths(chosen("denoise", **DARK, noise_sigma_luma=2.0, sharpness=0.1))) == {"denoise"}


def test_an_unknown_preset_is_the_callers_error() -> None:
    with pytest.raises(KeyError):
        chosen("make-it-pop")


def test_an_enhancement_survives_the_wire() -> None:
    enhancement = chosen(**DARK, noise_sigma_luma=5.0)
    assert wire.from_json(wire.to_json(enhancement), Enhancement) == enhancement


def under_light(**changes: object) -> Enhancement:
    runs = run_measures(110.0, 112.0, 115.0, **{**LIGHT, **changes})
    return chosen(cast_u=-18.0, cast_v=14.0, cast_share=0.4, runs=runs)


def test_a_flat_picture_gets_its_range_and_its_colours_back() -> None:
    enhancement = chosen(**FLAT, colourfulness=12.0)
    assert set(strengths(enhancement)) == {"saturation", "tone", "local_contrast"}
    table = enhancement.tone[0].table
    assert table[162] - table[62] > 1.2 * 100
    assert table[62] < 45
    assert abs(table[110] - 110) < 12
    assert "is flat: stretched to" in enhancement.reasons[2]
    assert "saturation" not in strengths(chosen(**FLAT, colourfulness=1.0))
    assert "saturation" not in strengths(chosen(**FLAT, colourfulness=40.0))
    assert chosen(**FLAT, colourfulness=60.0).choices == ()


def test_fog_and_walls_are_not_stretched() -> None:
    assert chosen(**{**FLAT, "contrast": 0.15}, colourfulness=12.0).choices == ()
    for colourfulness in (1.0, 50.0):
        assert chosen(**{**FLAT, "contrast": 0.3}, colourfulness=colourfulness).choices == ()
    assert "tone" in strengths(chosen(**{**FLAT, "contrast": 0.3}, colourfulness=12.0))


def test_black_is_drawn_down_when_a_milky_picture_is_lifted() -> None:
    clear = chosen(**DARK).tone[0].table
    milky = chosen(**{**DARK, "runs": run_measures(38.0, 42.0, 45.0, black_luma=30.0)}).tone[0].table
    assert milky[30] < clear[30] - 8
    assert milky[42] == pytest.approx(clear[42], abs=6)


def test_a_coloured_light_is_taken_off() -> None:
    enhancement = under_light()
    assert strengths(enhancement) == {"white_balance": 0.6}
    assert (enhancement.cast_u, enhancement.cast_v) == (-18.0, 14.0)
    assert "60% off" in enhancement.reasons[4]


@pytest.mark.parametrize(
    "changes",
    [
        {"neutral_share": 0.1},
        {"follows_light": False},
        {"cast_share": 0.0},
        {"cast_share": 0.1},
        {"cast_u": -30.0},
    ],
    ids=["something is neutral", "a surface", "nothing is near grey", "too little is near grey", "runs disagree"],
)
def test_what_speaks_against_a_coloured_light(changes: dict[str, object]) -> None:
    assert under_light(**changes).choices == ()


def test_a_sunset_or_a_stage_is_meant() -> None:
    runs = run_measures(110.0, 112.0, **{**LIGHT, "cast_u": -40.0, "cast_v": 35.0})
    assert chosen(cast_u=-40.0, cast_v=35.0, runs=runs).choices == ()
    one = run_measures(110.0, **LIGHT)
    assert chosen(cast_u=-18.0, cast_v=14.0, runs=one).choices == ()
