"""What was finished and is gone or spoilt is made again, and not without end; nobody deletes what a retry keeps."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now
from pytest_django import Settings

from processing import control, dispatch, failures, pipeline, storage
from processing.clock import after
from processing.failures import MOST_REPAIRS
from processing.media.errors import (
    OutputLost,
    ProcessRefused,
    ProcessStopped,
    SegmentDamaged,
    StorageAway,
    StorageFull,
)
from processing.models import Job, Step
from processing.state import step as steps
from processing.state.errors import DATABASE_AWAY
from tests import rows

Kind = Step.Kind
pytestmark = pytest.mark.usefixtures("database")


def finished(job: Job, segments: Iterable[int]) -> Job:
    """Enhance these segments of a job."""
    for index in segments:
        rows.enhance(job, index)
    job.refresh_from_db()
    return job


def test_a_segment_that_is_spoilt_each_time_ends_its_job_and_a_retry_begins_anew() -> None:
    job = finished(rows.planned(rows.accepted(), segments=2), range(2))
    damages = 0
    for index in (1, 0, 1, 1):
        damages += index == 1
        failures.step_failed(rows.claimed(job, Kind.JOIN), SegmentDamaged(f"segment {index}: digest", index=index))
        job = finished(job, [index])
        assert (job.state, damages) == (Job.State.JOINING, damages)
    assert damages == MOST_REPAIRS
    failures.step_failed(rows.claimed(job, Kind.JOIN), SegmentDamaged("segment 1: digest", index=1))
    job.refresh_from_db()
    assert (job.state, job.error_code, job.error_retryable) == (Job.State.FAILED, "segment_damaged", True)
    assert "made again 3 times" in job.error_detail
    control.retry(job.pk)
    failures.step_failed(rows.claimed(job, Kind.JOIN), SegmentDamaged("segment 1: digest", index=1))
    assert finished(job, [1]).state == Job.State.JOINING


@pytest.mark.parametrize(("kind", "index"), [("join", 7), ("join", -1), ("join", 10**12), ("segment", 0)])
def test_a_damaged_segment_that_cannot_be_known_of_is_a_crash_and_no_repair(kind: str, index: int) -> None:
    """A hostile file may say what it likes: a repair of what is not there would leave its job without a step."""
    job = finished(rows.planned(rows.accepted(), segments=2), range(2 if kind == "join" else 1))
    claim = rows.claimed(job, kind, 0 if kind == "join" else 1)
    failures.step_failed(claim, SegmentDamaged(f"segment {index}: digest", index=index))
    job.refresh_from_db()
    step = Step.objects.get(pk=claim.step_id)
    assert (job.epoch, step.state, step.crashes) == (1, Step.State.QUEUED, 1)


def test_a_plan_that_is_gone_is_made_again_and_again_only_so_often() -> None:
    job = rows.planned(rows.accepted(), segments=2)
    for number in range(MOST_REPAIRS):
        failures.step_failed(rows.claimed(job, Kind.SEGMENT, 0), OutputLost("plan.json is missing"))
        job.refresh_from_db()
        assert (job.state, job.epoch) == (Job.State.PROBING, number + 2)
        assert [step.kind for step in steps.due(10)] == [Kind.PLAN]
        pipeline.planned(rows.claimed(job, Kind.PLAN), rows.plan_of(segments=2), f"plan-{number}.json")
    failures.step_failed(rows.claimed(job, Kind.SEGMENT, 0), OutputLost("plan.json is missing"))
    job.refresh_from_db()
    assert (job.state, job.error_code) == (Job.State.FAILED, "output_lost")


def test_a_joined_file_that_is_gone_is_joined_again_from_its_segments() -> None:
    job = finished(rows.planned(rows.accepted(), segments=2), range(2))
    pipeline.joined(rows.claimed(job, Kind.JOIN), rows.receipt(), "joined.mp4")
    failures.step_failed(rows.claimed(job, Kind.STILLS), OutputLost("joined.mp4 is missing"))
    job.refresh_from_db()
    assert job.state == Job.State.JOINING
    assert [step.kind for step in steps.due(10)] == [Kind.JOIN]
    assert job.steps.filter(epoch=job.epoch, kind=Kind.SEGMENT, state="done").count() == 2


def test_a_retry_beside_a_late_clean_up_finds_all_working_files_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    job = finished(rows.planned(rows.accepted(), segments=2), [0])
    control.cancel(job.pk)
    Job.objects.update(ended_at=after(-2 * 24 * 3600))
    kept = storage.stage(f"jobs/{job.pk}/1/plan-00000-1.json")
    kept.touch()
    chosen = dispatch.to_clean()
    control.retry(job.pk)  # by its owner, between the dispatcher's look and its deletion
    monkeypatch.setattr(dispatch, "to_clean", lambda: chosen)
    dispatch.clean_ended_jobs()
    job.refresh_from_db()
    assert kept.exists()
    assert (job.state, job.cleaned_at) == (Job.State.ENHANCING, None)
    control.cancel(job.pk)
    Job.objects.update(ended_at=after(-2 * 24 * 3600))
    monkeypatch.undo()
    dispatch.clean_ended_jobs()
    job.refresh_from_db()
    assert not kept.exists()
    assert job.cleaned_at is not None


def test_a_clock_of_the_database_that_was_set_back_holds_nothing_up() -> None:
    job = rows.planned(rows.accepted(), segments=3)
    rows.claimed(job, Kind.SEGMENT, 0)
    list(steps.hint(1, {job.owner_id: 0}))
    segments = Step.objects.filter(job=job, kind=Kind.SEGMENT)
    segments.filter(index=2).update(not_before=after(1))
    assert steps.mend_times() == 0
    hour = timedelta(hours=1)
    segments.update(
        lease_until=F("lease_until") + hour, hinted_at=F("hinted_at") + hour, not_before=F("not_before") + hour
    )
    assert (steps.due(10), steps.mend_times(), steps.mend_times()) == ([], 3, 0)
    assert [step.index for step in steps.due(10)] == [1, 2]
    assert segments.filter(state="running", lease_until__range=(Now(), after(13))).count() == 1


@contextmanager
def an_hour_later() -> Iterator[None]:
    """Let PostgreSQL's clock leap, for this connection."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA leapt")
        cursor.execute(
            "CREATE FUNCTION leapt.statement_timestamp() RETURNS timestamptz LANGUAGE sql AS "
            "$$ SELECT pg_catalog.statement_timestamp() + interval '1 hour' $$"
        )
        # What is named before the catalogue hides it.
        cursor.execute("SET search_path = leapt, pg_catalog, public")
        try:
            yield
        finally:
            cursor.execute("RESET search_path")
            cursor.execute("DROP SCHEMA leapt CASCADE")


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_clock_of_the_database_that_leaps_takes_no_living_worker_its_lease(settings: Settings) -> None:
    settings.EMBEDDED, settings.VIDEOPROC_LEASE_SECONDS = True, 0.6
    claim = rows.claimed(rows.accepted(), Kind.METADATA)
    patience = dispatch.Patience()
    assert patience.is_over()
    with an_hour_later():
        assert [step.pk for step in steps.lapsed()] == [claim.step_id]
        leapt_at = time.monotonic()
        assert not patience.is_over()
        steps.renew([claim])
        while not patience.is_over():
            time.sleep(0.01)
        assert time.monotonic() - leapt_at >= 0.6
        assert steps.still_held([claim])


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_database_that_takes_no_writes_is_away() -> None:
    rows.accepted()
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
        try:
            with pytest.raises(DATABASE_AWAY):
                steps.forget_hints(older_than_seconds=0)
        finally:
            cursor.execute("SET default_transaction_read_only = off")


