"""Signals that end a command line: the first one interrupts the work, later ones find the cleaning under way.

Invariant: a signal that was ignored when the command began stays ignored, as `nohup` and a shell's background want it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, an orderly stop, and a terminal that was closed."""


@contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """Raise KeyboardInterrupt at the first ending signal, in the main thread; those after it do nothing.

    Yields what makes all of them do nothing: for the moments that leave half a result when they are cut short.
    """
    heard = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]

    def ignore() -> None:
        for number in heard:
            signal.signal(number, _do_nothing)

    def interrupt(number: int, frame: FrameType | None) -> None:
        ignore()
        raise KeyboardInterrupt

    before = [(number, signal.signal(number, interrupt)) for number in heard]
    try:
        yield ignore
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """Be the handler of signals that come too late; SIG_IGN instead makes Python complain of those just caught."""
