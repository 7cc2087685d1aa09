"""Queues that are gone or beyond help: hints find the former again, and of the latter none that answers is removed."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import redis
from celery import Celery
from celery.exceptions import WorkerShutdown
from celery.worker import state
from kombu import Connection, Consumer, Message, Producer, Queue, pools

from celery_app import CONTROL
from celery_app import app as project
from celery_app import valkey as options
from processing import dispatch
from processing.pipeline import TASKS
from processing.queues import renew_dead
from processing.state import step as steps
from tests import rows
from tests.door import eventually
from tests.faults.proxy import Proxy
from tests.faults.system import through
from videoproc.servers.valkey import Valkey

HINTS = 20


def test_a_queue_that_gives_messages_is_left_alone_with_all_of_them(fresh_rabbitmq_url: str) -> None:
    app = Celery(broker=fresh_rabbitmq_url, set_as_current=False)
    app.conf.task_queues = [Queue("full", queue_arguments={"x-queue-type": "quorum"})]
    with app.connection_for_write(transport_options={"confirm_publish": True}) as connection:
        channel = connection.default_channel
        app.amqp.queues["full"](channel).declare()
        for _ in range(HINTS):
            Producer(channel).publish("hint", routing_key="full")
        assert renew_dead(app) == []
        eventually(lambda: channel.queue_declare("full", passive=True).message_count == HINTS)


def test_a_queue_that_does_not_exist_is_nothing_to_remove(fresh_rabbitmq_url: str) -> None:
    app = Celery(broker=fresh_rabbitmq_url, set_as_current=False)
    app.conf.task_queues = [Queue("missing", queue_arguments={"x-queue-type": "quorum"})]
    assert renew_dead(app) == []


def test_a_broker_that_gives_no_answer_has_no_dead_queues(fresh_rabbitmq_url: str) -> None:
    with (
        closing(Proxy(urlsplit(fresh_rabbitmq_url).port or 5672)) as wire,
        Connection(fresh_rabbitmq_url) as connection,
    ):
        app = Celery(broker=through(fresh_rabbitmq_url, wire.port), set_as_current=False)
        app.conf.task_queues = [Queue("far", queue_arguments={"x-queue-type": "quorum"})]
        app.conf.broker_connection_timeout = 1
        channel = connection.default_channel
        app.amqp.queues["far"](channel).declare()
        wire.freeze()
        assert renew_dead(app) == []
        channel.queue_declare("far", passive=True)


def test_who_is_to_end_does_not_wait_for_a_look(fresh_rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that gets SIGTERM while the broker is silent, and whose steps are handed back already."""
    monkeypatch.setattr(state, "should_stop", None)
    with closing(Proxy(urlsplit(fresh_rabbitmq_url).port or 5672)) as wire:
        app = Celery(broker=through(fresh_rabbitmq_url, wire.port), set_as_current=False)
        app.conf.task_queues = [Queue("far", queue_arguments={"x-queue-type": "quorum"})]
        wire.freeze()
        threading.Timer(0.2, lambda: setattr(state, "should_stop", 0)).start()
        others = set(threading.enumerate())
        began = time.monotonic()
        with pytest.raises(WorkerShutdown):
            renew_dead(app, meanwhile=state.maybe_shutdown)
        assert time.monotonic() - began < 1.5
        left = set(threading.enumerate()) - others
        assert [thread for thread in left if not thread.daemon] == []


@pytest.mark.usefixtures("database")
def test_a_queue_that_cannot_be_used_takes_no_hint_and_ends_no_dispatcher(
    fresh_rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of that name and of another type is there, so the broker closes the channel on who declares it."""
    rows.accepted()
    options = project.conf.broker_transport_options
    with Connection(fresh_rabbitmq_url, transport_options=options) as connection:
        monkeypatch.setattr(project.amqp, "_producer_pool", pools.producers[connection])
        channel = connection.channel()
        channel.queue_declare(CONTROL, durable=True, auto_delete=False)
        assert dispatch.hint_due() == 0
        assert len(steps.due(10)) == 1, "it is due as before"
        channel.queue_delete(CONTROL)
        assert dispatch.hint_due() == 1
        eventually(lambda: channel.queue_declare(CONTROL, passive=True).message_count == 1)
        project.amqp._producer_pool.force_close_all()


def test_hints_arrive_after_the_broker_of_the_embedded_mode_was_wiped(valkey: Valkey) -> None:
    """Nothing is declared a second time on one connection, so no hint may need what a wipe takes away."""
    broker = valkey.broker_url.replace("virtual_host=0", "virtual_host=5")
    with Connection(broker) as connection, redis.Redis.from_url(f"{valkey.url}?db=5") as client:
        for _ in range(2):
            for kind, task in TASKS.items():
                arguments = [str(uuid4()), 1, *([0] if kind == "segment" else [])]
                project.signature(task, args=arguments, immutable=True).apply_async(connection=connection)
            assert sum(client.llen(queue.name) for queue in project.conf.task_queues) == len(TASKS)
            client.flushdb()


def test_all_slots_of_a_large_worker_may_acknowledge_at_once(valkey: Valkey) -> None:
    """One that found no connection would keep its credit, and so a slot, for ever."""
    slots = 32
    broker = valkey.broker_url.replace("virtual_host=0", "virtual_host=6")
    taken: list[Message] = []
    with Connection(broker, transport_options=options(slots=slots)) as connection:
        channel = connection.channel()
        with Consumer(channel, [Queue("full")], on_message=taken.append, prefetch_count=slots):
            for _ in range(slots):
                Producer(channel).publish("hint", routing_key="full")
            while len(taken) < slots:
                connection.drain_events(timeout=10)
            together = threading.Barrier(slots)

            def acknowledge(message: Message) -> None:
                together.wait(timeout=30)
                message.ack()

            with ThreadPoolExecutor(slots) as pool:
                list(pool.map(acknowledge, taken))
            Producer(channel).publish("another", routing_key="full")
            connection.drain_events(timeout=10)
        assert len(taken) == slots + 1
