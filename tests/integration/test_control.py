"""Pause, resume, cancel and retry at each step of a job's way: it always gets to its end, what is done stays done."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle

import pytest

from processing import control, failures, pipeline, progress, release
from processing.media.errors import UnsupportedCodec
from processing.models import Job, Step
from processing.state import step as steps
from processing.state.errors import Fenced, JobClosed
from processing.state.step import Claim
from tests import rows

Kind, State = Step.Kind, Job.State
pytestmark = pytest.mark.usefixtures("database")
SEGMENTS = 2
STEPS = 6 + SEGMENTS
"""From accepted to ready: metadata, diagnosis, plan, segments, join, stills, publishing."""


def finish(claim: Claim) -> None:
    """Store what the step's media process would have answered."""
    answers: dict[str, Callable[[], None]] = {
        Kind.METADATA: lambda: pipeline.metadata_extracted(claim, rows.METADATA, "facts.json"),
        Kind.DIAGNOSE: lambda: pipeline.diagnosed(claim, rows.chosen()),
        Kind.PLAN: lambda: pipeline.planned(claim, rows.plan_of(segments=SEGMENTS), "plan.json"),
        Kind.SEGMENT: lambda: pipeline.segment_enhanced(claim, rows.segment_result(claim.index), "segment.mp4"),
        Kind.JOIN: lambda: pipeline.joined(claim, rows.receipt(), "result.mp4"),
        Kind.STILLS: lambda: pipeline.stills_made(claim, rows.stills(), "stills"),
        Kind.PUBLISH: lambda: pipeline.published(claim),
    }
    answers[claim.kind]()


def begin(job: Job) -> Claim:
    """Take the job's next step."""
    job.refresh_from_db()
    step = Step.objects.filter(job=job, epoch=job.epoch, state=Step.State.QUEUED).earliest("id")
    return rows.claimed(job, step.kind, step.index)


def midway(done: int) -> tuple[Job, Claim]:
    """Return a job with so many steps done and the next one at work."""
    job = rows.accepted()
    for _ in range(done):
        finish(begin(job))
    claim = begin(job)
    job.refresh_from_db()
    return job, claim


def go_on(job: Job) -> Job:
    """Do all that is left; the job must be ready, its events without a gap."""
    for _ in range(STEPS):
        finish(begin(job))
        job.refresh_from_db()
        if job.terminal:
            break
    assert (job.state, job.error_code, job.result_key) == (State.READY, "", "result.mp4")
    assert list(job.events.order_by("seq").values_list("seq", flat=True)) == list(range(1, job.seq + 1))
    assert set(job.steps.values_list("crashes", "losses")) == {(0, 0)}
    return job


@pytest.mark.parametrize("done", range(STEPS))
def test_a_pause_takes_the_step_away_and_a_resume_gives_it_back(done: int) -> None:
    job, claim = midway(done)
    was = job.state
    assert control.pause(job.pk).paused
    assert steps.due(10) == []
    assert progress.measure([Job.objects.get(pk=job.pk)])[job.pk].waiting_for == "paused"
    assert steps.claim(job.pk, job.epoch, claim.kind, claim.index, worker="worker-2") is None
    with pytest.raises(Fenced):
        finish(claim)
    job.refresh_from_db()
    assert job.state == was
    control.resume(job.pk)
    assert (claim.kind, claim.index) in {(step.kind, step.index) for step in steps.due(10)}
    go_on(job)
    assert job.steps.get(pk=claim.step_id).attempt == 2


@pytest.mark.parametrize(
    ("done", "ended"), list(zip(range(STEPS), cycle((State.CANCELLED, State.FAILED)), strict=False))
)
def test_a_retry_gets_to_the_end_and_keeps_what_is_done(done: int, ended: str) -> None:
    job, claim = midway(done)
    control.pause(job.pk)
    control.resume(job.pk)
    claim = begin(job)
    if ended == State.CANCELLED:
        control.cancel(job.pk)
    else:
        failures.step_failed(claim, UnsupportedCodec("no decoder"))
    with pytest.raises(JobClosed):
        finish(claim)
    job.refresh_from_db()
    assert (job.state, job.steps.filter(state__in=("queued", "running")).count()) == (ended, 0)
    for act in (control.cancel, control.pause, control.resume):
        with pytest.raises(JobClosed):
            act(job.pk)
    kept = Step.State.DONE, (Kind.METADATA, Kind.DIAGNOSE, Kind.PLAN, Kind.SEGMENT)
    before = set(job.steps.filter(state=kept[0], kind__in=kept[1]).values_list("pk", flat=True))
    control.retry(job.pk)
    go_on(job)
    after = set(job.steps.filter(epoch=2, kind__in=kept[1]).values_list("pk", flat=True))
    assert before <= after
    assert len(after) == 3 + SEGMENTS
    with pytest.raises(JobClosed):
        control.retry(job.pk)


def test_a_retry_by_an_older_web_server_is_for_workers_as_new_as_who_planned() -> None:
    job = rows.planned(rows.accepted(), segments=2)
    Step.objects.filter(job=job).update(release=release.NUMBER + 1)
    control.cancel(job.pk)
    control.retry(job.pk)
    waiting = Step.objects.filter(job=job, epoch=2, state=Step.State.QUEUED)
    assert list(waiting.values_list("release", flat=True)) == [release.NUMBER + 1] * 2
    assert steps.claim(job.pk, 2, Kind.SEGMENT, 0, worker="old") is None
