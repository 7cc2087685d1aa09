"""What a storage does, whichever it is: files under keys, read and written as local files, listed, swept and streamed.

Invariant of all: a file under a key is whole and never changes; whoever reads it sees all of it or FileNotFoundError.
What is wrong with the storage itself is an OSError, a disk without room StorageFull.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path


class StorageUnreachable(OSError):
    """The storage does not answer, or refuses to serve us."""


class Opened(ABC):
    """A file on its way to a client; to be closed."""

    size_bytes: int

    @abstractmethod
    def pieces(self, positions: range, piece_bytes: int) -> Iterator[bytes]:
        """Yield the bytes at `positions`, at most `piece_bytes` at a time; OSError where the file ends too soon."""

    @abstractmethod
    def close(self) -> None:
        """Give back what was opened; may be called twice."""


class Store(ABC):
    """A place for files under keys."""

    @abstractmethod
    def reading(
        self, key: str, *, sha256: str = "", stop: threading.Event | None = None
    ) -> AbstractContextManager[Path]:
        """Give a local path at which the file of a key stays readable within the block.

        Raises:
            FileNotFoundError: there is no such file.
            Damaged: it was brought here, twice, and does not have the given digest.
            ProcessStopped: `stop` was set while it was brought here.
            StorageFull: there is no room for it here.
        """

    @abstractmethod
    def stage(self, key: str, *, more_bytes: int = 0) -> Path:
        """Return the path at which the file or folder of a key is to be written, its folder made.

        StorageFull where `more_bytes` and the reserve are not free there.
        """

    @abstractmethod
    def store(self, key: str, *, stop: threading.Event | None = None) -> None:
        """Make what was written at the staged path durable under its key; a folder with all files in it.

        ProcessStopped where `stop` is set before that is done.
        """

    @abstractmethod
    def unstage(self, key: str) -> None:
        """Forget the staged copy, where it is not the stored file itself."""

    @abstractmethod
    def open(self, key: str) -> Opened:
        """Open a file for a client; FileNotFoundError where there is none."""

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Return whether there is a file at a key."""

    @abstractmethod
    def delete(self, key: str, *, stop: threading.Event | None = None) -> None:
        """Remove the file of a key, or all files below it; nothing where they are gone already.

        ProcessStopped where `stop` is set and the storage takes its time: it is removed later, or never.
        """

    @abstractmethod
    def discard(self, key: str) -> None:
        """Remove what was staged at a key, file or folder, and never stored."""

    @abstractmethod
    def remove(self, keys: Sequence[str]) -> None:
        """Remove the files of these keys, and folders that are empty then: only where nobody writes any more."""

    @abstractmethod
    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys of all files below a folder."""

    @abstractmethod
    def folders(self, parent: str, *, older_than_seconds: float) -> Iterator[str]:
        """Yield the names of the folders directly below `parent` in which nothing was written for so long."""

    @abstractmethod
    def sweep(self, *, older_than_seconds: float) -> int:
        """Remove what interrupted writes left behind and no key names; return how many."""

    @abstractmethod
    def free_bytes(self) -> int:
        """Return how many bytes are free where staged files lie."""

    @abstractmethod
    def check(self) -> None:
        """Raise OSError where the storage cannot be reached or may not be written."""

    @abstractmethod
    def describe(self) -> str:
        """Say where it is, without secrets."""
