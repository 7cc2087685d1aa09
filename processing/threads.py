"""A pool of threads for calls of servers that may never answer.

Invariant: none of these threads keeps its process alive, as the standard pool's do.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import ParamSpec, TypeVar

Answer = TypeVar("Answer")
Given = ParamSpec("Given")


class Threads(Executor):
    """At most `max_workers` threads, begun when they are wanted; no exit waits for them."""

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
                threading.Thread(target=self._work, name="caller", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Do nothing: the threads end with their process."""

    def _work(self) -> None:
        while True:
            self._waiting.get()()
            self._idle.release()
