"""Subtitles, chapters, cover art and tags: in the result as in the source, or named as left behind."""

from __future__ import annotations

import dataclasses
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import cv2
import imageio_ffmpeg
import numpy as np
import pytest

from processing.media.companions import Companions, Span, carried_chapters, dropped_tags, kept_tags, without_tags
from processing.media.errors import OutputMismatch
from processing.media.join import join_segments
from processing.media.probe import probe
from processing.media.sources import open_source
from processing.media.specs import Chapter
from processing.media.subtitles import Cue, open_subtitles, without_overlaps
from tests.clips import make_clip
from tests.plans import DENOISE, Job, plan_of, run_job

SRT = """1
00:00:00,500 --> 00:00:01,500
Hello <i>there</i>

2
00:00:01,200 --> 00:00:02,250
Grüße, zweite Zeile
und dritte

3
00:00:02,500 --> 00:00:02,750
Last
"""
STRETCHES = """1
00:00:00,500 --> 00:00:01,200
Hello <i>there</i>

2
00:00:01,200 --> 00:00:01,500
Hello <i>there</i>
Grüße, zweite Zeile
und dritte

3
00:00:01,500 --> 00:00:02,250
Grüße, zweite Zeile
und dritte

4
00:00:02,500 --> 00:00:02,750
Last

"""
CHAPTERS = """;FFMETADATA1
title=Ein Titel
location=+48.1000-122.3000/
creation_time=2014-06-09T15:54:39.000000Z
[CHAPTER]
TIMEBASE=1/1000
START=0
END=1250
title=Opening
[CHAPTER]
TIMEBASE=1/1000
START=1250
END=3000
title=Zweiter Teil
"""
EMPTY = Companions(chapters=(), covers=(), tags={})
TIMED = ["-map", "0:v", "-map", "1", "-map_chapters", "2", "-map_metadata", "2"]


def ffmpeg(*arguments: object) -> str:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("companions")
    make_clip(folder / "clip.mp4", frames=90, width=160, height=96, audio=["aac", "opus"], codec="mpeg4")
    (folder / "a.srt").write_text(SRT)
    (folder / "a.ffmeta").write_text(CHAPTERS)
    picture = np.full((32, 32, 3), (0, 128, 255), np.uint8)
    cv2.imwrite(str(folder / "cover.jpg"), picture)
    return folder


@pytest.fixture(scope="module")
def rich(folder: Path) -> Path:
    """A Matroska file with everything: two languages of sound and of subtitles, chapters, a cover, tags."""
    inputs = [item for name in ("clip.mp4", "a.srt", "a.ffmeta") for item in ("-i", folder / name)]
    ffmpeg(
        *inputs, "-map", "0", *TIMED[2:], "-map", "1", "-c", "copy", "-c:s", "srt", "-attach", folder / "cover.jpg",
        "-metadata:s:t", "mimetype=image/jpeg", "-metadata:s:t", "filename=cover.jpg",
        "-metadata:s:a:0", "language=deu", "-metadata:s:a:1", "language=eng", "-metadata:s:s:0", "language=deu",
        "-metadata:s:s:1", "language=fra", "-disposition:a:0", "0", "-disposition:a:1", "default",
        "-disposition:s:1", "default", folder / "rich.mkv",
    )  # fmt: skip
    return folder / "rich.mkv"


@pytest.fixture(scope="module")
def job(rich: Path, folder: Path) -> Job:
    return run_job(rich, folder / "job", DENOISE)


def test_text_subtitles_keep_every_cue_and_its_time(job: Job) -> None:
    assert ffmpeg("-i", job.output, "-map", "0:s:0", "-f", "srt", "-") == STRETCHES
    assert [(track.mode, track.cues) for track in job.receipt.subtitles] == [("converted", 4), ("converted", 4)]
    assert job.receipt.dropped_streams == ()


