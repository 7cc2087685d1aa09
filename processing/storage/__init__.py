"""Where sources, working files and results lie: keys, and the one storage that the settings name.

A row publishes a file, so nothing is renamed into place: an output's key carries its attempt, and no two attempts share
one. Which storage it is (a folder that all see, or S3) nobody outside this package needs to know.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from uuid import UUID

from django.conf import settings

from processing.state.step import Claim
from processing.storage.directory import Directory
from processing.storage.interface import Opened, StorageUnreachable, Store

__all__ = ["Opened", "StorageUnreachable", "Store"]

SOURCES = "sources"
JOBS = "jobs"
_making = threading.Lock()


def source_key(upload_id: UUID | str) -> str:
    """Return the key of an upload's file; its folder holds nothing else, so a playlist in disguise finds no sibling."""
    return f"{SOURCES}/{upload_id}/source"


def output_key(claim: Claim, suffix: str = "") -> str:
    """Return the key of what a claim writes, different for each attempt."""
    return f"{JOBS}/{claim.job_id}/{claim.epoch}/{claim.kind}-{claim.index:05d}-{claim.attempt}{suffix}"


def current() -> Store:
    """Return the storage that the settings name."""
    if not settings.VIDEOPROC_STORAGE_URL:
        return Directory(Path(settings.VIDEOPROC_STORAGE_DIR))
    with _making:  # two threads that ask first at once must not make two scratch folders
        return _remote(settings.VIDEOPROC_STORAGE_URL, Path(settings.VIDEOPROC_SCRATCH_DIR))


@lru_cache(maxsize=4)
def _remote(url: str, scratch: Path) -> Store:
    # Imported only where it is chosen: the S3 client takes half a second and 40 MB.
    store: Store = import_module("processing.storage.s3").from_settings(scratch)
    return store


def reading(key: str, *, sha256: str = "", stop: threading.Event | None = None) -> AbstractContextManager[Path]:
    """Give a local path at which a file stays readable within the block; `Store.reading` has the errors."""
    return current().reading(key, sha256=sha256, stop=stop)


def stage(key: str, *, more_bytes: int = 0) -> Path:
    """Return the path at which the file of a key is to be written, with its folder made and the reserve checked."""
    return current().stage(key, more_bytes=more_bytes)


def store(key: str, *, stop: threading.Event | None = None) -> None:
    """Make what was staged durable under its key."""
    current().store(key, stop=stop)


def unstage(key: str) -> None:
    """Forget the staged copy, where it is not the stored file itself."""
    current().unstage(key)


def open_stored(key: str) -> Opened:
    """Open a file for a client; FileNotFoundError where there is none."""
    return current().open(key)


def exists(key: str) -> bool:
    """Return whether there is a file at a key."""
    return bool(key) and current().exists(key)


def delete(key: str, *, stop: threading.Event | None = None) -> None:
    """Remove the file of a key, or all files below it; nothing where they are gone already."""
    current().delete(key, stop=stop)


def discard(key: str) -> None:
    """Remove what was staged at a key, file or folder, and never stored."""
    current().discard(key)


def clean_job(job_id: UUID | str, keep: set[str]) -> None:
    """Remove a job's files but those whose keys (files or folders) are kept."""
    place = current()
    folder = f"{JOBS}/{job_id}"
    if not keep:
        place.delete(folder)
        return
    keys = list(place.keys(folder))
    place.remove([key for key in keys if keep.isdisjoint([key, *map(str, Path(key).parents)])])


def abandoned(parent: str, *, older_than_seconds: float) -> Iterator[str]:
    """Yield the names of the folders below SOURCES or JOBS in which nothing was written for so long."""
    return current().folders(parent, older_than_seconds=older_than_seconds)


def sweep(*, older_than_seconds: float) -> int:
    """Remove what interrupted writes left behind and no key names; return how many."""
    return current().sweep(older_than_seconds=older_than_seconds)


def free_bytes() -> int:
    """Return how many bytes are free where staged files lie."""
    return current().free_bytes()


def check() -> None:
    """Raise OSError where the storage cannot be reached or may not be written."""
    current().check()


def start() -> None:
    """Remove what processes of this machine that are no more left in the scratch folder."""
    if settings.VIDEOPROC_STORAGE_URL:
        current().free_bytes()
