"""A client that watches all jobs of its id over a real WebSocket for as long as a test lasts, through every outage.

Invariant: what it believes of a job is what a client must be able to believe: each `seq` once, in order, without a gap;
whatever breaks that is kept in `violations`.
"""

from __future__ import annotations

import json
import threading
import time
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.acceptance.client import BlackBox, Followed, take
from tests.acceptance.system import System

AGAIN_SECONDS = 0.2


class Watcher:
    """Watches `client_id` of a system, connecting again whenever the connection ends."""

    def __init__(self, system: System, client_id: str) -> None:
        self._system = system
        self._client_id = client_id
        self.followed: dict[str, Followed] = {}
        """By file id."""
        self.violations: list[str] = []
        self.connections = 0
        self.last_heard = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch-{client_id}", daemon=True)
        self._thread.start()

    def seq(self, file_id: str) -> int:
        """Return the last event heard of an upload's job."""
        return self.followed[file_id].seq if file_id in self.followed else 0

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        self._thread.join(timeout=15)

    def _run(self) -> None:
        while not self._stop.is_set():
            box = BlackBox(self._system.url, self._client_id, token=self._system.token)
            try:
                with box.listen() as socket:
                    self.connections += 1
                    self._begin(socket)
                    while not self._stop.is_set():
                        try:
                            self._hear(json.loads(socket.recv(timeout=0.5)))
                        except TimeoutError:
                            continue
            except (ConnectionClosed, InvalidHandshake, OSError, TimeoutError, EOFError):
                self._stop.wait(AGAIN_SECONDS)
            finally:
                box.close()

    def _begin(self, socket: Any) -> None:
        snapshot = json.loads(socket.recv(timeout=20))
        resumed: dict[str, int] = {}
        for job in snapshot["jobs"]:
            followed = self.followed.get(job["file_id"])
            if followed is None or not followed.job_id:
                # Seen for the first time: ask for all of its past, so that no event goes unheard.
                followed = self.followed[job["file_id"]] = Followed(job_id=job["id"])
            followed.missed_until = job["seq"]
            if job["seq"] < followed.seq:
                self.violations.append(
                    f"job {job['id']}: the snapshot says {job['seq']}, {followed.seq} was told before"
                )
            if job["seq"] > followed.seq:
                resumed[job["id"]] = followed.seq
        if resumed:
            socket.send(json.dumps({"type": "resume", "jobs": resumed}))

    def _hear(self, message: dict[str, Any]) -> None:
        self.last_heard = time.monotonic()
        if message["type"] == "snapshot":
            # The server lost count and begins anew; a client asks for what it missed, and so does the next connection.
            raise EOFError
        if message["type"] not in {"event", "progress"}:
            self.violations.append(f"the socket said {message}")
            return
        followed = self.followed.setdefault(message["file_id"], Followed())
        if message["type"] == "event" and followed.seq < followed.missed_until:
            # What was under way when a replay was asked for comes again with it.
            followed.missed_until = max(followed.missed_until, message["seq"])
        before = len(followed.events)
        try:
            take(message, message["file_id"], followed)
        except AssertionError as exc:
            self.violations.append(f"job {message['job_id']}: {exc}")
        if any(name in REOPENED for name in followed.events[before:]):
            followed.percent = 0.0


REOPENED = {"segment_damaged", "output_lost", "times_doubted", "retried"}
"""Events that begin a new epoch, in which progress may start lower."""
