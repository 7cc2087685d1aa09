"""Which queues are removed as beyond help: none that answers, whatever it answers with."""

from __future__ import annotations

from celery import Celery
from kombu import Producer, Queue

from processing.queues import remove_dead
from tests.door import eventually

HINTS = 20


def test_a_queue_that_gives_messages_is_left_alone_with_all_of_them(fresh_rabbitmq_url: str) -> None:
    app = Celery(broker=fresh_rabbitmq_url)
    app.conf.task_queues = [Queue("full", queue_arguments={"x-queue-type": "quorum"})]
    with app.connection_for_write(transport_options={"confirm_publish": True}) as connection:
        channel = connection.default_channel
        app.amqp.queues["full"](channel).declare()
        for _ in range(HINTS):
            Producer(channel).publish("hint", routing_key="full")
        assert remove_dead(app) == []
        eventually(lambda: channel.queue_declare("full", passive=True).message_count == HINTS)


def test_a_queue_that_does_not_exist_is_nothing_to_remove(fresh_rabbitmq_url: str) -> None:
    app = Celery(broker=fresh_rabbitmq_url)
    app.conf.task_queues = [Queue("missing", queue_arguments={"x-queue-type": "quorum"})]
    assert remove_dead(app) == []
