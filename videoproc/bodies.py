"""Caps the body of every request but uploads before Django sees it, which would put any length of it on disk.

ASGI middleware, behind the receiver. A body within the cap is read here and handed on at once.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus

from django.conf import settings

from uploads.receiver import Application, Message, Receive, Scope, Send, answer_early, read_declared
from videoproc import problems

BODY_SECONDS = 30.0
WITHOUT_BODY = {"GET", "HEAD", "OPTIONS"}


class BodyCap:
    """Refuses what is larger than DATA_UPLOAD_MAX_MEMORY_SIZE or takes too long."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection or request."""
        if scope["type"] != "http" or _has_no_body(scope):
            await self._application(scope, receive, send)
            return
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _read(scope, receive)
        except TimeoutError:
            problem = problems.document(HTTPStatus.REQUEST_TIMEOUT, "too_slow", "The body stalled.", retryable=True)
            await answer_early(_messages(problem), receive, send)
            return
        if body is None:
            detail = f"A body here may have at most {settings.DATA_UPLOAD_MAX_MEMORY_SIZE} bytes."
            problem = problems.document(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", detail)
            await answer_early(_messages(problem), receive, send)
            return
        await self._application(scope, _replay(body, receive), send)


def _has_no_body(scope: Scope) -> bool:
    names = {name.lower() for name, _ in scope["headers"]}
    # Without either header there is no body; reading one would only cost time.
    return scope["method"] in WITHOUT_BODY and not names & {b"content-length", b"transfer-encoding"}


async def _read(scope: Scope, receive: Receive) -> list[Message] | None:
    """Return the messages of the body; None where it is too large."""
    cap = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    if (read_declared(scope).length_bytes or 0) > cap:
        return None
    messages: list[Message] = []
    total = 0
    while True:
        message = await receive()
        messages.append(message)
        total += len(message.get("body", b""))
        if total > cap:
            return None
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return messages


def _replay(messages: list[Message], receive: Receive) -> Receive:
    waiting = iter(messages)

    async def replay() -> Message:
        for message in waiting:
            return message
        return await receive()

    return replay


def _messages(problem: dict[str, object]) -> list[Message]:
    body = json.dumps(problem).encode()
    headers = [
        (b"content-type", problems.CONTENT_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
    ]
    return [
        {"type": "http.response.start", "status": problem["status"], "headers": headers},
        {"type": "http.response.body", "body": body},
    ]
