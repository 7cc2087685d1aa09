"""What a dispatcher would do if it looked now, and why whatever waits does wait: lines to read, nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.db.models import Count, F, Min, Q
from django.db.models.functions import Now

from processing import dispatch, progress
from processing.clock import after
from processing.models import Step
from processing.state import step as steps
from processing.state import turns


def rehearse() -> Iterator[str]:
    """Yield a line for each hint, expiry and clean-up that is due, then for each reason to wait."""
    for step in steps.lapsed():
        yield f"expire {_named(step)}: {step.worker} has let its lease lapse"
    room = turns.look().room
    for step in steps.due(min(room, dispatch.BATCH)):
        yield f"hint   {_named(step)}: nobody was told of it lately"
    for job in dispatch.to_clean():
        yield f"clean  job {job.pk}: {job.state} since {job.ended_at:%Y-%m-%d %H:%M:%S} UTC"
    for _, lines in dispatch.rehearsal.send(sender=None):
        yield from lines or ()
    slots, outstanding = progress.live_slots(), turns.at_work().count()
    yield f"slots  {slots} of live workers, {outstanding} steps at work or hinted, room for {room} more"
    for reason in reasons():
        yield f"waits  {reason}"


def _named(step: Step) -> str:
    return f"{step.kind} {step.index} of job {step.job_id}, attempt {step.attempt + 1}"


def reasons() -> Iterator[str]:
    """Say why queued steps wait, a line for each reason; each step has one."""
    queued = Step.objects.filter(state=Step.State.QUEUED)
    paused, later = Q(paused=True), Q(paused=False, not_before__gt=Now())
    hinted = Q(paused=False, hinted_at__gte=after(-settings.VIDEOPROC_HINT_SECONDS)) & ~Q(not_before__gt=Now())
    yield from _counted(queued.filter(paused).count(), "paused: resume their jobs")
    causes = queued.filter(later).values("error_code").annotate(steps=Count("id"), until=Min(F("not_before") - Now()))
    for cause in causes.order_by("error_code"):
        seconds = cause["until"].total_seconds()
        yield from _counted(cause["steps"], f"{cause['error_code'] or 'put off'}: tried again in {seconds:.0f} s")
    rest = queued.exclude(paused).exclude(later).exclude(hinted).count()
    told = queued.filter(hinted).count()
    if progress.live_slots():
        yield from _counted(told, "hinted: a worker has their message or will get it")
        yield from _counted(rest, "a_place: more steps than slots, owners take turns")
    else:
        yield from _counted(told + rest, "no_worker: start one")


def _counted(number: int, reason: str) -> Iterator[str]:
    if number:
        yield f"{number} {'step' if number == 1 else 'steps'}, {reason}"
