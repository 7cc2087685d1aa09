"""Threads and tasks without which a process is worse than dead: it would go on, and nobody renews, hints or tells.

Invariant: where one of them ends by an error that nobody foresaw, its process ends in order, and whoever minds the
processes starts another; an end is mended, silence is not.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable, Coroutine
from typing import Any

logger = logging.getLogger(__name__)


def thread(run: Callable[[], None], *, name: str) -> threading.Thread:
    """Return a daemon thread, not started, whose process does not outlive an error in it."""

    def guarded() -> None:
        try:
            run()
        except Exception as exc:
            _end_process(name, exc)
            raise

    return threading.Thread(target=guarded, name=name, daemon=True)


def task(run: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
    """Return a task of the running loop whose process does not outlive an error in it; to cancel it is no error."""

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (exc := task.exception()) is not None:
            _end_process(name, exc)

    guarded = asyncio.create_task(run, name=name)
    guarded.add_done_callback(ended)
    return guarded


def _end_process(name: str, exc: BaseException) -> None:
    logger.critical("%s: ended by an error, and so does its process", name, exc_info=exc)
    os.kill(os.getpid(), signal.SIGTERM)
