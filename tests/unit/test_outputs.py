"""Files that a command writes, and the signals that end it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from django.core.management.base import CommandError, OutputWrapper

from processing.interrupts import ENDING, interruptible
from processing.outputs import Unusable, check_outputs, check_source, say, scratch_beside, told


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.mp4"
    path.write_text("a video")
    return path


def test_a_folder_that_nothing_may_be_written_to_is_refused(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    # Whoever runs the tests may be root, who may write anywhere.
    monkeypatch.setattr(os, "access", lambda path, mode: asked.append((path, mode)))
    with pytest.raises(Unusable, match="nothing may be written to the folder"):
        check_outputs(source, [tmp_path / "out.mp4"], overwrite=True)
    with pytest.raises(Unusable, match="may not be read"):
        check_source(source)
    assert asked == [(tmp_path, os.W_OK | os.X_OK), (source, os.R_OK)]


def test_two_names_of_one_file_are_asked_for_twice(source: Path, tmp_path: Path) -> None:
    (tmp_path / "same").symlink_to(tmp_path)
    with pytest.raises(Unusable, match="is asked for twice"):
        check_outputs(source, [tmp_path / "out.mp4", tmp_path / "same" / "out.mp4"], overwrite=False)


def test_a_link_is_in_the_way_wherever_it_leads(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out.mp4").symlink_to(tmp_path / "nowhere.mp4")
    with pytest.raises(Unusable, match="is there already"):
        check_outputs(source, [tmp_path / "out.mp4"], overwrite=False)
    (tmp_path / "again.mp4").symlink_to(source)
    with pytest.raises(Unusable, match="is the source"):
        check_outputs(source, [tmp_path / "again.mp4"], overwrite=True)


def test_a_pipe_is_no_source(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Unusable, match="no regular file"):
        check_source(tmp_path / "pipe")


@pytest.mark.parametrize("name", ["out.mp4", "é" * 125 + ".mp4", "a\nb.mp4"])
def test_a_scratch_folder_lies_beside_and_goes_whatever_happens(tmp_path: Path, name: str) -> None:
    def interrupted() -> None:
        with scratch_beside(tmp_path / name) as folder:
            assert folder.parent == tmp_path
            (folder / "segment-0.mp4").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_a_name_is_told_on_one_line() -> None:
    assert told(Path("Grüße \n\x1b[31m\udcff.mp4")) == "Grüße \\n\\x1b[31m\\udcff.mp4"


def test_a_reader_that_leaves_early_is_no_failure() -> None:
    """As in `manage.py probe … | head -1`."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        say(OutputWrapper(stream), "the end")
        say(OutputWrapper(stream), "nobody hears")


def test_last_words_that_find_no_room_are_a_failure() -> None:
    with Path("/dev/full").open("w") as stream, pytest.raises(CommandError, match="printed: No space left on device"):
        say(OutputWrapper(stream), "the end")


@pytest.mark.parametrize("number", ENDING)
def test_the_first_signal_interrupts_and_the_next_does_nothing(number: signal.Signals) -> None:
    before = [signal.getsignal(ending) for ending in ENDING]
    seen = []
    with interruptible():
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:
            for ending in ENDING:
                signal.raise_signal(ending)
            seen.append("cleaned")
    assert seen == ["cleaned"]
    assert [signal.getsignal(ending) for ending in ENDING] == before


def test_what_was_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_signals_can_be_kept_out() -> None:
    with interruptible() as ignore_signals:
        ignore_signals()
        for number in ENDING:
            signal.raise_signal(number)
