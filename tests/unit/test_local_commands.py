"""`manage.py enhance` and `manage.py probe`: what they print, refuse and leave behind."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from processing.media.local_job import LocalJob, LocalResult, Progress
from processing.progress_bar import ProgressBar, line
from tests.clips import make_clip, read_numbers

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "in.mp4", frames=60, width=160, height=96, noise_sigma=6.0, audio=["aac"])


def test_enhance_writes_the_video_the_picture_and_the_document(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, picture = tmp_path / "out.mp4", tmp_path / "out.png"
    call_command("enhance", source, output, "--json", "--compare", str(picture), "--preset", "denoise")
    told = json.loads(capsys.readouterr().out)
    assert read_numbers(output) == list(range(60))
    assert told["choices"][0]["operation"] == "denoise"
    assert told["receipt"]["frames_out"] == 60
    assert told["receipt"]["size_bytes"] == output.stat().st_size
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4", "out.png"]


def test_enhance_says_what_it_did(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("enhance", source, tmp_path / "out.mp4", "--strength", "0")
    told = capsys.readouterr().out
    assert "strength 0: left alone" in told
    assert "60 frames, 160x96, aac copied" in told


@pytest.mark.parametrize(
    ("arguments", "returncode", "words"),
    [
        (["none.mp4", "out.mp4"], 2, "there is no file none.mp4"),
        (["in.mp4", "in.mp4"], 2, "in.mp4 is the source"),
        (["in.mp4", "there.mp4"], 2, "--overwrite replaces it"),
        (["in.mp4", "nowhere/out.mp4"], 2, "there is no folder nowhere"),
        (["there.mp4", "out.mp4"], 1, "unsupported_container"),
        ([".", "out.mp4"], 2, r"\. is a folder"),
        (["/dev/null", "out.mp4"], 2, "/dev/null is no regular file"),
        (["in.mp4", "/dev/null", "--overwrite"], 2, "/dev/null is no regular file"),
        (["in.mp4", "a\x1b[2J\n/out.mp4"], 2, r"there is no folder a\\x1b\[2J\\n"),
        (["in.mp4", "-"], 2, "cannot go through a pipe"),
        (["in.mp4", "out.mp4", "--compare", "out.mp4"], 2, "out.mp4 is asked for twice"),
        (["in.mp4", "out.mp4", "--compare", "in.mp4"], 2, "in.mp4 is the source"),
        (["in.mp4", "out.mp4", "--compare", "nowhere/out.png"], 2, "there is no folder nowhere"),
        (["in.mp4", "out.mp4", "--compare", "there.mp4"], 2, "there.mp4 is there already"),
        (["in.mp4", f"{'é' * 126}.mp4"], 2, "is too long"),
        (["in.mp4", "\udcff.mp4"], 2, r"the name \\udcff.mp4 is not valid UTF-8"),
        (["in.mp4", "out.mp4", "--strength", "3"], 2, "strength: Must be 0 to 2 times"),
        (["in.mp4", "out.mp4", "--preset", "best"], 2, "invalid choice"),
        (["in.mp4", "out.mp4", "--preset", "metadata-only"], 2, "manage.py probe"),
        (["in.mp4", "out.mp4", "--max-height-px", "721"], 2, "max_height_px: Must be even, 144 to 4320 px"),
    ],
)
def test_enhance_refuses_with_a_sentence(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    returncode: int,
    words: str,
) -> None:
    (tmp_path / "there.mp4").write_text("not a video")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CommandError, match=words) as caught:
        call_command("enhance", *arguments)
    # What argparse refuses ends the program with 2 by itself; from code it is an error without a number.
    assert caught.value.returncode == returncode or caught.value.__cause__ is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "there.mp4"]
    assert (tmp_path / "there.mp4").read_text() == "not a video"


def test_an_interrupted_enhance_leaves_nothing(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", frames=150, width=640, height=360, codec="mpeg4")
    with subprocess.Popen(
        [sys.executable, "manage.py", "enhance", str(source), str(tmp_path / "out.mp4"), "--preset", "denoise"],
        cwd=ROOT,
        env={**os.environ, "VIDEOPROC_DATA_DIR": str(tmp_path / "var")},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        give_up = time.monotonic() + START_SECONDS
        while not list(tmp_path.glob(".out.mp4.*/segment-*.mp4")):
            assert process.poll() is None
            assert time.monotonic() < give_up
            time.sleep(0.01)
        zygotes = children_of(process.pid)
        for ending in (signal.SIGINT, signal.SIGINT, signal.SIGTERM):  # impatience
            process.send_signal(ending)
        _, told = process.communicate(timeout=START_SECONDS)
    assert process.returncode == 130
    assert told.strip() == "CommandError: interrupted, nothing was written"
    assert zygotes
    assert not any(Path(f"/proc/{pid}").exists() for pid in zygotes)
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".mp4"] == ["in.mp4"]
    assert list(tmp_path.glob(".out*")) == []


def test_only_what_will_be_written_can_be_in_the_way(source: Path, tmp_path: Path) -> None:
    """Eight bits become one file, so another of a rendition's name is nobody's business."""
    other = tmp_path / "out.hdr.mp4"
    other.write_text("mine")
    call_command("enhance", source, tmp_path / "out.mp4", "--strength", "0")
    assert read_numbers(tmp_path / "out.mp4") == list(range(60))
    assert other.read_text() == "mine"


def test_a_rendition_that_would_be_replaced_is_refused_before_the_work(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "out.deep.mp4", frames=12, pixel_format="yuv420p10le")
    here = source.read_bytes()
    with pytest.raises(CommandError, match=r"out.deep.mp4 is the source") as caught:
        call_command("enhance", source, tmp_path / "out.mp4", "--overwrite", "--strength", "0")
    assert caught.value.returncode == 2
    source.rename(tmp_path / "in.mp4")
    (tmp_path / "out.deep.mp4").write_text("mine")
    with pytest.raises(CommandError, match=r"out.deep.mp4 is there already; --overwrite replaces it") as caught:
        call_command("enhance", tmp_path / "in.mp4", tmp_path / "out.mp4", "--strength", "0")
    assert caught.value.returncode == 2
    assert (tmp_path / "in.mp4").read_bytes() == here
    assert (tmp_path / "out.deep.mp4").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.deep.mp4"]


def test_overwriting_leaves_no_rendition_of_an_earlier_run(source: Path, tmp_path: Path) -> None:
    for name in ("out.mp4", "out.hdr.mp4"):
        (tmp_path / name).write_text("of an earlier run")
    source = source.rename(tmp_path / "out.deep.mp4")
    call_command("enhance", source, tmp_path / "out.mp4", "--overwrite", "--strength", "0")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.deep.mp4", "out.mp4"]
    assert read_numbers(source) == read_numbers(tmp_path / "out.mp4") == list(range(60))


def test_an_interrupt_that_comes_too_late_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_clip(tmp_path / "in.mp4", frames=12, pixel_format="yuv420p10le")
    replace, rmtree = Path.replace, shutil.rmtree

    def interrupted_replace(path: Path, target: Path) -> Path:
        os.kill(os.getpid(), signal.SIGINT)
        return replace(path, target)

    def interrupted_rmtree(path: Path) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        rmtree(path)

    monkeypatch.setattr(Path, "replace", interrupted_replace)
    monkeypatch.setattr(shutil, "rmtree", interrupted_rmtree)
    before = signal.getsignal(signal.SIGINT)
    call_command("enhance", source, tmp_path / "out.mp4", "--strength", "0")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.deep.mp4", "out.mp4"]
    assert signal.getsignal(signal.SIGINT) is before


def test_all_files_can_lie_on_different_disks(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is ever moved but within one folder, whatever is mounted there."""
    replace = Path.replace
    (tmp_path / "pictures").mkdir()

    def replace_on_one_disk(path: Path, target: Path) -> Path:
        if path.parent.parent != target.parent:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(path), None, str(target))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", replace_on_one_disk)
    picture = tmp_path / "pictures" / "out.png"
    call_command("enhance", source, tmp_path / "out.mp4", "--strength", "0", "--compare", str(picture))
    assert [path.name for path in picture.parent.iterdir()] == ["out.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4", "pictures"]