def test_tracks_keep_languages_and_defaults(job: Job) -> None:
    with av.open(job.output) as result:
        found = [
            (stream.type, stream.language, bool(stream.disposition & av.stream.Disposition.default))
            for stream in (*result.streams.audio, *result.streams.subtitles)
        ]
    assert found == [
        ("audio", "deu", False),
        ("audio", "eng", True),
        ("subtitle", "deu", False),
        ("subtitle", "fra", True),
    ]


def test_chapters_keep_their_titles_and_times(job: Job) -> None:
    with av.open(job.output) as result:
        chapters = [
            (float(chapter["start"] * chapter["time_base"]), chapter["metadata"]["title"])
            for chapter in result.chapters()
        ]
    assert chapters == [(0.0, "Opening"), (1.25, "Zweiter Teil")]
    assert job.receipt.chapters == 2
    assert [chapter.title for chapter in probe(job.output).chapters] == ["Opening", "Zweiter Teil"]
    # The track that MP4 keeps chapters in is not mistaken for data that got lost.
    assert {stream.kind for stream in probe(job.output).other} == {"subtitle", "video"}


def test_cover_art_is_kept_byte_for_byte(job: Job, folder: Path) -> None:
    with av.open(job.output) as result:
        (cover,) = (stream for stream in result.streams.video if stream.disposition & 1024)
        (picture,) = (bytes(packet) for packet in result.demux(cover) if packet.size)
    assert picture == (folder / "cover.jpg").read_bytes()
    assert job.receipt.cover_pictures == 1


def test_tags_are_kept(job: Job) -> None:
    assert job.receipt.tags["title"] == "Ein Titel"
    assert job.receipt.tags["location"] == "+48.1000-122.3000/"
    assert job.receipt.tags["creation_time"] == "2014-06-09T15:54:39.000000Z"


def test_a_result_goes_through_again_unchanged(job: Job, folder: Path) -> None:
    """Timed text in, timed text out, byte for byte; the picture copied or not."""
    again = run_job(job.output, folder / "again")
    assert again.plan.video == "copy"
    assert [(track.mode, track.cues) for track in again.receipt.subtitles] == [("copied", 4), ("copied", 4)]
    assert (again.receipt.chapters, again.receipt.cover_pictures) == (2, 1)
    assert again.receipt.tags == job.receipt.tags
    assert ffmpeg("-i", again.output, "-map", "0:s:1", "-f", "srt", "-") == STRETCHES


def test_a_late_start_moves_all_of_it(folder: Path) -> None:
    source = folder / "late.mkv"
    inputs = [item for name in ("clip.mp4", "a.srt", "a.ffmeta") for item in ("-i", folder / name)]
    ffmpeg(*inputs, *TIMED, "-c", "copy", "-c:s", "srt", "-output_ts_offset", "10", source)
    job = run_job(source, folder / "late", DENOISE)
    assert ffmpeg("-i", job.output, "-map", "0:s:0", "-f", "srt", "-") == STRETCHES


def test_styled_subtitles_keep_their_text_and_say_what_is_lost(folder: Path) -> None:
    source = folder / "styled.mkv"
    ffmpeg("-i", folder / "clip.mp4", "-i", folder / "a.srt", "-map", "0:v", "-map", "1", "-c:v", "copy", source)
    job = run_job(source, folder / "styled", DENOISE)
    assert job.receipt.subtitles[0].codec == "ass"
    assert "subtitle_styles_dropped" in job.receipt.warnings
    assert "und dritte" in ffmpeg("-i", job.output, "-map", "0:s:0", "-f", "srt", "-")


def test_nothing_of_the_tags_is_left_where_they_are_stripped(rich: Path, folder: Path) -> None:
    plan = plan_of(rich)
    plan = dataclasses.replace(plan, probe=without_tags(plan.probe), video="encode")
    job = run_job(rich, folder / "stripped", plan=plan)
    assert job.receipt.tags == {}
    data = job.output.read_bytes()
    assert not [word for word in (b"Ein Titel", b"+48.1", b"2014") if word in data]
    assert job.receipt.chapters == 2
    assert job.receipt.subtitles[1].cues == 4


