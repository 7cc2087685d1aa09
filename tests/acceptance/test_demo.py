"""The demo as a person runs it: success with its files, refusal with a sentence, an interrupt that leaves nothing."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

from tests.acceptance.system import ROOT, EmbeddedSystem, environment, orphans
from videoproc.demo.client import ClientError
from videoproc.demo.run import demonstrate
from videoproc.servers.keeper import descendants


def test_the_command_shows_what_happened_to_a_video(small_clip: Path, tmp_path: Path) -> None:
    output = tmp_path / "demo output"
    done = subprocess.run(
        [sys.executable, "manage.py", "demo", str(small_clip), "--output", str(output)],
        cwd=ROOT,
        env=environment(VIDEOPROC_DATA_DIR=str(tmp_path / "unused")),
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "90 of 90" in done.stdout
    assert "every packet untouched" in done.stdout
    assert "because" in done.stdout
    assert cv2.imread(str(output / "small" / "before-after.jpg")) is not None
    assert (output / "small" / "enhanced.mp4").stat().st_size > 0
    assert [path.name for path in output.iterdir()] == ["small"], "its data folder is gone"


def test_what_is_no_video_is_no_success(embedded_system: EmbeddedSystem, tmp_path: Path) -> None:
    text = tmp_path / "words.mp4"
    text.write_text("only words\n" * 100)
    with pytest.raises(ClientError, match="415 unsupported_container"):
        demonstrate(embedded_system.url, text, tmp_path, io.StringIO())


def test_an_interrupt_leaves_no_process_and_no_folder(small_clip: Path, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "manage.py", "demo", str(small_clip), "--output", str(tmp_path)],
        cwd=ROOT,
        env=environment(VIDEOPROC_DATA_DIR=str(tmp_path / "unused")),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        assert demo.stdout.readline().startswith("the service runs on")
        below = descendants(demo.pid)
        demo.send_signal(signal.SIGINT)
        assert demo.wait(timeout=60) == 130
    give_up = time.monotonic() + 10
    while orphans(below):
        assert time.monotonic() < give_up
        time.sleep(0.05)
    assert below
    assert not list(tmp_path.glob("data-*"))
