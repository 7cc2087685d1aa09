"""What staff can do to jobs in the admin, to one by a button and to many by an action: one table of acts for both.

Invariant: each act is one function of control.py, and a job whose state does not allow it stays as it was, and is told.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from processing import control
from processing.models import Job
from processing.state.errors import JobClosed, JobOpen

logger = logging.getLogger(__name__)

AT_ONCE = 1000
FIRST, LAST = 100, -100


@dataclass(frozen=True, kw_only=True)
class Act:
    """One thing to do to a job; `refused` says in which jobs' case nothing was done."""

    name: str
    label: str
    done: str
    refused: str
    change: Callable[[UUID], Job]
    is_offered: Callable[[Job], bool]
    is_grave: bool = False


def _is_open(job: Job) -> bool:
    return not job.terminal


ENDED = "had already ended and stayed as they were"
ACTS = {
    act.name: act
    for act in (
        Act(
            name="pause",
            label="Pause",
            done="paused",
            refused=ENDED,
            change=partial(control.pause, by="staff"),
            is_offered=lambda job: _is_open(job) and not job.paused,
        ),
        Act(
            name="resume",
            label="Resume",
            done="resumed",
            refused=ENDED,
            change=partial(control.resume, by="staff"),
            is_offered=lambda job: _is_open(job) and job.paused,
        ),
        Act(
            name="retry",
            label="Retry",
            done="taken up again",
            refused="stayed as they were: at work or ready",
            change=partial(control.retry, by="staff"),
            is_offered=lambda job: job.state in {Job.State.FAILED, Job.State.CANCELLED},
        ),
        Act(
            name="first",
            label="Put first",
            done="put before their owner's others",
            refused=ENDED,
            change=partial(control.prioritise, priority=FIRST, by="staff"),
            is_offered=lambda job: _is_open(job) and job.priority != FIRST,
        ),
        Act(
            name="last",
            label="Put last",
            done="put behind their owner's others",
            refused=ENDED,
            change=partial(control.prioritise, priority=LAST, by="staff"),
            is_offered=lambda job: _is_open(job) and job.priority != LAST,
        ),
        Act(
            name="in_turn",
            label="Put in turn",
            done="put where they began among their owner's",
            refused=ENDED,
            change=partial(control.prioritise, priority=0, by="staff"),
            is_offered=lambda job: _is_open(job) and job.priority != 0,
        ),
        Act(
            name="cancel",
            label="Cancel",
            done="cancelled",
            refused=ENDED,
            change=partial(control.cancel, by="staff"),
            is_offered=_is_open,
            is_grave=True,
        ),
    )
}
"""By name, in the order of the buttons."""


def actions() -> list[Callable[..., None]]:
    """Return an admin action for each act, which may be taken by who has the permission `steer`."""
    return [_action(act) for act in ACTS.values()]


def offered(job: Job) -> list[Act]:
    """Return what can be done to a job as it is now."""
    return [act for act in ACTS.values() if act.is_offered(job)]


def steer(model_admin: admin.ModelAdmin, request: HttpRequest, act: Act, job_ids: list[UUID]) -> None:
    """Do one act to jobs and tell the person how many it was done to, and how many stayed as they were."""
    done = refused = 0
    for job_id in job_ids:
        try:
            act.change(job_id)
            done += 1
            logger.info("job steered", extra={"job": job_id, "act": act.name, "by": request.user.get_username()})
        except (JobClosed, JobOpen):
            refused += 1
    if done:
        model_admin.message_user(request, f"{_jobs(done)} {act.done}.", messages.SUCCESS)
    if refused:
        model_admin.message_user(request, f"{_jobs(refused)} {act.refused}.", messages.WARNING)


def _action(act: Act) -> Callable[..., None]:
    @admin.action(description=f"{act.label}: selected jobs", permissions=["steer"])
    def selected(model_admin: admin.ModelAdmin, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        steer(model_admin, request, act, list(queryset.values_list("pk", flat=True)[:AT_ONCE]))

    named: Any = selected
    named.__name__ = f"{act.name}_selected"
    return selected


def _jobs(count: int) -> str:
    return f"{count} job" if count == 1 else f"{count} jobs"