def test_lost_companions_are_noticed(job: Job, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processing.media.verify.read_companions", lambda container: EMPTY)
    with pytest.raises(OutputMismatch, match=r"chapters .*; 0 cover pictures"):
        join_segments(job.source, job.plan, job.segments, job.results, folder / "lost.mp4", lambda frames: None)


def test_a_broken_stream_of_text_is_left_behind(rich: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processing.media.subtitles.MAX_CUES", 2)
    facts = probe(rich)
    with open_source(rich) as reader, av.open(tmp_path / "a.mp4", "w") as output:
        assert open_subtitles(output, reader, rich, facts.other, Span(start=Fraction(0), stop=Fraction(9))) == []


def test_cues_apart_stay_as_they_are() -> None:
    cues = [Cue(start=5, stop=7, content=b"b"), Cue(start=0, stop=3, content=b"a")]
    assert without_overlaps(cues) == [cues[1], cues[0]]


def test_three_at_once_become_stretches() -> None:
    cues = [Cue(start=0, stop=9, content=b"a"), Cue(start=3, stop=6, content=b"b"), Cue(start=3, stop=4, content=b"c")]
    texts = [(cue.start, cue.stop, cue.content) for cue in without_overlaps(cues)]
    assert texts == [(0, 3, b"a"), (3, 4, rb"a\Nb\Nc"), (4, 6, rb"a\Nb"), (6, 9, b"a")]


def test_tags_by_other_names() -> None:
    tags = {"com.apple.quicktime.location.ISO6709": "+1+2/", "TITLE": "One", "major_brand": "qt  ", "make": "Foo"}
    assert kept_tags(tags) == {"location": "+1+2/", "title": "One"}
    assert dropped_tags(tags) == ("make",)


def test_chapters_that_cannot_be_are_left_out() -> None:
    claimed = [(-5, 2), (1, 3), (1, 9), (4, 4), (7, 2**62), (10, 12), (2**61, 2**62)]
    chapters = [
        Chapter(start=start, stop=stop, time_base=Fraction(1), title=str(number))
        for number, (start, stop) in enumerate(claimed)
    ]
    carried = carried_chapters(chapters, Span(start=Fraction(1, 2), stop=Fraction(10)))
    assert [(chapter.start, chapter.stop, chapter.title) for chapter in carried] == [
        (0, 1500, "0"),
        (500, 2500, "1"),
        (6500, 9500, "4"),
    ]


def test_odd_chapters_and_cues_beyond_the_end(folder: Path) -> None:
    """A first chapter that begins late, one without a title, one after the end; a cue that outlasts the picture."""
    source, times = folder / "odd.mkv", [(1000, 2000, "Late"), (2000, 2500, ""), (90_000, 95_000, "Beyond")]
    entries = "".join(f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={a}\nEND={b}\ntitle={name}\n" for a, b, name in times)
    (folder / "odd.ffmeta").write_text(";FFMETADATA1\n" + entries)
    (folder / "odd.srt").write_text(
        "1\n00:00:02,000 --> 00:10:00,000\nOn and on\n\n2\n01:00:00,000 --> 01:00:01,000\nNever\n"
    )
    inputs = [item for name in ("clip.mp4", "odd.srt", "odd.ffmeta") for item in ("-i", folder / name)]
    ffmpeg(*inputs, *TIMED, "-c", "copy", "-c:s", "srt", source)
    job = run_job(source, folder / "odd", DENOISE)
    assert "chapters_dropped" in job.receipt.warnings
    assert job.receipt.duration_seconds == pytest.approx(3.0, abs=0.01)
    assert [chapter.title for chapter in probe(job.output).chapters] == ["", "Late", ""]
    assert job.receipt.subtitles[0].cues == 1
