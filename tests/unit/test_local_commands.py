"""`manage.py enhance` and `manage.py probe`: what they print, refuse and leave behind."""

from __future__ import annotations

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

from processing.media.local_job import Progress
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
        process.send_signal(signal.SIGINT)
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


def test_an_interrupt_comes_before_all_files_are_in_place_or_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_clip(tmp_path / "in.mp4", frames=12, pixel_format="yuv420p10le")
    replace, rmtree = Path.replace, shutil.rmtree

    def interrupted_replace(path: Path, target: Path) -> Path:
        os.kill(os.getpid(), signal.SIGINT)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", interrupted_replace)
    call_command("enhance", source, tmp_path / "out.mp4", "--strength", "0")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.deep.mp4", "out.mp4"]

    def interrupted_rmtree(path: Path) -> None:
        rmtree(path)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(shutil, "rmtree", interrupted_rmtree)
    with pytest.raises(CommandError, match=r"^interrupted, written: \S+/out.mp4, \S+/out.deep.mp4$") as caught:
        call_command("enhance", source, tmp_path / "out.mp4", "--strength", "0", "--overwrite")
    assert caught.value.returncode == 130


def children_of(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for file in children for child in file.read_text().split()]


def test_probe_tells_the_facts(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("probe", source)
    told = capsys.readouterr().out
    assert "h264" in told
    assert "60 from the scan, 60 from the header" in told
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
