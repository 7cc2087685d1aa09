"""An installation to measure: private PostgreSQL, RabbitMQ and Redis, and the project's own processes beside them.

Invariant: every process that was started here belongs to one part, whose CPU time can be asked for, and is gone when
its block ends.
"""

from __future__ import annotations

import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from videoproc.servers.postgres import PostgreSQL, create_database
from videoproc.servers.process import Command, Process, start, tail
from videoproc.servers.rabbitmq import RabbitMQ
from videoproc.servers.redis import Redis
from videoproc.servers.server import Server

ROOT = Path(__file__).resolve().parents[1]
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True)
class Program:
    """One process of the project: whose part it is, how it is started, and the core that it is held to, if to one."""

    part: str
    name: str
    words: Sequence[str | Path]
    variables: Mapping[str, str] = field(default_factory=dict)
    core: int | None = None


def dispatcher() -> Program:
    """Return what publishes the hints."""
    return Program(part="dispatcher", name="dispatch", words=[sys.executable, ROOT / "manage.py", "dispatch"])


def worker(name: str, *, slots: int, app: str = "celery_app", core: int | None = None) -> Program:
    """Return a worker of this application."""
    words = [sys.executable, "-m", "celery", "--app", app, "worker", "--pool", "threads", "--concurrency", str(slots)]
    words += ["--without-gossip", "--without-mingle", "--hostname", f"{name}@%h"]
    slots_told = {"VIDEOPROC_WORKER_SLOTS": str(slots)}
    return Program(part="workers", name=name, words=words, variables=slots_told, core=core)


def web(port: int) -> Program:
    """Return the web server."""
    return Program(part="web", name="web", words=[sys.executable, "-m", "videoproc.serve", "--port", str(port)])


class Parts:
    """The living processes of each part of the system; invariant: every process belongs to one part."""

    def __init__(self) -> None:
        self._pids: dict[str, list[Callable[[], list[int]]]] = {}

    def add(self, part: str, process: Server | Process) -> None:
        """Count a server or process, with all below it, as of this part."""
        self._pids.setdefault(part, []).append(lambda: process.pids)

    def cpu_seconds(self) -> dict[str, float]:
        """Return the CPU time that each part has used so far, as far as its processes still live."""
        return {part: sum(map(_cpu_seconds, chain(*(ask() for ask in asked)))) for part, asked in self._pids.items()}


@contextmanager
def installation(parts: Parts, **variables: str) -> Iterator[Path]:
    """Start the servers, set the project up against them in this process too, and yield the folder of it all."""
    # Asked to end, everything that was started is stopped and removed, as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="videoproc-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL refuses root, and has to get through
        with servers(folder, parts):
            os.environ |= variables
            import django
            from django.core.management import call_command

            django.setup()
            call_command("migrate", verbosity=0)
            yield folder


@contextmanager
def servers(folder: Path, parts: Parts) -> Iterator[None]:
    """Start the private servers and point the project's settings at them."""
    with ExitStack() as stack:
        database = stack.enter_context(PostgreSQL(folder / "postgresql"))
        broker = stack.enter_context(RabbitMQ(folder / "rabbitmq"))
        layer = stack.enter_context(Redis(folder / "redis"))
        for server in (database, broker, layer):
            parts.add(server.name, server)
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "videoproc.settings",
            "VIDEOPROC_MODE": "server",
            "VIDEOPROC_SECRET_KEY": secrets.token_urlsafe(64),
            "VIDEOPROC_ALLOWED_HOSTS": "localhost",
            "VIDEOPROC_DATA_DIR": str(folder / "data"),
            "VIDEOPROC_DATABASE_URL": create_database(database.url, "benchmark"),
            "VIDEOPROC_BROKER_URL": broker.url,
            "VIDEOPROC_CHANNEL_LAYER_URL": layer.url,
            "VIDEOPROC_FREE_BYTES": "0",
            "VIDEOPROC_LOG_LEVEL": "WARNING",
            "PYTHONPATH": str(ROOT),
        }
        yield


@contextmanager
def processes(folder: Path, parts: Parts, programs: Sequence[Program]) -> Iterator[Callable[[], None]]:
    """Run these programs; yields what raises SystemExit once one has ended."""
    running: dict[str, Process] = {}

    def check() -> None:
        for name, process in running.items():
            if not process.running:
                raise SystemExit(f"{name} ended: {tail(folder / f'{name}.log')}")

    try:
        for program in programs:
            running[program.name] = _started(program, folder)
            parts.add(program.part, running[program.name])
        yield check
    finally:
        for process in reversed(running.values()):
            process.stop()


def _started(program: Program, folder: Path) -> Process:
    command = Command(
        words=program.words,
        environment=os.environ | program.variables,
        folder=ROOT,
        log=folder / f"{program.name}.log",
    )
    ours = os.sched_getaffinity(0)
    if program.core is not None:
        os.sched_setaffinity(0, {program.core})  # of this thread: what it starts is held there from its first moment
    try:
        return start(command)
    finally:
        os.sched_setaffinity(0, ours)


def _cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0  # it ended while we looked
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND
