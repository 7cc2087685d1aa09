"""The whole system in both modes as the faults need it: short times, every process by name, wires that can be cut.

Invariant: a fault reaches only processes that this system started, by process id, and `heal` undoes all but the deaths.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from tests.acceptance.system import ROOT, EmbeddedSystem, ServerSystem
from tests.faults.proxy import Proxy
from tests.faults.rows import Rows
from tests.servers import Servers, delete_queues
from videoproc.servers.keeper import descendants
from videoproc.servers.postgres import PostgreSQL
from videoproc.servers.process import Command, start
from videoproc.servers.redis import Redis

LEASE_SECONDS, RENEW_SECONDS, HINT_SECONDS, STALL_SECONDS, ABANDONED_SECONDS = 4.0, 1.0, 6.0, 5.0, 30.0
SLACK_SECONDS = 3.0
"""What is promised beyond a lease or a stall limit: of the 15 s in which a killed worker's segment runs again, 12 are
the lease."""
SHORT = {
    "VIDEOPROC_LEASE_SECONDS": str(LEASE_SECONDS),
    "VIDEOPROC_RENEW_SECONDS": str(RENEW_SECONDS),
    "VIDEOPROC_BEAT_SECONDS": "0.25",
    "VIDEOPROC_SEEN_SECONDS": "4",
    "VIDEOPROC_DISPATCH_SECONDS": "0.3",
    "VIDEOPROC_HINT_SECONDS": str(HINT_SECONDS),
    "VIDEOPROC_BACKOFF_SECONDS": "0.25",
    "VIDEOPROC_RETRY_SECONDS": "2",
    "VIDEOPROC_DRAIN_SECONDS": "0.5",
    "VIDEOPROC_STALL_SECONDS": str(STALL_SECONDS),
    "VIDEOPROC_ABANDONED_SECONDS": str(ABANDONED_SECONDS),
    "VIDEOPROC_HUB_POLL_SECONDS": "1",
    "VIDEOPROC_WORKER_SLOTS": "2",
}
"""A third of the real times or less; what is promised of them is scaled alike."""
SERVICES = {
    "database": "VIDEOPROC_DATABASE_URL",
    "broker": "VIDEOPROC_BROKER_URL",
    "layer": "VIDEOPROC_CHANNEL_LAYER_URL",
}


class FaultyServer(ServerSystem):
    """The server mode: any number of workers and dispatchers, each kind behind its own three wires."""

    def __init__(self, folder: Path, servers: Servers, **settings: str) -> None:
        super().__init__(folder, servers, **(SHORT | settings))
        self.folder = folder
        self.storage = folder / "data" / "media"
        self.rows = Rows(self._environment["VIDEOPROC_DATABASE_URL"])
        database, layer = servers.server("postgresql"), servers.server("redis")
        assert isinstance(database, PostgreSQL)
        assert isinstance(layer, Redis)
        self.database, self.broker, self.layer = database, self._broker, layer
        if not database.durable:
            # Of a database that is killed here each commit must have been one; the other tests have no use for that.
            database.durable = True
            database.restart()
        self.wires = {
            (kind, service): Proxy(urlsplit(self._environment[variable]).port or 0)
            for kind in ("worker", "dispatch")
            for service, variable in SERVICES.items()
        }
        self.scratch = folder / "tmp"
        self.scratch.mkdir(parents=True)

    def stop(self) -> None:
        """Stop all processes, side by side as far as they matter to each other, and close the wires."""
        self.heal()
        for name in sorted(self._processes, reverse=True):
            self._processes.pop(name).stop()

    def close(self) -> None:
        """Stop, and take the wires down."""
        self.stop()
        for wire in self.wires.values():
            wire.close()

    def heal(self) -> None:
        """Continue what is frozen, mend the wires, start the servers that are down."""
        for wire in self.wires.values():
            wire.heal()
        for server in (self.database, self.broker, self.layer):
            server.resume()
            server.start()
        for process in self._processes.values():
            process.resume()

    def mend(self) -> None:
        """Heal, and start again what was killed and is part of every system."""
        self.heal()
        for name in ("dispatch", "worker", "web"):
            if name not in self._processes or not self._processes[name].running:
                self.run(name)
        for name in [name for name in self._processes if "-" in name]:
            self._processes.pop(name).stop()
        self.wait_ready(*self._processes.values(), log=self.folder / "web.log")

    def run(self, name: str, *, app: str = "celery_app", variables: Mapping[str, str] | None = None) -> None:
        """Start a process called "web", "worker", "dispatch", or one of the latter two with "-something" behind it.

        `app` is the module of the worker's application, or of another program that dispatches.
        """
        kind = name.partition("-")[0]
        words = self._words(kind)
        if app != "celery_app":
            words = (
                [sys.executable, "-m", app] if kind == "dispatch" else [app if w == "celery_app" else w for w in words]
            )
        if kind == "worker":
            words += ["--hostname", f"{name}@%h", "--without-gossip", "--without-mingle"]
        self._processes[name] = start(
            Command(
                words=words,
                environment=self._environment | self._wired(kind) | {"TMPDIR": str(self.scratch)} | (variables or {}),
                folder=ROOT,
                log=self.folder / f"{name}.log",
                grace_seconds=15,
            )
        )

    def kill(self, name: str) -> list[int]:
        """Kill a process and all below it with -9; returns which they were."""
        process = self._processes[name]
        pids = process.pids
        os.kill(process.pid, signal.SIGKILL)
        process.kill9()
        return pids

    def end(self, name: str) -> None:
        """Stop a process in order."""
        self._processes.pop(name).stop()

    def pause(self, name: str) -> None:
        """Freeze a process and all below it."""
        self._processes[name].pause()

    def resume(self, name: str) -> None:
        """Let it go on."""
        self._processes[name].resume()

    def runs(self, name: str) -> bool:
        """Whether a process of this name was started and not ended."""
        return name in self._processes

    def alive(self, name: str) -> bool:
        """Whether a process runs."""
        return self._processes[name].running

    def pid(self, name: str) -> int:
        """Return the process id of a process."""
        return self._processes[name].pid

    def kill_worker(self) -> None:
        """Kill the worker with its children and start another, as its supervisor would."""
        self.kill("worker")
        self.run("worker")

    def empty_broker(self) -> None:
        """Delete every queue with its messages, as a wiped broker has none."""
        delete_queues(self.broker_url)

    @property
    def broker_url(self) -> str:
        """The broker itself, past the wires."""
        return self._environment["VIDEOPROC_BROKER_URL"]

    def _start(self, name: str) -> None:
        self.run(name)

    def _wired(self, kind: str) -> dict[str, str]:
        if kind not in {"worker", "dispatch"}:
            return {}
        return {
            variable: through(self._environment[variable], self.wires[kind, service].port)
            for service, variable in SERVICES.items()
        }


class FaultyEmbedded(EmbeddedSystem):
    """The embedded mode with short times."""

    def __init__(self, folder: Path, **settings: str) -> None:
        super().__init__(folder, **(SHORT | settings))
        self.folder = folder
        self.storage = self.data / "media"
        self.rows = Rows(f"sqlite://{self.data}/videoproc.sqlite3")

    def mend(self) -> None:
        """Make sure that it runs and everything of it goes on."""
        for pid in self.pids() if self._process is not None and self._process.running else []:
            os.kill(pid, signal.SIGCONT)
        if self._process is None or not self._process.running:
            self.start()
        assert self._process is not None
        self.wait_ready(self._process, log=self.log)

    def close(self) -> None:
        """Stop it."""
        self.stop()

    def kill(self, name: str) -> list[int]:
        """Kill "worker", "dispatch", "web" or "valkey" with all below it."""
        pid = self.pid(name)
        pids = [pid, *descendants(pid)]
        for each in pids:
            try:
                os.kill(each, signal.SIGKILL)
            except ProcessLookupError:
                continue  # a child that ended with its parent
        return pids

    def pid(self, name: str) -> int:
        """Return the process id of "worker", "dispatch", "web" or "valkey"."""
        words = {
            "worker": ("worker", "--pool"),
            "dispatch": ("dispatch",),
            "web": ("--port", self.url.rpartition(":")[2]),
            "valkey": ("valkey-server",),
        }
        return self._pid(*words[name])

    def pause(self, name: str) -> None:
        """Freeze a process and all below it."""
        self._signal(name, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Let it go on."""
        self._signal(name, signal.SIGCONT)

    def _signal(self, name: str, number: int) -> None:
        pid = self.pid(name)
        for each in (pid, *descendants(pid)):
            os.kill(each, number)


