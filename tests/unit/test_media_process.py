"""The media process as its owner sees it: answers, typed failures, limits, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from processing.media.errors import (
    Damaged,
    MediaError,
    ProcessCrashed,
    ProcessRefused,
    ProcessStalled,
    ProcessStopped,
    ResourceExceeded,
    SegmentDamaged,
    StorageFull,
)
from processing.media.process import launcher, sandbox
from processing.media.process.launcher import ENVIRONMENT, MediaProcesses
from processing.media.process.limits import Limits
from processing.media.process.supervision import Usage
from tests.unit.media_operations import Order, Reply

OPERATIONS = "tests.unit.media_operations:OPERATIONS"
ROOT = Path(__file__).parents[2]
LIMITS = Limits(address_space_bytes=2 << 30, cpu_seconds=20, wall_seconds=30, stall_seconds=20)


@pytest.fixture(scope="module")
def processes() -> Iterator[MediaProcesses]:
    with MediaProcesses(operations=OPERATIONS) as processes:
        yield processes


def run(processes: MediaProcesses, operation: str, **options: Any) -> Reply:
    order = Order(**{name: options.pop(name) for name in ("text", "number", "seconds") if name in options})
    limits = replace(LIMITS, **options.pop("limits", {}))
    return processes.run(operation, order, Reply, limits=limits, **options)


def is_gone(pid: int) -> bool:
    """Whether a process has ended; a zombie that somebody else has to bury counts."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return status.rpartition(")")[2].split()[0] in "ZX"


def wait_until(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def test_an_answer_comes_back_with_what_it_cost(processes: MediaProcesses) -> None:
    usages: list[Usage] = []
    pids: list[int] = []
    reply = run(processes, "echo", text="Größe \x00 ½", number=-7, on_started=pids.append, on_ended=usages.append)
    assert reply == Reply(text="Größe \x00 ½", number=-7)
    (usage,) = usages
    assert [usage.pid] == pids
    assert 0 < usage.cpu_seconds < 5
    assert 1 << 20 < usage.peak_rss_bytes < 1 << 30
    assert is_gone(usage.pid)


def test_a_request_may_be_long(processes: MediaProcesses) -> None:
    text = "x" * (3 << 20)
    assert run(processes, "echo", text=text).text == text


def test_forking_is_quicker_than_loading() -> None:
    seconds = []
    began = time.monotonic()
    with MediaProcesses(operations=OPERATIONS) as processes:
        loading = time.monotonic() - began
        for _ in range(9):
            began = time.monotonic()
            run(processes, "echo")
            seconds.append(time.monotonic() - began)
    assert sorted(seconds)[4] < loading / 3  # on an idle machine a twentieth


def test_calls_run_side_by_side(processes: MediaProcesses) -> None:
    with ThreadPoolExecutor(20) as threads:
        replies = list(threads.map(lambda n: run(processes, "count", number=n, seconds=0.01), range(1, 21)))
    assert [reply.number for reply in replies] == list(range(1, 21))


def test_progress_only_grows_and_arrives_at_the_end(processes: MediaProcesses) -> None:
    seen: list[int] = []
    run(processes, "count", number=40, seconds=0.01, on_progress=seen.append)
    assert seen == sorted(set(seen))
    assert seen[-1] == 40
    assert len(seen) >= 3


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("damaged", Damaged("3 of 40 frames decoded")),
        ("pixels", ResourceExceeded("256000000 pixels in a frame", code="resource_pixels")),
        ("segment", SegmentDamaged("segment 7 has another digest", index=7)),
        ("full", StorageFull("no space")),
        ("enospc", StorageFull("no space is left for the output: No space left on device")),
        ("memory", ResourceExceeded("the media process reached its memory limit")),
        ("stopped", ProcessCrashed("I was told to")),
        ("value", ProcessCrashed("ValueError: line one\nno such ? [31mthing")),
        ("exit", ProcessCrashed("SystemExit: 3")),
    ],
)
def test_failures_keep_their_type_and_facts(processes: MediaProcesses, text: str, error: MediaError) -> None:
    with pytest.raises(MediaError) as caught:
        run(processes, "fail", text=text)
    assert type(caught.value) is type(error)
    assert vars(caught.value) == vars(error)
    assert caught.value.code == error.code


def test_a_traceback_is_for_the_log_alone(processes: MediaProcesses, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ProcessCrashed) as caught:
        run(processes, "fail", text="value")
    assert "media_operations.py" in caplog.text
    assert "media_operations.py" not in caught.value.detail


def test_a_segmentation_fault_is_a_crash(processes: MediaProcesses) -> None:
    with pytest.raises(ProcessCrashed, match="signal 11"):
        run(processes, "crash")
    assert run(processes, "echo", text="next").text == "next"


def test_kill_9_is_a_crash_and_the_neighbours_live(processes: MediaProcesses) -> None:
    with ThreadPoolExecutor(2) as threads:
        neighbour = threads.submit(run, processes, "hang", seconds=0.5)
        with pytest.raises(ProcessCrashed, match="signal 9"):
            run(processes, "hang", on_started=lambda pid: os.kill(pid, signal.SIGKILL))
        assert neighbour.result().text == "woke up"


