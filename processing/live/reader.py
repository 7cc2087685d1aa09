"""One client's bounded queue between the hub and its socket, and its place in the log of each job.

Invariants: of each job a reader gets consecutive events, each once, and a percent that never goes back; what waits for
it is bounded, whatever it does. All of it belongs to one event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass

from processing.live import messages
from processing.live.events import PAGE, Snapshot
from processing.live.messages import Happened, Head

STALL_SECONDS = 5.0
"""A reader that takes nothing from a full queue for so long starts again from a snapshot."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Up to where a reader knows a job."""

    seq: int = 0
    percent: float = 0.0
    frames_done: int = 0
    outlook: tuple[int | None, tuple[float, float] | None] = (None, None)
    ended: bool = False


BEGINNING = Place()


class Reader:
    """What waits for one socket. It is closed until `begin`, and again after `lose`."""

    def __init__(self, audience: str) -> None:
        self.audience = audience
        self.open = False
        self._lost = False
        self._events: deque[str] = deque()
        self._progress: dict[str, str] = {}
        self._places: dict[str, Place] = {}
        self._full_since: float | None = None
        self._wake = asyncio.Event()

    def begin(self, snapshot: Snapshot) -> None:
        """Start from a snapshot; what it already tells is not told again."""
        self._events.append(snapshot.text)
        for head in snapshot.heads:
            measured = head.measured
            self._places[head.job_id] = Place(
                seq=head.seq,
                percent=measured.percent if measured else 0.0,
                frames_done=measured.frames_done if measured else 0,
                outlook=measured.outlook if measured else (None, None),
                ended=head.ended,
            )
        self.open = True
        self._wake.set()

    def lose(self) -> None:
        """Forget all that waits; the socket's task begins anew once it can send again."""
        self.open = False
        self._lost = True
        self._events.clear()
        self._progress.clear()
        self._places.clear()
        self._full_since = None
        self._wake.set()

    def seq(self, job_id: str) -> int:
        """Return the last event of a job that was queued for this reader."""
        return self._places.get(job_id, BEGINNING).seq

    def rewind(self, job_id: str, seq: int) -> None:
        """Go back to where the client says that it is."""
        self._places[job_id] = Place(seq=seq)

    @property
    def has_room(self) -> bool:
        """Whether another event can be queued."""
        return len(self._events) < PAGE

    def offer(self, happened: Happened) -> None:
        """Queue an event where it is the next of its job and there is room; else it stays for the next tick."""
        place = self._places.get(happened.job_id, BEGINNING)
        if not self.open or happened.seq != place.seq + 1 or not self._takes():
            return
        # An event's percent was computed before its commit, so a measure taken in between may be ahead of it.
        percent = happened.percent if place.ended else max(happened.percent, place.percent)
        self._events.append(happened.text(percent))
        self._places[happened.job_id] = Place(
            seq=happened.seq,
            percent=percent,
            frames_done=0 if place.ended else place.frames_done,
            outlook=place.outlook,
            ended=happened.ended,
        )
        # What was measured before this event must not be told after it.
        self._progress.pop(happened.job_id, None)
        self._wake.set()

    def offer_progress(self, head: Head) -> None:
        """Keep the newest progress of a job, where the reader has all its events and it does not go back."""
        place = self._places.get(head.job_id, BEGINNING)
        measured = head.measured
        if not self.open or measured is None or place.ended or place.seq != head.seq:
            return
        before = (place.percent, place.frames_done)
        now = (measured.percent, measured.frames_done)
        if now[0] < before[0] or now[1] < before[1] or (now == before and measured.outlook == place.outlook):
            return
        self._progress[head.job_id] = messages.progress(head)
        self._places[head.job_id] = Place(
            seq=place.seq, percent=measured.percent, frames_done=measured.frames_done, outlook=measured.outlook
        )
        self._wake.set()

    def say(self, text: str) -> None:
        """Queue an answer to the client, where there is room."""
        if self.has_room:
            self._events.append(text)
            self._wake.set()

    async def next(self) -> str | None:
        """Return the next message, waiting for one; None where the reader lost its place and must begin anew."""
        while True:
            if self._events:
                self._full_since = None
                return self._events.popleft()
            if self._progress:
                return self._progress.pop(next(iter(self._progress)))
            if self._lost:
                self._lost = False
                return None
            self._wake.clear()
            await self._wake.wait()

    def _takes(self) -> bool:
        if self.has_room:
            return True
        now = time.monotonic()
        if self._full_since is None:
            self._full_since = now
        elif now - self._full_since > STALL_SECONDS:
            self.lose()
        return False
