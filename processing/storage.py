"""Where sources, working files and results lie: keys, and the one way from a key to a file. A row publishes a file, so
nothing is renamed into place: an output's key carries its attempt, and no two attempts share one.

This is the storage of one directory that every worker sees.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from django.conf import settings

from processing.media.errors import StorageFull
from processing.state.step import Claim

SOURCES = "sources"
JOBS = "jobs"


def source_key(upload_id: UUID | str) -> str:
    """Return the key of an upload's file; its folder holds nothing else, so a playlist in disguise finds no sibling."""
    return f"{SOURCES}/{upload_id}/source"


def output_key(claim: Claim, suffix: str = "") -> str:
    """Return the key of what a claim writes, different for each attempt."""
    return f"{JOBS}/{claim.job_id}/{claim.epoch}/{claim.kind}-{claim.index:05d}-{claim.attempt}{suffix}"


def fetch(key: str) -> Path:
    """Return the path at which the file of a key can be read."""
    root = Path(settings.VIDEOPROC_STORAGE_DIR)
    path = root / key
    if not path.resolve().is_relative_to(root.resolve()):
        raise ValueError(f"key {key!r} leads out of the storage")
    return path


def stage(key: str) -> Path:
    """Return the path at which the file of a key is to be written, with its folder made and the reserve checked."""
    path = fetch(key)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if free_bytes() < settings.VIDEOPROC_FREE_BYTES:
        raise StorageFull(f"less than {settings.VIDEOPROC_FREE_BYTES} bytes are free in the storage")
    return path


def store(key: str) -> None:
    """Make a written file durable: its content, then its name, then the names of the folders above it."""
    path = fetch(key)
    root = Path(settings.VIDEOPROC_STORAGE_DIR)
    above = [folder for folder in path.parents if folder.is_relative_to(root)]
    targets = [*sorted(path.iterdir()), path, *above] if path.is_dir() else [path, *above]
    for target in targets:
        descriptor = os.open(target, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def exists(key: str) -> bool:
    """Return whether there is a file at a key."""
    return bool(key) and fetch(key).is_file()


def delete(key: str) -> None:
    """Remove the file or folder of a key, and its parent where that is empty then; nothing where it is gone already."""
    path = fetch(key)
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
    try:
        path.parent.rmdir()
    except OSError:
        return  # others live there, or it is gone


def clean_job(job_id: UUID | str, keep: set[str]) -> None:
    """Remove a job's files but those whose keys (files or folders) are kept."""
    folder = fetch(f"{JOBS}/{job_id}")
    if not folder.is_dir():
        return
    for epoch in folder.iterdir():
        for entry in epoch.iterdir():
            key = f"{JOBS}/{job_id}/{epoch.name}/{entry.name}"
            if key not in keep:
                delete(key)


def source_folders() -> Iterator[Path]:
    """Return the folder of each source, those without a row too; its name is the upload's id."""
    folder = fetch(SOURCES)
    return folder.iterdir() if folder.is_dir() else iter(())


def free_bytes() -> int:
    """Return how many bytes are free where the storage lies."""
    root = Path(settings.VIDEOPROC_STORAGE_DIR)
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    return shutil.disk_usage(root).free