def test_what_came_into_the_way_meanwhile_is_not_replaced(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = LocalJob.run

    def overtaken(job: LocalJob, **words: object) -> LocalResult:
        result = run(job, **words)  # type: ignore[arg-type]
        (tmp_path / "out.mp4").write_text("of another run")
        return result

    monkeypatch.setattr(LocalJob, "run", overtaken)
    with pytest.raises(CommandError, match=r"out.mp4 is there already; --overwrite replaces it"):
        call_command("enhance", source, tmp_path / "out.mp4", "--strength", "0")
    assert (tmp_path / "out.mp4").read_text() == "of another run"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


def children_of(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for file in children for child in file.read_text().split()]


def test_probe_tells_the_facts(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("probe", source)
    told = capsys.readouterr().out
    assert "h264" in told
    assert "60 from the scan, 60 from the header" in told
    assert "turn 0 degrees, pixel aspect 1, progressive" in told
    call_command("probe", source, "--json")
    document = json.loads(capsys.readouterr().out)
    assert document["frames_from_scan"] == 60
    assert document["probe"]["video"]["width_px"] == 160


def test_probe_refuses_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="there is no file"):
        call_command("probe", tmp_path / "none.mp4")
    (tmp_path / "a.mp4").write_text("not a video")
    with pytest.raises(CommandError, match="unsupported_container") as caught:
        call_command("probe", tmp_path / "a.mp4")
    assert caught.value.returncode == 1


def test_the_progress_line_tells_speed_and_time_left() -> None:
    half = Progress(stage="enhance", frames_done=300, frames_total=600)
    assert line(half, 10.0) == "enhancing  50 %  300/600 frames  30.0 frames/s  0:10 left  [##########..........]"
    assert line(half, 0.1) == "enhancing  50 %  300/600 frames  [##########..........]"
    assert line(Progress(stage="plan", frames_done=12), 10.0) == "planning  12 frames"


def test_a_bar_is_drawn_for_a_terminal_only() -> None:
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        bar = ProgressBar(stream)
        bar.show(Progress(stage="metadata"))
        bar.show(Progress(stage="enhance", frames_done=1, frames_total=2))
        bar.clear()
    assert pipe.getvalue() == ""
    assert "reading packets" in terminal.getvalue()
    assert "1/2 frames" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True