Faulty = FaultyServer | FaultyEmbedded


def through(url: str, port: int) -> str:
    """Return `url` with another port."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{port}")))


def media_processes(system: Faulty, *, operation: str = "") -> dict[int, str]:
    """Return the media processes at work, by id, with the key of the file that each writes, "" where it has none."""
    found: dict[int, str] = {}
    for pid in system.pids():
        try:
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            if name.startswith("media-") and name != "media-zygote" and operation in name:
                found[pid] = next(iter(open_files(pid, below=system.storage / "jobs")), "")
        except OSError:
            continue  # it has just ended
    return found


def open_files(pid: int, *, below: Path) -> list[str]:
    """Return which files below a folder a process has open, deleted ones too, relative to it."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = entry.readlink()
        except OSError:
            continue
        if target.is_relative_to(below):
            found.append(str(target.relative_to(below)))
    return found


class Waiting:
    """A deadline with the name of what is waited for."""

    def __init__(self, seconds: float, what: str) -> None:
        self._began = time.monotonic()
        self._seconds = seconds
        self._what = what

    @property
    def passed_seconds(self) -> float:
        """How long it took so far."""
        return time.monotonic() - self._began

    def again(self, pause: float = 0.05) -> bool:
        """Pause and return True; AssertionError when the time is over."""
        assert self.passed_seconds < self._seconds, f"{self._what}: not within {self._seconds:g} s"
        time.sleep(pause)
        return True
