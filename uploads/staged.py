"""A received file between its last byte and its row: who owns the folder at each moment.

The receiver owns it until the view takes it; from then on the view either publishes it by a row or removes it. So a
client that leaves while its file is probed can neither lose an accepted file nor leave one without a row.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from processing import storage
from processing.api.errors import MediaProblem, StorageUnavailable
from processing.media.errors import ProcessStopped, StorageFull

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Staged:
    """One file on the local disk with its digest and the form's text fields; `publish` makes it durable."""

    upload_id: UUID
    key: str
    name: str
    sha256: str
    size_bytes: int
    fields: Mapping[str, str]
    _free: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(1), repr=False, compare=False)
    _sent: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)

    def take(self) -> bool:
        """Make the file the caller's; False where it was taken or removed before."""
        return self._free.acquire(blocking=False)

    def publish(self) -> None:
        """Put the file into the storage; StorageUnavailable or MediaProblem (storage_full) where that fails."""
        self._sent.set()
        try:
            storage.store(self.key)
        except StorageFull as exc:
            raise MediaProblem(exc) from exc
        except OSError as exc:
            logger.error("storage unreachable", extra={"key": self.key, "cause": repr(exc)})
            raise StorageUnavailable from exc

    def leave(self) -> None:
        """Forget the local copy, where it is not the stored file itself."""
        storage.unstage(self.key)

    def remove(self) -> None:
        """Remove the file and its folder; where the storage is away too, the sweep of abandoned uploads follows."""
        if not self._sent.is_set():
            discard(self.key)
            return
        hurry = threading.Event()
        hurry.set()  # the client waits for its answer
        try:
            storage.delete(_folder(self.key), stop=hurry)
        except (OSError, ProcessStopped) as exc:
            logger.warning("received file is removed later", extra={"key": self.key, "cause": repr(exc)})


def discard(key: str) -> None:
    """Remove a received file that was never published, and its folder."""
    try:
        storage.discard(_folder(key))
    except OSError as exc:
        logger.warning("received file stays for the sweep", extra={"key": key, "cause": repr(exc)})


def _folder(key: str) -> str:
    return key.rpartition("/")[0]
