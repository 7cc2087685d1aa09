"""One hub per event loop stands between the rows and all sockets of a server process.

It holds one subscription to the doorbell's group. A ring only says that there is something to read; each tick reads for
all readers at once what lies behind their places, and each poll looks without being told at what changed since the last
one. So a lost ring, or a layer that is away, costs a reader seconds, never an event. It runs while somebody reads.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.conf import settings
from django.db import close_old_connections
from redis.exceptions import RedisError

from processing import vital
from processing.live import backlog, events, messages
from processing.live.backlog import Backlog
from processing.live.doorbell import GROUP
from processing.live.messages import Head
from processing.live.reader import Reader
from processing.state.errors import DATABASE_AWAY

logger = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
LAYER_SECONDS = 3.0
MARGIN_SECONDS = 60.0
"""Longer than any transaction: a row has the time at which its own began, and a poll may come before the commit."""
LAYER_AWAY = (OSError, TimeoutError, RedisError)

T = TypeVar("T")
_threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="hub")


class Hub:
    """Serves the readers of one event loop."""

    def __init__(self) -> None:
        self._readers: dict[str, set[Reader]] = {}
        self._opening: list[Reader] = []
        self._resuming: dict[Reader, dict[str, int]] = {}
        self._rung: set[str] = set()
        self._unseen: set[str] = set()
        """Audiences to be looked at whole in the next tick."""
        self._poll_is_due = False
        self._polled_at = 0.0
        """Monotonic; what the readers' audiences did since then, no poll has seen."""
        self._backlog = Backlog()
        self._something_to_open = asyncio.Event()
        self._something_to_read = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def join(self, audience: str) -> Reader:
        """Return a new reader; its first message will be a snapshot."""
        reader = Reader(audience)
        self._readers.setdefault(audience, set()).add(reader)
        if not self._tasks:
            self._polled_at = time.monotonic()
            loops = {"hub listening": self._listen(), "hub opening": self._open_readers(), "hub reading": self._read()}
            self._tasks = [vital.task(loop, name=name) for name, loop in loops.items()]
        self.begin(reader)
        return reader

    def begin(self, reader: Reader) -> None:
        """Send a reader a snapshot, and from there on all that happens."""
        self._opening.append(reader)
        self._something_to_open.set()

    def resume(self, reader: Reader, seqs: dict[str, int]) -> None:
        """Tell a reader again what happened to jobs of its own after the given seq of each."""
        waiting = self._resuming.setdefault(reader, {})
        if len(waiting) > messages.MAX_RESUMED_JOBS:
            reader.say(messages.error("busy", "The last resume is not done yet."))
            return
        waiting |= seqs
        self._something_to_read.set()

    async def leave(self, reader: Reader) -> None:
        """Forget a reader; with the last one the hub stops, and no thread of it reads on."""
        readers = self._readers.get(reader.audience, set())
        readers.discard(reader)
        self._resuming.pop(reader, None)
        if not readers:
            self._readers.pop(reader.audience, None)
            self._backlog.forget(reader.audience)
        if not self._readers and self._tasks:
            tasks, self._tasks = self._tasks, []
            for task in tasks:
                task.cancel()
            self._opening.clear()
            self._resuming.clear()
            self._rung.clear()
            self._unseen.clear()
            self._poll_is_due = False
            await asyncio.wait(tasks, timeout=LAYER_SECONDS)

    def rang(self, job_id: str, audience: str) -> None:
        """Look at a job in the next tick, where somebody watches it."""
        if audience in self._readers:
            self._rung.add(job_id)
            self._something_to_read.set()

    async def _listen(self) -> None:
        """Keep one subscription to the doorbell's group, for as long as somebody reads."""
        while True:
            layer = get_channel_layer()
            try:
                async with asyncio.timeout(LAYER_SECONDS):
                    channel = await layer.new_channel()
                    await layer.group_add(GROUP, channel)
                self._poll_soon()
                await self._receive(layer, channel)
            except LAYER_AWAY as exc:
                logger.warning("channel layer unreachable, polling alone", extra={"cause": repr(exc)})
            await asyncio.sleep(RETRY_SECONDS)
            try:
                async with asyncio.timeout(LAYER_SECONDS):
                    await layer.flush()
            except LAYER_AWAY as exc:
                logger.debug("channel layer not flushed", extra={"cause": repr(exc)})

    async def _receive(self, layer: Any, channel: str) -> None:
        """Hear rings until not even our own echo comes back: a subscription can be gone without an error."""
        echo = asyncio.create_task(self._send_echoes(layer, channel))
        try:
            while True:
                async with asyncio.timeout(2 * settings.VIDEOPROC_HUB_POLL_SECONDS):
                    message = await layer.receive(channel)
                if message["type"] == "job.rang":
                    self.rang(message["job_id"], message["audience"])
        finally:
            echo.cancel()

    async def _send_echoes(self, layer: Any, channel: str) -> None:
        while True:
            await asyncio.sleep(settings.VIDEOPROC_HUB_POLL_SECONDS)
            try:
                async with asyncio.timeout(LAYER_SECONDS):
                    await layer.send(channel, {"type": "hub.echo"})
            except LAYER_AWAY as exc:
                logger.debug("no echo sent", extra={"cause": repr(exc)})

    def _poll_soon(self) -> None:
        self._poll_is_due = True
        self._something_to_read.set()

    async def _open_readers(self) -> None:
        """Give each reader that begins a snapshot read after it joined, so that nothing falls in between."""
        while True:
            await self._something_to_open.wait()
            self._something_to_open.clear()
            waiting: dict[str, list[Reader]] = {}
            for reader in self._opening:
                waiting.setdefault(reader.audience, []).append(reader)
            self._opening = []
            for audience, readers in waiting.items():
                try:
                    snapshot = await _in_thread(partial(events.snapshot, audience))
                except DATABASE_AWAY as exc:
                    logger.warning("database unreachable, snapshots wait", extra={"cause": str(exc)})
                    self._opening += readers
                    self._something_to_open.set()
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                for reader in readers:
                    if reader in self._readers.get(audience, ()):
                        reader.begin(snapshot)
                # What rang while the snapshot was read was not kept for these readers.
                self._unseen.add(audience)
                self._something_to_read.set()

    async def _read(self) -> None:
        """Tick when something rang, and poll in any case."""
        failing = False
        while True:
            await self._ring_or_poll()
            try:
                await self._tick()
                failing = False
            except DATABASE_AWAY as exc:
                if not failing:
                    logger.warning("database unreachable, events wait", extra={"cause": str(exc)})
                failing = True
                self._something_to_read.set()
                await asyncio.sleep(RETRY_SECONDS)
            await asyncio.sleep(settings.VIDEOPROC_HUB_TICK_SECONDS)

    async def _ring_or_poll(self) -> None:
        """Wait for a ring or for the time to poll, which rings without end do not put off."""
        due = self._polled_at + settings.VIDEOPROC_HUB_POLL_SECONDS
        with suppress(TimeoutError):
            async with asyncio.timeout(max(due - time.monotonic(), 0)):
                await self._something_to_read.wait()
        self._something_to_read.clear()
        self._poll_is_due |= time.monotonic() >= due

    async def _tick(self) -> None:
        """Look where jobs are, then hand readers what they were not told yet, the jobs that were named first."""
        heads, named = await self._look()
        waiting = self._backlog.take(named)
        wanted = backlog.wanted(waiting, self._readers)
        log = await _in_thread(partial(events.log, wanted)) if wanted else {}
        for head in waiting:
            for reader in self._readers.get(head.audience, ()):
                for happened in log.get(head.job_id, ()):
                    reader.offer(happened)
        self._backlog.settle(waiting, self._readers)
        for head in heads:
            for reader in self._readers.get(head.audience, ()):
                reader.offer_progress(head)
        if self._backlog:
            self._something_to_read.set()

    async def _look(self) -> tuple[list[Head], set[str]]:
        """Return where the jobs are that something may have happened to, and which were named; the backlog has them.

        Where the database is away, all that was to be looked at still is.
        """
        began = time.monotonic()
        rung, self._rung = self._rung, set()
        unseen, self._unseen = self._unseen & self._readers.keys(), set()
        poll, self._poll_is_due = self._poll_is_due, False
        resuming = {reader: seqs for reader, seqs in self._resuming.items() if reader.open}
        for reader in resuming:
            del self._resuming[reader]
        named = rung.union(*resuming.values())
        polled = self._readers.keys() - unseen if poll else set()
        within_seconds = MARGIN_SECONDS + began - self._polled_at
        try:
            heads = await _in_thread(partial(events.heads, named, unseen, polled, within_seconds=within_seconds))
        except DATABASE_AWAY:
            self._rung |= rung
            self._unseen |= unseen
            self._poll_is_due |= poll
            for reader, seqs in resuming.items():
                self._resuming[reader] = seqs | self._resuming.get(reader, {})
            raise
        if poll:
            self._polled_at = began
        self._rewind(resuming, heads)
        self._backlog.settle(heads.values(), self._readers)
        return list(heads.values()), named

    def _rewind(self, resuming: dict[Reader, dict[str, int]], heads: dict[str, Head]) -> None:
        for reader, seqs in resuming.items():
            for job_id, seq in seqs.items():
                head = heads.get(job_id)
                if head is None or head.audience != reader.audience:
                    reader.say(messages.error("unknown_job", "There is no such job here.", job_id=job_id))
                elif seq > head.seq:
                    detail = f"The last event of this job is {head.seq}."
                    reader.say(messages.error("seq_ahead", detail, job_id=job_id))
                else:
                    reader.rewind(job_id, seq)


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def of_this_loop() -> Hub:
    """Return the hub of the running event loop."""
    return _hubs.setdefault(asyncio.get_running_loop(), Hub())


async def _in_thread(read: Callable[[], T]) -> T:
    """Return what `read` does in a thread; cancelled, it waits for the thread too, so no query is left behind."""
    reading = asyncio.ensure_future(
        sync_to_async(_with_fresh_connection, thread_sensitive=False, executor=_threads)(read)
    )
    try:
        return await asyncio.shield(reading)
    except asyncio.CancelledError:
        await asyncio.wait([reading])
        raise


def _with_fresh_connection(read: Callable[[], T]) -> T:
    close_old_connections()
    try:
        return read()
    finally:
        close_old_connections()
