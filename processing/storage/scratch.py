"""Local files of one process beside a remote storage: what it writes before it is stored, and copies of what it reads.

A copy is fetched once and shared by all who read it at the same time or soon after; those in nobody's use go, the one
longest unused first, once all together pass the cap or the disk its reserve. Invariant: a process has a folder of its
own, held by a lock that the kernel frees however it ends, and the next process to begin removes what the dead left.
"""

from __future__ import annotations

import atexit
import fcntl
import itertools
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from processing.media.errors import ProcessStopped, StorageFull
from processing.storage.room import refuse_full

WAIT_SECONDS = 0.2
LOCK = "lock"
Fetch = Callable[[Path], None]


@dataclass(kw_only=True)
class Copy:
    """A local copy: `ready` is set once it was fetched, or could not be."""

    path: Path
    size_bytes: int
    used: int = 0
    users: int = 0
    ready: threading.Event = field(default_factory=threading.Event)
    is_whole: bool = False


class Scratch:
    """This process's folder below `root`, for at most `cap_bytes` of copies that nobody uses at the moment."""

    def __init__(self, root: Path, *, cap_bytes: int) -> None:
        self._cap_bytes = cap_bytes
        self._copies: dict[str, Copy] = {}
        self._staged: set[Path] = set()
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._root = root
        self.folder = _own_folder(root)

    def staged(self, key: str) -> Path:
        """Return where the file or folder of a key is written."""
        above = self.folder / "staged"
        path = above / key
        if not path.resolve().is_relative_to(above.resolve()):
            raise ValueError(f"key {key!r} leads out of the scratch folder")
        return path

    def stage(self, key: str) -> Path:
        """Return where the file or folder of a key is to be written; the folder above stays until it is unstaged."""
        path = self.staged(key)
        with self._lock:
            self._staged.add(path)
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return path

    def unstage(self, key: str) -> None:
        """Remove what was staged, at a key or below it, and the folders above it in which nothing is to be written."""
        path = self.staged(key)
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        with self._lock:
            self._staged = {one for one in self._staged if not one.is_relative_to(path)}
            for folder in path.parents:
                # Another step may be about to write into it: an empty folder is not one that nobody needs.
                if folder == self.folder or any(one.is_relative_to(folder) for one in self._staged):
                    return
                try:
                    folder.rmdir()
                except FileNotFoundError:
                    continue  # it never was
                except OSError:
                    return  # something lies there

    @contextmanager
    def copy(self, key: str, size_bytes: int, fetch: Fetch, stop: threading.Event | None) -> Iterator[Path]:
        """Give a copy within the block, fetched by `fetch` where there is none; one fetch serves all who ask.

        Raises:
            ProcessStopped: `stop` was set while another's fetch was waited for.
            StorageFull: there is no room for it above the reserve.
        and whatever `fetch` raises.
        """
        copy = self._obtain(key, size_bytes, fetch, stop)
        try:
            yield copy.path
        finally:
            with self._lock:
                copy.users -= 1
                copy.used = next(self._numbers)

    def free_bytes(self) -> int:
        """Return what is free on its disk, copies that nobody uses counted as free: they go when room is wanted.

        Asked before each step; where somebody removed the folder, it is made anew.
        """
        with self._lock:
            if not self.folder.is_dir():
                self._copies.clear()
                self._staged.clear()
                self.folder = _own_folder(self._root)
            idle = sum(copy.size_bytes for copy in self._copies.values() if copy.is_whole and not copy.users)
        return shutil.disk_usage(self.folder).free + idle

    def make_room(self, more_bytes: int) -> None:
        """Let idle copies go until `more_bytes` and the reserve are free; StorageFull where they cannot be."""
        with self._lock:
            self._evict(more_bytes, to_bytes=None)
        refuse_full(shutil.disk_usage(self.folder).free, more_bytes)

    def _obtain(self, key: str, size_bytes: int, fetch: Fetch, stop: threading.Event | None) -> Copy:
        while True:
            with self._lock:
                copy = self._copies.get(key)
                if copy is not None and copy.is_whole and not copy.path.exists():
                    copy = None  # somebody removed it; those who have it open read on
                mine = copy is None
                if copy is None:
                    # The file lies alone in its folder: what it may name as a neighbour is not there.
                    path = self.folder / "copies" / str(next(self._numbers)) / Path(key).name
                    copy = self._copies[key] = Copy(path=path, size_bytes=size_bytes)
                copy.users += 1
                copy.used = next(self._numbers)
            if mine:
                self._fetch(key, copy, fetch)
            else:
                self._await(copy, stop)
            if copy.is_whole:
                return copy
            # Another's fetch failed, for a reason of its own perhaps: try it ourselves.

    def _fetch(self, key: str, copy: Copy, fetch: Fetch) -> None:
        try:
            with self._lock:
                self._evict(copy.size_bytes, to_bytes=max(self._cap_bytes - copy.size_bytes, 0))
            refuse_full(shutil.disk_usage(self.folder).free, copy.size_bytes)
            copy.path.parent.mkdir(parents=True, mode=0o700)
            fetch(copy.path)
            copy.is_whole = True
        finally:
            if not copy.is_whole:
                with self._lock:
                    if self._copies.get(key) is copy:
                        del self._copies[key]
                shutil.rmtree(copy.path.parent, ignore_errors=True)
            copy.ready.set()

    def _await(self, copy: Copy, stop: threading.Event | None) -> None:
        while not copy.ready.wait(WAIT_SECONDS):
            if stop is not None and stop.is_set():
                with self._lock:
                    copy.users -= 1
                raise ProcessStopped("stopped while a file was fetched")

    def _evict(self, more_bytes: int, *, to_bytes: int | None) -> None:
        """Remove idle copies, the longest unused first, until the rest fits; the caller holds the lock."""
        idle = [(copy.used, key) for key, copy in self._copies.items() if copy.is_whole and not copy.users]
        for _, key in sorted(idle):
            kept = sum(copy.size_bytes for copy in self._copies.values() if copy.is_whole)
            if (to_bytes is None or kept <= to_bytes) and self._has_room(more_bytes):
                return
            shutil.rmtree(self._copies.pop(key).path.parent, ignore_errors=True)

    def _has_room(self, more_bytes: int) -> bool:
        try:
            refuse_full(shutil.disk_usage(self.folder).free, more_bytes)
        except StorageFull:
            return False
        return True


def _own_folder(root: Path) -> Path:
    """Make a locked folder of this process's own, and remove those whose processes are gone."""
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (root / LOCK).open("a") as all_of_them:
        # Held meanwhile, so that nobody takes a folder for a dead one's before its lock is held.
        fcntl.flock(all_of_them, fcntl.LOCK_EX)
        for folder in root.iterdir():
            if folder.is_dir():
                _remove_dead(folder)
        own = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=root))
        held = os.open(own / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(held, fcntl.LOCK_EX)
    # Where the process is killed instead, the next one to begin does this.
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    return own


def _remove_dead(folder: Path) -> None:
    try:
        with (folder / LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return  # its process lives
    shutil.rmtree(folder, ignore_errors=True)
