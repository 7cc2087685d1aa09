"""What a file says of itself, and why a file is refused; the content decides, never the name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from processing.media import sources, wire
from processing.media.boxes import inspect_boxes
from processing.media.errors import (
    Damaged,
    EmptySource,
    ForeignReference,
    NoVideoStream,
    ResourceExceeded,
    SourceError,
    Truncated,
    UnsupportedCodec,
    UnsupportedContainer,
)
from processing.media.planning import make_plan
from processing.media.probe import MAX_TAG_CHARACTERS, MAX_TAGS, clean_tags, probe
from processing.media.sources import open_source
from processing.media.specs import Colour, MediaProbe
from tests.clips import make_clip, truncated, with_external_reference, with_sample_entry
from tests.unit.pictures import diagnosis, enhancement, even_timeline


def test_the_header_of_an_ordinary_clip(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", frames=30, audio=["aac", "mp3"], tags=[("title", "A day out")])
    header = probe(path)
    video = header.video
    assert header.container.startswith("mov,mp4")
    assert header.duration_seconds_from_header == pytest.approx(1.0, abs=0.05)
    assert (video.codec, video.pixel_format, video.bit_depth) == ("h264", "yuv420p", 8)
    assert (video.width_px, video.height_px, video.frames_from_header) == (320, 180, 30)
    assert video.average_frame_rate == video.nominal_frame_rate == Fraction(30)
    assert (video.sample_aspect, video.rotation_degrees, video.hdr) == (Fraction(1), 0, "none")
    assert video.colour == Colour()
    assert [(stream.codec, stream.sample_rate_hz, stream.channels) for stream in header.audio] == [
        ("aac", 48_000, 1),
        ("mp3", 48_000, 1),
    ]
    assert header.tags["title"] == "A day out"
    assert wire.from_json(wire.to_json(header), MediaProbe) == header


def test_rotation_aspect_and_colour_are_read(tmp_path: Path) -> None:
    path = make_clip(
        tmp_path / "turned.mov",
        frames=5,
        rotation_degrees=90,
        sample_aspect=Fraction(4, 3),
        colour_primaries=9,
        colour_transfer=16,
        colour_matrix=9,
        codec="hevc",
        pixel_format="yuv420p10le",
    )
    video = probe(path).video
    assert (video.rotation_degrees, video.sample_aspect) == (90, Fraction(4, 3))
    assert video.colour == Colour(range="limited", primaries=9, transfer=16, matrix=9)
    assert (video.hdr, video.bit_depth, video.codec) == ("pq", 10, "hevc")


def test_full_range_is_read(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "full.mp4", frames=3, pixel_format="yuvj420p", full_range=True)
    assert probe(path).video.colour.range == "full"


def test_the_content_decides_not_the_name(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mkv", frames=5).rename(tmp_path / "clip.mp4")
    assert probe(path).container == "matroska,webm"


@pytest.mark.parametrize(
    "name", ["concat:a|b.mp4", "-y.mp4", "rtsp:x.mp4", "name with spaces.mp4", "%03d.mp4", "ü\n.mp4"]
)
def test_a_name_is_only_a_name(name: str, tmp_path: Path) -> None:
    path = shutil.copy(make_clip(tmp_path / "clip.mp4", frames=3), tmp_path / name)
    assert probe(Path(path)).video.frames_from_header == 3


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nclip.mp4\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile clip.mp4\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"></MPD>',
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    "svg": '<svg xmlns="http://www.w3.org/2000/svg"><image href="clip.mp4"/></svg>',
    "ass": "[Script Info]\nScriptType: v4.00+\n[Events]\n",
    "text": "just words\n" * 50,
}


@pytest.mark.parametrize("kind", sorted(PLAYLISTS))
def test_text_that_names_other_files_is_no_container(kind: str, tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mp4", frames=3)
    path = tmp_path / "video.mp4"
    path.write_text(PLAYLISTS[kind])
    with pytest.raises(UnsupportedContainer):
        probe(path)


def audio_only(folder: Path) -> Path:
    path = folder / "sound.m4a"
    with av.open(path, "w", format="mp4") as output:
        track = output.add_stream("aac", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 48_000, 0
        output.mux(track.encode(frame))
        output.mux(track.encode(None))
    return path


def bytes_file(folder: Path, data: bytes) -> Path:
    path = folder / "video.mp4"
    path.write_bytes(data)
    return path


def clip(folder: Path) -> Path:
    return make_clip(folder / "whole.mp4", frames=10)


REFUSALS: dict[str, tuple[Callable[[Path], Path], type[SourceError]]] = {
    "empty": (lambda folder: bytes_file(folder, b""), EmptySource),
    "one byte": (lambda folder: bytes_file(folder, b"x"), UnsupportedContainer),
    "zip": (lambda folder: bytes_file(folder, b"PK\x03\x04" + bytes(200)), UnsupportedContainer),
    "program": (lambda folder: bytes_file(folder, b"\x7fELF" + bytes(200)), UnsupportedContainer),
    "picture": (lambda folder: bytes_file(folder, b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(200)), UnsupportedContainer),
    "audio only": (audio_only, NoVideoStream),
    "bare mp3": (lambda folder: bytes_file(folder, b"ID3\x04" + bytes(200)), NoVideoStream),
    "no index": (lambda folder: truncated(clip(folder), folder / "cut.mp4", 0.5), Truncated),
    "index cut": (lambda folder: truncated(clip(folder), folder / "cut.mp4", 0.98), Truncated),
    "broken header": (lambda folder: bytes_file(folder, b"\x1a\x45\xdf\xa3" + bytes(200)), Damaged),
    "foreign": (lambda folder: with_external_reference(clip(folder), folder / "foreign.mov"), ForeignReference),
    "encrypted": (lambda folder: with_sample_entry(clip(folder), folder / "locked.mp4", b"encv"), UnsupportedCodec),
    "unknown codec": (lambda folder: with_sample_entry(clip(folder), folder / "odd.mp4", b"zzzz"), UnsupportedCodec),
}


@pytest.mark.parametrize("case", sorted(REFUSALS))
def test_each_refusal_has_its_own_type(case: str, tmp_path: Path) -> None:
    make, expected = REFUSALS[case]
    path = make(tmp_path)
    with pytest.raises(expected) as caught:
        probe(path)
    assert type(caught.value) is expected
    assert str(path) not in caught.value.detail


def test_a_missing_file_is_not_the_files_fault(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        probe(tmp_path / "nothing.mp4")


def test_limits_hold_before_a_frame_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_clip(tmp_path / "clip.mp4", frames=3, audio=["aac", "aac"])
    monkeypatch.setattr(sources, "MAX_PIXELS", 320 * 180 - 1)
    with pytest.raises(ResourceExceeded) as pixels:
        probe(path)
    monkeypatch.setattr(sources, "MAX_STREAMS", 2)
    with pytest.raises(ResourceExceeded) as streams:
        probe(path)
    assert (pixels.value.code, streams.value.code) == ("resource_pixels", "resource_streams")


def test_the_decoder_has_its_own_limit_of_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_clip(tmp_path / "clip.mkv", codec="mpeg4", frames=3)
    with open_source(path) as container:
        stream = sources.picture_stream(container)
        monkeypatch.setattr(sources, "MAX_PIXELS", 1000)
        context = sources.prepare_decoder(stream)
        first = next(container.demux(stream))
        with pytest.raises(av.error.FFmpegError):
            context.decode(first)


def test_tags_become_safe_text() -> None:
    cleaned = clean_tags(
        {
            "title": "a\0b\u202ec\x1b[31m\ud800d\nnext",
            "  \0 ": "nameless",
            "comment": "x" * 10_000_000,
            **{f"key{number}": "value" for number in range(1000)},
        }
    )
    assert cleaned["title"] == "abc[31md next"
    assert len(cleaned["comment"]) == MAX_TAG_CHARACTERS
    assert len(cleaned) == MAX_TAGS
    assert "" not in cleaned


def test_tags_of_a_file_are_cleaned(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mkv", frames=3, tags=[("title", "right\u202eleft <b>bold</b>")])
    assert probe(path).tags["title"] == "rightleft <b>bold</b>"


def test_boxes_never_lead_beyond_the_file(tmp_path: Path) -> None:
    path = tmp_path / "lies.mp4"
    path.write_bytes(b"\0\0\0\x08ftyp" + b"\xff\xff\xff\xffmoov" + b"\0\0\0\0trak" * 3)
    report = inspect_boxes(path)
    assert report.is_cut
    assert not report.has_index


def test_the_larger_of_two_pictures_is_taken_unless_one_is_default(tmp_path: Path) -> None:
    path = tmp_path / "two.mkv"
    with av.open(path, "w") as output:
        small, large = (output.add_stream("mpeg4", rate=25) for _ in range(2))
        for stream, width in ((small, 64), (large, 128)):
            stream.codec_context.width, stream.codec_context.height, stream.codec_context.pix_fmt = width, 64, "yuv420p"
            stream.disposition = 0
        for stream, width in ((small, 64), (large, 128)):
            output.mux(stream.encode(av.VideoFrame(width, 64, "yuv420p")))
            output.mux(stream.encode(None))
    header = probe(path)
    assert header.video.width_px == 128
    assert [(stream.index, stream.kind) for stream in header.other] == [(0, "video")]


def test_transparency_beside_the_pictures_is_seen(tmp_path: Path) -> None:
    """Decoding VP8 and VP9 shows none of it: the container keeps it in packets of its own."""
    clip = make_clip(tmp_path / "a.webm", frames=5, width=96, height=64, codec="vp9")
    with av.open(clip) as source, av.open(tmp_path / "b.webm", "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        stream.metadata["alpha_mode"] = "1"
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    header = probe(tmp_path / "b.webm")
    assert (header.video.pixel_format, header.video.has_alpha_beside) == ("yuv420p", True)
    assert "alpha_dropped" in make_plan("", header, even_timeline(), diagnosis(), enhancement(denoise=1.0)).warnings
    assert not probe(clip).video.has_alpha_beside
