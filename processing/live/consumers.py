"""The socket of one client: checks who it is, writes what the hub's reader holds, reads resumes. It keeps nothing else.

Writing is a task of its own, so a client that does not read blocks only itself; the reader's queue is bounded.
"""

from __future__ import annotations

import asyncio
import re
import time

from channels.generic.websocket import AsyncWebsocketConsumer

from processing.live import hub, messages
from processing.live.doorbell import audience
from processing.live.reader import Reader

CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
BAD_CLIENT_ID, UNAUTHENTICATED, NOT_FOUND, TOO_MANY, TOO_MUCH_JUNK, TOO_BIG = 4400, 4401, 4404, 4429, 4422, 1009
MESSAGES_A_SECOND, MESSAGES_AT_ONCE = 20.0, 60.0
MAX_BAD_MESSAGES = 20


class LiveConsumer(AsyncWebsocketConsumer):
    """Follows the jobs of one client id of the acting user."""

    # The hub subscribes once for all sockets: a channel for each would make each depend on the layer.
    channel_layer_alias = "none: the hub has the only channel"

    def __init__(self) -> None:
        super().__init__()
        self._reader: Reader | None = None
        self._writer: asyncio.Task[None] | None = None
        self._allowance = MESSAGES_AT_ONCE
        self._allowed_at = time.monotonic()
        self._bad_messages = 0
        self._closed = False

    async def connect(self) -> None:
        """Accept the socket, so that a refusal has a code that the client can read, and follow its jobs."""
        await self.accept()
        client_id = self.scope["url_route"]["kwargs"].get("client_id")
        user = self.scope.get("user")
        if client_id is None:
            await self._refuse(NOT_FOUND, "There is no such socket.")
        elif not CLIENT_ID.fullmatch(client_id):
            await self._refuse(BAD_CLIENT_ID, "A client id is 1 to 64 letters, digits, dots, underscores and hyphens.")
        elif user is None or user.pk is None:
            await self._refuse(UNAUTHENTICATED, "Sign in first.")
        else:
            self._reader = hub.of_this_loop().join(audience(user.pk, client_id))
            self._writer = asyncio.create_task(self._write(self._reader))

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Follow a resume; answer what cannot be followed, and close on who goes on with it."""
        if self._closed or self._reader is None:
            return
        if len(text_data or bytes_data or "") > messages.MAX_CHARACTERS:
            await self._refuse(TOO_BIG, "A message has at most 16 KB.")
        elif not self._may_say_more():
            await self._refuse(TOO_MANY, "Too many messages.")
        else:
            try:
                hub.of_this_loop().resume(self._reader, messages.read_resume(text_data or ""))
            except messages.BadMessage as exc:
                self._reader.say(messages.error(exc.code, exc.detail))
                self._bad_messages += 1
                if self._bad_messages > MAX_BAD_MESSAGES:
                    await self._refuse(TOO_MUCH_JUNK, "Too many messages that say nothing.")

    async def disconnect(self, code: int) -> None:
        """Let go of the reader."""
        self._closed = True
        if self._reader is not None:
            reader, self._reader = self._reader, None
            await self._stop_writing()
            await hub.of_this_loop().leave(reader)

    async def _write(self, reader: Reader) -> None:
        while True:
            message = await reader.next()
            if message is None:
                hub.of_this_loop().begin(reader)
                continue
            try:
                await self.send(text_data=message)
            except OSError:
                return  # The client is gone; its disconnect follows.

    async def _stop_writing(self) -> None:
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.wait([self._writer])
            self._writer = None

    async def _refuse(self, code: int, reason: str) -> None:
        self._closed = True
        await self._stop_writing()
        await self.close(code, reason)

    def _may_say_more(self) -> bool:
        now = time.monotonic()
        gained = (now - self._allowed_at) * MESSAGES_A_SECOND
        self._allowance = min(self._allowance + gained, MESSAGES_AT_ONCE) - 1
        self._allowed_at = now
        return self._allowance >= 0
