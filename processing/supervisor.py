"""Performs steps in a worker: claims the row, runs the media process under a lease, and turns every end into a row.

One of these per worker process, made when Celery's worker starts. No failure of the work leaves `perform`: Celery sees
only tasks that return, and what is to be done again is in the rows.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TypeVar

from celery import current_task
from celery.exceptions import Reject
from django.conf import settings
from django.db import close_old_connections

from processing import dispatch, failures, nudge, pipeline, storage
from processing.leases import Lease, Leases
from processing.live import doorbell
from processing.media.durable import FULL
from processing.media.errors import (
    Damaged,
    MediaError,
    OutputLost,
    ProcessCrashed,
    ProcessStopped,
    SegmentDamaged,
    StorageAway,
    StorageFull,
    Unforeseen,
)
from processing.media.process.launcher import MediaProcesses
from processing.media.process.limits import limits_for
from processing.media.process.supervision import Usage
from processing.models import Job, Step
from processing.state import step as steps
from processing.state.errors import DATABASE_AWAY, Fenced, JobClosed
from processing.state.step import Claim
from processing.storage.room import refuse_full

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")
FETCHES_AT_ONCE = 4
DONE = "done"
WRITING = frozenset({Step.Kind.METADATA, Step.Kind.PLAN, Step.Kind.SEGMENT, Step.Kind.JOIN, Step.Kind.STILLS})


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
        self._read = ExitStack()

    def source(self) -> str:
        """Return the path of the source file; StorageAway where it cannot be had."""
        return self.read(self.job.source_key, sha256=self.job.source_sha256)

    def plan(self) -> str:
        """Return the path of the job's plan."""
        return self.output(self.job.plan_key)

    def output(self, key: str, *, sha256: str = "") -> str:
        """Return the path of what an earlier step of the job made; OutputLost where only that is gone or spoilt."""
        try:
            return self.read(key, sha256=sha256)
        except FileNotFoundError as exc:
            self.source()  # without that too it is the storage that is away
            raise OutputLost(f"{key} is missing") from exc
        except Damaged as exc:  # by the storage: the source has nothing to do with it
            raise OutputLost(exc.detail) from exc

    def facts(self) -> str | None:
        """Return the path of what the metadata step read of the source; None where that is no longer there."""
        rows = Step.objects.filter(job=self.job, epoch=self.claim.epoch, kind=Step.Kind.METADATA)
        key = rows.values_list("output", flat=True).first()
        try:
            return self.read(key) if key else None
        except FileNotFoundError:
            return None

    def read(self, key: str, *, sha256: str = "") -> str:
        """Return a path at which a stored file can be read until the work ends."""
        return str(self._read.enter_context(storage.reading(key, sha256=sha256, stop=self._lease.stop)))

    def segments(self, keys: Sequence[str]) -> tuple[str, ...]:
        """Return the paths of the segments in order; SegmentDamaged where one is no longer there."""

        def read(index: int) -> str:
            try:
                return self.output(keys[index])
            except OutputLost as exc:
                raise SegmentDamaged(f"segment {index}: its file is missing", index=index) from exc

        with ThreadPoolExecutor(FETCHES_AT_ONCE, thread_name_prefix="fetch") as pool:
            return tuple(pool.map(read, range(len(keys))))

    def write(self, suffix: str = "", *, more_bytes: int = 0) -> tuple[str, str]:
        """Return the key and the path that this attempt writes to; removed again where the attempt comes to nothing.

        StorageFull where `more_bytes` and the reserve are not free.
        """
        key = storage.output_key(self.claim, suffix)
        path = storage.stage(key, more_bytes=more_bytes)
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
        close_old_connections()
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
            self._store(key)
        return result

    def _store(self, key: str) -> None:
        """Store what was written; a storage that is away for a while costs patience, not the work."""
        give_up = time.monotonic() + settings.VIDEOPROC_PATIENCE_SECONDS
        is_noted = False
        while True:
            try:
                return storage.store(key, stop=self._lease.stop)
            except storage.StorageUnreachable as exc:
                if time.monotonic() > give_up:
                    raise
                if not is_noted:
                    is_noted = self._note_waiting(_storage_trouble(exc))
                logger.warning("waiting for the storage", extra={"key": key, "cause": str(exc)})
                if self._lease.stop.wait(1.0):
                    raise ProcessStopped("stopped while the storage was away") from exc

    def _note_waiting(self, why: MediaError) -> bool:
        """Put the reason into the step's row; return whether the database took it."""
        try:
            steps.note_waiting(self.claim, code=why.code, detail=why.detail)
        except DATABASE_AWAY:
            return False
        close_old_connections()
        return True

    def close(self) -> None:
        """Let go of what was read, and of local copies of what was written."""
        self._read.close()
        for key in self._written:
            storage.unstage(key)

    def discard(self) -> None:
        """Remove what this attempt wrote, unless the row refers to some of it, and so to all.

        A commit may succeed and its answer get lost.
        """
        try:
            published = set(Step.objects.filter(pk=self.claim.step_id).values_list("output", flat=True))
        except DATABASE_AWAY:
            return  # the job's clean-up removes it
        if not published.isdisjoint(self._written):
            return
        try:
            for key in self._written:
                storage.delete(key, stop=self._lease.stop)
        except (OSError, ProcessStopped) as exc:
            logger.warning("output stays for the job's clean-up", extra={"key": key, "cause": str(exc)})

    def _note_usage(self, usage: Usage) -> None:
        self.used = {"cpu_seconds": round(usage.cpu_seconds, 2), "peak_mib": usage.peak_rss_bytes >> 20}

    def _progressed(self, frames_done: int) -> None:
        self._lease.frames_done = frames_done


