"""Calls of a server that may never answer, in threads that whoever waits for them can leave at once.

What is left goes on by itself and ends with its request (processing/threads.py). Invariant: no wait is without an end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import wait
from typing import TypeVar

from processing.media.errors import ProcessStopped
from processing.storage.interface import StorageUnreachable
from processing.threads import Threads

CHECK_SECONDS = 0.05
Answer = TypeVar("Answer")


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
