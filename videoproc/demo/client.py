"""Talks to a running service as any client may: uploads over HTTP, follows the WebSocket, downloads.

Invariant: what the service refuses, or answers otherwise than documented, is raised as ClientError.
"""

from __future__ import annotations

import http.client
import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

CHUNK_BYTES = 256 * 1024
ANSWER_SECONDS = 60.0
QUIET_SECONDS = 15.0
"""After so long without a message the job itself is asked for."""
STUCK_SECONDS = 300.0
RECONNECTS = 20
MOST_MESSAGE_BYTES = 8 * 1024 * 1024


class ClientError(Exception):
    """The service said no, said something else than documented, or said nothing."""


@dataclass(frozen=True, kw_only=True)
class Uploaded:
    """An accepted upload."""

    file_id: str
    job_url: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Where a job is: its state, how far, and what just happened (None: only progress)."""

    event: str | None
    state: str
    percent: float
    speed_x: float | None


class Client:
    """A client of the service at `url` (http://host:port) that goes by `client_id`."""

    def __init__(self, url: str, client_id: str) -> None:
        self.url = url
        self.client_id = client_id
        self._address = urlsplit(url).netloc

    def listen(self) -> ClientConnection:
        """Open the WebSocket; what happens from now on waits in it until it is read."""
        return connect(
            f"ws://{self._address}/ws/{self.client_id}", max_size=MOST_MESSAGE_BYTES, open_timeout=ANSWER_SECONDS
        )

    def upload(self, path: Path, *, preset: str, note: Callable[[float], None]) -> Uploaded:
        """Send a file as a form; `note` hears the share sent (0 to 1). ClientError with the problem's sentence."""
        began = time.monotonic()
        head, tail, boundary = self._form(path.name, preset)
        size_bytes = path.stat().st_size
        connection = http.client.HTTPConnection(self._address, timeout=ANSWER_SECONDS)
        try:
            connection.request(
                "POST",
                "/upload",
                body=_body(head, path, tail, size_bytes, note),
                headers={
                    "Content-Type": f"multipart/form-data; boundary={boundary}",
                    "Content-Length": str(len(head) + size_bytes + len(tail)),
                },
            )
            answer = _document(connection.getresponse(), expected=http.client.CREATED)
        except (BrokenPipeError, ConnectionResetError):
            # Refused before the last byte: the answer is there all the same.
            answer = _document(connection.getresponse(), expected=http.client.CREATED)
        finally:
            connection.close()
        seconds = time.monotonic() - began
        status = self.get(f"/internal/video-enhancement-status/{answer['file_id']}")
        return Uploaded(file_id=answer["file_id"], job_url=f"/api/v1/jobs/{status['job_id']}", seconds=seconds)

    def follow(self, socket: ClientConnection, uploaded: Uploaded) -> Iterator[Moment]:
        """Yield what happens to the upload's job until it has ended; a lost connection is opened again."""
        reconnects = 0
        heard = time.monotonic()
        while True:
            try:
                message = json.loads(socket.recv(timeout=QUIET_SECONDS))
            except TimeoutError:
                if time.monotonic() - heard > STUCK_SECONDS:
                    raise ClientError(f"nothing has moved for {STUCK_SECONDS:g} s") from None
                message = {"type": "snapshot", "jobs": [self.get(uploaded.job_url)]}
            except WebSocketException as exc:
                reconnects += 1
                if reconnects > RECONNECTS:
                    raise ClientError(f"the WebSocket closed {RECONNECTS} times: {exc}") from exc
                socket = self.listen()
                continue
            else:
                heard = time.monotonic()
            for moment in _moments(message, uploaded.file_id):
                yield moment
                if moment.state in {"ready", "failed", "cancelled"}:
                    return

    def get(self, path: str) -> Any:
        """Return the JSON document at `path`."""
        connection = http.client.HTTPConnection(self._address, timeout=ANSWER_SECONDS)
        try:
            connection.request("GET", path, headers={"Accept": "application/json"})
            return _document(connection.getresponse(), expected=http.client.OK)
        finally:
            connection.close()

    def download(self, path: str, target: Path) -> None:
        """Write what is at `path` into the file `target`, whole or not at all."""
        draft = target.with_name(f".{target.name}.part")
        connection = http.client.HTTPConnection(self._address, timeout=ANSWER_SECONDS)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            if response.status != http.client.OK:
                raise ClientError(_sentence(path, response.status, response.read()))
            received = 0
            with draft.open("wb") as file:
                while chunk := response.read(CHUNK_BYTES):
                    received += file.write(chunk)
            announced = response.headers.get("Content-Length")
            if announced is not None and received != int(announced):
                raise ClientError(f"{path}: {received} of {announced} bytes arrived")
            draft.replace(target)
        finally:
            connection.close()
            draft.unlink(missing_ok=True)

    def _form(self, name: str, preset: str) -> tuple[bytes, bytes, str]:
        boundary = secrets.token_hex(16)
        fields = "".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'
            for key, value in (("client_id", self.client_id), ("preset", preset))
        )
        # RFC 7578 leaves quoting to HTML, which escapes these three and nothing else.
        quoted = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        disposition = f'Content-Disposition: form-data; name="file"; filename="{quoted}"'
        file = f"--{boundary}\r\n{disposition}\r\nContent-Type: application/octet-stream\r\n\r\n"
        return (fields + file).encode(), f"\r\n--{boundary}--\r\n".encode(), boundary


def _body(head: bytes, path: Path, tail: bytes, size_bytes: int, note: Callable[[float], None]) -> Iterator[bytes]:
    yield head
    sent = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
            sent += len(chunk)
            note(sent / size_bytes)
    yield tail


def _document(response: http.client.HTTPResponse, *, expected: int) -> Any:
    body = response.read()
    if response.status != expected:
        raise ClientError(_sentence("the service", response.status, body))
    try:
        return json.loads(body)
    except ValueError as exc:
        raise ClientError(f"the service answered {response.status} without JSON") from exc


def _sentence(where: str, status: int, body: bytes) -> str:
    try:
        problem = json.loads(body)
        return f"{where} answered {status} {problem['code']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"{where} answered {status}"


def _moments(message: dict[str, Any], file_id: str) -> Iterator[Moment]:
    """Yield what a message says of one upload's job."""
    if message.get("type") == "snapshot":
        jobs = [job for job in message["jobs"] if job["file_id"] == file_id]
        yield from (_moment(None, job["state"], job["progress"]) for job in jobs)
    elif message.get("type") in {"event", "progress"} and message["file_id"] == file_id and message["progress"]:
        yield _moment(message.get("event"), message["status"], message["progress"])


def _moment(event: str | None, state: str, progress: dict[str, Any]) -> Moment:
    return Moment(event=event, state=state, percent=progress["percent"], speed_x=progress.get("speed_x"))
