"""Keeps the leases of what this worker process holds: one thread, one SELECT a beat, one UPDATE each few beats.

A claim that is no longer ours (cancelled, expired, taken) sets its lease's `stop`; the work's supervisor then ends the
media process. While the database is away nothing is stopped: nobody else can take a step then either.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from django.conf import settings
from django.db import close_old_connections, connection
from django.db.models.functions import Now

from processing import nudge, vital
from processing.live import doorbell
from processing.models import Job, Worker
from processing.state import step as steps
from processing.state.errors import DATABASE_AWAY
from processing.state.step import Claim

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Lease:
    """A held claim: the supervisor reads `stop`, the media process's reports set `frames_done`."""

    claim: Claim
    stop: threading.Event = field(default_factory=threading.Event)
    began: float = field(default_factory=time.monotonic)
    frames_done: int = 0
    noted: int = 0


def _may_last(lease: Lease, now: float) -> bool:
    """Whether a step's thread may still be at work, and not in a call that never returns, as where a mount hangs.

    A media process has a limit of its own; as long again is for what is read before and written after it.
    """
    longest = 2 * settings.VIDEOPROC_STEP_SECONDS + settings.VIDEOPROC_PATIENCE_SECONDS
    if now - lease.began < longest:
        return True
    if not lease.stop.is_set():
        claim = lease.claim
        facts = {"job": claim.job_id, "step": claim.kind, "index": claim.index, "attempt": claim.attempt}
        logger.error("step outlasts every limit, its lease is renewed no more", extra=facts)
        lease.stop.set()
    return False


def _nobody_listens(drained: bool) -> None:
    """Stand in until somebody listens: what comes is put back anyhow."""


class Leases:
    """The heartbeat of one worker process."""

    def __init__(self, *, worker: str, slots: int) -> None:
        self.worker = worker
        self._slots = slots
        self._layers: tuple[str, ...] = ()
        self._held: dict[tuple[int, int], Lease] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._stopping = False
        self._drained = False
        self._on_drained: Callable[[bool], None] = _nobody_listens
        self._strays_until = -math.inf
        self._thread = vital.thread(self._run, name="leases")

    def start(self, *, layers: tuple[str, ...]) -> None:
        """Begin to beat, and say which layers of the sandbox are active."""
        self._layers = layers
        self._thread.start()

    @property
    def stopping(self) -> bool:
        """Whether this process is about to end."""
        return self._stopping

    @property
    def drained(self) -> bool:
        """Whether this worker was asked to take no more work."""
        return self._drained

    def listen(self, on_drained: Callable[[bool], None]) -> None:
        """Call `on_drained` now where this worker is drained, and from the heartbeat whenever that changes."""
        self._on_drained = on_drained
        if self._drained:
            on_drained(True)

    def stop(self) -> None:
        """Take no more work and stop what is held, so that it is handed back."""
        self._stopping = True
        with self._lock:
            for lease in self._held.values():
                lease.stop.set()
        self._wake.set()

    def expect_strays(self) -> None:
        """Look for a lease's time for steps that are claimed in the rows without this process knowing."""
        self._strays_until = time.monotonic() + settings.VIDEOPROC_LEASE_SECONDS

    def close(self) -> None:
        """Say that this worker has no slots any more, and end the thread."""
        self._stopping = self._closing = True
        self._wake.set()
        self._thread.join(timeout=5)

    @contextmanager
    def held(self, claim: Claim) -> Iterator[Lease]:
        """Keep a claim's lease until the block ends."""
        lease = Lease(claim=claim)
        key = (claim.step_id, claim.attempt)
        with self._lock:
            self._held[key] = lease
            if self._stopping:
                lease.stop.set()
        try:
            yield lease
        finally:
            with self._lock:
                del self._held[key]

    def _run(self) -> None:
        renewed = seen = -math.inf
        failing = False
        takes_work = True
        while True:
            closing = self._closing
            try:
                close_old_connections()
                now = time.monotonic()
                with self._lock:
                    leases = list(self._held.values())
                if leases and now - renewed >= settings.VIDEOPROC_RENEW_SECONDS:
                    steps.renew([lease.claim for lease in leases if _may_last(lease, now)])
                    renewed = now
                if now - seen >= settings.VIDEOPROC_RENEW_SECONDS or self._takes_work() != takes_work:
                    takes_work = self._takes_work()
                    self._say_alive(len(leases), slots=self._slots if takes_work else 0)
                    self._heed()
                    seen = now
                self._note_progress(leases)
                self._find_lost(leases)
                if now < self._strays_until:
                    self._release_strays()
                failing = False
            except DATABASE_AWAY as exc:
                if not failing:
                    logger.warning("database unreachable, leases wait", extra={"cause": str(exc)})
                failing = True
                renewed = -math.inf
                self.expect_strays()  # a lease's time from when it is back, however long that takes
            if closing:
                break
            self._wake.wait(settings.VIDEOPROC_BEAT_SECONDS)
            self._wake.clear()
        connection.close()

    def _say_alive(self, running: int, *, slots: int) -> None:
        facts = {"slots": slots, "running": running, "layers": list(self._layers), "seen_at": Now()}
        if not Worker.objects.filter(pk=self.worker).update(**facts):
            Worker.objects.create(name=self.worker, started_at=Now(), **facts)

    def _takes_work(self) -> bool:
        return not (self._stopping or self._drained)

    def _heed(self) -> None:
        """See whether somebody drained this worker, or let it take work again; the next beat says so in its row."""
        drained = bool(Worker.objects.filter(pk=self.worker, drained=True).exists())
        if drained != self._drained:
            self._drained = drained
            logger.info("takes no more work" if drained else "takes work again", extra={"worker": self.worker})
            self._on_drained(drained)

    def _find_lost(self, leases: list[Lease]) -> None:
        held = steps.still_held(lease.claim for lease in leases) if leases else set()
        for lease in leases:
            # A step that finished since the list was taken is not held either; its work is over by then.
            if (lease.claim.step_id, lease.claim.attempt) not in held:
                lease.stop.set()

    def _release_strays(self) -> None:
        with self._lock:  # anew: a database that is just back is slow, and steps were taken since the beat began
            known = [lease.claim for lease in self._held.values()]
        released = steps.release_strays(
            self.worker,
            known,
            older_than_seconds=2 * settings.VIDEOPROC_BEAT_SECONDS,
        )
        if released:
            logger.warning("claims without an answer handed back", extra={"steps": released})
            nudge.nudge()

    def _note_progress(self, leases: list[Lease]) -> None:
        moved = [lease for lease in leases if lease.frames_done > lease.noted]
        for lease in moved:
            done = lease.frames_done
            steps.advance(lease.claim, done)
            lease.noted = done
        jobs = {lease.claim.job_id for lease in moved}
        for job in Job.objects.filter(pk__in=jobs).only("pk", "audience", "seq") if jobs else ():
            doorbell.ring(doorbell.Ring(job_id=str(job.pk), audience=job.audience, seq=job.seq))
