"""Whole jobs of the engine: every frame once, in order, at its time; the sound as it was; and the receipt proves it."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest

from processing.media.durable import sha256_of
from processing.media.errors import Damaged, OutputMismatch, SegmentDamaged
from processing.media.join import join_segments
from processing.media.receipts import Receipt
from processing.media.specs import Choice, Colour, LightLevel
from tests.clips import Clip, damaged, make_clip, read_numbers, truncated, without_composition_offsets
from tests.plans import DENOISE, Job, decoded_by_ffmpeg, enhance_all, plan_of, run_job

VFR = tuple(sum((1001, 1001, 3003, 2002)[number % 4] for number in range(count)) for count in range(100))
CLIPS: dict[str, tuple[str, Clip]] = {
    "plain": ("mp4", Clip(frames=100, width=160, height=96, gop=15, audio=["aac"])),
    "b-frames": ("mp4", Clip(frames=100, width=160, height=96, gop=15, b_frames=2, audio=["aac"])),
    "open-gop": ("mkv", Clip(frames=100, width=160, height=96, gop=15, b_frames=2, open_gop=True, audio=["opus"])),
    "vfr": ("mp4", Clip(width=160, height=96, gop=12, pts=VFR, time_base=Fraction(1, 30_000), audio=["aac"])),
    "late": ("ts", Clip(frames=100, width=160, height=96, gop=15, b_frames=2, start_seconds=3600, audio=["aac"])),
    "turned": ("mov", Clip(frames=60, width=160, height=96, gop=15, rotation_degrees=90, audio=["aac"])),
    "wide": ("mp4", Clip(frames=40, width=160, height=96, sample_aspect=Fraction(64, 45))),
    "full-range": (
        "mp4",
        Clip(
            frames=40,
            width=160,
            height=96,
            pixel_format="yuvj420p",
            full_range=True,
            colour_primaries=1,
            colour_transfer=1,
            colour_matrix=1,
        ),
    ),
    "ten-bit": ("mkv", Clip(frames=40, width=160, height=96, codec="hevc", pixel_format="yuv420p10le")),
    "odd": ("mkv", Clip(frames=40, width=163, height=97, codec="vp9", audio=["pcm"])),
    "one-frame": ("mp4", Clip(frames=1, width=160, height=96)),
    "ntsc-film": ("mkv", Clip(frames=100, width=160, height=96, rate=Fraction(24_000, 1001), gop=24, audio=["ac3"])),
}


@pytest.fixture(scope="module", params=CLIPS)
def job(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Job:
    suffix, clip = CLIPS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    return run_job(make_clip(folder / f"source.{suffix}", clip), folder / "job", DENOISE)


def seconds_shown(path: Path) -> list[Fraction]:
    with av.open(path) as container:
        stream = container.streams.video[0]
        return sorted(packet.pts * stream.time_base for packet in container.demux(stream) if packet.size)


def test_no_frame_is_lost_doubled_or_out_of_order(job: Job) -> None:
    count = len(job.plan.timeline.pts)
    assert read_numbers(job.output) == list(range(count))
    receipt = job.receipt
    assert (receipt.frames_from_scan, receipt.frames_from_decode, receipt.frames_out) == (count, count, count)
    assert job.reported[-1] == count
    assert list(job.reported) == sorted(job.reported)


def test_every_frame_is_shown_at_its_time(job: Job) -> None:
    before, after = seconds_shown(job.source), seconds_shown(job.output)
    assert [stamp - after[0] for stamp in after] == [stamp - before[0] for stamp in before]
    assert 0 <= after[0] < Fraction(1, 4)
    assert job.receipt.pts_equal


def test_an_independent_decoder_reads_it_without_complaint(job: Job) -> None:
    stamps, complaints = decoded_by_ffmpeg(job.output, "-noautorotate")
    assert len(stamps) == job.receipt.frames_out
    assert complaints == ""


def test_picture_facts_are_kept(job: Job) -> None:
    source, receipt = job.plan.probe.video, job.receipt
    assert receipt.rotation_degrees == source.rotation_degrees
    assert receipt.sample_aspect == source.sample_aspect
    assert (receipt.width_px, receipt.height_px) == (job.plan.encoding.width_px, job.plan.encoding.height_px)
    for part in ("primaries", "transfer", "matrix"):
        assert getattr(receipt.colour, part) == getattr(source.colour, part)
    assert (receipt.colour.range == "full") == (source.colour.range == "full")


def test_sound_is_where_it_was(job: Job) -> None:
    def lead(path: Path) -> list[Fraction]:
        with av.open(path) as container:
            first = next(container.decode(video=0))
            starts = []
            for stream in container.streams.audio:
                container.seek(0)
                frame = next(container.decode(stream))
                starts.append(frame.pts * frame.time_base - first.pts * first.time_base)
            return starts[:1]

    for before, after in zip(lead(job.source), lead(job.output), strict=True):
        # Priming that the source's container names, but not MP4 before a late start, counts as sound there.
        assert abs(after - before) <= Fraction(1, 30)


def test_the_same_segments_give_the_same_bytes(job: Job, tmp_path: Path) -> None:
    again = join_segments(job.source, job.plan, job.segments, job.results, tmp_path / "again.mp4", lambda frames: None)
    assert again == job.receipt
    assert (tmp_path / "again.mp4").read_bytes() == job.output.read_bytes()


def test_a_playable_clip_is_copied_packet_by_packet(tmp_path: Path) -> None:
    source = make_clip(
        tmp_path / "a.mp4",
        frames=60,
        width=160,
        height=96,
        b_frames=2,
        rotation_degrees=-90,
        audio=["aac"],
        tags=[("title", "Ein Titel"), ("artist", "Someone"), ("creation_time", "2014-06-09T15:54:39.000000Z")],
    )
    job = run_job(source, tmp_path / "job")
    assert job.plan.video == "copy"
    with av.open(source) as before, av.open(job.output) as after:
        payloads = [
            [bytes(packet) for packet in container.demux(video=0) if packet.size] for container in (before, after)
        ]
        assert payloads[0] == payloads[1]
        tags = after.metadata
    assert (tags["title"], tags["artist"]) == ("Ein Titel", "Someone")
    assert tags["creation_time"] == "2014-06-09T15:54:39.000000Z"
    assert "encoder" not in tags
    assert seconds_shown(job.output) == seconds_shown(source)
    assert job.receipt.frames_from_decode is None
    assert job.receipt.rotation_degrees == -90


def test_a_copy_out_of_a_transport_stream_starts_at_zero(tmp_path: Path) -> None:
    source = make_clip(
        tmp_path / "a.ts", frames=60, width=160, height=96, b_frames=2, start_seconds=3600, audio=["aac"]
    )
    job = run_job(source, tmp_path / "job")
    assert job.plan.video == "copy"
    shown = seconds_shown(job.output)
    assert 0 <= shown[0] < Fraction(1, 10)
    assert read_numbers(job.output) == list(range(60))
    assert decoded_by_ffmpeg(job.output)[1] == ""


def test_mended_times_come_out_mended(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=60, width=160, height=96, b_frames=2, gop=20)
    source = without_composition_offsets(clip, tmp_path / "b.mp4")
    job = run_job(source, tmp_path / "job", DENOISE)
    numbers = read_numbers(source)
    assert numbers == sorted(numbers)
    assert len(numbers) > 50
    assert read_numbers(job.output) == numbers
    shown = seconds_shown(job.output)
    assert {later - earlier for earlier, later in pairwise(shown)} == {Fraction(1, 30)}
    assert job.receipt.pts_repaired > 0


@pytest.mark.parametrize("pts", [[0, 10, 20, 30, 40, 1000], [0, 1, 2, 40, 41, 80], [0, 900, 910, 920, 930, 940]])
def test_the_length_declared_is_the_time_shown(pts: list[int], tmp_path: Path) -> None:
    """Readers add up the durations between decode times, which stand still where the first frames lie close."""
    source = make_clip(tmp_path / "a.mkv", pts=pts, frames=len(pts), time_base=Fraction(1, 1000), noise_sigma=4.0)
    job = run_job(source, tmp_path, DENOISE)
    shown = pts[-1] - pts[0] + job.plan.timeline.last_duration
    assert job.receipt.duration_seconds == pytest.approx(shown / 1000, abs=0.001)
    with av.open(job.output) as container:
        stream = container.streams.video[0]
        assert float(stream.duration * stream.time_base) == pytest.approx(shown / 1000, abs=0.001)


def test_the_file_starts_with_its_index(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", frames=30, width=160, height=96, audio=["aac"])
    data = run_job(source, tmp_path / "job", DENOISE).output.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


@pytest.fixture(scope="module")
def sound_job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("sound")
    source = make_clip(folder / "a.mp4", frames=100, width=160, height=96, gop=15, audio=["aac"])
    return run_job(source, folder / "job", DENOISE)


def join_again(job: Job, output: Path, **changes: object) -> Receipt:
    changed = dataclasses.replace(job, **changes)  # type: ignore[arg-type]
    return join_segments(changed.source, changed.plan, changed.segments, changed.results, output, lambda frames: None)


def test_a_changed_byte_names_its_segment(sound_job: Job, tmp_path: Path) -> None:
    data = bytearray(sound_job.segments[1].read_bytes())
    data[len(data) // 2] ^= 1
    changed = tmp_path / "changed"
    changed.write_bytes(data)
    with pytest.raises(SegmentDamaged, match="segment 1: digest") as caught:
        join_again(sound_job, tmp_path / "out.mp4", segments=(sound_job.segments[0], changed, *sound_job.segments[2:]))
    assert caught.value.index == 1


def test_a_missing_file_names_its_segment(sound_job: Job, tmp_path: Path) -> None:
    with pytest.raises(SegmentDamaged, match="segment 0: its file is missing") as caught:
        join_again(sound_job, tmp_path / "out.mp4", segments=(tmp_path / "none", *sound_job.segments[1:]))
    assert caught.value.index == 0


def test_segments_of_another_plan_are_noticed(sound_job: Job, tmp_path: Path) -> None:
    order = [1, 0, *range(2, len(sound_job.segments))]
    with pytest.raises(OutputMismatch, match="segment 0"):
        join_again(
            sound_job,
            tmp_path / "out.mp4",
            segments=tuple(sound_job.segments[index] for index in order),
            results=tuple(sound_job.results[index] for index in order),
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rotation_degrees": 180}, "rotation 0 instead of 180"),
        ({"sample_aspect": Fraction(4, 3)}, "sample aspect 1 instead of 4/3"),
        ({"width_px": 320}, "size 160x96 instead of 320x96"),
        ({"colour": Colour(range="full", primaries=9)}, "instead of Colour"),
    ],
)
def test_what_is_not_as_promised_is_named(
    sound_job: Job, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    plan = dataclasses.replace(sound_job.plan, encoding=dataclasses.replace(sound_job.plan.encoding, **change))  # type: ignore[arg-type]
    with pytest.raises(OutputMismatch, match=message):
        join_again(sound_job, tmp_path / "out.mp4", plan=plan)


def test_lost_brightness_facts_are_a_warning(sound_job: Job, tmp_path: Path) -> None:
    light = dataclasses.replace(sound_job.plan.encoding, light_level=LightLevel(most=1000, most_average=400))
    receipt = join_again(sound_job, tmp_path / "out.mp4", plan=dataclasses.replace(sound_job.plan, encoding=light))
    assert "hdr_brightness_changed" in receipt.warnings
    assert receipt.light_level is None


def test_a_source_cut_short_gives_what_it_holds_and_says_so(tmp_path: Path) -> None:
    whole = make_clip(
        tmp_path / "a.mp4",
        frames=90,
        width=160,
        height=96,
        audio=["aac"],
        container_options=[("movflags", "+faststart")],
    )
    source = truncated(whole, tmp_path / "b.mp4", 0.6)
    plan = plan_of(source, DENOISE)
    segments, results = enhance_all(source, plan, tmp_path / "job")
    receipt = join_segments(source, plan, segments, results, tmp_path / "out.mp4", lambda frames: None)
    numbers = read_numbers(tmp_path / "out.mp4")
    assert numbers == list(range(len(numbers)))
    assert 30 < len(numbers) < 70
    assert receipt.frames_out == receipt.frames_from_decode == len(numbers)


def test_a_source_with_flipped_bits_keeps_times_and_counts_honest(tmp_path: Path) -> None:
    whole = make_clip(
        tmp_path / "a.mp4",
        frames=60,
        width=160,
        height=96,
        noise_sigma=3,
        audio=["aac"],
        container_options=[("movflags", "+faststart")],
    )
    source = damaged(whole, tmp_path / "b.mp4", every=1499, start=8_000)
    jobs = [run_job(source, tmp_path / name, DENOISE) for name in ("one", "two")]
    receipt = jobs[0].receipt
    assert receipt == jobs[1].receipt
    assert receipt.frames_out == receipt.frames_from_decode <= 60
    assert receipt.corrupt_frames > 0
    assert "frames_corrupt" in receipt.warnings
    assert ("frames_missing" in receipt.warnings) == (receipt.frames_out < len(jobs[0].plan.timeline.pts))
    shown = seconds_shown(jobs[0].output)
    assert {stamp - shown[0] for stamp in shown} <= {Fraction(number, 30) for number in range(60)}


def test_a_video_without_one_readable_frame_is_refused(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", frames=20, width=160, height=96)
    plan = plan_of(source, Choice(operation="sharpen", strength=0.2, reason="a test asks for it"))
    segments, results = enhance_all(source, plan, tmp_path / "job")
    data = segments[0].read_bytes()
    empty = tmp_path / "empty"
    empty.write_bytes(data[: data.index(b"moof") - 4])
    without = dataclasses.replace(results[0], frames_out=0, frames_from_decode=0, sha256=sha256_of(empty))
    with pytest.raises(Damaged, match="no frame"):
        join_segments(source, plan, [empty], [without], tmp_path / "out.mp4", lambda frames: None)
