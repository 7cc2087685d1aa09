"""Removes queues that are beyond help; whoever needs one declares it again, and the rows fill it again.

RabbitMQ 3.10 may leave a quorum queue without a leader for good when it is killed within seconds of the declaration:
such a queue takes messages and gives none, without an error. Invariant: a queue that answers is left alone.
"""

from __future__ import annotations

import logging

from amqp.exceptions import AMQPError, NotFound
from celery import Celery
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 5.0


def remove_dead(app: Celery) -> list[str]:
    """Delete those of the application's queues that nobody can consume from; return their names.

    Nothing on a broker that is no RabbitMQ, or where it does not answer at all.
    """
    removed = []
    for name in sorted(app.amqp.queues):
        try:
            if _is_dead(app, name):
                with app.connection_for_write() as connection:
                    connection.default_channel.queue_delete(name)
                removed.append(name)
                logger.warning("queue had no leader and was removed", extra={"queue": name})
        except (AMQPError, OperationalError, OSError) as exc:
            logger.warning("queue not looked at", extra={"queue": name, "cause": repr(exc)})
    return removed


def _leave(message: object) -> None:
    """Take no message: whatever a queue that lives gives before it is cancelled goes back as the connection ends."""


def _is_dead(app: Celery, name: str) -> bool:
    with app.connection_for_read(transport_options={"read_timeout": ANSWER_SECONDS}) as connection:
        if connection.transport.driver_type != "amqp":
            return False
        channel = connection.default_channel  # connects: a broker that is away is no dead queue
        try:
            tag = channel.basic_consume(queue=name, callback=_leave)
            channel.basic_cancel(tag)
        except TimeoutError:
            return True
        except NotFound:
            return False
    return False
