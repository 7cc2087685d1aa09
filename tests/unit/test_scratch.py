"""The scratch folder: one fetch for all who ask, the longest unused goes, and nothing of a dead process stays."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from pytest_django import Settings

from processing.media.errors import ProcessStopped, StorageFull
from processing.storage.scratch import Scratch

ROOT = Path(__file__).resolve().parents[2]
HOLD = """
import django, sys, time
django.setup()
from pathlib import Path
from processing.storage.scratch import Scratch
scratch = Scratch(Path(sys.argv[1]), cap_bytes=10)
scratch.staged("jobs/a").parent.mkdir(parents=True)
scratch.staged("jobs/a").write_bytes(b"half")
print(scratch.folder, flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def no_reserve(settings: Settings) -> None:
    settings.VIDEOPROC_FREE_BYTES = 0


def writing(content: bytes) -> Callable[[Path], None]:
    def fetch(path: Path) -> None:
        path.write_bytes(content)

    return fetch


def never(path: Path) -> None:
    raise AssertionError(f"{path} was fetched again")


def kept(scratch: Scratch) -> list[bytes]:
    return sorted(path.read_bytes() for path in (scratch.folder / "copies").rglob("*") if path.is_file())


def test_many_who_ask_at_once_share_one_fetch(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path, cap_bytes=100)
    go, fetches = threading.Event(), []

    def fetch(path: Path) -> None:
        fetches.append(path)
        assert go.wait(10)
        path.write_bytes(b"source")

    def read(_: int) -> bytes:
        with scratch.copy("sources/a/source", 6, fetch, None) as path:
            return path.read_bytes()

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(read, number) for number in range(8)]
        go.set()
        assert {future.result() for future in asked} == {b"source"}
    assert len(fetches) == 1
    with scratch.copy("sources/a/source", 6, never, None) as path:
        assert path.read_bytes() == b"source"


def test_a_fetch_that_fails_is_its_own_failure_alone(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path, cap_bytes=100)
    begun, go = threading.Event(), threading.Event()

    def failing(path: Path) -> None:
        path.write_bytes(b"ha")
        begun.set()
        assert go.wait(10)
        raise ConnectionError("the network went")

    def fail() -> None:
        with scratch.copy("a", 4, failing, None):
            raise AssertionError("nothing was fetched")

    def succeed() -> bytes:
        with scratch.copy("a", 4, writing(b"half"), None) as path:
            return path.read_bytes()

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(fail)
        assert begun.wait(10)
        second = pool.submit(succeed)
        go.set()
        with pytest.raises(ConnectionError):
            first.result()
        assert second.result() == b"half"
    assert kept(scratch) == [b"half"]


def test_the_longest_unused_goes_and_what_is_in_use_stays(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path, cap_bytes=10)
    with ExitStack() as in_use:
        in_use.enter_context(scratch.copy("held", 4, writing(b"held"), None))
        for name in ("b111", "c222"):
            with scratch.copy(name, 4, writing(name.encode()), None):
                pass
        assert kept(scratch) == [b"c222", b"held"], "three are too many, and the first is being read"
        with scratch.copy("large", 50, writing(b"larger than the cap"), None):
            assert b"held" in kept(scratch)
    with scratch.copy("d333", 4, writing(b"d333"), None):
        assert kept(scratch) == [b"d333", b"held"], "the large one is gone, and there is room beside the other"


def test_idle_copies_make_room_for_what_is_written(tmp_path: Path, settings: Settings) -> None:
    scratch = Scratch(tmp_path, cap_bytes=100)
    for name in ("a", "b"):
        with scratch.copy(name, 1, writing(name.encode()), None):
            pass
    scratch.make_room(1)
    assert kept(scratch) == [b"a", b"b"], "there was room"
    settings.VIDEOPROC_FREE_BYTES = 10**18
    with pytest.raises(StorageFull):
        scratch.make_room(1)
    assert kept(scratch) == []
    with pytest.raises(StorageFull), scratch.copy("c", 4, never, None):
        pass


def test_a_stop_ends_the_wait_for_anothers_fetch(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path, cap_bytes=100)
    begun, go, stop = threading.Event(), threading.Event(), threading.Event()

    def slow(path: Path) -> None:
        begun.set()
        assert go.wait(10)
        path.write_bytes(b"slow")

    def read() -> None:
        with scratch.copy("a", 4, slow, None):
            pass

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        assert begun.wait(10)
        stop.set()
        with pytest.raises(ProcessStopped), scratch.copy("a", 4, never, stop):
            pass
        go.set()
        reading.result()


def test_what_a_killed_process_left_goes_when_the_next_begins(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ
    )
    assert process.stdout is not None
    with process, process.stdout:
        folder = Path(process.stdout.readline().strip())
        Scratch(tmp_path, cap_bytes=10)
        assert (folder / "staged" / "jobs" / "a").read_bytes() == b"half", "its process lives"
        process.send_signal(signal.SIGKILL)
        process.wait()
    Scratch(tmp_path, cap_bytes=10)
    assert not folder.exists()


def test_unstaging_leaves_nothing(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path, cap_bytes=10)
    path = scratch.staged("jobs/a/1/stills")
    path.mkdir(parents=True)
    (path / "poster.jpg").write_bytes(b"poster")
    scratch.unstage("jobs/a/1/stills")
    scratch.unstage("jobs/a/1/stills")
    assert [entry.name for entry in scratch.folder.iterdir()] == ["lock"]


def test_unstaging_leaves_the_folder_that_another_is_about_to_write_into(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path, cap_bytes=0)
    done, begun = scratch.stage("jobs/a/1/segment-0.mp4"), scratch.stage("jobs/a/1/segment-1.mp4")
    done.write_bytes(b"done")
    scratch.unstage("jobs/a/1/segment-0.mp4")
    begun.write_bytes(b"begun")
    scratch.unstage("jobs/a/1")
    assert not (scratch.folder / "staged").exists()


def test_what_somebody_removed_is_fetched_again_and_the_folder_made_anew(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path, cap_bytes=100)
    with scratch.copy("sources/a", 3, writing(b"one"), None) as first:
        first.unlink()
        with scratch.copy("sources/a", 3, writing(b"two"), None) as second:
            assert second.read_bytes() == b"two"
    with scratch.copy("sources/a", 3, never, None) as third:
        assert third == second
    shutil.rmtree(scratch.folder)
    assert scratch.free_bytes() > 0
    with scratch.copy("sources/a", 3, writing(b"new"), None) as copy:
        assert copy.read_bytes() == b"new"
    assert copy.is_relative_to(scratch.folder)
