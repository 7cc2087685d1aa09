"""Claims, leases, fences and strikes of steps; only this module assigns `Step.state`.

Each change is one conditional UPDATE whose guard is in its WHERE clause. A claim carries (step, attempt); a write with
an attempt that is no longer the row's moves nothing and raises Fenced.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, cast
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Max, Q, QuerySet, Subquery
from django.db.models.functions import Greatest, Now
from django.db.models.sql import UpdateQuery

from processing import release
from processing.clock import after
from processing.models import Job, Step
from processing.state import turns
from processing.state.errors import Fenced

State = Step.State
Strike = Literal["crashes", "losses"]

RETURNED = 'id, job_id, epoch, kind, "index", owner_id, attempt, crashes, losses, error_code'


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The right to work on a step, valid while the row still carries this attempt."""

    step_id: int
    job_id: UUID
    epoch: int
    kind: str
    index: int
    attempt: int
    crashes: int
    losses: int
    last_error: str
    """The code of what ended the attempt before, empty for the first."""


def create(job: Job, kind: str, *, index: int = 0, **fields: Any) -> Step:
    """Write a runnable step of the job's epoch."""
    return Step.objects.create(**_common(job, index), kind=kind, **fields)


def create_segments(job: Job, spans: Iterable[tuple[int, int, int, int]]) -> int:
    """Write one runnable step for each (index, start_pts, stop_pts, frames); return how many."""
    steps = [
        Step(**_common(job, index), kind=Step.Kind.SEGMENT, start_pts=start, stop_pts=stop, frames=frames)
        for index, start, stop, frames in spans
    ]
    Step.objects.bulk_create(steps, batch_size=500)
    return len(steps)


def _common(job: Job, index: int) -> dict[str, Any]:
    return {
        "job": job,
        "owner_id": job.owner_id,
        "priority": job.priority,
        "turn": job.number * Step.SEGMENTS_A_TURN + index,
        "paused": job.paused,
        "epoch": job.epoch,
        "index": index,
        "release": release.NUMBER,
        "created_at": Now(),
    }


def claim(job_id: UUID | str, epoch: int, kind: str, index: int, *, worker: str) -> Claim | None:
    """Take a queued step for a lease's time; None where it is not there to be taken."""
    rows = _queued(job_id, epoch, kind, index).filter(release__lte=release.NUMBER)
    step = _moved(
        rows.filter(Q(not_before__isnull=True) | Q(not_before__lte=Now())),
        state=State.RUNNING,
        attempt=F("attempt") + 1,
        worker=worker,
        lease_until=after(settings.VIDEOPROC_LEASE_SECONDS),
        not_before=None,
        started_at=Now(),
    )
    if step is None:
        return None
    return Claim(
        step_id=step.pk,
        job_id=step.job_id,
        epoch=step.epoch,
        kind=step.kind,
        index=step.index,
        attempt=step.attempt,
        crashes=step.crashes,
        losses=step.losses,
        last_error=step.error_code,
    )


def _moved(rows: QuerySet[Step], **changes: Any) -> Step | None:
    """Change the one row there may be and return it as it is then, its identity and strikes alone; None without one."""
    if not connection.features.can_return_columns_from_insert:  # SQLite before 3.35
        with transaction.atomic():
            found = rows.values_list("pk", flat=True).first()
            return Step.objects.get(pk=found) if found is not None and rows.update(**changes) else None
    return next(iter(Step.objects.raw(*_returning(rows, **changes))), None)


def _returning(rows: QuerySet[Step], **changes: Any) -> tuple[str, tuple[Any, ...]]:
    """Return the UPDATE of rows that returns them, and its parameters."""
    query = cast(UpdateQuery, rows.query.chain(UpdateQuery))
    query.add_update_values(changes)
    update, parameters = query.get_compiler(rows.db).as_sql()
    return f"{update} RETURNING {RETURNED}", parameters


