"""Claims, leases, fences and strikes of steps; only this module assigns `Step.state`.

Each change is one conditional UPDATE whose guard is in its WHERE clause. A claim carries (step, attempt); a write with
an attempt that is no longer the row's moves nothing and raises Fenced.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from django.conf import settings
from django.db.models import Count, F, Q, QuerySet
from django.db.models.functions import Greatest, Now

from processing.clock import after
from processing.models import Job, Step
from processing.state.errors import Fenced

State = Step.State
Strike = Literal["crashes", "losses"]

SEGMENTS_A_TURN = 8
"""An owner's jobs go first come first served, but a long one falls one place behind with every eight segments."""
OWNERS_A_PASS = 64


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
        "turn": job.number * SEGMENTS_A_TURN + index,
        "paused": job.paused,
        "epoch": job.epoch,
        "index": index,
        "created_at": Now(),
    }


def claim(job_id: UUID | str, epoch: int, kind: str, index: int, *, worker: str) -> Claim | None:
    """Take a queued step for a lease's time; None where it is not there to be taken."""
    rows = Step.objects.filter(job_id=job_id, epoch=epoch, kind=kind, index=index)
    taken = (
        rows.filter(state=State.QUEUED, paused=False)
        .filter(Q(not_before__isnull=True) | Q(not_before__lte=Now()))
        .update(
            state=State.RUNNING,
            attempt=F("attempt") + 1,
            worker=worker,
            lease_until=after(settings.VIDEOPROC_LEASE_SECONDS),
            not_before=None,
            started_at=Now(),
        )
    )
    if not taken:
        return None
    step = rows.get()
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
    Step.objects.filter(job_id=job_id, epoch=epoch, kind=kind, index=index, state=State.QUEUED, paused=False).update(
        error_code=code, error_detail=detail, hinted_at=None, not_before=after(delay_seconds)
    )


def _fenced(held: Claim, **changes: Any) -> None:
    if not _held([held]).update(**changes):
        raise Fenced(f"{held.kind} {held.index} of job {held.job_id}: attempt {held.attempt} no longer holds it")


def lapsed(limit: int = 200) -> list[Step]:
    """Return running steps whose lease is over by the database's clock, oldest first."""
    return list(Step.objects.filter(state=State.RUNNING, lease_until__lt=Now()).order_by("lease_until")[:limit])


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


def requeue(job: Job, kind: str, index: int) -> None:
    """Queue a finished step of the job's epoch again: what it made is no longer there as it was."""
    Step.objects.filter(job=job, epoch=job.epoch, kind=kind, index=index, state=State.DONE).update(
        state=State.QUEUED, hinted_at=None, output="", sha256="", result=None, ended_at=None
    )


def _due() -> QuerySet[Step]:
    unhinted = Q(hinted_at__isnull=True) | Q(hinted_at__lt=after(-settings.VIDEOPROC_HINT_SECONDS))
    runnable = Q(not_before__isnull=True) | Q(not_before__lte=Now())
    return Step.objects.filter(unhinted, runnable, state=State.QUEUED, paused=False)


def due(limit: int, *, after_owner: int = 0) -> list[Step]:
    """Return queued steps without a fresh hint, the owners in turn: who has least at work goes first.

    Of very many owners a part is looked at, those after `after_owner` first; pass the last one served to go round.
    """
    if limit <= 0:
        return []
    at_work = dict(Step.objects.filter(_at_work()).values_list("owner_id").annotate(Count("id")).order_by())
    owners = sorted(_waiting_owners(after_owner), key=lambda owner: at_work.get(owner, 0))
    queues = {
        owner: list(_due().filter(owner_id=owner).order_by("-priority", "turn", "id")[:limit])
        for owner in owners[:limit]
    }
    chosen: list[Step] = []
    while len(chosen) < limit and any(queues.values()):
        owner = min((owner for owner in queues if queues[owner]), key=lambda owner: at_work.get(owner, 0))
        chosen.append(queues[owner].pop(0))
        at_work[owner] = at_work.get(owner, 0) + 1
    return chosen


def _waiting_owners(after_owner: int) -> list[int]:
    """Return owners of due steps: one index look-up for each, however many steps wait."""
    found: list[int] = []
    for low, high in ((after_owner, None), (-1, after_owner)):
        while len(found) < OWNERS_A_PASS:
            rows = (
                _due().filter(owner_id__gt=low) if high is None else _due().filter(owner_id__gt=low, owner_id__lte=high)
            )
            owner = rows.order_by("owner_id").values_list("owner_id", flat=True).first()
            if owner is None:
                break
            found.append(owner)
            low = owner
    return found


def mark_hinted(step: Step) -> bool:
    """Note that the step's message is about to be published; False where another dispatcher was quicker."""
    return bool(_due().filter(pk=step.pk).update(hinted_at=Now()))


def unmark_hinted(step: Step) -> None:
    """Note that the message could not be published."""
    Step.objects.filter(pk=step.pk, state=State.QUEUED).update(hinted_at=None)


def forget_hints() -> None:
    """Let everything that waits be hinted again: a worker or a broker came back, and earlier messages may be lost."""
    Step.objects.filter(state=State.QUEUED, hinted_at__isnull=False).update(hinted_at=None)


def outstanding() -> int:
    """Return how many steps are running or have a fresh hint."""
    return Step.objects.filter(_at_work()).count()


def _at_work() -> Q:
    fresh = Q(state=State.QUEUED, hinted_at__gte=after(-settings.VIDEOPROC_HINT_SECONDS))
    return fresh | Q(state=State.RUNNING)


def set_paused(job: Job, paused: bool) -> None:
    """Let the job's waiting steps run or not; those at work lose their claims and wait, without a strike."""
    rows = Step.objects.filter(job=job, epoch=job.epoch, state__in=(State.QUEUED, State.RUNNING))
    rows.update(state=State.QUEUED, paused=paused, lease_until=None, hinted_at=None)


def set_priority(job: Job) -> None:
    """Give the job's waiting steps its priority."""
    Step.objects.filter(job=job, state=State.QUEUED).update(priority=job.priority)
