"""The receiver as an ASGI application of its own, around a stand-in for Django."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from processing import storage
from uploads.receiver import DECLARED, REFUSED, STAGED, Message, Receive, Receiver, Scope, Send
from uploads.validators import TooSlow

HEAD = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
TAIL = b"\r\n--edge--\r\n"
SCOPE: Scope = {
    "type": "http",
    "method": "POST",
    "path": "/upload",
    "headers": [(b"content-type", b"multipart/form-data; boundary=edge"), (b"host", b"localhost")],
}


class View:
    """Admits everything, and keeps what it is given."""

    def __init__(self, *, takes: bool = True, admits: int = 204) -> None:
        self.scopes: list[Scope] = []
        self._takes = takes
        self._admits = admits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        status = self._admits if DECLARED in scope else 201
        if STAGED in scope and self._takes:
            assert scope[STAGED].take()
        assert await receive() == {"type": "http.request", "body": b"", "more_body": False}
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})


class Client:
    """Sends pieces, then leaves or is silent; keeps what it is answered."""

    def __init__(self, *pieces: bytes, ends: bool = True, leaves: bool = False, pause_seconds: float = 0.0) -> None:
        self.sent: list[Message] = []
        self._pieces = list(pieces)
        self._ends = ends
        self._leaves = leaves
        self._pause_seconds = pause_seconds

    async def receive(self) -> Message:
        await asyncio.sleep(self._pause_seconds)
        if self._pieces:
            more = len(self._pieces) > 1 or not self._ends
            return {"type": "http.request", "body": self._pieces.pop(0), "more_body": more}
        if not self._leaves:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)


@pytest.fixture(autouse=True)
def root(tmp_path: Path, settings: Settings) -> Path:
    settings.VIDEOPROC_STORAGE_DIR = tmp_path
    settings.VIDEOPROC_FREE_BYTES = 0
    return tmp_path


def folders() -> list[str]:
    return list(storage.abandoned(storage.SOURCES, older_than_seconds=-10))


async def test_the_view_gets_the_file_and_no_body() -> None:
    view, client = View(), Client(HEAD + b"by", b"tes" + TAIL)
    await Receiver(view)(SCOPE, client.receive, client.send)
    admission, upload = view.scopes
    assert admission[DECLARED].boundary == b"edge"
    assert all(name != b"content-type" for scope in view.scopes for name, _ in scope["headers"])
    staged = upload[STAGED]
    assert (staged.name, staged.size_bytes) == ("a.mp4", 5)
    with storage.reading(staged.key) as path:
        assert path.read_bytes() == b"bytes"
    assert folders() == [str(staged.upload_id)]
    assert client.sent[0]["status"] == 201


async def test_a_file_that_the_view_does_not_take_is_removed() -> None:
    client = Client(HEAD + b"bytes" + TAIL)
    await Receiver(View(takes=False))(SCOPE, client.receive, client.send)
    assert folders() == []


async def test_a_refused_admission_reads_nothing_and_closes() -> None:
    view, client = View(admits=401), Client(leaves=True)
    await Receiver(view)(
        SCOPE | {"headers": [*SCOPE["headers"], (b"expect", b"100-continue")]}, client.receive, client.send
    )
    assert len(view.scopes) == 1
    assert client.sent[0]["status"] == 401
    assert (b"connection", b"close") in client.sent[0]["headers"]
    assert [message.get("more_body") for message in client.sent[1:]] == [True, False]


async def test_a_client_that_leaves_is_not_answered_and_leaves_nothing() -> None:
    view, client = View(), Client(HEAD + b"half", ends=False, leaves=True)
    await Receiver(view)(SCOPE, client.receive, client.send)
    assert (len(view.scopes), client.sent, folders()) == (1, [], [])


async def test_a_client_that_falls_silent_is_refused() -> None:
    view, client = View(), Client(HEAD + b"half", ends=False)
    await Receiver(view, idle_seconds=0.1)(SCOPE, client.receive, client.send)
    assert isinstance(view.scopes[-1][REFUSED], TooSlow)
    assert folders() == []


async def test_a_client_that_drips_is_refused() -> None:
    view, client = View(), Client(*[b"x"] * 200, pause_seconds=0.01)
    await Receiver(view, idle_seconds=0.2)(SCOPE, client.receive, client.send)
    assert isinstance(view.scopes[-1][REFUSED], TooSlow)
    assert folders() == []


async def test_a_cancelled_upload_leaves_nothing() -> None:
    client = Client(HEAD + b"half", ends=False)
    task = asyncio.create_task(Receiver(View())(SCOPE, client.receive, client.send))
    while not folders():
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert folders() == []


async def test_a_full_storage_is_refused(settings: Settings) -> None:
    settings.VIDEOPROC_FREE_BYTES = 10**18
    view, client = View(), Client(HEAD + b"bytes" + TAIL)
    await Receiver(view)(SCOPE, client.receive, client.send)
    assert view.scopes[-1][REFUSED].default_code == "storage_full"


async def test_a_storage_that_cannot_be_written_is_refused(root: Path) -> None:
    (root / "sources").write_text("in the way")
    view, client = View(), Client(HEAD + b"bytes" + TAIL)
    await Receiver(view)(SCOPE, client.receive, client.send)
    assert view.scopes[-1][REFUSED].default_code == "storage_away"


@pytest.mark.parametrize(("method", "path"), [("GET", "/upload"), ("POST", "/uploads"), ("PUT", "/upload")])
async def test_everything_else_passes_untouched(method: str, path: str) -> None:
    seen: list[Any] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope, receive, send))

    client = Client()
    scope = SCOPE | {"method": method, "path": path}
    receive, send = client.receive, client.send
    await Receiver(inner)(scope, receive, send)
    assert seen == [(scope, receive, send)]
