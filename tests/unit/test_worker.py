"""How a worker begins or fails to, what its consumer tells flower, and how a process's nudges become passes."""

from __future__ import annotations

import ast
import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.utils.dispatch import Signal
from django.db import OperationalError
from pytest_django import Settings

from processing import supervisor, worker
from processing.media.errors import ProcessRefused
from processing.media.process.launcher import MediaProcesses
from processing.nudge import Nudger
from processing.worker import EVENTS_SECONDS, ImpatientConsumer

ROOT = Path(__file__).resolve().parents[2]


class Hub:
    """Calls at once what is to be called soon, and keeps what is to be called later."""

    def __init__(self) -> None:
        self.later: list[tuple[float, Callable[[], None]]] = []

    def call_soon(self, call: Callable[..., Any], *arguments: Any) -> None:
        call(*arguments)

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        self.later.append((seconds, call))


def test_events_of_a_moment_leave_as_one_message() -> None:
    consumer, hub, flushed = ImpatientConsumer.__new__(ImpatientConsumer), Hub(), []
    consumer.hub, consumer._flush_events = hub, lambda: flushed.append(len(hub.later))
    for _ in range(5):
        consumer.on_send_event_buffered()
    ((seconds, send),) = hub.later
    assert (seconds, flushed) == (EVENTS_SECONDS, [])
    send()
    consumer.on_send_event_buffered()
    assert flushed == [1]
    assert len(hub.later) == 2


def test_events_are_not_confirmed_and_hints_are() -> None:
    consumer = ImpatientConsumer.__new__(ImpatientConsumer)
    consumer.app = Celery(broker="amqp://nobody@127.0.0.1:1//", set_as_current=False)
    consumer.app.conf.broker_transport_options = {"confirm_publish": True, "confirm_timeout": 5.0}
    consumer.ensure_connected = lambda connection: connection
    own = consumer.connection_for_write(heartbeat=7)
    assert own.transport_options == {"confirm_publish": False, "confirm_timeout": 5.0}
    assert own.heartbeat == 7
    assert consumer.app.connection_for_write().transport_options["confirm_publish"] is True


def test_how_long_a_broker_may_take_is_a_setting() -> None:
    asks = "import celery_app; print(celery_app.app.connection_for_write().transport_options)"
    variables = {"VIDEOPROC_BROKER_URL": "amqp://nobody@127.0.0.1:1//", "VIDEOPROC_CONFIRM_SECONDS": "3"}
    done = subprocess.run(
        [sys.executable, "-c", asks], cwd=ROOT, env=os.environ | variables, capture_output=True, text=True, check=True
    )
    assert ast.literal_eval(done.stdout) == {
        "confirm_publish": True,
        "confirm_timeout": 3.0,
        "read_timeout": 6.0,
        "write_timeout": 6.0,
    }


def test_a_lost_broker_is_looked_for_as_often_as_the_setting_says(settings: Settings) -> None:
    settings.VIDEOPROC_RECONNECT_SECONDS = 0.25
    consumer = ImpatientConsumer.__new__(ImpatientConsumer)
    consumer.first_connection_attempt = True
    asked: dict[str, Any] = {}
    connection = SimpleNamespace(ensure_connection=lambda *_, **how: asked.update(how))
    consumer.ensure_connected(connection)
    assert [asked[f"interval_{name}"] for name in ("start", "step", "max")] == [0.25, 0, 0.25]


def test_a_worker_that_cannot_begin_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Celery goes on after an error in whoever hears its signal: with a worker that renews no lease."""

    def begin() -> None:
        raise ProcessRefused("the zygote did not load")

    monkeypatch.setattr(supervisor, "begin", begin)
    starting = Signal(name="starting")
    starting.connect(worker.begin)
    with pytest.raises(SystemExit) as ended:
        starting.send(sender=None)
    assert ended.value.code == 1


def test_a_machine_that_starts_no_process_is_not_the_files_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", full)
    with pytest.raises(ProcessRefused, match="temporarily"):
        MediaProcesses().start()


def test_a_worker_that_is_to_end_does_not_wait_for_its_database(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[bool] = []

    def change() -> None:
        tried.append(True)
        raise OperationalError("away")

    monkeypatch.setattr(supervisor, "_supervisor", SimpleNamespace(leases=SimpleNamespace(stopping=True)))
    began = time.monotonic()
    with pytest.raises(OperationalError):
        supervisor.patiently(change)
    assert time.monotonic() - began < 0.5
    assert tried == [True]


def test_nudges_that_come_together_are_one_pass() -> None:
    begun, may_end = threading.Semaphore(0), threading.Semaphore(0)

    def hint() -> int:
        begun.release()
        may_end.acquire(timeout=10)
        return 0

    nudger = Nudger(hint)
    nudger.nudge()
    assert begun.acquire(timeout=10), "a nudge is a pass"
    for _ in range(20):
        nudger.nudge()  # while a pass is under way: one more has to follow it, for it may have looked too early
    may_end.release()
    assert begun.acquire(timeout=10)
    may_end.release()
    nudger.close()
    assert not begun.acquire(blocking=False)