def _held(claims: Iterable[Claim]) -> QuerySet[Step]:
    fence = Q(pk__in=[])
    for held in claims:
        fence |= Q(pk=held.step_id, attempt=held.attempt)
    return Step.objects.filter(fence, state=State.RUNNING)


def renew(claims: Iterable[Claim]) -> None:
    """Extend the leases that are still held; a lapsed one that nobody took may be renewed by its holder."""
    _held(claims).update(lease_until=after(settings.VIDEOPROC_LEASE_SECONDS))


def still_held(claims: Iterable[Claim]) -> set[tuple[int, int]]:
    """Return (step id, attempt) of the claims that still hold."""
    return set(_held(claims).values_list("pk", "attempt"))


def release_strays(worker: str, held: Iterable[Claim], *, older_than_seconds: float) -> int:
    """Queue again, without a strike, what a worker has claimed and does not know of; return how many steps.

    A claim's commit may arrive and its answer get lost with the database. `held` is what the worker knows of, and
    `older_than_seconds` how long a claim may be on its way to it.
    """
    known = Q(pk__in=[])
    for claim in held:
        known |= Q(pk=claim.step_id, attempt=claim.attempt)
    strays = Step.objects.filter(worker=worker, state=State.RUNNING, started_at__lt=after(-older_than_seconds))
    return strays.exclude(known).update(state=State.QUEUED, lease_until=None, hinted_at=None)


def release_all() -> list[Step]:
    """Queue again all that runs, and return it as it is then: for who knows that no worker lives, all was killed.

    It is no strike, but counted. Should a worker live on after all, it is fenced.
    """
    running = list(Step.objects.filter(state=State.RUNNING).values_list("pk", flat=True))
    Step.objects.filter(pk__in=running, state=State.RUNNING).update(
        state=State.QUEUED, restarts=F("restarts") + 1, lease_until=None, hinted_at=None
    )
    return list(Step.objects.filter(pk__in=running))


def advance(held: Claim, frames_done: int) -> None:
    """Note progress; it never goes back, so a second attempt counts only past the first."""
    _held([held]).update(frames_done=Greatest(F("frames_done"), frames_done))


def note_waiting(held: Claim, *, code: str, detail: str) -> None:
    """Say why a step that is at work gets no further, and since when; nothing where the claim no longer holds."""
    _held([held]).update(error_code=code, error_detail=detail, not_before=Now())


def finish(held: Claim, *, output: str = "", sha256: str = "", result: Any = None, frames_done: int = 0) -> None:
    """Publish the step's output by its row; Fenced where the claim no longer holds."""
    _fenced(
        held,
        state=State.DONE,
        output=output,
        sha256=sha256,
        result=result,
        frames_done=Greatest(F("frames_done"), frames_done),
        error_code="",
        error_detail="",
        not_before=None,
        lease_until=None,
        ended_at=Now(),
    )


def fail(held: Claim, *, code: str, detail: str) -> None:
    """End the step for good; Fenced where the claim no longer holds."""
    _fenced(held, state=State.FAILED, error_code=code, error_detail=detail, lease_until=None, ended_at=Now())


def hand_back(held: Claim, *, code: str, detail: str, strike: Strike | None, delay_seconds: float) -> None:
    """Queue the step again after a delay, with a strike of the given cause; Fenced where the claim no longer holds."""
    strikes: dict[str, Any] = {strike: F(strike) + 1} if strike else {}
    _fenced(
        held,
        state=State.QUEUED,
        error_code=code,
        error_detail=detail,
        lease_until=None,
        hinted_at=None,
        not_before=after(delay_seconds) if delay_seconds else None,
        **strikes,
    )


def put_off(
    job_id: UUID | str, epoch: int, kind: str, index: int, *, code: str, detail: str, delay_seconds: float
) -> None:
    """Let a queued step wait longer, and say why; nothing where it is not queued."""
    _queued(job_id, epoch, kind, index).update(
        error_code=code, error_detail=detail, hinted_at=None, not_before=after(delay_seconds)
    )


