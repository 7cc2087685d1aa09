"""Whole files through the engine, judged by an independent decoder: nothing is lost without a word."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.fidelity import examine, faults, made_clips, table
from processing.media.local_job import LocalJob
from processing.media.process.launcher import MediaProcesses
from tests.clips import make_clip


@pytest.fixture(scope="module")
def processes() -> Iterator[MediaProcesses]:
    with MediaProcesses() as processes:
        yield processes


def test_every_made_clip_is_kept_or_refused(processes: MediaProcesses, tmp_path: Path) -> None:
    rows = [examine(processes, clip) for clip in made_clips(tmp_path)]
    assert [row.verdict for row in rows if not row.is_good] == []
    assert [row.file for row in rows if row.verdict != "kept"] == ["text.mp4"]
    warned = {row.file: set(row.warnings) for row in rows}
    assert "packets_without_frame" in warned["cut.mp4"]
    assert "frames_missing" in warned["flipped.mp4"]
    assert "times_repaired" in warned["backwards.mp4"]
    assert table(rows).count("\n") == len(rows) + 1


def test_a_lost_frame_is_seen(processes: MediaProcesses, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", frames=20, width=160, height=96, audio=["aac"])
    result = LocalJob(processes, source, tmp_path, slots=1).run()
    assert faults(source, result) == []
    claimed = dataclasses.replace(result.receipt, frames_out=21, audio=())
    wrong = faults(source, dataclasses.replace(result, receipt=claimed))
    assert wrong[0] == "ffmpeg decodes 20 frames, the receipt says 21"
    assert "sound" in wrong[1]
