"""Tells the web servers "job J is at seq N" over the channel layer; a ring may be lost, the rows are the truth.

One thread with one event loop per process sends them: `async_to_sync(group_send)` per call leaks connections and loops.
Rings of one job that wait are merged. Nothing rings in a process that did not call `start`.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
from dataclasses import asdict, dataclass

from channels.layers import get_channel_layer
from redis.exceptions import RedisError

from processing import vital

logger = logging.getLogger(__name__)

GROUP = "jobs"
SEND_SECONDS = 2.0
PAUSE_SECONDS = 0.1
"""Between two rounds: what rings of one job meanwhile is one ring. The hubs look no more often than that."""


@dataclass(frozen=True, kw_only=True)
class Ring:
    """There is something to read about a job; `seq` is its last event."""

    job_id: str
    audience: str
    seq: int


def audience(owner_id: int, client_id: str) -> str:
    """Return the name of those who follow a client id of an owner; a digest, as Channels refuses other characters."""
    return hashlib.sha256(f"{owner_id}\0{client_id}".encode()).hexdigest()[:40]


class Doorbell:
    """Sends rings from one thread; `ring` never blocks."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._waiting: dict[str, Ring] = {}
        self._lock = threading.Lock()
        self._wake = asyncio.Event()
        self._closing = False
        self._thread = vital.thread(self._run, name="doorbell")
        self._thread.start()

    def ring(self, ring: Ring) -> None:
        """Send the ring soon; a later one of the same job replaces it."""
        with self._lock:
            first = not self._waiting
            known = self._waiting.get(ring.job_id)
            if known is None or known.seq <= ring.seq:
                self._waiting[ring.job_id] = ring
        if first:
            self._loop.call_soon_threadsafe(self._wake.set)

    def close(self) -> None:
        """Send what waits and end the thread."""
        self._closing = True
        self._loop.call_soon_threadsafe(self._wake.set)
        self._thread.join(timeout=2 * SEND_SECONDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._send_all())
        self._loop.close()

    async def _send_all(self) -> None:
        layer = get_channel_layer()
        failing = False
        while not (self._closing and not self._waiting):
            await self._wake.wait()
            self._wake.clear()
            with self._lock:
                rings, self._waiting = list(self._waiting.values()), {}
            for ring in rings:
                try:
                    async with asyncio.timeout(SEND_SECONDS):
                        await layer.group_send(GROUP, {"type": "job.rang", **asdict(ring)})
                    failing = False
                except (OSError, TimeoutError, RedisError) as exc:
                    # The hub polls as well, so a lost ring costs a client seconds, never an event.
                    if not failing:
                        logger.warning("doorbell unreachable", extra={"cause": repr(exc)})
                    failing = True
            if self._closing:
                break
            await asyncio.sleep(PAUSE_SECONDS)


_doorbell: Doorbell | None = None


def start() -> None:
    """Let this process ring."""
    global _doorbell
    if _doorbell is None:
        _doorbell = Doorbell()


def stop() -> None:
    """Send what waits and stop ringing."""
    global _doorbell
    if _doorbell is not None:
        _doorbell.close()
        _doorbell = None


def ring(ring: Ring) -> None:
    """Ring for a job, where this process rings."""
    if _doorbell is not None:
        _doorbell.ring(ring)
