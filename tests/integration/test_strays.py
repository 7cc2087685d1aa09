"""Claims whose answer was lost, or whose thread hangs: another gets them, and nothing else is touched."""

from __future__ import annotations

import threading

import pytest
from django.db import OperationalError
from pytest_django import Settings

from processing import failures, leases
from processing.leases import Leases
from processing.models import Job, Step
from processing.state import step as steps
from processing.state.errors import Fenced
from tests import rows
from tests.door import eventually

pytestmark = pytest.mark.usefixtures("database")
Kind = Step.Kind


def test_all_that_ran_is_queued_again_without_a_strike_and_its_holder_is_fenced() -> None:
    job = rows.accepted()
    held = rows.claimed(job, Kind.METADATA)
    assert failures.system_ended() == 1
    step = Step.objects.get(job=job)
    assert (step.state, step.losses, step.restarts, step.lease_until) == (Step.State.QUEUED, 0, 1, None)
    with pytest.raises(Fenced):
        steps.finish(held)


def test_a_video_that_takes_everything_down_each_time_is_given_up(settings: Settings) -> None:
    settings.VIDEOPROC_RESTARTS = 3
    killer, good = rows.accepted(), rows.accepted()
    rows.finished(good)
    for _ in range(3):
        killer.refresh_from_db()
        assert killer.state != Job.State.FAILED
        rows.claimed(killer, Kind.METADATA)
        assert failures.system_ended() == 1
    killer.refresh_from_db()
    assert (killer.state, killer.error_code, killer.error_retryable) == (Job.State.FAILED, "worker_lost", True)
    assert "ended 3 times" in killer.error_detail
    assert failures.system_ended() == 0


def test_a_claim_nobody_knows_of_is_queued_again_without_a_strike() -> None:
    stray, known, others = (rows.accepted() for _ in range(3))
    rows.claimed(stray, Kind.METADATA, worker="a")
    held = rows.claimed(known, Kind.METADATA, worker="a")
    foreign = rows.claimed(others, Kind.METADATA, worker="b")
    assert steps.release_strays("a", [held], older_than_seconds=60) == 0, "it may be on its way to its worker"
    assert steps.release_strays("a", [held], older_than_seconds=0) == 1
    step = Step.objects.get(job=stray)
    assert (step.state, step.losses, step.crashes, step.hinted_at) == (Step.State.QUEUED, 0, 0, None)
    assert steps.still_held([held, foreign]) == {(c.step_id, c.attempt) for c in (held, foreign)}
    assert rows.claimed(stray, Kind.METADATA).attempt == 2


def test_it_is_found_however_long_the_database_was_away(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.VIDEOPROC_BEAT_SECONDS, settings.VIDEOPROC_LEASE_SECONDS = 0.02, 0.2
    job = rows.accepted()
    rows.claimed(job, Kind.METADATA, worker="here-1")
    rows.claimed(rows.accepted(), Kind.METADATA, worker="there-1")
    back, tried = threading.Event(), threading.Semaphore(0)

    def look() -> None:
        if not back.is_set():
            tried.release()
            raise OperationalError("away")

    monkeypatch.setattr(leases, "close_old_connections", look)
    heartbeat = Leases(worker="here-1", slots=1)
    heartbeat.expect_strays()  # its claim had no answer
    heartbeat.start(layers=())
    for _ in range(20):  # twice the time of a lease
        assert tried.acquire(timeout=10)
    back.set()
    eventually(lambda: Step.objects.get(job=job).state == Step.State.QUEUED, seconds=5)
    heartbeat.close()
    assert list(Step.objects.order_by("pk").values_list("state", "losses")) == [("queued", 0), ("running", 0)]


def test_a_step_whose_thread_hangs_for_good_is_not_held_for_good(settings: Settings) -> None:
    settings.VIDEOPROC_BEAT_SECONDS = settings.VIDEOPROC_RENEW_SECONDS = 0.05
    settings.VIDEOPROC_LEASE_SECONDS = 0.5
    settings.VIDEOPROC_STEP_SECONDS, settings.VIDEOPROC_PATIENCE_SECONDS = 600, 600
    hung = rows.claimed(rows.accepted(), Kind.METADATA, worker="here-1")
    busy = rows.claimed(rows.accepted(), Kind.METADATA, worker="here-1")
    heartbeat = Leases(worker="here-1", slots=2)
    heartbeat.start(layers=())
    with heartbeat.held(hung) as lease, heartbeat.held(busy) as other:
        lease.began -= 2 * 600 + 600
        eventually(lambda: [step.pk for step in steps.lapsed()] == [hung.step_id], seconds=5)
        assert (lease.stop.is_set(), other.stop.is_set()) == (True, False)
    heartbeat.close()


def test_what_was_taken_since_a_slow_beat_began_is_no_stray(settings: Settings) -> None:
    settings.VIDEOPROC_BEAT_SECONDS = 0.0
    heartbeat = Leases(worker="here-1", slots=1)
    claim = rows.claimed(rows.accepted(), Kind.METADATA, worker="here-1")
    with heartbeat.held(claim):
        heartbeat._release_strays()
        assert steps.still_held([claim])
    heartbeat._release_strays()
    assert not steps.still_held([claim])
