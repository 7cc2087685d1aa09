"""Performs steps in a worker: claims the row, runs the media process under a lease, and turns every end into a row.

One of these per worker process, made when Celery's worker starts. No failure of the work leaves `perform`: Celery sees
only tasks that return, and what is to be done again is in the rows.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable
from typing import TypeVar

from celery.exceptions import Reject
from django.conf import settings
from django.db import close_old_connections

from processing import dispatch, nudge, pipeline, storage
from processing.leases import Lease, Leases
from processing.live import doorbell
from processing.media import launcher, sandbox
from processing.media.errors import MediaError, ProcessCrashed, StorageFull
from processing.models import Job
from processing.state import step as steps
from processing.state.errors import DATABASE_AWAY, Fenced, JobClosed
from processing.state.step import Claim

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")
DATABASE_PATIENCE_SECONDS = 600.0


class Work:
    """What one step's work may use: its claim, its job, files by key, and the media process."""

    def __init__(self, claim: Claim, job: Job, lease: Lease, processes: launcher.MediaProcesses) -> None:
        self.claim = claim
        self.job = job
        self._lease = lease
        self._processes = processes
        self._written: list[str] = []

    def source(self) -> str:
        """Return the path of the source file."""
        return str(storage.fetch(self.job.source_key))

    def write(self, suffix: str = "") -> tuple[str, str]:
        """Return the key and the path that this attempt writes to; removed again where the attempt comes to nothing."""
        key = storage.output_key(self.claim, suffix)
        path = storage.stage(key)
        self._written.append(key)
        return key, str(path)

    def run(self, operation: str, request: object, answer: type[Answer]) -> Answer:
        """Run an operation in a media process until it answers, fails, stalls or the lease is lost."""
        limits = launcher.limits_for(
            operation,
            address_space_bytes=settings.VIDEOPROC_MEDIA_ADDRESS_SPACE_BYTES,
            wall_seconds=settings.VIDEOPROC_STEP_SECONDS,
            stall_seconds=settings.VIDEOPROC_STALL_SECONDS,
        )
        result = self._processes.run(
            operation, request, answer, limits=limits, on_progress=self._progressed, stop=self._lease.stop
        )
        for key in self._written:
            storage.store(key)
        return result

    def discard(self) -> None:
        """Remove what this attempt wrote."""
        for key in self._written:
            storage.delete(key)

    def _progressed(self, frames_done: int) -> None:
        self._lease.frames_done = frames_done


class Supervisor:
    """One worker process's means: the media processes and the leases."""

    def __init__(self) -> None:
        self.worker = f"{socket.gethostname()}-{os.getpid()}"
        self.processes = launcher.MediaProcesses()
        self.leases = Leases(worker=self.worker, slots=settings.VIDEOPROC_WORKER_SLOTS, layers=sandbox.active_layers())

    def start(self) -> None:
        """Start the zygote, the heartbeat, the doorbell and the nudger."""
        self.processes.start()
        self.leases.start()
        doorbell.start()
        nudge.start(dispatch.hint_due)

    def close(self) -> None:
        """Stop them again."""
        self.leases.close()
        nudge.stop()
        doorbell.stop()
        self.processes.close()

    def perform(self, job_id: str, epoch: int, kind: str, work: Callable[[Work], None], *, index: int = 0) -> None:
        """Claim a step and do its work; nothing where the step is not there to be taken."""
        if self.leases.draining:
            raise Reject("draining", requeue=True)
        began = time.monotonic()
        try:
            claim = steps.claim(job_id, epoch, kind, index, worker=self.worker)
        except DATABASE_AWAY as exc:
            logger.warning("claim waits for the database", extra={"job": job_id, "step": kind, "cause": str(exc)})
            return
        if claim is None:
            return
        with self.leases.held(claim) as lease:
            outcome = self._end(claim, lease, work)
        logger.info(
            "step %s",
            outcome,
            extra={
                "job": claim.job_id,
                "step": claim.kind,
                "index": claim.index,
                "attempt": claim.attempt,
                "seconds": round(time.monotonic() - began, 2),
            },
        )

    def _end(self, claim: Claim, lease: Lease, work: Callable[[Work], None]) -> str:
        task: Work | None = None
        try:
            job = patiently(lambda: pipeline.started(claim))
            task = Work(claim, job, lease, self.processes)
            work(task)
        except (Fenced, JobClosed) as exc:
            outcome, void = f"void: {exc}", True
        except MediaError as exc:
            outcome, void = self._failed(claim, lease, exc), True
        except OSError as exc:
            outcome, void = self._failed(claim, lease, StorageFull(f"storage: {exc}")), True
        except DATABASE_AWAY as exc:
            # The lease lapses and the step comes back; what was written may still be wanted by nobody.
            outcome, void = f"left to its lease: {exc}", True
        else:
            return "done"
        if void and task is not None:
            task.discard()
        return outcome

    def _failed(self, claim: Claim, lease: Lease, error: MediaError) -> str:
        try:
            patiently(lambda: pipeline.step_failed(claim, error))
        except (Fenced, JobClosed) as exc:
            return f"void: {exc}"
        return f"failed: {error.code}"


def patiently(change: Callable[[], Answer]) -> Answer:
    """Do a change of rows, again each second while the database is away, for ten minutes at most."""
    give_up = time.monotonic() + DATABASE_PATIENCE_SECONDS
    while True:
        try:
            return change()
        except DATABASE_AWAY as exc:
            if time.monotonic() > give_up:
                raise
            logger.warning("waiting for the database", extra={"cause": str(exc)})
            close_old_connections()
            time.sleep(1.0)


_supervisor: Supervisor | None = None


def current() -> Supervisor:
    """Return this worker process's supervisor."""
    if _supervisor is None:
        raise ProcessCrashed("no supervisor: this process was not started as a worker")
    return _supervisor


def begin() -> Supervisor:
    """Make and start this worker process's supervisor."""
    global _supervisor
    _supervisor = Supervisor()
    _supervisor.start()
    return _supervisor


def end() -> None:
    """Stop this worker process's supervisor."""
    global _supervisor
    if _supervisor is not None:
        _supervisor.close()
        _supervisor = None
