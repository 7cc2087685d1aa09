"""One segment: streamed through three stages, counted, typed when it fails, and nothing left behind."""

from __future__ import annotations

import dataclasses
import resource
import threading
from pathlib import Path

import pytest

from processing.media.decode import decode_segment
from processing.media.enhance import enhance_segment
from processing.media.errors import SourceError, StorageFull
from processing.media.fingerprint import fingerprint
from processing.media.specs import Choice, Segment
from tests.clips import make_clip, read_numbers
from tests.plans import DENOISE, enhance_all, plan_of

DEINTERLACE = Choice(operation="deinterlace", strength=1.0, reason="a test asks for it")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "a.mp4", frames=100, width=160, height=96, gop=15, b_frames=2)


def stages() -> set[str]:
    return {thread.name for thread in threading.enumerate()} & {"reading", "changing"}


def test_a_segment_holds_its_own_frames_and_no_warmup(source: Path, tmp_path: Path) -> None:
    plan = plan_of(source, DENOISE)
    assert len(plan.segments) >= 3
    reported: list[int] = []
    segment = plan.segments[1]
    result = enhance_segment(source, plan, 1, tmp_path / "1", reported.append)
    assert read_numbers(tmp_path / "1") == list(range(segment.start, segment.stop))
    assert reported == list(range(1, segment.stop - segment.start + 1))
    assert (result.frames_out, result.frames_from_decode) == (len(reported), len(reported))
    assert result.size_bytes == (tmp_path / "1").stat().st_size
    assert result.fingerprint == fingerprint()
    assert stages() == set()


def test_the_same_segment_twice_is_the_same_file(source: Path, tmp_path: Path) -> None:
    plan = plan_of(source, DENOISE)
    _, first = enhance_all(source, plan, tmp_path / "first")
    _, second = enhance_all(source, plan, tmp_path / "second")
    assert [result.sha256 for result in first] == [result.sha256 for result in second]


@pytest.mark.parametrize("choices", [(DENOISE,), (DEINTERLACE, DENOISE)], ids=["frames", "fields"])
def test_a_place_that_proves_wrong_leaves_no_trace(choices: tuple[Choice, ...], source: Path, tmp_path: Path) -> None:
    """Warm-up frames pass the filters before the place is proved; where it is not, everything begins anew."""
    plan = plan_of(source, *choices)
    timeline, seek = plan.timeline, plan.segments[1].seek
    sizes = tuple(size + (key == seek) for key, size in zip(timeline.keyframes, timeline.keyframe_bytes, strict=True))
    doubted = dataclasses.replace(plan, timeline=dataclasses.replace(timeline, keyframe_bytes=sizes))
    segment, restarts = plan.segments[1], 0
    for decoded in decode_segment(source, plan.probe, doubted.timeline, segment):
        restarts += decoded.restarts
    assert restarts == 1
    results = [enhance_segment(source, found, 1, tmp_path / "1", lambda frames: None) for found in (plan, doubted)]
    assert results[0].sha256 == results[1].sha256


def test_a_source_that_became_unreadable_is_a_typed_failure(source: Path, tmp_path: Path) -> None:
    plan = plan_of(source, DENOISE)
    gone = tmp_path / "gone.mp4"
    gone.write_bytes(b"no video at all" * 100)
    with pytest.raises(SourceError):
        enhance_segment(gone, plan, 0, tmp_path / "0", lambda frames: None)
    assert stages() == set()


def test_a_full_disk_is_a_typed_failure(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", frames=40, noise_sigma=20)
    plan = plan_of(source, DENOISE)
    with pytest.raises(StorageFull):
        enhance_segment(source, plan, 0, Path("/dev/full"), lambda frames: None)
    assert stages() == set()


def test_an_error_of_the_reporter_stops_everything(source: Path, tmp_path: Path) -> None:
    def stop(frames: int) -> None:
        raise InterruptedError(f"after {frames}")

    with pytest.raises(InterruptedError, match="after 1"):
        enhance_segment(source, plan_of(source, DENOISE), 0, tmp_path / "0", stop)
    assert stages() == set()


def test_memory_does_not_grow_with_the_number_of_frames(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", frames=120, width=640, height=360, gop=200)
    plan = dataclasses.replace(
        plan_of(source, DENOISE), segments=(Segment(index=0, seek=0, warmup=0, start=0, stop=120),)
    )
    resident: list[int] = []
    enhance_segment(source, plan, 0, tmp_path / "out", lambda frames: resident.append(resident_bytes()))
    assert max(resident[60:]) - max(resident[:60]) < 10 * (640 * 360 * 3 // 2)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_the_fingerprint_names_what_bytes_depend_on() -> None:
    parts = dict(part.split("/", 1) for part in fingerprint().split(" "))
    assert set(parts) == {"av", "avcodec", "avformat", "swscale", "x264", "opencv", "numpy", "simd"}
    assert parts["x264"].isdigit()
    assert all(parts.values())
