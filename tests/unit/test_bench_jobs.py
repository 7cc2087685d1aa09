"""What the benchmark of whole jobs sends, and how it reckons where a job's time went."""

from __future__ import annotations

from pathlib import Path

from benchmarks.jobs import short_clips
from benchmarks.timelines import Line, Timeline
from tests.clips import read_numbers


def test_short_clips_differ_and_have_every_frame(tmp_path: Path) -> None:
    clips = dict(short_clips(tmp_path, 3))
    assert len(set(clips.values())) == 3
    for name, data in clips.items():
        (tmp_path / name).write_bytes(data)
        assert read_numbers(tmp_path / name) == list(range(50))


def test_a_timeline_tells_waits_work_and_how_busy_the_slots_were() -> None:
    lines = [
        Line(name="plan", created=1.0, started=1.25, ended=2.0, busy_seconds=0.75),
        Line(name="segment", created=2.0, started=2.5, ended=12.5, steps=4, busy_seconds=15.0),
    ]
    found = Timeline(lines=lines, whole_seconds=14.0)
    assert found.segments_seconds == 10.0
    assert found.table(slots=2).splitlines()[2:] == [
        "| plan | 1.00 | 0.25 | 0.75 |  |",
        "| segment | 2.00 | 0.50 | 10.00 | 4 of them, slots 75.0% busy |",
        "| ready | 14.00 | | | |",
    ]
