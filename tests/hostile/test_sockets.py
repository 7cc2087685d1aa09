"""Sockets that flood, lie, never read or come from elsewhere: closed with a code, and the others notice nothing."""

from __future__ import annotations

import json
import socket as sockets
import time

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.door import Door, eventually, request_head


@pytest.fixture
def address(door: Door) -> str:
    return f"ws://127.0.0.1:{door.port}/ws/me"


def opened(address: str, tokens: dict[str, str]) -> ClientConnection:
    socket = connect(address, additional_headers={"Authorization": f"Token {tokens['ada']}"}, open_timeout=10)
    assert json.loads(socket.recv(timeout=10))["type"] == "snapshot"
    return socket


def end_of(socket: ClientConnection) -> int | None:
    """Read until the server closes and return its code."""
    give_up = time.monotonic() + 10
    try:
        while time.monotonic() < give_up:
            socket.recv(timeout=10)
    except ConnectionClosed as exc:
        return exc.rcvd.code if exc.rcvd else None
    raise AssertionError("it was never closed")


def said(socket: ClientConnection, message: object) -> str:
    socket.send(message if isinstance(message, str | bytes) else json.dumps(message))
    answer = json.loads(socket.recv(timeout=10))
    assert answer["type"] == "error"
    return str(answer["code"])


def test_resumes_that_make_no_sense(address: str, tokens: dict[str, str], job: str) -> None:
    with opened(address, tokens) as socket:
        for since in (-1, "abc", 1.5, None, True, [], 10**19, float("nan")):
            assert said(socket, {"type": "resume", "jobs": {job: since}}) in {"bad_seq", "not_json"}
        for jobs in ([], "all", None, {"x": 1}, {job + "\0": 1}, {str(i): 1 for i in range(300)}):
            code = said(socket, {"type": "resume", "jobs": jobs})
            assert code in {"bad_resume", "bad_job_id", "too_many_jobs"}
    with opened(address, tokens) as socket:
        assert said(socket, {"type": "resume", "jobs": {job: 10**18}}) in {"seq_ahead", "unknown_job"}
        for text in ("", "[" * 10_000, "9" * 5000, '{"type":"\\ud800"}', b"\xff\xfe", "null", '{"type":"subscribe"}'):
            assert said(socket, text) in {"not_json", "unknown_type"}


@pytest.mark.parametrize(
    ("message", "times", "codes"),
    [
        ("x" * 1024**2, 1, {1009}),
        ("x" * 20_000, 1, {1009}),
        ("{}", 1000, {4422, 4429}),
        ('{"type":"resume","jobs":{}}', 1000, {4429}),
    ],
    ids=["1 MB", "20 kB", "1000 that say nothing", "1000 resumes"],
)
def test_too_much(address: str, tokens: dict[str, str], message: str, times: int, codes: set[int]) -> None:
    with opened(address, tokens) as socket, opened(address, tokens) as other:
        try:
            for _ in range(times):
                socket.send(message)
        except ConnectionClosed:
            pass
        assert end_of(socket) in codes
        assert said(other, "{}") == "unknown_type", "another socket of the same person goes on"


@pytest.mark.parametrize(
    "origin", ["http://evil.test", "null", "http://127.0.0.1", "http://[broken", "http://127.0.0.1@evil.test"]
)
def test_pages_of_other_sites(address: str, tokens: dict[str, str], origin: str) -> None:
    headers = {"Authorization": f"Token {tokens['ada']}"}
    with connect(address, additional_headers=headers, origin=origin) as socket:  # type: ignore[arg-type]
        assert end_of(socket) == 4403


@pytest.mark.parametrize(
    ("path", "code"), [("/ws/a b", 4400), ("/ws/" + "a" * 65, 4400), ("/ws/a/b", 4404), ("/admin/", 4404)]
)
def test_paths_that_are_none(door: Door, tokens: dict[str, str], path: str, code: int) -> None:
    headers = {"Authorization": f"Token {tokens['ada']}"}
    with connect(f"ws://127.0.0.1:{door.port}{path.replace(' ', '%20')}", additional_headers=headers) as socket:
        assert end_of(socket) == code


def test_handshakes_that_break_the_rules(door: Door) -> None:
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
    for headers in ({}, {"Sec-WebSocket-Key": "x", "Sec-WebSocket-Version": "13"}, {"Sec-WebSocket-Version": "99"}):
        with door.connect() as connection:
            connection.sendall(request_head("/ws/me", upgrade | headers, "GET"))
            assert connection.recv(65536).split()[1] in {b"400", b"426"}


def test_who_never_reads_costs_nothing(door: Door, address: str, tokens: dict[str, str]) -> None:
    before = door.peak_bytes()
    silent = []
    for _ in range(20):
        socket = opened(address, tokens)
        socket.socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 1024)
        silent.append(socket)
    for socket in silent:
        for _ in range(20):
            socket.send("{}")
    with opened(address, tokens) as other:
        assert said(other, "{}") == "unknown_type"
    for socket in silent:
        socket.socket.close()
    eventually(lambda: door.peak_bytes() - before < 16 * 1024**2)