def test_a_job_ends_where_what_it_needs_is_away_for_too_long_and_not_for_waiting_alone() -> None:
    away, waiting, lively, paused = (rows.accepted() for _ in range(4))
    for job in (away, lively, paused):
        steps.put_off(job.pk, 1, Kind.METADATA, 0, code="storage_away", detail="no such bucket", delay_seconds=2)
    Job.objects.exclude(pk=lively.pk).update(updated_at=after(-8 * 24 * 3600))
    control.pause(paused.pk)
    Step.objects.filter(job=waiting).update(error_code="worker_lost")  # once, long ago; now it waits for its turn
    assert failures.deadlines_passed() == 1
    assert failures.deadlines_passed() == 0
    away.refresh_from_db()
    assert (away.state, away.error_code, away.error_retryable) == (Job.State.FAILED, "deadline_passed", True)
    assert away.error_detail == "storage_away for 604800 s: no such bucket"
    assert control.retry(away.pk).state == Job.State.QUEUED


def test_two_workers_each_with_a_trouble_of_its_own_keep_no_job_from_its_deadline(settings: Settings) -> None:
    settings.VIDEOPROC_BACKOFF_SECONDS = 0
    job = rows.accepted()
    for trouble in (StorageAway("no mount"), StorageFull("none free"), ProcessRefused("fork"), StorageAway("no mount")):
        failures.step_failed(rows.claimed(job, Kind.METADATA), trouble)
    assert job.events.filter(name="step_handed_back").count() == 1
    failures.step_failed(rows.claimed(job, Kind.METADATA), ProcessStopped("by its supervisor"))
    assert job.events.filter(name="step_handed_back").count() == 2