def test_leaving_without_an_answer_is_a_crash(processes: MediaProcesses) -> None:
    with pytest.raises(ProcessCrashed, match="exit code 3"):
        run(processes, "leave", number=3)


@pytest.mark.parametrize("library", ["python", "numpy", "opencv"])
def test_memory_has_a_limit(processes: MediaProcesses, library: str) -> None:
    with pytest.raises(ResourceExceeded) as caught:
        run(processes, "fill_memory", text=library, limits={"address_space_bytes": 1 << 30})
    assert caught.value.code == "resource_memory"


@pytest.mark.parametrize("operation", ["spin", "ignore_signals"])
def test_cpu_time_has_a_limit(processes: MediaProcesses, operation: str) -> None:
    with pytest.raises(ResourceExceeded) as caught:
        run(processes, operation, limits={"cpu_seconds": 1})
    assert caught.value.code == "resource_cpu"


def test_a_written_file_has_a_limit(processes: MediaProcesses, tmp_path: Path) -> None:
    run(processes, "write", text=str(tmp_path / "small"), number=1000, limits={"output_bytes": 1000})
    with pytest.raises(ResourceExceeded) as caught:
        run(processes, "write", text=str(tmp_path / "large"), number=1001, limits={"output_bytes": 1000})
    assert caught.value.code == "resource_output"


def test_a_full_disk_is_storage_full(processes: MediaProcesses) -> None:
    with pytest.raises(StorageFull):
        run(processes, "write", text="/dev/full", number=1 << 20)


def test_a_hang_is_ended_at_the_stall_limit(processes: MediaProcesses) -> None:
    began = time.monotonic()
    with pytest.raises(ProcessStalled, match="no progress"):
        run(processes, "hang", limits={"stall_seconds": 0.5})
    assert 0.5 <= time.monotonic() - began < 10


def test_work_without_progress_is_no_stall(processes: MediaProcesses) -> None:
    assert run(processes, "spin_in_a_thread", seconds=1.2, limits={"stall_seconds": 0.4}).text == "done"


def test_progress_without_work_is_no_stall(processes: MediaProcesses) -> None:
    reply = run(processes, "count", number=8, seconds=0.2, limits={"stall_seconds": 1.0})
    assert reply.number == 8


def test_the_deadline_ends_what_is_busy(processes: MediaProcesses) -> None:
    with pytest.raises(ProcessStalled, match=r"not done after 0\.4 s"):
        run(processes, "spin", limits={"wall_seconds": 0.4})


def test_stop_ends_the_process_at_once(processes: MediaProcesses) -> None:
    stop = threading.Event()
    pids: list[int] = []
    stopped_at: list[float] = []

    def started(pid: int) -> None:
        pids.append(pid)
        threading.Timer(0.2, lambda: (stopped_at.append(time.monotonic()), stop.set())).start()

    with pytest.raises(ProcessStopped):
        run(processes, "hang", stop=stop, on_started=started)
    assert time.monotonic() - stopped_at[0] < 1.0  # 0.05 on an idle machine
    assert is_gone(pids[0])


def test_stopped_before_it_began(processes: MediaProcesses) -> None:
    stop = threading.Event()
    stop.set()
    pids: list[int] = []
    with pytest.raises(ProcessStopped):
        run(processes, "echo", stop=stop, on_started=pids.append)
    assert pids == []


def test_an_exception_of_a_callback_ends_the_process(processes: MediaProcesses) -> None:
    pids: list[int] = []

    def refuse(frames_done: int) -> None:
        raise LookupError(frames_done)

    with pytest.raises(LookupError):
        run(processes, "hang", on_started=pids.append, on_progress=refuse)
    assert wait_until(lambda: is_gone(pids[0]))


@pytest.mark.parametrize("text", ["noise", "endless", "long", "wrong", "twice", "deep"])
def test_garbage_is_a_crash(processes: MediaProcesses, text: str) -> None:
    began = time.monotonic()
    with pytest.raises(ProcessCrashed):
        run(processes, "babble", text=text)
    assert time.monotonic() - began < 10


def test_an_answer_has_a_limit(processes: MediaProcesses) -> None:
    assert len(run(processes, "answer_at_length", number=7 << 20).text) == 7 << 20
    with pytest.raises(ResourceExceeded, match="bytes are more than"):
        run(processes, "answer_at_length", number=8 << 20)


def test_descendants_go_with_the_process(processes: MediaProcesses) -> None:
    descendant = run(processes, "breed").number
    assert wait_until(lambda: is_gone(descendant))
    seen: list[int] = []
    stop = threading.Event()
    with pytest.raises(ProcessStopped):
        run(processes, "breed", text="hang", stop=stop, on_progress=lambda pid: (seen.append(pid), stop.set()))
    assert wait_until(lambda: is_gone(seen[0]))


