"""The storage of one folder that every web server and worker sees: a staged file is the stored one already."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from processing.media.durable import full_disk_is_typed
from processing.storage.interface import Opened, Store
from processing.storage.room import refuse_full


class OpenedFile(Opened):
    """A local file, read at positions, so that several may read it at once."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size_bytes = os.fstat(self._descriptor).st_size

    def pieces(self, positions: range, piece_bytes: int) -> Iterator[bytes]:
        """Yield the bytes at `positions`."""
        for position in range(positions.start, positions.stop, piece_bytes):
            length = min(piece_bytes, positions.stop - position)
            piece = os.pread(self._descriptor, length, position)
            if len(piece) < length:
                raise OSError(f"the file ended at {position + len(piece)}, before {positions.stop}")
            yield piece

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Directory(Store):
    """Files below one root."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def path(self, key: str) -> Path:
        """Return where the file of a key lies; ValueError for a key that leads out of the root."""
        path = self.root / key
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise ValueError(f"key {key!r} leads out of the storage")
        return path

    @contextmanager
    def reading(self, key: str, *, sha256: str = "", stop: threading.Event | None = None) -> Iterator[Path]:
        """Give the file itself: it was checked when it came, and the disk keeps it."""
        path = self.path(key)
        if not path.is_file():
            raise FileNotFoundError(f"{key} is not in the storage")
        yield path

    def stage(self, key: str, *, more_bytes: int = 0) -> Path:
        """Return the final path: the row publishes the file, and no two attempts share a key."""
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        refuse_full(self.free_bytes(), more_bytes)
        return path

    def store(self, key: str, *, stop: threading.Event | None = None) -> None:
        """Flush the file's content, then its name, then the names of the folders above it."""
        path = self.path(key)
        above = [folder for folder in path.parents if folder.is_relative_to(self.root)]
        targets = [*sorted(path.iterdir()), path, *above] if path.is_dir() else [path, *above]
        for target in targets:
            with full_disk_is_typed(target):
                descriptor = os.open(target, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

    def unstage(self, key: str) -> None:
        """Do nothing: what is staged is the stored file."""

    def open(self, key: str) -> OpenedFile:
        """Open the file."""
        return OpenedFile(self.path(key))

    def exists(self, key: str) -> bool:
        """Return whether the file is there."""
        return self.path(key).is_file()

    def delete(self, key: str, *, stop: threading.Event | None = None) -> None:
        """Remove file or folder; the folder above stays, for another attempt may be about to write into it."""
        path = self.path(key)
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def discard(self, key: str) -> None:
        """Remove it as a stored one."""
        self.delete(key)

    def remove(self, keys: Sequence[str]) -> None:
        """Remove the files, and the folders above them that are empty then."""
        for key in keys:
            self.delete(key)
            for folder in self.path(key).parents:
                if folder == self.root or not _is_removed(folder):
                    break

    def keys(self, prefix: str) -> Iterator[str]:
        """Walk the folder; a folder with nothing in it, as a killed process may leave, is a key too."""
        for folder, folders, names in os.walk(self.path(prefix)):
            for name in names if names or folders else [""]:
                yield str(Path(folder, name).relative_to(self.root))

    def folders(self, parent: str, *, older_than_seconds: float) -> Iterator[str]:
        """Look at each folder's own time: it changed when its file was made."""
        oldest = time.time() - older_than_seconds
        try:
            with os.scandir(self.path(parent)) as entries:
                yield from [entry.name for entry in entries if entry.is_dir() and entry.stat().st_mtime < oldest]
        except FileNotFoundError:
            return

    def sweep(self, *, older_than_seconds: float) -> int:
        """Remove nothing: an interrupted write lies under its key, and goes with its job or source."""
        return 0

    def free_bytes(self) -> int:
        """Return what is free where the root lies."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        return shutil.disk_usage(self.root).free

    def check(self) -> None:
        """Raise where the root is missing or closed to us."""
        if not os.access(self.root, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(f"{self.root} cannot be written by this user")

    def describe(self) -> str:
        """Name the folder."""
        return f"folder {self.root}"


def _is_removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:
        return False  # others live there, or it is gone
    return True
