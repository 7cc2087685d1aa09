"""Operations for the tests of the media process: each does one thing that a hostile or unlucky file might cause."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from processing.media.errors import Damaged, ProcessStopped, ResourceExceeded, SegmentDamaged, StorageFull
from processing.media.process import sandbox
from processing.media.process.child import Operation, Report
from processing.media.requests import LayersRequest


@dataclass(frozen=True, kw_only=True)
class Order:
    """One request for all of them."""

    text: str = ""
    number: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One answer for all of them."""

    text: str = ""
    number: int = 0
    numbers: tuple[int, ...] = ()
    texts: dict[str, str] = field(default_factory=dict)


def echo(order: Order, report: Report) -> Reply:
    return Reply(text=order.text, number=order.number)


def look_around(order: Order, report: Report) -> Reply:
    """What a process that has been taken over could see."""
    descriptors = {}
    for entry in Path("/proc/self/fd").iterdir():
        if entry.is_symlink():
            descriptors[entry.name] = str(entry.readlink())
    return Reply(
        text="\n".join(f"{name}={value}" for name, value in sorted(os.environ.items())),
        number=os.getppid(),
        numbers=(os.getsid(0), cv2.getNumThreads(), len(list(Path("/proc/self/task").iterdir()))),
        texts={
            **descriptors,
            "cwd": str(Path.cwd()),
            "core": str(resource.getrlimit(resource.RLIMIT_CORE)),
        },
    )


def crash(order: Order, report: Report) -> Reply:
    ctypes.string_at(0)
    return Reply()


def die(order: Order, report: Report) -> Reply:
    os.kill(os.getpid(), order.number)
    time.sleep(10)
    return Reply()


def leave(order: Order, report: Report) -> Reply:
    os._exit(order.number)


def fill_memory(order: Order, report: Report) -> Reply:
    """Allocate by the library named, 64 MiB at a time, and touch what was allocated."""
    hoard: list[object] = []
    while True:
        if order.text == "numpy":
            hoard.append(np.ones(1 << 26, np.uint8))
        elif order.text == "opencv":
            hoard.append(cv2.resize(np.ones((8, 8), np.uint8), (1 << 15, 1 << 15)))
        else:
            hoard.append(b"x" * (1 << 26))


def spin(order: Order, report: Report) -> Reply:
    while True:
        pass


def spin_in_a_thread(order: Order, report: Report) -> Reply:
    """Use the CPU without progress for a while, outside the main thread."""
    end = time.monotonic() + order.seconds

    def work() -> None:
        while time.monotonic() < end:
            pass

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return Reply(text="done")


def hang(order: Order, report: Report) -> Reply:
    report(1)
    time.sleep(order.seconds or 60)
    return Reply(text="woke up")


def count(order: Order, report: Report) -> Reply:
    for done in range(1, order.number + 1):
        report(done)
        time.sleep(order.seconds)
    report(1)
    return Reply(number=order.number)


def write(order: Order, report: Report) -> Reply:
    """Write `number` bytes to the path `text`."""
    with Path(order.text).open("wb") as file:
        file.write(bytes(order.number))
    return Reply()


def fail(order: Order, report: Report) -> Reply:
    errors = {
        "damaged": Damaged("3 of 40 frames decoded"),
        "pixels": ResourceExceeded("256000000 pixels in a frame", code="resource_pixels"),
        "segment": SegmentDamaged("segment 7 has another digest", index=7),
        "full": StorageFull("no space"),
        "stopped": ProcessStopped("I was told to"),
        "enospc": OSError(28, "No space left on device"),
        "memory": MemoryError(),
        "value": ValueError("line one\nno such \ud800 \x1b[31mthing"),
        "exit": SystemExit(3),
    }
    raise errors[order.text]


def babble(order: Order, report: Report) -> Reply:
    """Write raw bytes to the supervisor, past the protocol."""
    pipe = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir() if _is_pipe(entry))
    payloads = {
        "noise": os.urandom(4096),
        "endless": b"A\xff\xff\xff\xff",
        "long": b"A" + (8 << 20).to_bytes(4, "big") + b"x" * (1 << 20),
        "wrong": b"A" + (13).to_bytes(4, "big") + b'{"number":"x"',
        "twice": (b"A" + (2).to_bytes(4, "big") + b"{}") * 2,
        "deep": b"A" + (1_000_000).to_bytes(4, "big") + b"[" * 1_000_000,
    }
    os.set_blocking(pipe, True)
    data = payloads[order.text]
    while data:
        data = data[os.write(pipe, data) :]
    time.sleep(0.2)
    os._exit(0)


def _is_pipe(entry: Path) -> bool:
    return entry.is_symlink() and str(entry.readlink()).startswith("pipe:")


def answer_at_length(order: Order, report: Report) -> Reply:
    return Reply(text="x" * order.number)


def breed(order: Order, report: Report) -> Reply:
    """Leave a process behind in the same session."""
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    if order.text == "hang":
        report(pid)
        time.sleep(60)
    return Reply(number=pid)


def layers(order: LayersRequest, report: Report) -> tuple[str, ...]:
    return sandbox.active_layers()


def ignore_signals(order: Order, report: Report) -> Reply:
    """Refuse everything that can be refused, then go on for ever."""
    for number in (signal.SIGXCPU, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    return spin(order, report)


OPERATIONS = {
    function.__name__: Operation(request=Order, function=function)
    for function in (
        echo, look_around, crash, die, leave, fill_memory, spin, spin_in_a_thread, hang, count, write, fail, babble,
        answer_at_length, breed, ignore_signals,
    )
}  # fmt: skip
OPERATIONS["layers"] = Operation(request=LayersRequest, function=layers)
