"""A whole job without a server: the bytes of the service, whatever runs at once, and nothing left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from processing.media import wire
from processing.media.enhance import enhance_segment
from processing.media.errors import TimelineMismatch, UnsupportedContainer
from processing.media.join import join_segments
from processing.media.local_job import LocalJob, Progress
from processing.media.parameters import Parameters
from processing.media.process.launcher import MediaProcesses
from processing.media.specs import Plan
from tests.clips import make_clip, read_numbers


@pytest.fixture(scope="module")
def processes() -> Iterator[MediaProcesses]:
    with MediaProcesses() as processes:
        yield processes


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "a.mp4", frames=120, width=160, height=96, noise_sigma=6.0, audio=["aac"])


def test_the_bytes_are_the_same_however_it_is_run(processes: MediaProcesses, source: Path, tmp_path: Path) -> None:
    """At once, one by one, and by the functions that a worker's media processes run, in this one."""
    results = []
    for slots in (1, 3):
        folder = tmp_path / str(slots)
        folder.mkdir()
        results.append(LocalJob(processes, source, folder, slots=slots).run())
    assert len(results[0].segments) > 1
    assert read_numbers(results[0].path) == list(range(120))
    plan = wire.from_json((tmp_path / "1" / "plan.json").read_bytes(), Plan)
    paths = [tmp_path / f"again-{segment.index}.mp4" for segment in plan.segments]
    segments = [enhance_segment(source, plan, index, path, lambda frames: None) for index, path in enumerate(paths)]
    join_segments(source, plan, paths, segments, tmp_path / "again.mp4", lambda frames: None)
    assert results[0].path.read_bytes() == results[1].path.read_bytes() == (tmp_path / "again.mp4").read_bytes()


def test_progress_grows_to_all_frames(processes: MediaProcesses, source: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    LocalJob(processes, source, tmp_path, slots=2, on_progress=seen.append).run()
    stages = list(dict.fromkeys(progress.stage for progress in seen))
    assert stages == ["metadata", "diagnose", "plan", "enhance", "join"]
    done = [progress.frames_done for progress in seen if progress.stage == "enhance"]
    assert done == sorted(done)
    assert done[-1] == 120


def test_strength_nought_leaves_alone_and_copies(processes: MediaProcesses, source: Path, tmp_path: Path) -> None:
    result = LocalJob(processes, source, tmp_path, slots=2).run(parameters=Parameters(strength=0.0))
    assert result.planned.video == "copy"
    assert result.receipt.frames_from_decode == 120


def test_strength_scales_what_is_chosen(processes: MediaProcesses, source: Path, tmp_path: Path) -> None:
    whole = LocalJob(processes, source, tmp_path, slots=2).run()
    half = LocalJob(processes, source, tmp_path, slots=2).run(parameters=Parameters(strength=0.5))
    strengths = [choice.strength for choice in whole.chosen.enhancement.choices]
    assert [choice.strength for choice in half.chosen.enhancement.choices] == [strength / 2 for strength in strengths]


def test_a_plan_that_decoding_contradicts_is_made_anew(
    processes: MediaProcesses, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = processes.run
    asked: list[bool] = []

    def doubting(operation: str, request: object, answer: type, **words: object) -> object:
        if operation == "plan":
            asked.append(request.by_decoding)  # type: ignore[attr-defined]
        if operation == "segment" and asked == [False]:
            raise TimelineMismatch("frame 3 after frame 7")
        return run(operation, request, answer, **words)  # type: ignore[arg-type]

    monkeypatch.setattr(processes, "run", doubting)
    result = LocalJob(processes, source, tmp_path, slots=2).run()
    assert asked == [False, True]
    assert result.receipt.frames_out == 120


def test_a_refusal_passes_on(processes: MediaProcesses, tmp_path: Path) -> None:
    text = tmp_path / "a.mp4"
    text.write_text("not a video")
    with pytest.raises(UnsupportedContainer):
        LocalJob(processes, text, tmp_path, slots=2).run()
