"""Videos whose figures lie or are absurd: handled to the last frame, or refused with a code that says why."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from processing.media.errors import SourceError
from processing.media.process.launcher import MediaProcesses
from processing.media.requests import Metadata, MetadataRequest
from tests.clips import make_clip
from tests.hostile.engine import enhance, probe
from tests.hostile.files import (
    also_zip,
    blown_up,
    chapters,
    encrypted_track,
    matroska,
    picture,
    squeezed_track,
    tags,
    with_sample_sizes,
    with_time_scale,
)

DAY_MS = 86_400_000
MARKUP = b"<script>alert(1)</script>\0\xff\xfe\xe2\x80\xae../\r\n\x1b[31m"
ODD_TAGS = [(b"T\0\xff<b>", MARKUP), (b"\xed\xa0\x80", b"\xed\xa0\x80"), (b"", b"")]
NOISE = random.Random(1).randbytes(500)


def clip(folder: Path) -> bytes:
    return make_clip(folder / "clip.mp4", frames=12, width=64, height=48).read_bytes()


@pytest.mark.parametrize(
    ("file", "frames"),
    [
        (lambda _: matroska(width=1, height=1), 3),
        (lambda _: matroska(width=3, height=5), 3),
        (lambda _: matroska([picture()] * 3, width=0, height=0), 3),
        (lambda _: matroska([picture()] * 3, width=16_000, height=16_000), 3),
        (lambda _: matroska([picture(), picture(128, 96), picture(2, 2), picture(33, 17)]), 4),
        (lambda _: matroska([picture(), picture(), blown_up(picture(), 16_000, 16_000)]), 2),
        (lambda _: matroska(frame_ns=1), 3),
        (lambda _: matroska(frame_ns=2**63 - 1), 3),
        (lambda _: matroska(seconds=3.2e8), 3),
        (lambda _: matroska(seconds=float("nan")), 3),
        (lambda _: matroska(seconds=float("-inf")), 3),
        (lambda _: matroska([picture()] * 6, stamps=[0, 0, 0, 40, 40, 80]), 6),
        (lambda _: matroska([picture()] * 6, stamps=[200, 160, 120, 80, 40, 0]), 6),
        (lambda _: matroska([picture()] * 3, stamps=[0, DAY_MS, DAY_MS + 40]), 3),
        (lambda _: matroska([picture()]), 1),
        (lambda _: matroska(tracks=64), 3),
        (lambda _: matroska(parts=[tags([(b"TITLE", b"x" * 10_000_000)])]), 3),
        (lambda _: matroska(parts=[tags(ODD_TAGS)]), 3),
        (lambda _: matroska([zlib.compress(picture())] * 3, track_parts=squeezed_track()), 3),
        (lambda folder: also_zip(clip(folder)), 12),
        (lambda folder: with_sample_sizes(clip(folder), 0, 0), 12),
        (lambda folder: with_sample_sizes(clip(folder), 65_535, 65_535), 12),
        (lambda folder: with_time_scale(clip(folder), 2**31 - 1), 12),
    ],
    ids=[
        "1x1", "odd sizes", "0x0", "claims 16000x16000", "size changes", "size changes to 16000x16000", "a billion fps",
        "one frame in 292 years", "ten years claimed", "no number of seconds", "negative infinity of seconds",
        "equal stamps", "stamps backwards", "a day between frames", "one frame", "64 streams", "10 MB tag", "odd tags",
        "deflated frames", "zip", "entry of 0x0", "entry of 65535x65535", "a tick of half a nanosecond",
    ],
)  # fmt: skip
def test_odd_but_whole(processes: MediaProcesses, tmp_path: Path, file: Callable[[Path], bytes], frames: int) -> None:
    path = tmp_path / "source"
    path.write_bytes(file(tmp_path))
    receipt = enhance(processes, path)
    assert (receipt.frames_out, receipt.pts_equal) == (frames, True)


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (lambda _: matroska([blown_up(picture(), 65_535, 1)] * 3, width=65_535, height=1), "resource_pixels"),
        (lambda _: matroska([blown_up(picture(), 16_000, 16_000)] * 3, width=16_000, height=16_000), "damaged"),
        (lambda _: matroska([blown_up(picture(), 16_000, 16_000)] * 3), "damaged"),
        (lambda _: matroska([picture()] * 6, stamps=[0, 2**40, 5, 2**40 + 5, 2**61, 7]), "resource_duration"),
        (lambda _: matroska([picture()] * 3, stamps=[0, 10**17, 2 * 10**17], tick_ns=1), "resource_duration"),
        (lambda _: matroska([picture()] * 3, stamps=[0, 30 * DAY_MS, 60 * DAY_MS]), "resource_duration"),
        (lambda _: matroska([picture()] * 3, stamps=[2**63 - 100, 2**63 - 60, 2**63 - 20]), "damaged"),
        (lambda _: matroska(tracks=1000), "resource_streams"),
        (lambda _: matroska(tracks=0), "no_video_stream"),
        (lambda _: matroska(track_parts=encrypted_track()), "unsupported_codec"),
        (lambda _: matroska(codec=b"V_NOBODY"), "unsupported_codec"),
        (lambda _: matroska([zlib.compress(picture() + bytes(2**28), 9)], track_parts=squeezed_track()), "damaged"),
        (lambda _: matroska([NOISE] * 5), "damaged"),
        (lambda _: matroska([b""] * 5), "damaged"),
        (lambda _: matroska([]), "damaged"),
    ],
    ids=[
        "65535x1", "16000x16000", "64x48 that is 16000x16000", "stamps a universe apart", "years in nanoseconds",
        "months between frames", "the last stamps there are", "1000 streams", "no stream", "encrypted", "no codec",
        "deflated bomb", "noise", "empty frames", "no frame",
    ],
)  # fmt: skip
def test_beyond_what_can_be_handled(
    processes: MediaProcesses, tmp_path: Path, file: Callable[[Path], bytes], code: str
) -> None:
    path = tmp_path / "source"
    path.write_bytes(file(tmp_path))
    with pytest.raises(SourceError) as caught:
        enhance(processes, path)
    assert caught.value.code == code


def test_tags_become_plain_text(processes: MediaProcesses, tmp_path: Path) -> None:
    path = tmp_path / "source"
    path.write_bytes(matroska(parts=[tags([*ODD_TAGS, (b"COMMENT", b"x" * 10**6)])]))
    found = probe(processes, path).tags
    assert all(text.isprintable() and len(text) <= 1000 for pair in found.items() for text in pair)
    assert len(found) >= 1


def test_a_hundred_thousand_chapters_or_frames_are_counted_and_bounded(
    processes: MediaProcesses, tmp_path: Path
) -> None:
    path = tmp_path / "source"
    path.write_bytes(matroska(parts=[chapters(100_000)]))
    assert len(probe(processes, path).chapters) <= 1000
    tiny = picture(2, 2)
    path.write_bytes(matroska([tiny] * 200_000, stamps=range(0, 1_000_000, 5), width=2, height=2, seconds=5.0))
    metadata = processes.run("metadata", MetadataRequest(source=str(path)), Metadata)
    assert (metadata.frames_from_scan, metadata.duration_seconds) == (200_000, 1000.0)
