"""The plan: whole ticks, even sizes, kept tags, packets copied only where they can be, and a warning for each loss."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.media import wire
from processing.media.measured import Diagnosis
from processing.media.planning import choose_encoding, make_plan, output_time_base
from processing.media.probe import probe
from processing.media.specs import Choice, Colour, Enhancement, MediaProbe, OtherStream, Plan, Timeline, VideoStream
from processing.media.timeline import read_timeline
from tests.clips import make_clip

DIAGNOSIS = Diagnosis(
    frames_sampled=0,
    noise_sigma_luma=0.0,
    noise_sigma_chroma=0.0,
    mean_luma=110.0,
    black_luma=16.0,
    white_luma=230.0,
    contrast=50.0,
    sharpness=10.0,
    is_interlaced=False,
)
LEFT_ALONE = Enhancement(preset="auto", choices=(), reasons=(), noise_sigma_luma=0.0, noise_sigma_chroma=0.0)
CHANGED = replace(LEFT_ALONE, choices=(Choice(operation="denoise", strength=0.5, reason="noise 4 of 255"),))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[MediaProbe, Timeline]:
    path = make_clip(tmp_path_factory.mktemp("planning") / "clip.mp4", frames=60, gop=20, b_frames=2)
    header = probe(path)
    return header, read_timeline(path, header)


def plan_of(
    header: MediaProbe, timeline: Timeline, enhancement: Enhancement = CHANGED, diagnosis: Diagnosis = DIAGNOSIS
) -> Plan:
    return make_plan("digest", header, timeline, diagnosis, enhancement)


def with_video(header: MediaProbe, **changes: object) -> MediaProbe:
    return replace(header, video=replace(header.video, **changes))  # type: ignore[arg-type]


def test_a_plan_is_whole_and_the_same_each_time(clip: tuple[MediaProbe, Timeline]) -> None:
    plan = plan_of(*clip)
    assert plan == plan_of(*clip)
    assert (plan.video, plan.source_digest, plan.warnings) == ("encode", "digest", ())
    assert (plan.segments[0].start, plan.segments[-1].stop) == (0, 60)
    assert wire.from_json(wire.to_json(plan), Plan) == plan


def test_what_is_left_alone_is_copied_without_segments(clip: tuple[MediaProbe, Timeline]) -> None:
    plan = plan_of(*clip, LEFT_ALONE)
    assert (plan.video, plan.segments) == ("copy", ())


@pytest.mark.parametrize(
    "changes",
    [
        {"codec": "vp9"},
        {"pixel_format": "yuv444p", "profile": "High 4:4:4 Predictive"},
        {"pixel_format": "yuv420p10le", "profile": "High 10"},
        {"field_order": "tt"},
        {"hdr": "pq"},
    ],
)
def test_what_browsers_do_not_play_is_encoded(changes: dict[str, str], clip: tuple[MediaProbe, Timeline]) -> None:
    header, timeline = clip
    assert plan_of(with_video(header, **changes), timeline, LEFT_ALONE).video == "encode"


@pytest.mark.parametrize(
    "changes",
    [{"identity": "index"}, {"warnings": ("times_repaired",)}, {"discarded_from_scan": 3}],
)
def test_packets_with_broken_times_are_not_copied(
    changes: dict[str, object], clip: tuple[MediaProbe, Timeline]
) -> None:
    header, timeline = clip
    assert plan_of(header, replace(timeline, **changes), LEFT_ALONE).video == "encode"  # type: ignore[arg-type]


def test_each_loss_has_its_warning(clip: tuple[MediaProbe, Timeline]) -> None:
    header, timeline = clip
    lossy = replace(
        with_video(
            header,
            hdr="hlg",
            bit_depth=10,
            pixel_format="yuva444p10le",
            has_dolby_vision=True,
            width_px=641,
            field_order="bb",
            has_captions=True,
        ),
        other=(
            OtherStream(index=1, kind="subtitle", codec="dvd_subtitle", language="eng", is_cover_art=False),
            OtherStream(index=5, kind="subtitle", codec="ass", language="eng", is_cover_art=False),
            OtherStream(index=2, kind="video", codec="gif", language=None, is_cover_art=True),
            OtherStream(index=3, kind="video", codec="h264", language=None, is_cover_art=False),
            OtherStream(index=4, kind="data", codec=None, language=None, is_cover_art=False),
        ),
    )
    fields = replace(DIAGNOSIS, is_interlaced=True)
    assert set(plan_of(lossy, timeline, diagnosis=fields).warnings) == {
        "hdr_tone_mapped",
        "dolby_vision_dropped",
        "bit_depth_reduced",
        "chroma_reduced",
        "alpha_dropped",
        "size_padded",
        "interlaced_kept",
        "cover_art_dropped",
        "subtitles_dropped",
        "captions_dropped",
        "subtitle_styles_dropped",
        "further_video_dropped",
        "data_dropped",
    }


def test_the_encoding_keeps_aspect_rotation_and_colour(clip: tuple[MediaProbe, Timeline]) -> None:
    colour = Colour(range="full", primaries=5, transfer=6, matrix=5)
    header = with_video(
        clip[0], width_px=641, height_px=359, sample_aspect=Fraction(16, 11), rotation_degrees=-90, colour=colour
    )
    encoding = choose_encoding(header.video)
    assert (encoding.width_px, encoding.height_px) == (642, 360)
    assert (encoding.sample_aspect, encoding.rotation_degrees, encoding.colour) == (Fraction(16, 11), -90, colour)


def video_with(video: VideoStream, **changes: object) -> VideoStream:
    return replace(video, **changes)  # type: ignore[arg-type]


def test_hdr_becomes_bt709_and_rgb_gets_a_matrix(clip: tuple[MediaProbe, Timeline]) -> None:
    video = clip[0].video
    hdr = video_with(video, hdr="pq", colour=Colour(range="limited", primaries=9, transfer=16, matrix=9))
    rgb = video_with(video, pixel_format="gbrp", colour=Colour(range="full", primaries=1, transfer=13, matrix=0))
    assert choose_encoding(hdr).colour == Colour(range="limited", primaries=1, transfer=1, matrix=1)
    assert choose_encoding(rgb).colour == Colour(range="limited", primaries=1, transfer=13, matrix=1)


@given(st.fractions(min_value=Fraction(1, 2**31 - 1), max_value=10, max_denominator=2**31 - 1), st.integers(0, 2**40))
def test_every_stamp_is_a_whole_number_of_output_ticks(time_base: Fraction, pts: int) -> None:
    ticks = output_time_base(time_base)
    assert ticks.numerator == 1
    assert 10_000 <= ticks.denominator < 2**31
    assert (pts * time_base / ticks).denominator == 1


def test_what_is_only_made_playable_is_encoded_more_faithfully(clip: tuple[MediaProbe, Timeline]) -> None:
    header, timeline = clip
    unplayable = with_video(header, codec="vp9")
    assert plan_of(unplayable, timeline, replace(CHANGED, choices=())).encoding.crf == 17
    assert plan_of(unplayable, timeline).encoding.crf == 20


def test_no_bits_are_spent_on_what_a_coarse_codec_did(clip: tuple[MediaProbe, Timeline]) -> None:
    coarse = replace(DIAGNOSIS, quantiser_step=48.0)
    assert plan_of(*clip, CHANGED, coarse).encoding.crf == 23
    assert plan_of(*clip, CHANGED, replace(coarse, quantiser_step=30.0)).encoding.crf == 20
    unplayable = with_video(clip[0], codec="mpeg4")
    assert plan_of(unplayable, clip[1], LEFT_ALONE, coarse).encoding.crf == 17
