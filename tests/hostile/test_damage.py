"""Cut and damaged files: exact frames and a warning, or a typed refusal; the same end each time."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from processing.media.errors import MediaError
from processing.media.process.launcher import MediaProcesses
from tests.clips import make_clip
from tests.hostile.engine import enhance, probe
from tests.hostile.files import flipped, with_packets_damaged

FRAMES = 40
CODES = {
    *("ready", "truncated", "damaged", "no_video_stream", "unsupported_codec", "unsupported_container"),
    *("foreign_reference", "resource_pixels", "resource_duration", "resource_memory"),
}
SUFFIXES = {
    ".mp4": {"audio": ["aac"]},
    ".mkv": {"audio": ["opus"]},
    ".ts": {"codec": "mpeg2video", "audio": ["mp2"]},
    ".avi": {"codec": "mpeg4", "audio": ["mp3"]},
    ".flv": {"codec": "flv1"},
    ".webm": {"codec": "vp9", "audio": ["opus"]},
}


def end_of(processes: MediaProcesses, source: Path, *, frames: int = FRAMES) -> tuple[str, int, int]:
    """Return how a file ends: its code or "ready", the frames that came out, and how many of them are damaged."""
    try:
        probe(processes, source)
        receipt = enhance(processes, source)
    except MediaError as exc:
        return exc.code, 0, 0
    assert receipt.pts_equal
    if receipt.frames_out < frames:
        assert receipt.warnings, "what is missing is told"
    return "ready", receipt.frames_out, receipt.corrupt_frames


@pytest.mark.parametrize("place", ["first", "last"])
def test_cut_at_every_tenth(processes: MediaProcesses, tmp_path: Path, place: str) -> None:
    options = [("movflags", "+faststart")] if place == "first" else []
    whole = make_clip(
        tmp_path / "whole.mp4", frames=FRAMES, width=64, height=48, container_options=options
    ).read_bytes()
    path = tmp_path / "cut" / "source"
    path.parent.mkdir()
    before = 0
    for tenth in range(1, 10):
        path.write_bytes(whole[: len(whole) * tenth // 10])
        code, frames, _ = end_of(processes, path)
        assert code in {"ready", "truncated", "damaged"}
        assert before <= frames < FRAMES
        before = frames
        assert place == "first" or code == "truncated"
    assert (before > 0) == (place == "first")


@pytest.mark.parametrize("share", [0.01, 0.1])
def test_bits_flipped_in_packets_end_the_same_each_time(
    processes: MediaProcesses, tmp_path: Path, share: float
) -> None:
    whole = make_clip(tmp_path / "whole.mp4", frames=FRAMES, width=64, height=48, noise_sigma=4)
    damaged = with_packets_damaged(whole, tmp_path / "source", share=share, seed=7)
    ends = {end_of(processes, damaged) for _ in range(2)}
    assert len(ends) == 1
    code, frames, _ = ends.pop()
    assert code in {"ready", "damaged"}
    assert code == "damaged" or 0 < frames <= FRAMES


@pytest.mark.heavy
@pytest.mark.parametrize("suffix", list(SUFFIXES))
def test_bits_flipped_anywhere(processes: MediaProcesses, tmp_path: Path, suffix: str) -> None:
    """Forty files of each container; a crash that three tries would repeat counts as a hole."""
    clip = make_clip(tmp_path / f"whole{suffix}", frames=12, width=64, height=48, **SUFFIXES[suffix])
    whole, path = clip.read_bytes(), tmp_path / "cut" / "source"
    path.parent.mkdir()
    for seed in range(40):
        share = random.Random(seed).choice([0.0005, 0.002, 0.01, 0.05])
        path.write_bytes(flipped(whole, share=share, seed=seed))
        assert end_of(processes, path, frames=0)[0] in CODES, (seed, share)
