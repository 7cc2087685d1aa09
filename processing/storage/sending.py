"""Files on their way into a bucket, in parts where they are large, by threads that whoever waits for them can leave.

Invariant: nobody waits without end for a file that gets nowhere. One that waits behind others of this process gets as
far as they do.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from boto3.s3.transfer import TransferConfig
from s3transfer.exceptions import CancelledError
from s3transfer.manager import TransferManager
from s3transfer.subscribers import BaseSubscriber
from s3transfer.utils import OSUtils, ReadFileChunk

from processing.media.durable import sha256_of
from processing.media.errors import ProcessStopped
from processing.storage.interface import StorageUnreachable
from processing.threads import Threads

PART_BYTES = 16 * 1024**2
SENDERS = 4
"""Requests at once of all the uploads of this process."""
PIECE_BYTES = 64 * 1024
PIECE_SECONDS = 30.0
"""A file of which less than a piece goes out, or comes in, in this time goes no more. The S3 client waits 20 s for an
answer to what it sent (backend.py), and then tries again."""
STOP_SECONDS = 0.02


class Progress(BaseSubscriber):
    """How far files went, and when a piece of them last did; told by the sending threads."""

    def __init__(self) -> None:
        self.moved_at = time.monotonic()
        self.sent_bytes = 0
        self._since_bytes = 0

    def on_progress(self, future: Any, bytes_transferred: int, **_: Any) -> None:
        """Count what went out; the first bytes are a piece, for they had to wait their turn."""
        self._since_bytes += bytes_transferred
        if not self.sent_bytes or self._since_bytes >= PIECE_BYTES:
            self._since_bytes = 0
            self.moved_at = time.monotonic()
        self.sent_bytes += bytes_transferred


class Telling(OSUtils):
    """Tells of each read that goes out; s3transfer by itself saves up a quarter of a megabyte, and a repeated part."""

    def open_file_chunk_reader_from_fileobj(
        self,
        fileobj: Any,
        chunk_size: int,
        full_file_size: int,
        callbacks: list[Any],
        close_callbacks: list[Callable[[], None]] | None = None,
    ) -> Any:
        """Return what reads a part."""
        return ReadFileChunk(
            fileobj,
            chunk_size,
            full_file_size,
            callbacks=[partial(_tell, callback) for callback in callbacks],
            enable_callbacks=False,  # until the request is signed
            close_callbacks=close_callbacks,
        )


def _tell(callback: Any, bytes_transferred: int) -> None:
    if bytes_transferred > 0:  # less where it begins anew
        callback(bytes_transferred)
        callback.flush()


class Sender:
    """Sends files to one bucket."""

    def __init__(self, client: Any) -> None:
        parts = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=SENDERS)
        # boto3's own maker of one takes no other threads than those that the interpreter waits for at its end.
        self._manager = TransferManager(client, parts, Telling(), executor_cls=Threads)
        self._all = Progress()

    def send(self, file: Path, where: dict[str, str], stop: threading.Event | None) -> None:
        """Send a file with its digest beside it; a broken upload is aborted.

        Raises:
            StorageUnreachable: less than a piece of it went out for PIECE_SECONDS.
            ProcessStopped: `stop` was set before it was there.
        and what the client raises.
        """
        own, size_bytes = Progress(), file.stat().st_size
        extra = {"Metadata": {"sha256": sha256_of(file)}}
        sending = self._manager.upload(str(file), where["Bucket"], where["Key"], extra, [own, self._all])
        stop = stop or threading.Event()
        # What is on its way when it is cancelled ends or times out by itself; then parts that have arrived are aborted.
        while not sending.done():
            if stop.wait(STOP_SECONDS):
                sending.cancel()
                raise ProcessStopped("stopped while a file was stored")
            if self._is_stuck(own, size_bytes):
                sending.cancel()
                raise StorageUnreachable(f"S3 took nothing for {PIECE_SECONDS:g} s: {where['Key']}")
        try:
            sending.result()
        except CancelledError as exc:
            raise ProcessStopped("stopped while a file was stored") from exc

    def _is_stuck(self, own: Progress, size_bytes: int) -> bool:
        if size_bytes >= PART_BYTES and own.sent_bytes >= size_bytes:
            return False  # being put together, which may take a server minutes; the client's own limits hold
        moved_at = own.moved_at if own.sent_bytes else max(own.moved_at, self._all.moved_at)
        return time.monotonic() - moved_at > PIECE_SECONDS
