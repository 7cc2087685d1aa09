"""The storage of a bucket: staged files are sent when they are stored, read ones are copied to the scratch folder.

A part's digest is in its signature, so the server refuses what changed on the way, and a copy is checked against the
digest of its row. An object is visible whole or not at all, which is all that a key promises.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from django.conf import settings
from django.core.files.storage import storages
from storages.backends.s3 import S3Storage
from urllib3.exceptions import HTTPError

from processing.media.durable import full_disk_is_typed
from processing.media.errors import Damaged
from processing.storage.calls import Pace, answer_of
from processing.storage.interface import Opened, StorageUnreachable, Store
from processing.storage.scratch import Scratch
from processing.storage.sending import PIECE_BYTES, PIECE_SECONDS, Sender
from processing.threads import Threads

FETCHES = 3
"""How often a fetch that breaks off is taken up again where it was."""
DELETIONS_AT_ONCE = 16
ANSWER_SECONDS = 10.0
"""For what is answered in a moment or not at all: whether there is an object, and how large it is."""
DELETE_SECONDS = 600.0
LEAVE_SECONDS = 0.3
"""So long what is to be removed is waited for by somebody who is to stop."""
ABSENT = frozenset({"404", "NoSuchKey", "NotFound"})


@contextmanager
def _translated(key: str) -> Iterator[None]:
    try:
        yield
    except ClientError as exc:
        if _is_absence(exc):
            raise FileNotFoundError(f"{key} is not in the storage") from exc
        raise StorageUnreachable(f"S3 refuses {key}: {exc}") from exc
    except (BotoCoreError, Boto3Error, HTTPError, ResponseParserError) as exc:
        raise StorageUnreachable(f"S3 does not serve {key}: {exc}") from exc


def _is_absence(refusal: ClientError) -> bool:
    return refusal.response.get("Error", {}).get("Code", "") in ABSENT


class OpenedObject(Opened):
    """An object; each reading is one ranged request, streamed as it comes."""

    def __init__(self, client: Any, where: dict[str, str], *, size_bytes: int) -> None:
        self._client = client
        self._where = where
        self._body: Any = None
        self.size_bytes = size_bytes

    def pieces(self, positions: range, piece_bytes: int) -> Iterator[bytes]:
        """Yield the bytes at `positions`."""
        if not positions:
            return
        asked = f"bytes={positions.start}-{positions.stop - 1}"
        with _translated(self._where["Key"]):
            self._body = self._client.get_object(**self._where, Range=asked)["Body"]
            missing = len(positions)
            while missing:
                piece = self._body.read(min(piece_bytes, missing))
                if not piece:
                    raise StorageUnreachable(f"the object ended {missing} bytes before {positions.stop}")
                missing -= len(piece)
                yield piece

    def close(self) -> None:
        """Give the connection up."""
        if self._body is not None:
            self._body.close()
            self._body = None


class S3(Store):
    """Objects of a bucket, below its location; local files in `scratch`."""

    def __init__(self, backend: S3Storage, scratch: Scratch) -> None:
        self._bucket = str(backend.bucket_name)
        self._location = str(backend.location).strip("/")
        # One client for all threads; django-storages would make one for each, at 50 ms.
        self._client: Any = backend.connection.meta.client
        self._scratch = scratch
        self._endpoint = str(self._client.meta.endpoint_url)
        self._sender = Sender(self._client)
        self._deleters = Threads(DELETIONS_AT_ONCE)

    @contextmanager
    def reading(self, key: str, *, sha256: str = "", stop: threading.Event | None = None) -> Iterator[Path]:
        """Give what is staged here still, or a copy in the scratch folder."""
        staged = self._scratch.staged(key)
        if staged.is_file():
            yield staged
            return
        size_bytes = self._size(key, stop)

        def fetch(path: Path) -> None:
            for _ in range(2):
                found = answer_of(
                    lambda pace: self._download(key, path, size_bytes, pace), key, seconds=PIECE_SECONDS, stop=stop
                )
                if found == sha256 or not sha256:
                    return
            raise Damaged(f"{key} is not what it was when it was stored")

        with self._scratch.copy(key, size_bytes, fetch, stop) as path:
            yield path

    def stage(self, key: str, *, more_bytes: int = 0) -> Path:
        """Return a path in the scratch folder."""
        self._scratch.make_room(more_bytes)
        return self._scratch.stage(key)

    def store(self, key: str, *, stop: threading.Event | None = None) -> None:
        """Send the file, or each of a folder; a server that does not answer is found out before anything is sent."""
        path = self._scratch.staged(key)
        files = [file for file in sorted(path.rglob("*")) if file.is_file()] if path.is_dir() else [path]
        answer_of(lambda pace: self._ask_bucket(), key, seconds=ANSWER_SECONDS, stop=stop)
        for file in files:
            below = "" if file == path else f"/{file.relative_to(path)}"
            with _translated(key + below):
                self._sender.send(file, self._where(key + below), stop)

    def unstage(self, key: str) -> None:
        """Remove the local file."""
        self._scratch.unstage(key)

    def open(self, key: str) -> OpenedObject:
        """Ask for the object's size."""
        return OpenedObject(self._client, self._where(key), size_bytes=self._size(key))

    def exists(self, key: str) -> bool:
        """Ask for the object's head."""
        try:
            self._size(key)
        except FileNotFoundError:
            return False
        return True

    def delete(self, key: str, *, stop: threading.Event | None = None) -> None:
        """Remove object and staged file, or all below the key; who is to stop leaves it to go on by itself."""
        self._scratch.unstage(key)

        def remove(pace: Pace) -> None:
            self.remove([key, *self.keys(key)])

        answer_of(remove, key, seconds=DELETE_SECONDS, stop=stop, grace_seconds=LEAVE_SECONDS)

    def discard(self, key: str) -> None:
        """Remove the local file or folder: the server never heard of it."""
        self._scratch.unstage(key)

    def remove(self, keys: Sequence[str]) -> None:
        """Remove many at a time; deleting in one request wants a header that clients no longer send."""

        def one(key: str) -> None:
            with _translated(key):
                self._client.delete_object(**self._where(key))

        list(self._deleters.map(one, keys))

    def keys(self, prefix: str) -> Iterator[str]:
        """List the objects below a folder."""
        below = self._name(prefix) + "/"
        with _translated(prefix):
            for page in self._pages("list_objects_v2", Prefix=below):
                for found in page.get("Contents", ()):
                    yield prefix + "/" + found["Key"][len(below) :]

    def folders(self, parent: str, *, older_than_seconds: float) -> Iterator[str]:
        """List all below `parent`, and take those folders whose newest object is old enough, by the server's clock."""
        oldest = datetime.now(UTC) - timedelta(seconds=older_than_seconds)
        below = self._name(parent) + "/"
        newest: dict[str, datetime] = {}
        with _translated(parent):
            for page in self._pages("list_objects_v2", Prefix=below):
                for found in page.get("Contents", ()):
                    name = found["Key"][len(below) :].split("/", 1)[0]
                    newest[name] = max(found["LastModified"], newest.get(name, found["LastModified"]))
        yield from (name for name, at in newest.items() if at < oldest)

    def sweep(self, *, older_than_seconds: float) -> int:
        """Abort uploads in parts that a killed process never ended: they cost space and have no key."""
        oldest = datetime.now(UTC) - timedelta(seconds=older_than_seconds)
        swept = 0
        prefix = f"{self._location}/" if self._location else ""
        with _translated("unfinished uploads"):
            for page in self._pages("list_multipart_uploads", Prefix=prefix):
                for found in page.get("Uploads", ()):
                    if found["Initiated"] < oldest:
                        where = {"Bucket": self._bucket, "Key": found["Key"], "UploadId": found["UploadId"]}
                        self._client.abort_multipart_upload(**where)
                        swept += 1
        return swept

    def free_bytes(self) -> int:
        """Return what is free for the scratch folder."""
        return self._scratch.free_bytes()

    def check(self) -> None:
        """Ask for the bucket."""

        answer_of(lambda pace: self._ask_bucket(), f"bucket {self._bucket}", seconds=ANSWER_SECONDS)

    def describe(self) -> str:
        """Name bucket, endpoint and scratch folder."""
        return f"bucket {self._bucket}/{self._location} at {self._endpoint}, scratch in {self._scratch.folder.parent}"

    def _download(self, key: str, path: Path, size_bytes: int, pace: Pace) -> str:
        """Fetch a whole object and return its SHA-256; a connection that breaks is taken up where it was."""
        digest = hashlib.sha256()
        done = tries = 0
        with full_disk_is_typed(path), path.open("wb") as file:
            while done < size_bytes:
                try:
                    for piece in self._pieces(key, range(done, size_bytes)):
                        pace.moved()
                        file.write(piece)
                        digest.update(piece)
                        done += len(piece)
                except StorageUnreachable:
                    tries += 1
                    if tries >= FETCHES:
                        raise
        return digest.hexdigest()

    def _pieces(self, key: str, positions: range) -> Iterator[bytes]:
        with closing(OpenedObject(self._client, self._where(key), size_bytes=positions.stop)) as opened:
            yield from opened.pieces(positions, PIECE_BYTES)

    def _pages(self, operation: str, **arguments: str) -> Iterator[dict[str, Any]]:
        yield from self._client.get_paginator(operation).paginate(Bucket=self._bucket, **arguments)

    def _size(self, key: str, stop: threading.Event | None = None) -> int:
        def ask(pace: Pace) -> int:
            try:
                with _translated(key):
                    head = self._client.head_object(**self._where(key))
            except FileNotFoundError:
                self._ask_bucket()  # a head says no more than 404, which would be told of each object alike
                raise
            if "ContentLength" not in head:
                raise StorageUnreachable(f"what answers for {key} is no S3 server: it tells no length")
            return int(head["ContentLength"])

        return answer_of(ask, key, seconds=ANSWER_SECONDS, stop=stop)

    def _ask_bucket(self) -> None:
        try:
            with _translated(f"bucket {self._bucket}"):
                try:
                    self._client.head_bucket(Bucket=self._bucket)
                except ClientError as exc:
                    if _is_absence(exc):
                        raise
                    # A head is refused by a number alone, a list with the reason.
                    self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._name(""), MaxKeys=1)
        except FileNotFoundError as exc:
            raise StorageUnreachable(f"there is no bucket {self._bucket} at {self._endpoint}") from exc

    def _name(self, key: str) -> str:
        return f"{self._location}/{key}" if self._location else key

    def _where(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._name(key)}


def from_settings(scratch: Path) -> S3:
    """Return the storage of the bucket that the settings name."""
    backend = storages["default"]
    if not isinstance(backend, S3Storage):
        raise TypeError("VIDEOPROC_STORAGE_URL names no bucket")
    return S3(backend, Scratch(scratch, cap_bytes=settings.VIDEOPROC_SCRATCH_BYTES))
