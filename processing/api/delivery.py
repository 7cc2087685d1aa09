"""Files on their way to clients: ranges, digests as ETags, names; streamed piece by piece, never held whole.

A result is served as what it is, since it was written here. A source is foreign: only as an attachment, never as a type
that a browser would show.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus

from django.db import close_old_connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header, parse_etags

from processing import storage
from processing.api.errors import NotAvailable, RangeNotSatisfiable
from processing.api.ranges import Unsatisfiable, parse_range

PIECE_BYTES = 512 * 1024


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A stored file and how it is told to a client; `digest` is of its content, or names it as well as one."""

    key: str
    digest: str
    content_type: str
    name: str
    is_attachment: bool = False


class _Slice:
    """Reads the positions of an open file in a thread each; closed with its response."""

    def __init__(self, descriptor: int, positions: range) -> None:
        self._descriptor = descriptor
        self._positions = positions

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for position in range(self._positions.start, self._positions.stop, PIECE_BYTES):
            length = min(PIECE_BYTES, self._positions.stop - position)
            piece = await asyncio.to_thread(os.pread, self._descriptor, length, position)
            if len(piece) < length:
                raise OSError(f"the file ended at {position + len(piece)}, before {self._positions.stop}")
            yield piece

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def deliver(request: HttpRequest, delivery: Delivery) -> HttpResponseBase:
    """Return the response to GET or HEAD of a file: 200, 206, 304; NotAvailable or RangeNotSatisfiable raised."""
    try:
        descriptor = os.open(storage.fetch(delivery.key), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as exc:
        raise NotAvailable("The file is no longer kept.", retryable=False) from exc
    slice_ = None
    try:
        size = os.fstat(descriptor).st_size
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
        slice_ = _Slice(descriptor, range(size) if positions is None else positions)
        return StreamingHttpResponse(slice_, status=status, headers=headers)
    finally:
        if slice_ is None:
            os.close(descriptor)


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
