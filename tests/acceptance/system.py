"""The whole system in both modes, as a person would start it, with the faults the tests inflict by process id.

Invariant: after stop() no process of a system is left, and two systems share nothing but the machine.
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from base64 import b64encode
from pathlib import Path

import httpx

from tests.servers import Servers
from videoproc.servers import ports
from videoproc.servers.keeper import descendants
from videoproc.servers.process import Command, Process, start, tail
from videoproc.servers.rabbitmq import RabbitMQ

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 90.0
POLL_SECONDS = 0.1
USER, PASSWORD = "ada", "correct horse battery staple"


class System(ABC):
    """A running system: `url`, and in server mode a token to show."""

    mode: str
    token: str | None = None
    url: str

    @abstractmethod
    def start(self) -> None:
        """Start it and wait until it is ready; data of an earlier run are still there."""

    @abstractmethod
    def stop(self) -> None:
        """Stop it in order."""

    @abstractmethod
    def kill_worker(self) -> None:
        """Kill the worker's main process with -9; whoever minds it starts another."""

    @abstractmethod
    def stop_broker(self) -> None:
        """Take the broker away until start_broker()."""

    @abstractmethod
    def start_broker(self) -> None:
        """Bring the broker back."""

    def wait_ready(self, *processes: Process, log: Path) -> None:
        """Wait until /health/ready finds all there, a worker too; AssertionError with the log's end else."""
        give_up = time.monotonic() + READY_SECONDS
        while True:
            try:
                if httpx.get(f"{self.url}/health/ready", timeout=5).json()["status"] == "ready":
                    return
            except httpx.TransportError:
                pass  # it does not listen yet
            assert all(process.running for process in processes), tail(log)
            assert time.monotonic() < give_up, tail(log)
            time.sleep(POLL_SECONDS)


class EmbeddedSystem(System):
    """`manage.py up` over one data folder."""

    mode = "embedded"

    def __init__(self, folder: Path, **settings: str) -> None:
        self.data = folder / "data"
        self.data.mkdir(parents=True, exist_ok=True)
        self._settings = settings
        self.log = folder / "up.log"
        self.sign_in_url = ""
        self._process: Process | None = None
        self._frozen: list[int] = []

    def start(self) -> None:
        said_before = self.log.stat().st_size if self.log.exists() else 0
        self._process = start(
            Command(
                words=[sys.executable, ROOT / "manage.py", "up", "--port", "0"],
                environment=environment(VIDEOPROC_DATA_DIR=str(self.data), **self._settings),
                folder=ROOT,
                log=self.log,
                grace_seconds=30,
            )
        )
        give_up = time.monotonic() + READY_SECONDS
        while True:
            said = self.log.read_bytes()[said_before:].decode(errors="replace")
            ready, sign_in = (
                re.search(r"^ready: (http://[^/\s]+)", said, re.M),
                re.search(r"^sign in.*?(http\S+)", said, re.M),
            )
            if ready and sign_in:
                break
            assert self._process.running, tail(self.log)
            assert time.monotonic() < give_up, tail(self.log)
            time.sleep(POLL_SECONDS)
        self.url, self.sign_in_url = ready[1], sign_in[1]
        self.wait_ready(self._process, log=self.log)

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()

    def kill_all(self) -> None:
        """Kill everything at once, as a power cut would."""
        assert self._process is not None
        self._process.kill9()

    def kill_worker(self) -> None:
        os.kill(self._pid("worker", "--pool"), signal.SIGKILL)

    def stop_broker(self) -> None:
        # Its supervisor would start a killed one again at once; a frozen one answers nobody.
        self._frozen = [self._pid("valkey-server")]
        os.kill(self._frozen[0], signal.SIGSTOP)

    def start_broker(self) -> None:
        os.kill(self._frozen.pop(), signal.SIGCONT)

    def pids(self) -> list[int]:
        """All its processes."""
        assert self._process is not None
        return self._process.pids

    def _pid(self, *words: str) -> int:
        """Return the one process that has these words in its command line and is no keeper of another."""
        found = []
        for pid in self.pids():
            line = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
            if all(any(word in part for part in line) for word in words) and not any(
                "keeper.py" in part for part in line
            ):
                found.append(pid)
        # A process that has just forked looks like its parent; the parent comes first.
        assert found, f"no process with {words}"
        return found[0]


