"""A client at the end of a live socket, without a server around it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from asgiref.testing import ApplicationCommunicator
from channels.routing import URLRouter
from django.db import connection

from processing.live.routing import websocket_urlpatterns


async def in_thread(act: Callable[[], Any]) -> Any:
    """Run what touches rows beside the event loop, without leaving its connection open."""

    def run() -> Any:
        try:
            return act()
        finally:
            connection.close()

    return await asyncio.to_thread(run)


class Client:
    """A socket that checks order as it reads."""

    def __init__(self, communicator: ApplicationCommunicator) -> None:
        self._communicator = communicator
        self.seqs: dict[str, list[int]] = {}
        self.percents: dict[str, list[float]] = {}
        self.status: dict[str, str] = {}
        self.snapshots: list[dict[str, Any]] = []
        self.errors: list[dict[str, Any]] = []

    async def read(self) -> dict[str, Any]:
        """Return the next message."""
        output = await self._communicator.receive_output(timeout=10)
        assert output["type"] == "websocket.send"
        message = json.loads(output["text"])
        kind, job = message["type"], message.get("job_id", "")
        if kind == "snapshot":
            self.snapshots.append(message)
            for document in message["jobs"]:
                self.seqs[document["id"]] = [document["seq"]]
                self.status[document["id"]] = document["state"]
                self.percents[document["id"]] = [document["progress"]["percent"]]
        elif kind == "error":
            self.errors.append(message)
        else:
            if kind == "event":
                self.seqs.setdefault(job, [0]).append(message["seq"])
            else:
                assert message["seq"] == self.seqs[job][-1], "progress follows the event that it names"
            self.percents.setdefault(job, []).append(message["progress"]["percent"])
            self.status[job] = message["status"]
        return message

    async def read_until(self, done: Callable[[], bool]) -> None:
        """Read until a condition holds."""
        while not done():
            await self.read()

    async def say(self, message: Any) -> None:
        """Send a message, JSON unless it is text."""
        text = message if isinstance(message, str) else json.dumps(message)
        await self._communicator.send_input({"type": "websocket.receive", "text": text})

    async def closed_with(self) -> int:
        """Read on until the server closes; return the code."""
        while True:
            output = await self._communicator.receive_output(timeout=10)
            if output["type"] == "websocket.close":
                return int(output["code"])

    def check(self) -> None:
        """Every log is consecutive and no percent goes back."""
        for seqs in self.seqs.values():
            assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
        for percents in self.percents.values():
            assert percents == sorted(percents)


@asynccontextmanager
async def socket(user: Any, client_id: str = "client") -> AsyncIterator[Client]:
    """A client connected as a user."""
    scope = {"type": "websocket", "path": f"/ws/{client_id}", "headers": [], "user": user}
    communicator = ApplicationCommunicator(URLRouter(websocket_urlpatterns), scope)
    await communicator.send_input({"type": "websocket.connect"})
    assert (await communicator.receive_output(timeout=10))["type"] == "websocket.accept"
    try:
        yield Client(communicator)
    finally:
        await communicator.send_input({"type": "websocket.disconnect", "code": 1000})
        await communicator.wait(timeout=10)
