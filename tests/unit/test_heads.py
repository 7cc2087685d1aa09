"""The head of a request is bounded in time and size, and nothing else is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn

from videoproc import heads


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Wait longer than a head may take, then answer with the length of the body."""
    size = 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    await asyncio.sleep(0.6)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"7")]})
    await send({"type": "http.response.body", "body": b"%07d" % size})


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """A server whose heads may take 0.3 s."""
    monkeypatch.setattr(heads, "HEAD_SECONDS", 0.3)
    config = uvicorn.Config(application, port=0, http=heads.BoundedHeads, lifespan="off", log_level="critical")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await serving


async def answer(port: int, *pieces: bytes, pause: float = 0.0) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
        async with asyncio.timeout(10):
            return await reader.read(65536)
    except ConnectionError:
        return b"reset"
    finally:
        writer.close()


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: a\r\n", b"GET / HTTP/1.1\r\nX: aaaa"])
async def test_who_does_not_finish_a_head_is_hung_up_on(port: int, begun: bytes) -> None:
    assert await answer(port, *([begun] if begun else [])) == b""


async def test_a_head_by_the_byte_is_too_slow_however_steady(port: int) -> None:
    head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    assert b" 200 " not in await answer(port, *(bytes([byte]) for byte in head), pause=0.05)


async def test_a_head_without_end_is_refused(port: int) -> None:
    found = await answer(port, b"GET / HTTP/1.1\r\n", *(b"X-%d: %b\r\n" % (i, b"a" * 8000) for i in range(200)))
    assert found == b"reset" or found.startswith(b"HTTP/1.1 400")


async def test_a_body_may_take_its_time_and_be_large(port: int) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 300000\r\n\r\n"
    found = await answer(port, head, b"x" * 150_000, b"x" * 150_000, pause=0.4)
    assert found.startswith(b"HTTP/1.1 200")
    assert found.endswith(b"0300000")
