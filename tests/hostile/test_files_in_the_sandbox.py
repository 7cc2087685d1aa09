"""Files that mean harm, given to the real operations in real media processes: refused with a reason, or handled."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import pytest

from processing.media.errors import SourceError
from processing.media.launcher import MediaProcesses
from processing.media.requests import (
    Chosen,
    DiagnoseRequest,
    JoinRequest,
    Metadata,
    MetadataRequest,
    Planned,
    PlanRequest,
    ProbeRequest,
    SegmentRequest,
    StillsRequest,
)
from processing.media.specs import MediaProbe, Receipt, SegmentResult, Stills
from tests.clips import make_clip


@pytest.fixture(scope="module")
def processes() -> Iterator[MediaProcesses]:
    with MediaProcesses() as processes:
        yield processes


def enhance(processes: MediaProcesses, source: Path, preset: str = "denoise") -> Receipt:
    """Take a file the whole way from its header to the stills, each step in a process of its own."""
    name, folder = str(source), source.parent
    chosen = processes.run("diagnose", DiagnoseRequest(source=name, preset=preset), Chosen)
    plan = str(folder / "plan.json")
    planned = processes.run(
        "plan", PlanRequest(source=name, source_digest="0" * 64, chosen=chosen, output=plan), Planned
    )
    segments = tuple(str(folder / f"{index}.mp4") for index in range(len(planned.segments)))
    results = tuple(
        processes.run("segment", SegmentRequest(source=name, plan=plan, index=index, output=output), SegmentResult)
        for index, output in enumerate(segments)
    )
    result = str(folder / "result.mp4")
    request = JoinRequest(source=name, plan=plan, segments=segments, results=results, output=result)
    receipt = processes.run("join", request, Receipt)
    request_stills = StillsRequest(source=name, plan=plan, result=result, output=str(folder / "stills"))
    stills = processes.run("stills", request_stills, Stills)
    assert all(
        (folder / "stills" / still.name).stat().st_size for still in (stills.poster, stills.before, stills.after)
    )
    return receipt


def test_a_good_file_goes_the_whole_way(processes: MediaProcesses, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "good.mp4", frames=70, audio=["aac"], noise_sigma=6.0)
    header = processes.run("probe", ProbeRequest(source=str(clip)), MediaProbe)
    assert (header.video.width_px, len(header.audio)) == (320, 1)
    receipt = enhance(processes, clip)
    assert receipt.frames_out == 70
    assert receipt.pts_equal
    assert [track.payload_equal for track in receipt.audio] == [True]


def test_nothing_is_fetched_and_no_other_file_is_read(processes: MediaProcesses, tmp_path: Path) -> None:
    secret = make_clip(tmp_path / "secret.mp4", frames=5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/x.ts"
        asked: list[object] = []

        def listen() -> None:
            try:
                asked.append(server.accept())
            except TimeoutError:
                return

        listener = threading.Thread(target=listen)
        listener.start()
        texts = {
            "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{address}\n#EXT-X-ENDLIST\n",
            "local hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
            "itself": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nx.mp4\n#EXTINF:1,\nx.mp4\n",
            "concat": f"ffconcat version 1.0\nfile '{secret.name}'\n",
            "dash": f'<?xml version="1.0"?><MPD><Period><BaseURL>{address}</BaseURL></Period></MPD>',
            "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
            "subtitles": "1\n00:00:00,000 --> 00:00:01,000\nhello\n",
        }
        for text in texts.values():
            path = tmp_path / "x.mp4"
            path.write_text(text)
            with pytest.raises(SourceError) as caught:
                processes.run("probe", ProbeRequest(source=str(path)), MediaProbe)
            assert caught.value.code == "unsupported_container"
        listener.join()
    assert asked == []


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
        processes.run("probe", ProbeRequest(source=str(path)), MediaProbe)
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
