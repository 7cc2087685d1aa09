"""Ties the supervisor to the life of Celery's worker process: begun with it, stopped at SIGTERM, ended with it.

With `--pool threads` Celery's own time limits, revocation and soft shutdown do nothing, so none of them is relied on.
"""

from __future__ import annotations

import gc
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

from celery.signals import celeryd_init, worker_init, worker_shutdown, worker_shutting_down
from celery.utils.nodenames import default_nodename
from celery.worker.consumer import Consumer
from celery.worker.state import maybe_shutdown
from django.conf import settings
from kombu.asynchronous import get_event_loop
from kombu.exceptions import ContentDisallowed, DecodeError

from processing import dispatch, queues, supervisor

logger = logging.getLogger(__name__)


MALFORMED = (TypeError, ValueError, LookupError, AttributeError, RecursionError, ArithmeticError)
"""What Celery raises over headers of wrong types. A hint lost by mistake comes again; a lost worker does not."""
EVENTS_SECONDS = 0.25
"""What happens to tasks within this time is told to flower in one message."""


class ImpatientConsumer(Consumer):
    """A consumer that looks for a lost broker again and again, for ever; Celery's own waits longer and gives up."""

    class Blueprint(Consumer.Blueprint):
        """Celery's own but for its 28 queues of delayed messages: no message here is ever delayed."""

        default_steps = [step for step in Consumer.Blueprint.default_steps if not step.endswith(":DelayedDelivery")]

    first_connection_attempt: bool
    _consuming = False
    _events_wait = False

    def on_ready(self) -> None:
        """Note that messages come."""
        super().on_ready()
        self._consuming = True
        self._events_wait = False
        if self.event_dispatcher:
            self.event_dispatcher.buffer_limit = sys.maxsize  # or a step's thread would write to the loop's connection
        supervisor.current().leases.listen(self._on_drained)

    def _on_drained(self, drained: bool) -> None:
        """Let the loop, which alone may use its connection, take messages or not; called by any thread."""
        self.hub.call_soon(self._take_messages, not drained)

    def _take_messages(self, wanted: bool) -> None:
        if not self.task_consumer:
            return  # between two connections; the next one asks again
        for queue in self.app.amqp.queues.values():
            if wanted:
                self.task_consumer.add_queue(queue)
            else:
                self.task_consumer.cancel_by_queue(queue.name)
        self.task_consumer.consume()

    def connection_for_write(self, url: str | None = None, heartbeat: float | None = None) -> Any:
        """Return a connection that asks for no confirms: what the consumer itself publishes are events for flower.

        Waiting for each of them would stop the loop that takes messages and acknowledges them.
        """
        unconfirmed = {"confirm_publish": False}
        return self.ensure_connected(
            self.app.connection_for_write(url=url, heartbeat=heartbeat, transport_options=unconfirmed)
        )

    def on_send_event_buffered(self) -> None:
        """Let events gather for a moment; called by any thread."""
        if not self._events_wait:
            self._events_wait = True
            self.hub.call_soon(self.hub.call_later, EVENTS_SECONDS, self._send_events)

    def _send_events(self) -> None:
        self._events_wait = False
        self._flush_events()

    def create_task_handler(self, *arguments: Any) -> Callable[[Any], None]:
        """Return what takes a message: Celery's own, but for what it would stumble over.

        A task's name that is a list ends its worker, and the broker hands the message to the next one; a body of the
        wrong shape is never acknowledged, and as many of them as there are slots end the consuming.
        """
        handle = super().create_task_handler(*arguments)

        def take(message: Any) -> None:
            try:
                if _is_task(message):
                    handle(message)
                    return
                logger.error("message refused")
            except MALFORMED as exc:
                logger.exception("message refused", extra={"cause": repr(exc)[:200]})
            message.reject_log_error(logger, self.connection_errors)

        return take

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Let go of a lost connection; where none gets as far as consuming, look at the queues for the cause."""
        super().on_connection_error_after_connected(exc)
        was_consuming, self._consuming = self._consuming, False
        if isinstance(exc, TimeoutError) and not was_consuming:
            queues.renew_dead(self.app, meanwhile=maybe_shutdown)  # which takes seconds, and SIGTERM may come

    def ensure_connected(self, conn: Any) -> Any:
        """Return the connection once the broker answers."""

        def waiting(exc: BaseException, interval: float) -> None:
            logger.warning("broker unreachable", extra={"cause": repr(exc), "again_in_seconds": interval})

        pause = settings.VIDEOPROC_RECONNECT_SECONDS
        conn = conn.ensure_connection(
            waiting, None, interval_start=pause, interval_step=0, interval_max=pause, callback=maybe_shutdown
        )
        if not self.first_connection_attempt:
            dispatch.hint_again()
        self.first_connection_attempt = False
        return conn


def _is_task(message: Any) -> bool:
    """Return whether a message has a task's shape, or cannot be decoded, which Celery sees and acknowledges."""
    try:
        body = message.payload
    except (DecodeError, ContentDisallowed):
        return True
    return isinstance(body, list) and [type(part) for part in body] == [list, dict, dict]


@celeryd_init.connect
def name_node(sender: str, instance: Any, **_: Any) -> None:
    """Give a worker without a name of its own one that no other on this machine has.

    The broker gives a node's queue to one connection alone; a second worker of that name would connect for ever.
    """
    if sender == default_nodename(None):
        instance.hostname = f"worker-{os.getpid()}@{socket.gethostname()}"


@worker_init.connect
def begin(**_: Any) -> None:
    """Make the supervisor before the first message is taken; where that fails, end the process."""
    try:
        supervisor.begin()
    except Exception as exc:
        # Celery would log it and go on: with a worker that takes steps and renews the lease of none.
        logger.critical("this worker cannot begin", exc_info=exc)
        raise SystemExit(1) from exc


@worker_shutting_down.connect
def stop(**_: Any) -> None:
    """Stop media processes and hand their steps back, so that Celery's warm shutdown has little to wait for."""
    supervisor.current().leases.stop()
    hub = get_event_loop()
    if hub is not None:
        # A signal does not end the loop's wait for messages, which may last for seconds; nor can its own thread do so.
        threading.Thread(target=hub.call_soon, args=(bool,), name="waker", daemon=True).start()


@worker_shutdown.connect
def end(**_: Any) -> None:
    """End threads and media processes."""
    supervisor.end()
    # What the interpreter would look through three times on its way out takes longer than all the rest of stopping.
    gc.freeze()
