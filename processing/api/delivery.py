"""Files on their way to clients: ranges, digests as ETags, names; streamed piece by piece, never held whole.

A result is served as what it is, since it was written here. A source is foreign: only as an attachment, never as a type
that a browser would show.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from http import HTTPStatus

from django.db import close_old_connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header, parse_etags

from processing import storage
from processing.api.errors import NotAvailable, RangeNotSatisfiable, StorageUnavailable
from processing.api.ranges import Unsatisfiable, parse_range
from processing.threads import Threads

logger = logging.getLogger(__name__)

PIECE_BYTES = 512 * 1024
READERS = Threads(64)
"""Of their own: a storage that is slow to give must not take the threads that receive uploads and tell of health."""


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A stored file and how it is told to a client; `digest` is of its content, or names it as well as one."""

    key: str
    digest: str
    content_type: str
    name: str
    is_attachment: bool = False
    part: range | None = None
    """The positions of the file that are delivered as if they were all of it; None for all."""


class _Slice:
    """Reads the positions of an open file piece by piece, each in a thread; closed with its response."""

    def __init__(self, file: storage.Opened, positions: range, key: str) -> None:
        self._file = file
        self._key = key
        self._pieces: Iterator[bytes] = file.pieces(positions, PIECE_BYTES)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        try:
            while piece := await loop.run_in_executor(READERS, next, self._pieces, b""):
                yield piece
        except OSError as exc:
            logger.error("a file breaks off on its way to a client", extra={"key": self._key, "cause": repr(exc)})
            # For Django a client that left: it closes the response, and the server the connection, short of its length.
            raise asyncio.CancelledError from exc

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._file.close()


def deliver(request: HttpRequest, delivery: Delivery) -> HttpResponseBase:
    """Return the response to GET or HEAD of a file: 200, 206, 304; NotAvailable or RangeNotSatisfiable raised."""
    try:
        file = storage.open_stored(delivery.key)
    except FileNotFoundError as exc:
        raise NotAvailable("The file is no longer kept.", retryable=False) from exc
    except OSError as exc:
        logger.error("storage unreachable", extra={"key": delivery.key, "cause": repr(exc)})
        raise StorageUnavailable from exc
    slice_ = None
    try:
        whole = delivery.part or range(file.size_bytes)
        size = len(whole)
        etag = f'"{delivery.digest}"'
        headers = {
            "ETag": etag,
            "Accept-Ranges": "bytes",
            "Cache-Control": "private, no-cache",
            "X-Content-Type-Options": "nosniff",
        }
        if _is_known(request, etag):
            return HttpResponse(status=HTTPStatus.NOT_MODIFIED, headers=headers)
        positions = _positions(request, size, etag)
        headers |= {"Content-Type": delivery.content_type, "Content-Length": str(size)}
        headers["Content-Disposition"] = content_disposition_header(delivery.is_attachment, delivery.name) or "inline"
        status = HTTPStatus.OK
        if positions is not None:
            status = HTTPStatus.PARTIAL_CONTENT
            headers["Content-Range"] = f"bytes {positions.start}-{positions.stop - 1}/{size}"
            headers["Content-Length"] = str(len(positions))
        if request.method == "HEAD":
            return HttpResponse(status=status, headers=headers)
        # A film may take hours to be watched; its rows are read, so the connection is for others.
        close_old_connections()
        slice_ = _Slice(file, whole if positions is None else whole[positions.start : positions.stop], delivery.key)
        return StreamingHttpResponse(slice_, status=status, headers=headers)
    finally:
        if slice_ is None:
            file.close()


def _is_known(request: HttpRequest, etag: str) -> bool:
    known = [tag.removeprefix("W/") for tag in parse_etags(request.headers.get("If-None-Match", ""))]
    return etag in known or "*" in known


def _positions(request: HttpRequest, size: int, etag: str) -> range | None:
    # A file that changed since the first part was fetched is sent whole; dates are not compared, as none is sent.
    if request.headers.get("If-Range", etag) != etag:
        return None
    try:
        return parse_range(request.headers.get("Range", ""), size)
    except Unsatisfiable as exc:
        raise RangeNotSatisfiable(
            f"The file has {size} bytes; ask for one range of them.", headers={"Content-Range": f"bytes */{size}"}
        ) from exc
