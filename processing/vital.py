"""Threads without which a process is worse than dead: it would go on taking work that nobody renews, hints or tells of.

Invariant: where such a thread ends by an error that nobody foresaw, its process ends in order, and whoever minds the
processes starts another; an end is mended, silence is not.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)


def thread(run: Callable[[], None], *, name: str) -> threading.Thread:
    """Return a daemon thread, not started, whose process does not outlive an error in it."""

    def guarded() -> None:
        try:
            run()
        except Exception:
            logger.critical("%s: ended by an error, and so does its process", name, exc_info=True)
            os.kill(os.getpid(), signal.SIGTERM)
            raise

    return threading.Thread(target=guarded, name=name, daemon=True)