def pass_on(job_id: UUID | str, epoch: int, kind: str, index: int, *, worker: str, delay_seconds: float) -> None:
    """Let a queued step that a later release wrote wait for a newer worker; nothing where this one may take it."""
    _queued(job_id, epoch, kind, index).filter(release__gt=release.NUMBER).update(
        error_code="worker_too_old",
        error_detail=f"worker {worker} is of an earlier release than who wrote this step",
        hinted_at=None,
        not_before=after(delay_seconds),
    )


def is_done(job_id: UUID | str, epoch: int, kind: str, index: int) -> bool:
    """Return whether a step was done, by whomever."""
    return Step.objects.filter(job_id=job_id, epoch=epoch, kind=kind, index=index, state=State.DONE).exists()


def _queued(job_id: UUID | str, epoch: int, kind: str, index: int) -> QuerySet[Step]:
    rows = Step.objects.filter(job_id=job_id, epoch=epoch, kind=kind, index=index)
    return rows.filter(state=State.QUEUED, paused=False)


def _fenced(held: Claim, **changes: Any) -> None:
    if not _held([held]).update(**changes):
        raise Fenced(f"{held.kind} {held.index} of job {held.job_id}: attempt {held.attempt} no longer holds it")


def lapsed(limit: int = 200) -> list[Step]:
    """Return running steps whose lease is over by the database's clock, oldest first."""
    return list(Step.objects.filter(state=State.RUNNING, lease_until__lt=Now()).order_by("lease_until")[:limit])


def mend_times() -> int:
    """Mend what only a database's clock that was set back can have written: times too far ahead; return how many."""
    lease = settings.VIDEOPROC_LEASE_SECONDS
    delay = settings.VIDEOPROC_BACKOFF_SECONDS * 2**settings.VIDEOPROC_CRASH_STRIKES
    margin = settings.VIDEOPROC_SEEN_SECONDS
    queued, running = Step.objects.filter(state=State.QUEUED), Step.objects.filter(state=State.RUNNING)
    return (
        running.filter(lease_until__gt=after(lease + margin)).update(lease_until=after(lease))
        + queued.filter(hinted_at__gt=after(margin)).update(hinted_at=None)
        + queued.filter(not_before__gt=after(delay + margin)).update(not_before=None)
    )


def expire(step: Step) -> bool:
    """Queue a lapsed step again with a strike for the lost worker; False where its holder was quicker."""
    moved = Step.objects.filter(pk=step.pk, attempt=step.attempt, state=State.RUNNING, lease_until__lt=Now()).update(
        state=State.QUEUED,
        losses=F("losses") + 1,
        lease_until=None,
        hinted_at=None,
        error_code="worker_lost",
        error_detail=f"worker {step.worker} was not heard of for {settings.VIDEOPROC_LEASE_SECONDS:g} s",
    )
    return bool(moved)


def close(job: Job) -> None:
    """Cancel every step of an ended job that is not at rest; whoever works on one finds its claim gone."""
    Step.objects.filter(job=job, state__in=(State.QUEUED, State.RUNNING)).update(
        state=State.CANCELLED, lease_until=None, hinted_at=None, ended_at=Now()
    )


def carry_over(job: Job, *kinds: str) -> None:
    """Move finished steps of these kinds into the job's new epoch and cancel what is still open in the old one."""
    old = Step.objects.filter(job=job, epoch=job.epoch - 1)
    old.filter(state=State.DONE, kind__in=kinds).update(epoch=job.epoch)
    old.filter(state__in=(State.QUEUED, State.RUNNING)).update(
        state=State.CANCELLED, lease_until=None, hinted_at=None, ended_at=Now()
    )


def keep_release(job: Job) -> None:
    """Leave the waiting steps of the job's epoch to workers as new as who wrote what was carried over into it.

    Whoever creates them may be older: web servers are updated last.
    """
    rows = Step.objects.filter(job=job, epoch=job.epoch)
    newest = rows.aggregate(newest=Max("release"))["newest"]
    rows.filter(state=State.QUEUED, release__lt=newest).update(release=newest)