class ServerSystem(System):
    """Web server, worker and dispatcher over PostgreSQL, RabbitMQ and Redis, each a process of its own."""

    mode = "server"

    def __init__(self, folder: Path, servers: Servers, **settings: str) -> None:
        self._folder = folder
        for kind in ("postgresql", "redis"):
            servers.begin(kind)
        broker = servers.server("rabbitmq")
        assert isinstance(broker, RabbitMQ)
        self._broker = broker
        self._port = ports.reserve()
        self.url = f"http://127.0.0.1:{self._port}"
        self._environment = environment(
            VIDEOPROC_MODE="server",
            VIDEOPROC_DATA_DIR=str(folder / "data"),
            VIDEOPROC_SECRET_KEY=secrets.token_urlsafe(64),
            VIDEOPROC_ALLOWED_HOSTS="127.0.0.1",
            VIDEOPROC_DATABASE_URL=servers.fresh_database(),
            VIDEOPROC_BROKER_URL=broker.fresh_virtual_host(),
            VIDEOPROC_CHANNEL_LAYER_URL=servers.fresh_redis(),
            VIDEOPROC_FREE_BYTES=str(256 * 1024**2),
            DJANGO_SUPERUSER_USERNAME=USER,
            DJANGO_SUPERUSER_PASSWORD=PASSWORD,
            DJANGO_SUPERUSER_EMAIL="ada@example.org",
            **settings,
        )
        self._processes: dict[str, Process] = {}

    def start(self) -> None:
        if self.token is None:
            for words in (
                ["migrate", "--verbosity=0"],
                ["collectstatic", "--noinput", "--verbosity=0"],
                ["createsuperuser", "--noinput"],
            ):
                subprocess.run(
                    [sys.executable, "manage.py", *words], cwd=ROOT, env=self._environment, check=True, timeout=120
                )
        for name in ("dispatch", "worker", "web"):
            self._start(name)
        self.wait_ready(*self._processes.values(), log=self._folder / "web.log")
        if self.token is None:
            self.token = self._new_token()

    def stop(self) -> None:
        for name in ("web", "worker", "dispatch"):
            if name in self._processes:
                self._processes[name].stop()

    def kill_worker(self) -> None:
        """Kill the worker and start another, as its supervisor would."""
        worker = self._processes["worker"]
        os.kill(worker.pid, signal.SIGKILL)
        worker.stop()
        self._start("worker")

    def stop_broker(self) -> None:
        self._broker.stop()

    def start_broker(self) -> None:
        self._broker.start()

    def pids(self) -> list[int]:
        """All its processes."""
        return [pid for process in self._processes.values() for pid in process.pids]

    def _words(self, name: str) -> list[str]:
        """Return how a process is started."""
        python = [sys.executable, "-m"]
        return {
            "dispatch": [sys.executable, "manage.py", "dispatch"],
            "worker": [*python, "celery", "--app", "celery_app", "worker", "--pool", "threads", "--loglevel", "INFO"],
            "web": [*python, "videoproc.serve", "--port", str(self._port)],
        }[name]

    def _start(self, name: str) -> None:
        self._processes[name] = start(
            Command(
                words=self._words(name),
                environment=self._environment,
                folder=ROOT,
                log=self._folder / f"{name}.log",
                grace_seconds=15,
            )
        )

    def _new_token(self) -> str:
        credentials = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        response = httpx.post(
            f"{self.url}/api/v1/tokens", headers={"Authorization": f"Basic {credentials}"}, timeout=30
        )
        assert response.status_code in {200, 201}, response.text
        return str(response.json()["token"])


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment without its own settings, with these variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VIDEOPROC_")}
    return kept | {"PYTHONUNBUFFERED": "1", "DJANGO_SETTINGS_MODULE": "videoproc.settings"} | variables


def orphans(pids: list[int]) -> list[int]:
    """Return which of these processes are still alive, zombies left out."""
    alive = set(descendants(1)) | {1}
    return [pid for pid in pids if pid in alive]
