"""Makes queues anew that are beyond help; the rows fill them again.

RabbitMQ 3.10 may leave a quorum queue without a leader for good when it is killed within seconds of the declaration:
such a queue takes messages and gives none, without an error. Invariant: a queue that answers is left alone, and so is
every queue of a broker that is itself slow to answer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import wait

from amqp.exceptions import AMQPError, NotFound
from celery import Celery
from kombu.exceptions import OperationalError

from processing.threads import Threads

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 3.0
"""Asked of a queue that gave no answer for the time that a connection allows (celery_app.py) just before."""
CHECK_SECONDS = 0.1
LOOKERS = Threads(8)
ASKING = {"read_timeout": ANSWER_SECONDS, "write_timeout": ANSWER_SECONDS}


def _nothing() -> None:
    """Let whoever looks wait on."""


def renew_dead(app: Celery, *, meanwhile: Callable[[], None] = _nothing) -> list[str]:
    """Delete those of the application's queues that nobody can consume from, and declare them again; their names.

    Nothing on a broker that is no RabbitMQ, or where it does not answer at all. All are looked at side by side, so it
    takes little more than ANSWER_SECONDS. What `meanwhile` raises, called again and again, ends the wait; a queue that
    is being made anew then may be gone until the next worker begins, which declares it.
    """
    names = sorted(app.amqp.queues)
    looks = {name: LOOKERS.submit(_renew_if_dead, app, name) for name in names}
    while wait(looks.values(), CHECK_SECONDS).not_done:
        meanwhile()
    return [name for name, look in looks.items() if look.result()]


def _renew_if_dead(app: Celery, name: str) -> bool:
    try:
        if not _is_dead(app, name):
            return False
        with app.connection_for_write() as connection:
            channel = connection.default_channel
            channel.queue_delete(name)  # takes RabbitMQ five seconds
            # At once: until then hints would be dropped, for who publishes does not declare a queue a second time.
            app.amqp.queues[name](channel).declare()
    except (AMQPError, OperationalError, OSError) as exc:
        logger.warning("queue not looked at", extra={"queue": name, "cause": repr(exc)})
        return False
    logger.warning("queue had no leader and was made anew", extra={"queue": name})
    return True


def _leave(message: object) -> None:
    """Take no message: whatever a queue that lives gives goes back as the connection ends."""


def _is_dead(app: Celery, name: str) -> bool:
    with app.connection_for_read(transport_options=ASKING) as connection:
        if connection.transport.driver_type != "amqp":
            return False
        channel = connection.default_channel  # connects: a broker that is away is no dead queue
        try:
            channel.basic_consume(queue=name, callback=_leave)
            return False
        except NotFound:
            return False
        except TimeoutError:
            connection.connection.collect()  # or taking leave would wait for answers of the same channel, twice as long
    with app.connection_for_read(transport_options=ASKING) as connection:
        _ = connection.default_channel  # TimeoutError where it is the broker that is slow, and not the queue
    return True
