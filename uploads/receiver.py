"""Receives uploads in front of Django, which would put the whole body on disk before it asks who sent it.

ASGI middleware. An upload's path through it: the view itself admits it, on a request without a body (users, rights,
throttles, declared size and kind, space); the body streams once into a private folder while it is hashed; the view
is called again without a body, with the staged file or the reason for a refusal in its scope. Host, CSRF, headers and
database connections stay Django's. Invariant: what the view does not take is removed, whoever leaves when.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from processing import storage
from processing.api.errors import MediaProblem, Problem, StorageUnavailable
from processing.media.errors import StorageFull
from uploads.form import FormReader
from uploads.staged import Staged, discard
from uploads.validators import Declared, TooSlow

logger = logging.getLogger(__name__)

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

PATHS = frozenset({"/upload", "/api/v1/uploads"})
DECLARED, STAGED, REFUSED = "videoproc.declared", "videoproc.staged", "videoproc.refused"
BATCH_BYTES = 1024**2
DRAIN_BYTES = 4 * 1024**2
DRAIN_SECONDS = 2.0
BODY_HEADERS = {b"content-length", b"content-type", b"transfer-encoding", b"expect"}


class ClientGone(Exception):
    """The client closed the connection before its body was whole."""


class Receiver:
    """Passes everything but uploads on untouched."""

    def __init__(
        self, application: Application, *, idle_seconds: float = 30.0, least_bytes_per_second: float = 1024.0
    ) -> None:
        """A body that stands still for `idle_seconds`, or is slower than the least after that time, is refused."""
        self._application = application
        self._idle_seconds = idle_seconds
        self._least_bytes_per_second = least_bytes_per_second

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection or request."""
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in PATHS:
            await self._upload(scope, receive, send)
        else:
            await self._application(scope, receive, send)

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        declared = read_declared(scope)
        refusal = await self._ask(scope, {DECLARED: declared})
        if refusal[0]["status"] != HTTPStatus.NO_CONTENT:
            await answer_early(refusal, receive, send, expects=_expects_continue(scope))
            return
        staged: Staged | None = None
        try:
            staged = await self._receive(declared, receive)
            await self._application(_without_body(scope) | {STAGED: staged}, _empty(), send)
        except Problem as exc:
            refusal = await self._ask(scope, {REFUSED: exc})
            await answer_early(refusal, receive, send)
        except ClientGone:
            logger.info("upload broken off by its client")
        finally:
            if staged is not None:
                await asyncio.to_thread(staged.remove if staged.take() else staged.leave)

    async def _ask(self, scope: Scope, extra: Scope) -> list[Message]:
        """Call Django on the request without its body and return its response's messages."""
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        await self._application(_without_body(scope) | extra, _empty(), keep)
        return messages

    async def _receive(self, declared: Declared, receive: Receive) -> Staged:
        """Stream the body to disk; the folder is gone again where anything is raised."""
        upload_id = uuid4()
        key = storage.source_key(upload_id)
        try:
            try:
                path = await asyncio.to_thread(storage.stage, key)
            except StorageFull as exc:
                raise MediaProblem(exc) from exc
            reader = await asyncio.to_thread(FormReader, declared.boundary, path)
            try:
                await self._stream(reader, receive)
                await asyncio.to_thread(reader.finish)
            finally:
                reader.close()
        except OSError as exc:
            logger.error("storage unreachable", extra={"cause": repr(exc)})
            await asyncio.shield(asyncio.to_thread(discard, key))
            raise StorageUnavailable from exc
        except BaseException:  # a cancelled task must not leave a folder either
            await asyncio.shield(asyncio.to_thread(discard, key))
            raise
        return Staged(
            upload_id=upload_id,
            key=key,
            name=reader.name,
            sha256=reader.sha256,
            size_bytes=reader.size_bytes,
            fields=reader.fields,
        )

    async def _stream(self, reader: FormReader, receive: Receive) -> None:
        """Feed the reader in a thread, a batch at a time, while the next batch is collected: two in memory at most."""
        loop = asyncio.get_running_loop()
        began = last = loop.time()
        batch: list[bytes] = []
        batch_bytes = total_bytes = 0
        feeding: asyncio.Future[None] | None = None
        more = True
        try:
            async with asyncio.timeout(self._idle_seconds) as patience:
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone
                    chunk, more = message.get("body", b""), message.get("more_body", False)
                    batch.append(chunk)
                    batch_bytes += len(chunk)
                    total_bytes += len(chunk)
                    if batch_bytes >= BATCH_BYTES or not more:
                        if feeding is not None:
                            await feeding
                        feeding = loop.run_in_executor(None, reader.feed, b"".join(batch))
                        batch, batch_bytes = [], 0
                    now = loop.time()
                    if now - last > self._idle_seconds / 30:
                        patience.reschedule(now + self._idle_seconds)
                        last = now
                        self._refuse_slow(now - began, total_bytes)
            if feeding is not None:
                await feeding
        except TimeoutError as exc:
            raise TooSlow from exc
        finally:
            if feeding is not None:
                # The reader is closed next, and no thread may still write to it then.
                await asyncio.wait([feeding])
                feeding.exception()

    def _refuse_slow(self, seconds: float, total_bytes: int) -> None:
        if seconds > self._idle_seconds and total_bytes < seconds * self._least_bytes_per_second:
            raise TooSlow


def read_declared(scope: Scope) -> Declared:
    """Return what a request's header says of its body."""
    headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
    length = headers.get(b"content-length", "")
    return Declared(
        content_type=headers.get(b"content-type", ""),
        length_bytes=int(length) if length.isascii() and length.isdigit() else None,
    )


async def answer_early(messages: list[Message], receive: Receive, send: Send, *, expects: bool = False) -> None:
    """Send a response before the body was read, throw a little of the body away, and close.

    A connection closed over unread bytes is reset, and the response may be lost with it. Who `expects` 100-continue has
    sent nothing yet, and asking for a piece would invite the body.
    """
    start = messages[0]
    headers = [(name, value) for name, value in start["headers"] if name.lower() != b"connection"]
    await send({**start, "headers": [*headers, (b"connection", b"close")]})
    for message in messages[1:]:
        await send({**message, "more_body": True})
    if not expects:
        await _drain(receive)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _drain(receive: Receive) -> None:
    drained = 0
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while drained < DRAIN_BYTES:
                message = await receive()
                drained += len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
    except TimeoutError:
        return


def _expects_continue(scope: Scope) -> bool:
    return any(name.lower() == b"expect" for name, _ in scope["headers"])


def _without_body(scope: Scope) -> Scope:
    return scope | {"headers": [(name, value) for name, value in scope["headers"] if name.lower() not in BODY_HEADERS]}


def _empty() -> Receive:
    """Return a `receive` of an empty body whose client never leaves: what is whole is carried to its end."""
    told = False

    async def receive() -> Message:
        nonlocal told
        if told:
            await asyncio.Event().wait()
        told = True
        return {"type": "http.request", "body": b"", "more_body": False}

    return receive