def requeue(job: Job, kind: str, index: int) -> None:
    """Queue a finished step of the job's epoch again: what it made is no longer there as it was."""
    Step.objects.filter(job=job, epoch=job.epoch, kind=kind, index=index, state=State.DONE).update(
        state=State.QUEUED, priority=job.priority, hinted_at=None, output="", sha256="", result=None, ended_at=None
    )


def due(limit: int) -> list[Step]:
    """Return up to `limit` steps that would be hinted at next, the owners in turn; nothing is changed."""
    loads = turns.look().at_work
    queues = {owner: list(_queue(owner)[:limit]) for owner in loads} if limit > 0 else {}
    chosen: list[Step] = []
    while len(chosen) < limit and any(queues.values()):
        owner = min((owner for owner in queues if queues[owner]), key=lambda owner: loads[owner])
        chosen.append(queues[owner].pop(0))
        loads[owner] += 1
    return chosen


def hint(limit: int, loads: dict[int, int]) -> Iterator[Step]:
    """Choose up to `limit` due steps, the owners in turn, and note for each that its message is about to be published.

    `loads` tells of each owner how much is at work. Where another dispatcher is quicker, that owner is its to serve.
    """
    loads = dict(loads)
    while limit > 0 and loads:
        owner = min(loads, key=lambda owner: loads[owner])
        step = _hint_at(owner)
        if step is None:
            del loads[owner]
            continue
        loads[owner] += 1
        limit -= 1
        yield step


def _hint_at(owner: int) -> Step | None:
    if not connection.features.can_return_columns_from_insert:
        return _moved(_first(owner), hinted_at=Now())
    statement = _hinting(connection.vendor, settings.VIDEOPROC_HINT_SECONDS)
    return next(iter(Step.objects.raw(statement.sql, statement.parameters(owner))), None)


@lru_cache(maxsize=8)
def _hinting(vendor: str, hint_seconds: float) -> turns.Prepared:
    return turns.Prepared(*_returning(_first(turns.NUMBER), hinted_at=Now()))


def _first(owner: int) -> QuerySet[Step]:
    """Return the step that is due and, when the statement begins, the first of its owner's."""
    return turns.due().filter(pk=Subquery(_queue(owner).values("pk")[:1]))


def _queue(owner: int) -> QuerySet[Step]:
    return turns.due().filter(owner_id=owner).order_by("-priority", "turn", "id")


def unmark_hinted(step: Step) -> None:
    """Note that the message could not be published."""
    Step.objects.filter(pk=step.pk, state=State.QUEUED).update(hinted_at=None)


def forget_hint(job_id: UUID | str, epoch: int, kind: str, index: int) -> None:
    """Note that the message of a queued step came to nothing, so that it is hinted at again."""
    _queued(job_id, epoch, kind, index).update(hinted_at=None)


def forget_hints(*, older_than_seconds: float) -> None:
    """Let what waits be hinted again: a worker or a broker came back, and earlier messages may be lost.

    Fresher hints stay: of a thousand workers that come back together, each would have all others' hints published anew.
    """
    Step.objects.filter(state=State.QUEUED, hinted_at__lt=after(-older_than_seconds)).update(hinted_at=None)


def set_paused(job: Job, paused: bool) -> None:
    """Let the job's waiting steps run or not; those at work lose their claims and wait, without a strike."""
    rows = Step.objects.filter(job=job, epoch=job.epoch, state__in=(State.QUEUED, State.RUNNING))
    rows.update(state=State.QUEUED, paused=paused, lease_until=None, hinted_at=None)


def set_priority(job: Job) -> None:
    """Give the job's steps its priority; those at work as well, for they may be handed back."""
    rows = Step.objects.filter(job=job, epoch=job.epoch, state__in=(State.QUEUED, State.RUNNING))
    rows.update(priority=job.priority)
