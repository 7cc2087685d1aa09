"""Publishes hints right after a commit made a step runnable; only haste, the dispatcher is the guarantee.

Nothing is nudged in a process that did not call `start`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from django.db import connection

from processing import vital
from processing.state.errors import DATABASE_AWAY

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 0.05
"""Between two passes: of the commits of many slots, most then share one. Two hints lie ready for whoever is quicker."""

IDLE_SECONDS = 1.0
"""Without a nudge for so long, the database connection is given back."""


class Nudger:
    """A thread that hints at due steps as soon as a commit made some; nudges that come together are one pass."""

    def __init__(self, hint: Callable[[], int]) -> None:
        self._hint = hint
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = vital.thread(self._run, name="nudger")
        self._thread.start()

    def nudge(self) -> None:
        """Ask for a pass; never blocks."""
        self._wake.set()

    def close(self) -> None:
        """End the thread after the pass it is in."""
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while True:
            if not self._wake.wait(IDLE_SECONDS):
                connection.close()  # to the pool; while nudges come it is kept, for taking one out asks the database
                self._wake.wait()
            self._wake.clear()
            if self._closing.is_set():
                break
            try:
                self._hint()
            except DATABASE_AWAY as exc:
                connection.close()
                logger.warning("database unreachable, hints wait", extra={"cause": str(exc)})
            self._closing.wait(PAUSE_SECONDS)
        connection.close()


_nudger: Nudger | None = None


def start(hint: Callable[[], int]) -> None:
    """Let commits of this process publish hints at once, by calling `hint` (dispatch.hint_due)."""
    global _nudger
    if _nudger is None:
        _nudger = Nudger(hint)


def stop() -> None:
    """End the nudger's thread."""
    global _nudger
    if _nudger is not None:
        _nudger.close()
        _nudger = None


def nudge() -> None:
    """Ask for a pass soon, where this process nudges."""
    if _nudger is not None:
        _nudger.nudge()
