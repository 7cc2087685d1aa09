"""From measurement to operation, strength and reason."""

from __future__ import annotations

import pytest

from processing.media import wire
from processing.media.enhancement.presets import BRIGHTEST_AFTER_LIFT, PRESETS, choose
from processing.media.specs import Colour, Enhancement
from tests.unit.pictures import diagnosis, media_probe, run_measures

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
    assert len(enhancement.reasons) == 4
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
