"""What all private servers share: one folder, one process, start and stop, and the faults a test may inflict.

Invariant: after start() the server answers at its url; url and data stay the same over any number of restarts; one
folder has one server at a time, whoever started it.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from videoproc.servers.errors import FolderUnusable, ServerFailed
from videoproc.servers.process import Command, Process, User, start, tail

POLL_SECONDS = 0.05
LOCK_SECONDS = 5.0
"""How long to wait for a server on the same folder that is just ending."""


class Server(ABC):
    """One private server in `folder`, which is made where it is missing.

    durable=False leaves out what only matters when the machine itself loses power (fsync): for tests.
    """

    name: str
    start_seconds: float = 30.0
    """How long it may take to answer."""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self.folder = folder.absolute()
        self.durable = durable
        self._process: Process | None = None
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.password = _kept_secret(self.folder / "password")

    @property
    @abstractmethod
    def url(self) -> str:
        """Where it answers, credentials included; known before it is started."""

    @abstractmethod
    def _command(self) -> Command:
        """Prepare the folder, and say what to run."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether it serves a client now; short of that False, not an exception."""

    @property
    def log(self) -> Path:
        """The file its output goes to."""
        return self.folder / f"{self.name}.log"

    @property
    def running(self) -> bool:
        """Whether its process is alive; it may be paused."""
        return self._process is not None and self._process.running

    @property
    def pids(self) -> list[int]:
        """All its living processes."""
        return self._process.pids if self._process is not None else []

    def start(self) -> None:
        """Start it and wait until it answers; nothing if it runs already.

        Raises:
            ProgramMissing: its program is not to be had.
            FolderUnusable: its folder cannot serve, or another server still runs on it.
            ServerFailed: it ended or did not answer in time; it is stopped then.
        """
        if self.running:
            return
        with self._locked_folder() as lock:
            command = self._command()
            self._process = start(command, lock=lock)
        deadline = time.monotonic() + self.start_seconds
        while not self._answers():
            if not self._process.running:
                self.kill9()
                raise ServerFailed(f"{self.name} ended while starting; {tail(command.log)}")
            if time.monotonic() > deadline:
                self.kill9()
                raise ServerFailed(f"{self.name} gave no answer in {self.start_seconds:.0f} s; {tail(command.log)}")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Stop it in its own way, by force after its grace; nothing if it does not run."""
        if self._process is not None:
            self._process.stop()

    def kill9(self) -> None:
        """Kill all its processes at once, as a crash would; its data stay."""
        if self._process is not None:
            self._process.kill9()

    def restart(self) -> None:
        """Stop and start it, at the same url, with the same data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze it: connections stay open and nobody answers."""
        if self._process is not None:
            self._process.pause()

    def resume(self) -> None:
        """Let it go on after pause()."""
        if self._process is not None:
            self._process.resume()

    @contextmanager
    def _locked_folder(self) -> Iterator[int]:
        # Two servers on one folder destroy its data, and one that lost its parent may be ending still.
        with (self.folder / "lock").open("a") as file:
            deadline = time.monotonic() + LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as exc:
                    if time.monotonic() > deadline:
                        raise FolderUnusable(f"another {self.name} runs on {self.folder}: stop it first") from exc
                    time.sleep(POLL_SECONDS)
            yield file.fileno()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def unprivileged_user() -> User | None:
    """Whom a server runs as that refuses root: `nobody` when we are root, else None, which is ourselves."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return User(uid=nobody.pw_uid, gid=nobody.pw_gid)


def check_reach(path: Path, user: User) -> None:
    """Make sure that `user`, a stranger to every folder above, can get to `path`.

    Raises:
        FolderUnusable: a folder on the way is closed to it.
    """
    for folder in path.resolve().parents:
        facts = folder.stat()
        owner = facts.st_uid == user.uid and facts.st_mode & 0o100
        group = facts.st_gid == user.gid and facts.st_mode & 0o010
        if not (owner or group or facts.st_mode & 0o001):
            raise FolderUnusable(
                f"{path} is out of reach of user {user.uid}, which this server runs as because it refuses root: "
                f"{folder} is closed to others; choose a folder elsewhere, or run as a plain user"
            )


def _kept_secret(path: Path) -> str:
    """The password in `path`, made on first use; letters and digits, so it goes into a URL as it is."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(16))
    except FileExistsError:
        pass
    return path.read_text()
