"""Files that outlive a crash: written whole, their digest known, flushed to the disk with their folder.

Only here is the errno of a full disk turned into StorageFull.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av

from processing.media.errors import StorageFull

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
BLOCK_BYTES = 1 << 20


@contextmanager
def full_disk_is_typed(path: Path) -> Iterator[None]:
    """Raise StorageFull for what the system calls a full disk or an exhausted quota while `path` is written."""
    try:
        yield
    except (OSError, av.FFmpegError) as exc:
        if exc.errno in FULL:
            raise StorageFull(f"no space left while writing {path.name}") from exc
        raise


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, in lower-case hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def make_durable(path: Path) -> None:
    """Flush a finished file and its folder's entry to the disk."""
    with full_disk_is_typed(path):
        for name, flags in ((path, os.O_RDWR), (path.parent, os.O_RDONLY | os.O_DIRECTORY)):
            descriptor = os.open(name, flags)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
