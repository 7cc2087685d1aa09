"""Gates and mutations for entry.py: a worker that stops at a place, and workers that lack the fence, the join guard,
the digest check or the re-hinting. Invariant: imported only by processes that a test starts.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from processing import dispatch, nudge, pipeline, release, supervisor
from processing.media.process.launcher import MediaProcesses
from processing.media.receipts import SegmentResult
from processing.models import Job, Step
from processing.state import job as jobs
from processing.state import step as steps
from processing.state import turns
from processing.state.step import Claim


def apply() -> None:
    """Do what VIDEOPROC_TEST_GATE ("before:name:path" or "after:name:path"), _RELEASE and _WITHOUT say."""
    gate = os.environ.get("VIDEOPROC_TEST_GATE", "")
    if gate:
        when, name, path = gate.split(":", 2)
        setattr(pipeline, name, gated(getattr(pipeline, name), when, Path(path)))
    number = os.environ.get("VIDEOPROC_TEST_RELEASE", "")
    if number:
        release.NUMBER = int(number)
    without = os.environ.get("VIDEOPROC_TEST_WITHOUT", "")
    if without:
        WITHOUT[without]()


def gated(function: Callable[..., Any], when: str, path: Path) -> Callable[..., Any]:
    """Return the function with a stop before or after it: it makes `path` and waits until that is gone."""

    def stop() -> None:
        path.touch()
        while path.exists():
            time.sleep(0.02)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        if when == "before":
            stop()
        result = function(*arguments, **named)
        if when == "after":
            stop()
        return result

    return wrapped


def without_fence() -> None:
    """A write counts whoever holds the step by now."""

    def held(claims: Any) -> QuerySet[Step]:
        return Step.objects.filter(pk__in=[claim.step_id for claim in claims])

    renew = steps.renew

    def renew_running(claims: list[Claim]) -> None:
        # A lease of a step that nobody runs would break a constraint, and the worker would end of it.
        running = Step.objects.filter(pk__in=[claim.step_id for claim in claims], state=Step.State.RUNNING)
        known = set(running.values_list("pk", flat=True))
        renew([claim for claim in claims if claim.step_id in known])

    steps.renew = renew_running
    steps._held = held
    steps.still_held = lambda claims: {(claim.step_id, claim.attempt) for claim in claims}


def without_hints_again() -> None:
    """A step is hinted once, whatever became of its message."""

    def due() -> QuerySet[Step]:
        runnable = Q(not_before__isnull=True) | Q(not_before__lte=Now())
        return Step.objects.filter(runnable, hinted_at__isnull=True, state=Step.State.QUEUED, paused=False)

    turns.due = due
    turns._looking.cache_clear()
    steps._hinting.cache_clear()
    steps.forget_hints = lambda **_: None
    dispatch.hint_again = nudge.nudge


def without_join_guard() -> None:
    """The first finished segment begins the join, and so does each other."""

    @transaction.atomic
    def segment_enhanced(claim: Claim, segment: SegmentResult, output: str) -> None:
        job = jobs.lock(claim.job_id, epoch=claim.epoch)
        steps.finish(
            claim,
            output=output,
            sha256=segment.sha256,
            result=pipeline.wire.to_builtins(segment),
            frames_done=segment.frames_out,
        )
        jobs.record(job, "segment_enhanced", data={"segment": claim.index, "attempt": claim.attempt})
        jobs.record(job, "joining_started", to=Job.State.JOINING)
        if not Step.objects.filter(job=job, epoch=job.epoch, kind=Step.Kind.JOIN).exists():
            steps.create(job, Step.Kind.JOIN)
            transaction.on_commit(nudge.nudge, robust=True)

    pipeline.segment_enhanced = segment_enhanced


def without_digests() -> None:
    """The join takes its segments as they are."""
    supervisor.MediaProcesses = partial(MediaProcesses, operations="tests.faults.careless:OPERATIONS")


WITHOUT = {
    "fence": without_fence,
    "hints": without_hints_again,
    "guard": without_join_guard,
    "digests": without_digests,
}
