"""Calls of a server that may never answer, in threads that whoever waits for them can leave at once.

What is left goes on by itself and ends with its request. Invariant: none of these threads keeps its process alive.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, wait
from typing import ParamSpec, TypeVar

from processing.media.errors import ProcessStopped
from processing.storage.interface import StorageUnreachable

CHECK_SECONDS = 0.05
Answer = TypeVar("Answer")
Given = ParamSpec("Given")


class Threads(Executor):
    """At most `max_workers` threads, begun when they are wanted; unlike the standard pool's no exit waits for them."""

    def __init__(self, max_workers: int) -> None:
        self._most = max_workers
        self._begun = 0
        self._idle = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._waiting: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def submit(self, fn: Callable[Given, Answer], /, *args: Given.args, **kwargs: Given.kwargs) -> Future[Answer]:
        """Call `fn` in one of the threads."""
        future: Future[Answer] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                answer = fn(*args, **kwargs)
            except BaseException as exc:  # noqa: BLE001 - it is raised where the answer is wanted
                future.set_exception(exc)
            else:
                future.set_result(answer)

        self._waiting.put(run)
        with self._lock:
            if not self._idle.acquire(blocking=False) and self._begun < self._most:
                self._begun += 1
                threading.Thread(target=self._work, name="storage", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Do nothing: the threads end with their process."""

    def _work(self) -> None:
        while True:
            self._waiting.get()()
            self._idle.release()


CALLERS = Threads(1024)
"""As many as calls go on at once, those that were left among them; each ends with its request."""


class Pace:
    """When something last came of a call, and whether anybody still waits for it; shared by two threads."""

    def __init__(self) -> None:
        self.moved_at = time.monotonic()
        self.left = False

    def moved(self) -> None:
        """Note that something came; ProcessStopped where nobody waits for it any more."""
        self.moved_at = time.monotonic()
        if self.left:
            raise ProcessStopped("nobody waits for this any more")


def answer_of(
    call: Callable[[Pace], Answer],
    what: str,
    *,
    seconds: float,
    stop: threading.Event | None = None,
    grace_seconds: float = 0.0,
) -> Answer:
    """Return what a call returns, unless nothing comes of it for `seconds`, or `stop` is set.

    Raises:
        StorageUnreachable: nothing came of it for so long.
        ProcessStopped: it was not done `grace_seconds` after `stop` was set.
    and whatever the call raises.
    """
    if stop is not None and stop.is_set() and not grace_seconds:
        raise ProcessStopped(f"stopped before S3 was asked: {what}")
    pace = Pace()
    future = CALLERS.submit(call, pace)
    try:
        while not wait([future], CHECK_SECONDS).done:
            if stop is not None and stop.is_set():
                if wait([future], grace_seconds).done:
                    break
                raise ProcessStopped(f"stopped while S3 was waited for: {what}")
            if time.monotonic() - pace.moved_at > seconds:
                raise StorageUnreachable(f"S3 gave nothing for {seconds:g} s: {what}")
        return future.result()
    finally:
        pace.left = True
