"""The guarantee that no step waits unseen: looks at the rows each second and publishes a hint for what may run.

Level-triggered: a step row without a fresh hint is hinted again, whatever became of earlier messages. A commit nudges a
pass at once; the pass each second is what the promise rests on. Any number of dispatchers may run.
"""

from __future__ import annotations

import logging
import threading
import time

from amqp.exceptions import AMQPError
from django.conf import settings
from django.db import close_old_connections, connection, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.dispatch import Signal
from kombu.exceptions import KombuError, OperationalError

from processing import clock, failures, nudge, pipeline, storage, vital
from processing.clock import after
from processing.models import Job
from processing.state import job as jobs
from processing.state import step as steps
from processing.state import turns
from processing.state.errors import DATABASE_AWAY, JobOpen

logger = logging.getLogger(__name__)

housekeeping = Signal()
"""Sent by a dispatcher each VIDEOPROC_HOUSEKEEPING_SECONDS; other apps sweep what is theirs."""
rehearsal = Signal()
"""Sent by a dry run; other apps answer with a line for each thing that housekeeping would sweep."""
BATCH = 50
_last_owner = 0


def hint_due() -> int:
    """Publish a hint for each due step as far as there is room (turns.py); return how many."""
    global _last_owner
    published = 0
    waiting = turns.look(after_owner=_last_owner)
    for step in steps.hint(min(waiting.room, BATCH), waiting.at_work):
        _last_owner = step.owner_id
        try:
            pipeline.message(step).apply_async(retry=True, retry_policy={"max_retries": 1, "interval_start": 0})
        except (OperationalError, KombuError, AMQPError, OSError, TimeoutError) as exc:
            steps.unmark_hinted(step)
            logger.warning("broker unreachable", extra={"cause": repr(exc)})
            break
        published += 1
    return published


def hint_again() -> None:
    """Hint at once at whatever waits: for a worker that begins, or has found its broker again.

    It may be long until this thread asks again: it keeps no connection, least of all one that broke meanwhile.
    """
    close_old_connections()
    try:
        steps.forget_hints(older_than_seconds=settings.VIDEOPROC_DISPATCH_SECONDS)
    except DATABASE_AWAY as exc:
        logger.warning("hints stay until they are old", extra={"cause": str(exc)})
    close_old_connections()
    nudge.nudge()


class Patience:
    """Tells when a lapsed lease means a lost worker, and when its holder may only have had no time to renew it.

    That is so for a lease's time after this began, but in the embedded mode, where one supervisor starts and ends all;
    and after two looks between which more than half of that went by, on our clock or the database's: something stood
    still, or the database's clock leapt, as it does where a machine slept.
    """

    def __init__(self) -> None:
        self._looked: tuple[float, float] | None = None
        self._ends = time.monotonic() + (0.0 if settings.EMBEDDED else settings.VIDEOPROC_LEASE_SECONDS)

    def is_over(self) -> bool:
        """Look, as each pass does, and return whether lapsed leases may be given away."""
        ours, theirs = time.monotonic(), clock.reading()
        if self._looked is not None:
            passed = max(ours - self._looked[0], theirs - self._looked[1])
            if passed > settings.VIDEOPROC_LEASE_SECONDS / 2:
                logger.warning("no lease expires for a while", extra={"seconds_since_last_look": round(passed, 1)})
                self._ends = ours + settings.VIDEOPROC_LEASE_SECONDS
        self._looked = ours, theirs
        return ours >= self._ends


def expire_leases() -> int:
    """Queue again what lost workers held; return how many steps."""
    expired = [step for step in steps.lapsed() if failures.worker_lost(step)]
    for step in expired:
        logger.warning(
            "lease expired",
            extra={"job": step.job_id, "step": step.kind, "index": step.index, "attempt": step.attempt},
        )
    return len(expired)


def clean_ended_jobs() -> int:
    """Remove the working files of jobs that ended; those of failed and cancelled ones once no retry may want them."""
    ended = to_clean()
    if ended:
        storage.check()  # or one that is away would be waited for with a row locked
    for job in ended:
        try:
            _clean(job)
        except storage.StorageUnreachable:
            raise
        except OSError as exc:  # of these files alone, as where another user owns them
            logger.error("a job's working files stay", extra={"job": job.pk, "cause": repr(exc)})
    return len(ended)


@transaction.atomic
def _clean(ended: Job) -> None:
    """Remove a job's working files while its row is locked: a retry finds all of them or none."""
    try:
        job = jobs.lock_ended(ended.pk)
    except (JobOpen, Job.DoesNotExist):
        return
    if job.seq == ended.seq:
        keep = {key for key in (*job.rendition_keys.values(), job.stills_key, job.plan_key) if key}
        storage.clean_job(job.pk, keep if job.state == Job.State.READY else set())
        Job.objects.filter(pk=job.pk).update(cleaned_at=Now())


def to_clean() -> list[Job]:
    """Return ended jobs whose working files nobody may want or write any more, oldest first."""
    settled = after(-3 * settings.VIDEOPROC_BEAT_SECONDS - settings.VIDEOPROC_DRAIN_SECONDS)
    given_up = Q(state=Job.State.READY) | Q(ended_at__lt=after(-settings.VIDEOPROC_RETRY_SECONDS))
    ended = Job.objects.filter(given_up, ended_at__lt=settled, cleaned_at__isnull=True).order_by("ended_at")
    return list(ended[:BATCH])


def run(stop: threading.Event) -> None:
    """Dispatch until `stop` is set; trouble with the database or the broker is waited out."""
    # Hints and removals by themselves: a broker or a storage that does not answer must keep nobody from leases, and a
    # look at these that comes late gives all of them another lease's time (Patience).
    nudge.start(hint_due)
    vital.thread(lambda: _tidy(stop), name="tidying").start()
    patience = Patience()
    last_housekeeping = -settings.VIDEOPROC_HOUSEKEEPING_SECONDS
    while not stop.is_set():
        began = time.monotonic()
        try:
            close_old_connections()
            if patience.is_over():
                expire_leases()
            nudge.nudge()
            if began - last_housekeeping >= settings.VIDEOPROC_HOUSEKEEPING_SECONDS:
                last_housekeeping = began
                failures.deadlines_passed()
                if mended := steps.mend_times():
                    logger.warning("the database's clock was set back", extra={"steps": mended})
        except DATABASE_AWAY as exc:
            logger.warning("database unreachable", extra={"cause": str(exc)})
        stop.wait(settings.VIDEOPROC_DISPATCH_SECONDS)
    nudge.stop()


def _tidy(stop: threading.Event) -> None:
    """Remove until `stop` is set what nobody needs any more; trouble with database or storage is waited out."""
    last_housekeeping = -settings.VIDEOPROC_HOUSEKEEPING_SECONDS
    while not stop.is_set():
        began = time.monotonic()
        try:
            close_old_connections()
            clean_ended_jobs()
            if began - last_housekeeping >= settings.VIDEOPROC_HOUSEKEEPING_SECONDS:
                last_housekeeping = began
                housekeeping.send(sender=None)
                storage.sweep(older_than_seconds=settings.VIDEOPROC_ABANDONED_SECONDS)
        except DATABASE_AWAY as exc:
            logger.warning("database unreachable, nothing is removed", extra={"cause": str(exc)})
        except OSError as exc:
            logger.warning("storage unreachable, nothing is removed", extra={"cause": str(exc)})
        stop.wait(settings.VIDEOPROC_DISPATCH_SECONDS)
    connection.close()