class Supervisor:
    """One worker process's means: the media processes and the leases."""

    def __init__(self) -> None:
        # Containers that share a host name also share process ids.
        self.worker = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self.processes = MediaProcesses()
        self.leases = Leases(worker=self.worker, slots=settings.VIDEOPROC_WORKER_SLOTS)

    def start(self) -> None:
        """Start the zygote, the heartbeat, the doorbell and the nudger."""
        storage.start()
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
        """Claim a step and do its work; nothing where the step is not there to be taken.

        The message's chain goes on only behind a step that is done. Were it to go on behind one that this worker cannot
        take, a chain of two would bring the step's next hint back to this worker, and so for ever: brokers serve two
        workers in turn.
        """
        if self.leases.stopping:
            raise Reject("stopping", requeue=True)
        if not self._performed(job_id, epoch, kind, work, index) and current_task:
            current_task.request.chain = None

    def _performed(self, job_id: str, epoch: int, kind: str, work: Callable[[Work], None], index: int) -> bool:
        """Do what `perform` promises and return whether the step is done."""
        began = time.monotonic()
        try:
            if self.leases.drained:  # its message came while the worker was told: another one hints at the step
                steps.forget_hint(job_id, epoch, kind, index)
                return False
            if kind in WRITING and not _has_room(job_id, epoch, kind, index):
                return False
            claim = steps.claim(job_id, epoch, kind, index, worker=self.worker)
            if claim is None:
                delay = settings.VIDEOPROC_BACKOFF_SECONDS
                steps.pass_on(job_id, epoch, kind, index, worker=self.worker, delay_seconds=delay)
                return steps.is_done(job_id, epoch, kind, index)
        except DATABASE_AWAY as exc:
            logger.warning("claim waits for the database", extra={"job": job_id, "step": kind, "cause": str(exc)})
            self.leases.expect_strays()
            return False
        with self.leases.held(claim) as lease:
            task = Work(claim, lease, self.processes)
            try:
                outcome = _carry_out(task, work)
            finally:
                task.close()
        facts = {"job": claim.job_id, "step": claim.kind, "index": claim.index, "attempt": claim.attempt}
        logger.info("step %s", outcome, extra={**facts, "seconds": round(time.monotonic() - began, 2), **task.used})
        return outcome == DONE


def _carry_out(task: Work, work: Callable[[Work], None]) -> str:
    """Do the work and return how it ended, for the log; whatever was written is removed unless a row refers to it."""
    try:
        task.job = patiently(lambda: pipeline.started(task.claim))
        # To the pool, which has fewer than there are slots: what follows takes seconds, as does `Work.run`.
        close_old_connections()
        work(task)
    except (Fenced, JobClosed) as exc:
        outcome = f"void: {exc}"
    except MediaError as exc:
        outcome = _failed(task.claim, exc)
    except DATABASE_AWAY as exc:
        outcome = f"left to its lease: {exc}"
    except OSError as exc:
        outcome = _failed(task.claim, _storage_trouble(exc))
    except Exception as exc:  # left to its lease it would be told as ten lost workers
        logger.exception("step ended by an error that nobody foresaw", extra={"job": task.claim.job_id})
        outcome = _failed(task.claim, Unforeseen(repr(exc)))
    else:
        return DONE
    task.discard()
    return outcome


def _storage_trouble(error: OSError) -> MediaError:
    kind = StorageFull if error.errno in FULL else StorageAway
    return kind(f"{type(error).__name__}: {error}")


def _has_room(job_id: str, epoch: int, kind: str, index: int) -> bool:
    """Whether a step that writes may begin; else it waits, with the reason in its row and no attempt spent."""
    try:
        refuse_full(storage.free_bytes(), 0)
    except StorageFull as exc:
        why: MediaError = exc
    except OSError as exc:
        why = _storage_trouble(exc)
    else:
        return True
    delay = settings.VIDEOPROC_BACKOFF_SECONDS
    steps.put_off(job_id, epoch, kind, index, code=why.code, detail=why.detail, delay_seconds=delay)
    return False


def _failed(claim: Claim, error: MediaError) -> str:
    try:
        patiently(lambda: failures.step_failed(claim, error))
    except (Fenced, JobClosed) as exc:
        return f"void: {exc}"
    return f"failed: {error.code}"


def patiently(change: Callable[[], Answer]) -> Answer:
    """Do a change of rows, again each second while the database is away, for VIDEOPROC_PATIENCE_SECONDS at most.

    A worker that is to end waits no longer: nothing can be handed back then, and its leases will lapse.
    """
    give_up = time.monotonic() + settings.VIDEOPROC_PATIENCE_SECONDS
    while True:
        try:
            return change()
        except DATABASE_AWAY as exc:
            if time.monotonic() > give_up or (_supervisor is not None and _supervisor.leases.stopping):
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
