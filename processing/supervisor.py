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
from processing.media.errors import MediaError, ProcessCrashed, StorageFull
from processing.media.launcher import MediaProcesses
from processing.media.limits import limits_for
from processing.media.supervision import Usage
from processing.models import Job, Step
from processing.state import step as steps
from processing.state.errors import DATABASE_AWAY, Fenced, JobClosed
from processing.state.step import Claim

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")
DATABASE_PATIENCE_SECONDS = 600.0


class Work:
    """What one step's work may use: its claim, its job, files by key, and the media process."""

    job: Job
    """Set once the claim has been seen to belong to an open job."""

    def __init__(self, claim: Claim, lease: Lease, processes: MediaProcesses) -> None:
        self.claim = claim
        self.used: dict[str, float] = {}
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
        limits = limits_for(
            operation,
            address_space_bytes=settings.VIDEOPROC_MEDIA_ADDRESS_SPACE_BYTES,
            wall_seconds=settings.VIDEOPROC_STEP_SECONDS,
            stall_seconds=settings.VIDEOPROC_STALL_SECONDS,
        )
        result = self._processes.run(
            operation,
            request,
            answer,
            limits=limits,
            on_progress=self._progressed,
            on_ended=self._note_usage,
            stop=self._lease.stop,
        )
        for key in self._written:
            storage.store(key)
        return result

    def discard(self) -> None:
        """Remove what this attempt wrote, unless the row refers to it: a commit may succeed and its answer get lost."""
        try:
            published = set(Step.objects.filter(pk=self.claim.step_id).values_list("output", flat=True))
        except DATABASE_AWAY:
            return  # the job's clean-up removes it
        for key in self._written:
            if key not in published:
                storage.delete(key)

    def _note_usage(self, usage: Usage) -> None:
        self.used = {"cpu_seconds": round(usage.cpu_seconds, 2), "peak_mib": usage.peak_rss_bytes >> 20}

    def _progressed(self, frames_done: int) -> None:
        self._lease.frames_done = frames_done


class Supervisor:
    """One worker process's means: the media processes and the leases."""

    def __init__(self) -> None:
        self.worker = f"{socket.gethostname()}-{os.getpid()}"
        self.processes = MediaProcesses()
        self.leases = Leases(worker=self.worker, slots=settings.VIDEOPROC_WORKER_SLOTS)

    def start(self) -> None:
        """Start the zygote, the heartbeat, the doorbell and the nudger."""
        self.processes.start()
        self.leases.start(layers=self.processes.active_layers())
        doorbell.start()
        nudge.start(dispatch.hint_due)
        dispatch.hint_again()

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
            task = Work(claim, lease, self.processes)
            outcome = _carry_out(task, work)
        facts = {"job": claim.job_id, "step": claim.kind, "index": claim.index, "attempt": claim.attempt}
        logger.info("step %s", outcome, extra={**facts, "seconds": round(time.monotonic() - began, 2), **task.used})


def _carry_out(task: Work, work: Callable[[Work], None]) -> str:
    """Do the work and return how it ended, for the log; whatever was written is removed unless a row refers to it."""
    try:
        task.job = patiently(lambda: pipeline.started(task.claim))
        work(task)
    except (Fenced, JobClosed) as exc:
        outcome = f"void: {exc}"
    except MediaError as exc:
        outcome = _failed(task.claim, exc)
    except DATABASE_AWAY as exc:
        outcome = f"left to its lease: {exc}"
    except OSError as exc:
        outcome = _failed(task.claim, StorageFull(f"storage: {exc}"))
    else:
        return "done"
    task.discard()
    return outcome


def _failed(claim: Claim, error: MediaError) -> str:
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
