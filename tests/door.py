"""A web server of its own for tests: uvicorn over a new data folder, reached by HTTP alone; no worker, no broker.

Fixtures are made from `Door`; whoever makes one stops it.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.settings import FOLDER

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 60.0
TABLES = FOLDER / "tables.sqlite3"
MAKE_USER = """
import django, sys
django.setup()
from django.contrib.auth import get_user_model
get_user_model().objects.create_user(sys.argv[1], password=sys.argv[2], is_staff=bool(sys.argv[3]))
"""


class Door:
    """A running web server: `url`, `port`, `pid`, and its folder of sources."""

    def __init__(self, data: Path, **settings: str) -> None:
        self.data = data
        self.log = data / "web.log"
        self.sources = data / "media" / "sources"
        self._environment = os.environ | {"VIDEOPROC_DATA_DIR": str(data), "PYTHONUNBUFFERED": "1"} | settings
        self._migrate()
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            self.port = int(listening.getsockname()[1])
            listening.listen(64)
            words = ["-m", "videoproc.serve", "--fd", str(listening.fileno())]
            with self.log.open("w") as log:
                self._process = subprocess.Popen(
                    [sys.executable, *words],
                    cwd=ROOT,
                    env=self._environment,
                    stderr=log,
                    pass_fds=[listening.fileno()],
                )
        self.url = f"http://127.0.0.1:{self.port}"
        # The socket listens already, so the first request waits for the server rather than failing.
        assert httpx.get(f"{self.url}/health/live", timeout=START_SECONDS).status_code == 200, self.log.read_text()

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._process.pid

    def stop(self) -> None:
        """Stop it and wait for its end."""
        self._process.terminate()
        self._process.wait(timeout=30)

    def add_user(self, name: str, password: str, *, is_staff: bool = True) -> None:
        """Make a user."""
        self._manage(["-c", MAKE_USER, name, password, "staff" if is_staff else ""])

    def folders(self) -> set[str]:
        """The names of all source folders."""
        return {folder.name for folder in self.sources.iterdir()} if self.sources.is_dir() else set()

    def peak_bytes(self) -> int:
        """The most memory the server ever had in use."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmHWM")

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def _migrate(self) -> None:
        """Make the tables; those of SQLite are made once for all doors and copied."""
        own = "VIDEOPROC_DATABASE_URL" in self._environment
        if own or not TABLES.exists():
            self._manage(["manage.py", "migrate", "--verbosity", "0"])
        if not own:
            made = self.data / "videoproc.sqlite3"
            shutil.copy(*((TABLES, made) if TABLES.exists() else (made, TABLES)))

    def _manage(self, words: list[str]) -> None:
        environment = self._environment | {"DJANGO_SETTINGS_MODULE": "videoproc.settings"}
        subprocess.run([sys.executable, *words], cwd=ROOT, env=environment, check=True, timeout=START_SECONDS)


def request_head(path: str, headers: dict[str, str], method: str = "POST") -> bytes:
    """Return a request's first line and headers as bytes."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def read_response(connection: socket.socket) -> tuple[int, dict[str, str], Any]:
    """Read one response with a JSON body: status, headers in lower case, document."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        assert piece, f"closed after {data!r}"
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers["content-length"]):
        piece = connection.recv(65536)
        assert piece, "closed inside the body"
        body += piece
    return int(first.split()[1]), headers, json.loads(body)


def eventually(condition: Callable[[], bool], *, seconds: float = 15.0) -> None:
    """Wait until a condition holds; AssertionError where it does not in time."""
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it never came true"
        time.sleep(0.02)
