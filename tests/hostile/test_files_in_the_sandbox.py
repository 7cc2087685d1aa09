"""Files that mean harm, given to the real operations in real media processes: refused with a reason, or handled."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import pytest

from processing.media.errors import SourceError
from processing.media.process.launcher import MediaProcesses
from processing.media.requests import Metadata, MetadataRequest
from tests.clips import make_clip
from tests.hostile.engine import enhance, probe
from tests.hostile.files import texts


def test_a_good_file_goes_the_whole_way(processes: MediaProcesses, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "good.mp4", frames=70, audio=["aac"], noise_sigma=6.0)
    header = probe(processes, clip)
    assert (header.video.width_px, len(header.audio)) == (320, 1)
    receipt = enhance(processes, clip)
    assert receipt.frames_out == 70
    assert receipt.pts_equal
    assert [track.payload_equal for track in receipt.audio] == [True]


def test_nothing_is_fetched_and_no_other_file_is_read(
    processes: MediaProcesses, tmp_path: Path, nobody_calls: str
) -> None:
    secret = make_clip(tmp_path / "secret.mp4", frames=5)
    for text in texts(f"http://{nobody_calls}/x.ts", str(secret)).values():
        path = tmp_path / "x.mp4"
        path.write_bytes(text)
        with pytest.raises(SourceError) as caught:
            probe(processes, path)
        assert caught.value.code == "unsupported_container"


def test_pictures_that_are_too_large_are_refused_by_their_header(processes: MediaProcesses, tmp_path: Path) -> None:
    path = tmp_path / "large.mkv"
    with av.open(path, "w") as output:
        stream = output.add_stream("mjpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuvj420p"
        output.mux(stream.encode(av.VideoFrame(320, 180, "yuvj420p")))
        output.mux(stream.encode(None))
    data = path.read_bytes()
    size = b"\xb0\x82" + struct.pack(">H", 320) + b"\xba\x81" + struct.pack(">B", 180)  # PixelWidth, PixelHeight
    assert size in data
    frame = b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", 180, 320)
    assert frame in data
    path.write_bytes(
        data.replace(size, b"\xb0\x82" + struct.pack(">H", 60_000) + b"\xba\x81\xb4").replace(
            frame, b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", 60_000, 60_000)
        )
    )
    with pytest.raises(SourceError) as caught:
        probe(processes, path)
    assert caught.value.code == "resource_pixels"


def test_lines_that_run_upwards_in_memory(processes: MediaProcesses, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "upward.avi", frames=6, codec="rawvideo", width=64, height=48)
    clip.write_bytes(_with_codec_data(clip.read_bytes(), b"BottomUp\0"))
    with av.open(clip) as container:
        assert next(container.decode(video=0)).planes[0].line_size < 0
    assert enhance(processes, clip).frames_out == 6


def test_frames_spread_over_years(processes: MediaProcesses, tmp_path: Path) -> None:
    hour = 3_600_000
    stamps = [hour * index for index in range(12)]
    clip = make_clip(tmp_path / "years.mkv", frames=12, gop=1, pts=stamps, time_base=Fraction(1, 1000))
    metadata = processes.run("metadata", MetadataRequest(source=str(clip)), Metadata)
    assert metadata.frames_from_scan == 12
    assert enhance(processes, clip).pts_equal


def _with_codec_data(avi: bytes, extra: bytes) -> bytes:
    """Return an AVI file whose stream format is followed by codec data of odd length."""
    at = avi.index(b"strf")
    (size,) = struct.unpack_from("<I", avi, at + 4)
    end = at + 8 + size
    grown = bytearray(avi[: at + 4] + struct.pack("<I", size + len(extra)) + avi[at + 8 : end] + extra + b"\0")
    for name in (b"strl", b"hdrl"):
        _grow(grown, grown.index(name) - 4, len(extra) + 1)
    _grow(grown, 4, len(extra) + 1)
    return bytes(grown) + avi[end:]


def _grow(data: bytearray, at: int, count: int) -> None:
    struct.pack_into("<I", data, at, struct.unpack_from("<I", data, at)[0] + count)
