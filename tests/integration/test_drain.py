"""Draining a worker: it ends what it has and takes no more, by its row, its heartbeat, its queues and the command."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
from celery.app.amqp import Queues
from django.core.management import CommandError, call_command
from django.db.models.functions import Now
from kombu import Connection, Consumer
from pytest_django import Settings

import celery_app
from processing import control, progress
from processing.clock import after
from processing.leases import Leases
from processing.models import Step, Worker
from processing.state import step as steps
from processing.supervisor import Supervisor
from processing.worker import ImpatientConsumer
from tests import rows

Kind = Step.Kind


def until(true: Callable[[], object]) -> None:
    """Wait until something is so, for ten seconds at most."""
    give_up = time.monotonic() + 10
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.02)


@pytest.fixture
def beating(database: str, settings: Settings) -> Iterator[Leases]:
    """A worker's heartbeat, quick."""
    settings.VIDEOPROC_BEAT_SECONDS = settings.VIDEOPROC_RENEW_SECONDS = 0.05
    leases = Leases(worker="here-1", slots=2)
    leases.start(layers=())
    until(lambda: progress.live_slots() == 2)
    yield leases
    leases.close()


def test_a_drained_worker_keeps_what_it_has_says_so_and_takes_work_again(beating: Leases) -> None:
    told: list[bool] = []
    beating.listen(told.append)
    claim = rows.claimed(rows.accepted(), Kind.METADATA, worker="here-1")
    with beating.held(claim) as lease:
        control.drain("here-1")
        until(lambda: progress.live_slots() == 0)
        assert (told, beating.stopping, lease.stop.is_set()) == ([True], False, False)
        assert not control.is_drained("here-1"), "it has work in hand"
        steps.finish(claim)
    until(lambda: control.is_drained("here-1"))
    late: list[bool] = []
    beating.listen(late.append)
    assert late == [True], "a connection made anew takes no messages either"
    control.drain("here-1", drained=False)
    until(lambda: progress.live_slots() == 2)
    assert late == [True, False]


def test_a_message_that_a_drained_worker_still_gets_goes_to_another(beating: Leases) -> None:
    supervisor = Supervisor()
    supervisor.leases = beating
    job = rows.accepted()
    Step.objects.update(hinted_at=Now())
    control.drain("here-1")
    until(lambda: beating.drained)
    supervisor.perform(str(job.pk), job.epoch, Kind.METADATA, pytest.fail)
    step = Step.objects.get(job=job)
    assert (step.state, step.attempt, step.hinted_at) == ("queued", 0, None)


@pytest.mark.parametrize("broker", ["rabbitmq", "valkey"])
def test_its_queues_give_it_nothing_until_it_takes_work_again(broker: str, request: pytest.FixtureRequest) -> None:
    kept = request.getfixturevalue("valkey").broker_url if broker == "valkey" else None
    with Connection(kept or request.getfixturevalue("fresh_rabbitmq_url")) as connection:
        got: list[Any] = []
        queues = Queues([queue.__copy__() for queue in celery_app.app.conf.task_queues])
        consumer = ImpatientConsumer.__new__(ImpatientConsumer)
        consumer.app = SimpleNamespace(amqp=SimpleNamespace(queues=queues))
        consumer.task_consumer = Consumer(connection.default_channel, list(queues.values()), on_message=got.append)
        consumer.task_consumer.consume()

        def send() -> None:
            with connection.clone() as other, other.Producer() as producer:
                producer.publish({}, routing_key=celery_app.CONTROL, retry=False)

        def listen(seconds: float, *, until: int) -> int:
            give_up = time.monotonic() + seconds
            while len(got) < until and time.monotonic() < give_up:
                with contextlib.suppress(TimeoutError):
                    connection.drain_events(timeout=0.2)
            return len(got)

        send()
        assert listen(10, until=1) == 1
        got[0].ack()
        consumer._take_messages(False)
        send()
        assert listen(1, until=2) == 1
        consumer._take_messages(True)
        assert listen(10, until=2) == 2, "what waited comes"
        got[1].ack()


def test_the_command_waits_for_what_is_in_work(beating: Leases) -> None:
    def drain(*words: str) -> str:
        call_command("drain", *words, stdout=(said := StringIO()))
        return said.getvalue()

    assert drain() == "here-1: 2 slots, 0 steps in work\n"
    claim = rows.claimed(rows.accepted(), Kind.METADATA, worker="here-1")
    ending = threading.Timer(0.3, lambda: Step.objects.filter(pk=claim.step_id).update(state="done", lease_until=None))
    ending.start()
    assert drain("here-1", "--wait").endswith("has ended what it had; stop it\n")
    ending.join()
    assert Step.objects.get(pk=claim.step_id).state == "done"
    assert drain("here-1", "--undo") == "here-1: takes work again\n"
    with pytest.raises(CommandError, match="no worker is named nobody; alive are: here-1"):
        drain("nobody")
    Worker.objects.create(name="gone", slots=2, seen_at=after(-3600), started_at=Now())
    with pytest.raises(CommandError, match="gone was not seen for 10 s"):
        drain("gone", "--wait")
