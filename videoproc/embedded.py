"""The embedded system: a supervisor of real processes on one machine, for trying the service and for running it small.

It owns its data directory (a lock), starts Valkey, the web server, a worker and the dispatcher as children, restarts
what ends unasked, and stops all of it in order. Invariant: when it is gone, however it went, none of them is left.
"""

from __future__ import annotations

import fcntl
import http.client
import json
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.core.management import call_command

from processing import failures
from videoproc.servers.process import Command, Process, start, tail
from videoproc.servers.valkey import Valkey

logger = logging.getLogger(__name__)

READY_SECONDS = 90.0
LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 60.0
LOG_BYTES = 20 * 1024 * 1024


class EmbeddedError(Exception):
    """The embedded system cannot start or go on; the message says what to do."""


@dataclass(kw_only=True)
class Child:
    """One supervised process and when it was last started."""

    name: str
    words: Sequence[str]
    grace_seconds: float
    process: Process | None = None
    started_at: float = 0.0
    pause_seconds: float = field(default=1.0)


class Embedded:
    """Valkey, web server, worker and dispatcher over one data directory."""

    def __init__(self, *, port: int) -> None:
        self.data = Path(settings.VIDEOPROC_DATA_DIR)
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = _lock(self.data / "lock")
        self.port = _port(port)
        self._valkey = Valkey(self.data / "valkey")
        self._logs = self.data / "logs"
        self._logs.mkdir(exist_ok=True, mode=0o700)
        python = [sys.executable, "-m"]
        manage = str(settings.BASE_DIR / "manage.py")
        serve = ["videoproc.serve", "--host", "127.0.0.1", "--port", str(self.port), "--drain", "3"]
        work = ["celery", "--app", "celery_app", "worker", "--pool", "threads", "--loglevel", "INFO"]
        apart = ["--without-gossip", "--without-mingle", "--hostname", "embedded@%h"]
        self._children = [
            Child(name="dispatch", words=[sys.executable, manage, "dispatch"], grace_seconds=5),
            Child(name="worker", words=[*python, *work, *apart], grace_seconds=10),
            Child(name="web", words=[*python, *serve], grace_seconds=8),
        ]

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start everything and return once it answers.

        Raises:
            EmbeddedError: something did not come up in time.
        """
        self._valkey.start()
        call_command("migrate", interactive=False, verbosity=0)
        if left := failures.system_ended():
            logger.warning("the system ended in the middle of %d steps, they go on", left)
        for child in self._children:
            self._start(child)
        give_up = time.monotonic() + READY_SECONDS
        while not self._ready():
            self._mind_children()
            if time.monotonic() > give_up:
                logs = "; ".join(tail(self._logs / f"{child.name}.log", 5) for child in self._children)
                raise EmbeddedError(f"not ready after {READY_SECONDS:g} s; {logs}")
            time.sleep(0.1)

    def run(self, stop: threading.Event) -> None:
        """Mind the children until `stop` is set."""
        while not stop.wait(0.5):
            self._mind_children()

    def stop(self) -> None:
        """Stop the children, the web server first, then Valkey; give the data directory back."""
        for child in reversed(self._children):
            if child.process is not None:
                child.process.stop()
        self._valkey.stop()
        os.close(self._lock)

    def _start(self, child: Child) -> None:
        log = self._logs / f"{child.name}.log"
        if log.exists() and log.stat().st_size > LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
        environment = os.environ | {
            "VIDEOPROC_MODE": "embedded",
            "VIDEOPROC_DATA_DIR": str(self.data),
            "VIDEOPROC_BROKER_URL": self._valkey.broker_url,
            "VIDEOPROC_CHANNEL_LAYER_URL": f"{self._valkey.url}?db=1",
            "PYTHONUNBUFFERED": "1",
        }
        child.process = start(
            Command(
                words=child.words,
                environment=environment,
                folder=settings.BASE_DIR,
                log=log,
                grace_seconds=child.grace_seconds,
            )
        )
        child.started_at = time.monotonic()

    def _mind_children(self) -> None:
        if not self._valkey.running:
            logger.warning("valkey ended, starting it again")
            self._valkey.start()
        for child in self._children:
            if child.process is not None and child.process.running:
                continue
            alive_seconds = time.monotonic() - child.started_at
            if alive_seconds > STEADY_SECONDS:
                child.pause_seconds = 1.0
            if alive_seconds < child.pause_seconds:
                continue
            logger.warning("%s ended, starting it again; its log is %s", child.name, self._logs / f"{child.name}.log")
            child.pause_seconds = min(child.pause_seconds * 2, LONGEST_PAUSE_SECONDS)
            self._start(child)

    def _ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/health/ready")
            # Without a worker the web server calls itself degraded: uploads would be taken and stand still.
            return bool(json.load(connection.getresponse()).get("status") == "ready")
        except (OSError, http.client.HTTPException, json.JSONDecodeError):
            return False
        finally:
            connection.close()


def _lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        os.close(descriptor)
        raise EmbeddedError(
            f"another one runs with the data directory {path.parent}: stop it, or set VIDEOPROC_DATA_DIR"
        ) from exc
    return descriptor


def _port(wanted: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError as exc:
            raise EmbeddedError(f"port {wanted} is taken: stop what uses it, or choose another with --port") from exc
        return int(probe.getsockname()[1])
