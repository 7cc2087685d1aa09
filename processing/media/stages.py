"""Three stages that overlap, each in a thread of its own, with little between them: read, change, write.

Invariant: `run_stages` returns or raises only when no thread of it is left, and it raises the first error of any stage.
Codecs and OpenCV release the interpreter's lock, so the stages really run at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TypeVar

Read = TypeVar("Read")
Changed = TypeVar("Changed")

ITEMS_BETWEEN = 1
"""Two more are in the hands of the stages on either side, and a decoded picture of 2160p takes 13 MB."""
POLL_SECONDS = 0.1


class _Stopped(Exception):
    """Another stage failed."""


class _Failure:
    """The first error of any stage; setting it stops the others."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.is_set = Event()

    def set(self, error: BaseException) -> None:
        if self.error is None:
            self.error = error
        self.is_set.set()


class _Channel:
    """A bounded queue whose both ends leave when another stage has failed."""

    def __init__(self, failure: _Failure) -> None:
        self._queue: Queue[object] = Queue(ITEMS_BETWEEN)
        self._failure = failure

    def put(self, item: object) -> None:
        while not self._failure.is_set.is_set():
            try:
                return self._queue.put(item, timeout=POLL_SECONDS)
            except Full:
                continue
        raise _Stopped

    def __iter__(self) -> Iterator[object]:
        while not self._failure.is_set.is_set():
            try:
                item = self._queue.get(timeout=POLL_SECONDS)
            except Empty:
                continue
            if item is _END:
                return
            yield item
        raise _Stopped


_END = object()


def run_stages(
    read: Iterable[Read], change: Callable[[Read], Changed | None], write: Callable[[Changed], None]
) -> None:
    """Pass each item of `read` through `change` to `write`, in order; None from `change` goes no further.

    `write` runs in the caller's thread. At most `ITEMS_BETWEEN` items wait between two stages, so memory stays flat.
    """
    failure = _Failure()
    inlet, outlet = _Channel(failure), _Channel(failure)

    def reading() -> None:
        for item in read:
            inlet.put(item)
        inlet.put(_END)

    def changing() -> None:
        for item in inlet:
            changed = change(item)  # type: ignore[arg-type]
            if changed is not None:
                outlet.put(changed)
        outlet.put(_END)

    def guarded(stage: Callable[[], None]) -> None:
        try:
            stage()
        except _Stopped:
            return
        except BaseException as error:  # noqa: BLE001  (raised again in the caller's thread)
            failure.set(error)

    def writing() -> None:
        for item in outlet:
            write(item)  # type: ignore[arg-type]

    threads = [Thread(target=guarded, args=(stage,), name=stage.__name__) for stage in (reading, changing)]
    for thread in threads:
        thread.start()
    try:
        guarded(writing)
    finally:
        for thread in threads:
            thread.join()
    if failure.error is not None:
        raise failure.error