def test_no_secret_and_no_descriptor_is_inherited(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VIDEOPROC_SECRET_KEY", "hunter2")
    monkeypatch.setenv("PYTHONSTARTUP", "/hunter2")
    (tmp_path / "open").touch()
    with (tmp_path / "open").open() as file, MediaProcesses(operations=OPERATIONS) as processes:
        os.set_inheritable(file.fileno(), True)
        pids: list[int] = []
        with ThreadPoolExecutor(1) as threads:  # a neighbour's descriptors are in the zygote at that moment
            neighbour = threads.submit(run, processes, "hang", seconds=0.5)
            seen = run(processes, "look_around", directory=tmp_path, on_started=pids.append)
            neighbour.result()
        assert seen.number == processes.zygote_pid
        inherited = Path(f"/proc/{processes.zygote_pid}/environ").read_text().strip("\0").split("\0")
    assert "hunter2" not in seen.text
    assert inherited == [f"{name}={value}" for name, value in ENVIRONMENT.items()]
    assert seen.numbers == (pids[0], 1, 1)  # leads its session; one OpenCV thread; one thread
    assert seen.texts["cwd"] == str(tmp_path)
    assert seen.texts["core"] == "(0, 0)"
    descriptors = {int(name): target for name, target in seen.texts.items() if name.isdigit()}
    assert [descriptors.pop(stream) for stream in (0, 1, 2)] == ["/dev/null"] * 3
    assert len(descriptors) == 1
    assert all(target.startswith("pipe:") for target in descriptors.values())


def test_every_required_layer_holds(processes: MediaProcesses) -> None:
    assert set(processes.active_layers()) >= sandbox.REQUIRED_LAYERS
    assert set(processes.active_layers()) <= set(sandbox.LAYERS)


def test_a_killed_zygote_takes_its_children_and_is_replaced() -> None:
    with MediaProcesses(operations=OPERATIONS) as processes:
        zygote = processes.zygote_pid
        assert zygote is not None
        pids: list[int] = []

        def kill_zygote(pid: int) -> None:
            pids.append(pid)
            os.kill(zygote, signal.SIGKILL)

        with pytest.raises(ProcessCrashed, match="zygote"):
            run(processes, "hang", on_started=kill_zygote)
        assert wait_until(lambda: is_gone(pids[0]))
        assert run(processes, "echo", text="again").text == "again"
        assert processes.zygote_pid != zygote


def test_signals_to_the_group_do_not_end_the_work() -> None:
    with MediaProcesses(operations=OPERATIONS) as processes:
        zygote = processes.zygote_pid
        assert zygote is not None

        def interrupt(pid: int) -> None:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                os.kill(zygote, number)
                os.kill(pid, number)

        assert run(processes, "hang", seconds=0.3, on_started=interrupt).text == "woke up"
        assert processes.zygote_pid == zygote


def test_close_stops_what_runs_and_leaves_nothing() -> None:
    processes = MediaProcesses(operations=OPERATIONS)
    processes.start()
    zygote = processes.zygote_pid
    assert zygote is not None
    pids: list[int] = []
    with pytest.raises(ProcessStopped):
        run(
            processes,
            "hang",
            on_started=lambda pid: (pids.append(pid), threading.Thread(target=processes.close).start()),
        )
    processes.close()
    assert wait_until(lambda: is_gone(pids[0]) and is_gone(zygote))
    with pytest.raises(ProcessStopped):
        run(processes, "echo")


def test_a_table_that_does_not_load_is_said_at_the_start(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ProcessRefused, match="exit code 1"):
        MediaProcesses(operations="tests.unit.no_such_table:OPERATIONS").start()
    assert "no_such_table" in capfd.readouterr().err


@pytest.mark.parametrize("operation", ["hang", "spin"])
def test_kill_9_of_the_owner_leaves_no_process(operation: str) -> None:
    command = [sys.executable, "-m", "tests.unit.media_owner", operation]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        zygote, child = map(int, owner.stdout.readline().split())
        assert not is_gone(zygote)
        assert not is_gone(child)
        owner.kill()
    assert wait_until(lambda: is_gone(zygote) and is_gone(child))


def test_an_interrupt_while_it_loads_leaves_no_zygote(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pids = []

    def interrupted(zygote: launcher._Zygote, operations: str) -> None:
        pids.append(zygote.pid)
        raise KeyboardInterrupt

    monkeypatch.setattr(launcher._Zygote, "_await_ready", interrupted)
    with pytest.raises(KeyboardInterrupt):
        MediaProcesses(operations=OPERATIONS).start()
    assert is_gone(pids[0])
    assert capfd.readouterr().err == ""


def test_a_fork_of_the_owner_starts_a_zygote_of_its_own(processes: MediaProcesses) -> None:
    run(processes, "echo")
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            reply = run(processes, "echo", text="forked")
            os.write(write, f"{reply.text} {processes.zygote_pid}".encode())
            processes.close()
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as file:
        text, zygote = file.read().split()
    os.waitpid(pid, 0)
    assert text == "forked"
    assert int(zygote) != processes.zygote_pid
    assert is_gone(int(zygote))
    assert run(processes, "echo", text="parent").text == "parent"
