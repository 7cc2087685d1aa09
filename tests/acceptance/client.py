"""A black-box client written from the documented interface alone: HTTP and WebSocket, nothing of the project imported.

Invariant: it believes nothing: each answer's shape is asserted, and a gap, a repeat or a step back in what the socket
says is an AssertionError.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

ENDED = {"ready", "failed", "cancelled"}
STATES = ["queued", "probing", "enhancing", "joining", "publishing", "ready"]


@dataclass(kw_only=True)
class Followed:
    """What a socket said of one job, in order."""

    statuses: list[str] = field(default_factory=list)
    """Each state once, in the order they came."""
    events: list[str] = field(default_factory=list)
    seq: int = 0
    percent: float = 0.0
    job_id: str = ""
    missed_until: int = 0
    """The seq that a replay under way leads up to; until then later events may come before it."""
    early: dict[int, dict[str, Any]] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return bool(self.statuses) and self.statuses[-1] in ENDED

    def happened(self, message: dict[str, Any]) -> None:
        """Add an event, and those after it that came before it."""
        if message["seq"] <= self.seq:
            assert self.seq <= self.missed_until, f"event {message['seq']} came again after {self.seq}"
            return
        self.early[message["seq"]] = message
        assert message["seq"] == self.seq + 1 or self.seq < self.missed_until, (
            f"event {message['seq']} after {self.seq}"
        )
        while (following := self.early.pop(self.seq + 1, None)) is not None:
            self.seq += 1
            self.events.append(following["event"])
            self.saw(following["status"], following["progress"]["percent"])

    def saw(self, status: str, percent: float) -> None:
        if not self.statuses or self.statuses[-1] != status:
            self.statuses.append(status)
        assert percent >= self.percent or status in ENDED, f"progress ran back from {self.percent} to {percent}"
        self.percent = max(percent, self.percent)


class BlackBox:
    """One client of the service at `url`; with a token where the service wants one."""

    def __init__(self, url: str, client_id: str, *, token: str | None = None) -> None:
        self.client_id = client_id
        self._headers = {"Authorization": f"Token {token}"} if token else {}
        self._socket_url = f"ws://{urlsplit(url).netloc}/ws/{client_id}"
        self._http = httpx.Client(base_url=url, headers=self._headers, timeout=30)

    def close(self) -> None:
        self._http.close()

    def upload(self, path: Path, **fields: str) -> dict[str, Any]:
        """Send a file and return the answer, which must be 201."""
        with path.open("rb") as file:
            response = self._http.post(
                "/upload", files={"file": (path.name, file)}, data={"client_id": self.client_id, **fields}
            )
        assert response.status_code == 201, response.text
        answer = response.json()
        assert answer.keys() >= {"file_id", "client_id", "status", "job"}
        assert answer["client_id"] == self.client_id
        assert response.headers["Location"]
        return answer

    def refused(self, path: str, **options: Any) -> dict[str, Any]:
        """POST what must be refused and return the problem document."""
        response = self._http.post(path, **options)
        assert 400 <= response.status_code < 500, response.text
        assert response.headers["Content-Type"].startswith("application/problem+json")
        problem = response.json()
        assert problem.keys() >= {"type", "title", "status", "detail", "code", "retryable"}
        assert problem["status"] == response.status_code
        return problem

    def get(self, path: str, *, status: int = 200) -> Any:
        """Return the JSON at a path, which must answer with `status`."""
        response = self._http.get(path)
        assert response.status_code == status, response.text
        return response.json()

    def enhancement(self, file_id: str) -> dict[str, Any]:
        """Return the enhancement status of an upload."""
        answer = self.get(f"/internal/video-enhancement-status/{file_id}")
        assert answer.keys() >= {"file_id", "status", "progress", "error", "job_id", "result_url"}
        assert answer["file_id"] == file_id
        assert 0 <= answer["progress"] <= 100
        return answer

    def metadata(self, file_id: str) -> dict[str, Any]:
        """Return the metadata status of an upload."""
        answer = self.get(f"/internal/metadata-extraction-status/{file_id}")
        assert answer.keys() >= {"file_id", "status", "progress", "error", "job_id", "metadata", "poster_url"}
        assert answer["status"] in {"queued", "probing", "ready", "failed"}
        return answer

    def download(self, path: str, target: Path) -> Path:
        """Write what a path answers into a file."""
        with self._http.stream("GET", path) as response:
            assert response.status_code == 200
            with target.open("wb") as file:
                for chunk in response.iter_bytes():
                    file.write(chunk)
        return target

    def part(self, path: str, first: int, last: int) -> httpx.Response:
        """Ask for the bytes from `first` to `last`, both included."""
        return self._http.get(path, headers={"Range": f"bytes={first}-{last}"})

    def listen(self) -> ClientConnection:
        """Open the socket; its first message is the snapshot."""
        return connect(self._socket_url, additional_headers=self._headers, open_timeout=30, max_size=2**24)

    def follow(
        self, socket: ClientConnection, file_id: str, followed: Followed, *, seconds: float, until: str | None = None
    ) -> Followed:
        """Read the socket until the upload's job has ended or `until`, a state or an event, has come.

        AssertionError when that takes too long.

        A snapshot counts where the job is in it; from there on each `seq` follows the one before.
        """
        give_up = time.monotonic() + seconds
        while not followed.ended and until not in {*followed.statuses, *followed.events}:
            left = give_up - time.monotonic()
            assert left > 0, f"after {seconds:g} s it was {followed}"
            try:
                message = json.loads(socket.recv(timeout=left))
            except TimeoutError:
                continue
            take(message, file_id, followed)
        return followed

    def follow_anew(self, file_id: str, followed: Followed, *, seconds: float) -> Followed:
        """Connect again, ask for what was missed and read on to the end; repeats until a connection lasts."""
        give_up = time.monotonic() + seconds
        while not followed.ended:
            left = give_up - time.monotonic()
            assert left > 0, f"after {seconds:g} s it was {followed}"
            try:
                with self.listen() as socket:
                    self.resume(socket, followed)
                    self.follow(socket, file_id, followed, seconds=left)
            except (ConnectionClosed, OSError):
                continue
        return followed

    def resume(self, socket: ClientConnection, followed: Followed) -> None:
        """Read the snapshot and ask for the events after the last one seen."""
        snapshot = json.loads(socket.recv(timeout=30))
        assert snapshot["type"] == "snapshot"
        (job,) = [job for job in snapshot["jobs"] if job["id"] == followed.job_id]
        assert job["seq"] >= followed.seq
        followed.missed_until = job["seq"]
        socket.send(json.dumps({"type": "resume", "jobs": {followed.job_id: followed.seq}}))


def take(message: dict[str, Any], file_id: str, followed: Followed) -> None:
    """Add what a message says of one upload's job."""
    kind = message["type"]
    assert kind in {"snapshot", "event", "progress"}, message
    if kind == "snapshot":
        for job in message["jobs"]:
            if job["file_id"] == file_id:
                followed.job_id, followed.seq = job["id"], job["seq"]
                followed.saw(job["state"], job["progress"]["percent"])
        return
    if message["file_id"] != file_id:
        return
    followed.job_id = followed.job_id or message["job_id"]
    assert message["job_id"] == followed.job_id
    if kind == "event":
        followed.happened(message)
    elif message["progress"] and followed.seq >= followed.missed_until:
        assert message["seq"] <= followed.seq, "progress ran ahead of the events"
        followed.saw(message["status"], message["progress"]["percent"])
