"""A running dispatcher beside what does not answer: a broker, a storage, a process that holds a job's row."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest
from django.db import connection, transaction
from pytest_django import Settings

from processing import dispatch, storage, supervisor
from processing.clock import after
from processing.models import Job, Step
from processing.state import job as jobs
from processing.state import step as steps
from processing.state.errors import DATABASE_AWAY
from tests import rows
from tests.door import eventually

Kind = Step.Kind
on_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


@pytest.fixture
def running(database: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Starts a dispatcher with short times, which publishes nothing; it is stopped after the test."""
    settings.EMBEDDED = True
    settings.VIDEOPROC_LEASE_SECONDS, settings.VIDEOPROC_DISPATCH_SECONDS = 0.6, 0.05
    settings.VIDEOPROC_BEAT_SECONDS = settings.VIDEOPROC_DRAIN_SECONDS = 0.0
    monkeypatch.setattr(dispatch, "hint_due", lambda: 0)
    stop = threading.Event()

    def work() -> None:
        dispatch.run(stop)
        connection.close()

    thread = threading.Thread(target=work)
    yield thread.start
    stop.set()
    thread.join(timeout=10)
    assert not thread.is_alive()


def lost() -> Step:
    """Return a step whose worker is gone."""
    claim = rows.claimed(rows.accepted(), Kind.METADATA)
    rows.lapse(claim)
    return Step.objects.get(pk=claim.step_id)


def is_queued(step: Step) -> bool:
    step.refresh_from_db()
    return step.state == Step.State.QUEUED


@contextmanager
def silent() -> Iterator[threading.Event]:
    """Give something to wait for that comes when the block ends."""
    answer = threading.Event()
    try:
        yield answer
    finally:
        answer.set()


def test_a_broker_that_does_not_answer_keeps_no_lost_step(
    running: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = lost()
    with silent() as answer:
        asked = threading.Event()

        def hint() -> int:
            asked.set()
            answer.wait(10)
            return 0

        monkeypatch.setattr(dispatch, "hint_due", hint)
        running()
        assert asked.wait(10)
        eventually(lambda: is_queued(step), seconds=3)
        another = lost()
        eventually(lambda: is_queued(another), seconds=3)


def test_a_storage_that_does_not_answer_keeps_no_lost_step_and_is_cleaned_when_it_does(
    running: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = rows.finished(rows.accepted())
    left = storage.stage(f"jobs/{ended.pk}/1/segment-00000-1.mp4")
    left.touch()
    with silent() as answer:
        asked = threading.Event()

        def check() -> None:
            asked.set()
            if not answer.wait(10):
                raise storage.StorageUnreachable("no answer")

        monkeypatch.setattr(storage, "check", check)
        running()
        assert asked.wait(10)
        step = lost()
        eventually(lambda: is_queued(step), seconds=3)
        assert left.exists()
    eventually(lambda: Job.objects.get(pk=ended.pk).cleaned_at is not None)
    assert not left.exists()


def test_trouble_with_storage_or_database_ends_no_tidying(
    running: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = rows.finished(rows.accepted())
    troubles: list[Exception] = [storage.StorageUnreachable("away"), *(kind("away") for kind in DATABASE_AWAY)]

    def check() -> None:
        if troubles:
            raise troubles.pop()

    monkeypatch.setattr(storage, "check", check)
    running()
    eventually(lambda: Job.objects.get(pk=ended.pk).cleaned_at is not None)
    assert troubles == []


@pytest.mark.usefixtures("database")
def test_files_that_cannot_be_removed_keep_those_of_no_other_job(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck, other = (rows.finished(rows.accepted()) for _ in range(2))
    Job.objects.update(ended_at=after(-3600))
    kept, removed = (storage.stage(f"jobs/{job.pk}/1/segment-00000-1.mp4") for job in (stuck, other))
    kept.touch()
    removed.touch()
    clean = storage.clean_job

    def refused(job_id: UUID, keep: set[str]) -> None:  # by hand, for tests may run as root, who may remove anything
        if job_id == stuck.pk:
            raise PermissionError(f"jobs/{job_id} is somebody else's")
        clean(job_id, keep)

    monkeypatch.setattr(storage, "clean_job", refused)
    dispatch.clean_ended_jobs()
    cleaned = Job.objects.filter(cleaned_at__isnull=False)
    assert [job.pk for job in cleaned] == [other.pk]
    assert (kept.exists(), removed.exists()) == (True, False)
    monkeypatch.undo()
    dispatch.clean_ended_jobs()
    assert not Job.objects.filter(cleaned_at__isnull=True).exists()


@on_postgresql
def test_who_stands_still_in_a_change_to_one_job_keeps_no_other_waiting(database: str) -> None:
    frozen, other = lost(), lost()
    holds = threading.Event()
    with silent() as go_on:

        def hold() -> None:
            with transaction.atomic():
                jobs.lock(frozen.job_id)
                holds.set()
                go_on.wait(10)
            connection.close()

        thread = threading.Thread(target=hold)
        thread.start()
        assert holds.wait(10)
        began = time.monotonic()
        assert dispatch.expire_leases() == 1
        assert time.monotonic() - began < 2
        assert (is_queued(frozen), is_queued(other)) == (False, True)
    thread.join()
    assert dispatch.expire_leases() == 1
    assert is_queued(frozen)


@on_postgresql
def test_the_server_ends_a_change_that_stands_still_and_who_wakes_does_it_again(database: str) -> None:
    job = rows.accepted()
    with connection.cursor() as cursor:
        cursor.execute("SHOW idle_in_transaction_session_timeout")
        assert cursor.fetchone() == ("1min",)
        cursor.execute("SET idle_in_transaction_session_timeout = '100ms'")
    sleeps = [0.5]

    @transaction.atomic
    def change() -> None:
        locked = jobs.lock(job.pk)
        if sleeps:
            time.sleep(sleeps.pop())
        jobs.record(locked, "probing_started", to=Job.State.PROBING)

    supervisor.patiently(change)
    job.refresh_from_db()
    assert (job.state, job.seq) == (Job.State.PROBING, 2)


@on_postgresql
def test_whoever_finds_its_broker_again_hints_although_the_database_was_away_before(database: str) -> None:
    job = rows.accepted()
    dispatch.hint_again()
    Step.objects.filter(job=job).update(hinted_at=after(-5))
    ended: list[bool] = []

    def end_connections() -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            ended.append(bool(cursor.fetchall()))
        connection.close()

    thread = threading.Thread(target=end_connections)
    thread.start()
    thread.join()
    assert ended == [True]
    dispatch.hint_again()
    assert Step.objects.get(job=job).hinted_at is None


def test_workers_that_come_back_together_have_each_step_hinted_at_once(database: str) -> None:
    job = rows.planned(rows.accepted(), segments=4)
    segments = Step.objects.filter(job=job, kind=Kind.SEGMENT)
    segments.update(hinted_at=after(-5))
    hinted: list[int] = []
    for _ in range(3):
        dispatch.hint_again()
        hinted += [step.index for step in steps.hint(10, {job.owner_id: 0})]
    assert hinted == [0, 1, 2, 3]
