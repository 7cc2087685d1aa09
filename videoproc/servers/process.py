"""One server process as the code that started it sees it: start, signal, stop, and be certain that it is gone.

Every process runs under a keeper (see keeper.py), which owns its death. Invariant: after stop() or kill9() returns, no
process of that tree is left.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from videoproc.servers import keeper
from videoproc.servers.errors import ServerFailed


@dataclass(frozen=True, kw_only=True)
class User:
    """The user a server runs as, by numbers."""

    uid: int
    gid: int


@dataclass(frozen=True, kw_only=True)
class Command:
    """How to run a process: words, whole environment, working folder, user (None: ours) and how it is stopped."""

    words: Sequence[str | Path]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    user: User | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    grace_seconds: float = 20.0


class Process:
    """A running command under its keeper; made by start() alone."""

    def __init__(self, keeping: subprocess.Popen[str], pid: int, grace_seconds: float) -> None:
        self._keeping = keeping
        self.pid = pid
        self._grace_seconds = grace_seconds

    @property
    def running(self) -> bool:
        """Whether the keeper, and so the command, is alive."""
        return self._keeping.poll() is None

    @property
    def pids(self) -> list[int]:
        """Every living process of the tree, the keeper first; empty once it has ended."""
        return [self._keeping.pid, *keeper.descendants(self._keeping.pid)] if self.running else []

    def stop(self) -> int:
        """Ask it to end, kill the tree when its grace has passed, and return the exit status."""
        if self.running:
            self.resume()
            self._keeping.terminate()
        # The keeper holds the deadline; this one is for a keeper that is itself stuck.
        try:
            return self._keeping.wait(self._grace_seconds + 10)
        except subprocess.TimeoutExpired:
            return self.kill9()

    def kill9(self) -> int:
        """Kill the whole tree at once, as a crash would, and return the exit status of the keeper."""
        keeper.signal_all(keeper.descendants(self._keeping.pid), signal.SIGKILL)
        try:
            return self._keeping.wait(10)
        except subprocess.TimeoutExpired:
            self._keeping.kill()
            return self._keeping.wait()

    def pause(self) -> None:
        """Freeze every process of the tree but the keeper."""
        keeper.signal_all(keeper.descendants(self._keeping.pid), signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen tree go on."""
        keeper.signal_all(keeper.descendants(self._keeping.pid), signal.SIGCONT)


def start(command: Command, *, lock: int | None = None) -> Process:
    """Run `command` under a keeper, its output appended to its log.

    `lock` is a locked file's descriptor that the keeper inherits: the lock is free again once the whole tree is gone,
    even where this process was killed and the tree is still ending.

    Raises:
        ServerFailed: the program could not be executed.
    """
    options = [
        f"--parent={os.getpid()}",
        f"--stop-signal={int(command.stop_signal)}",
        f"--grace-seconds={command.grace_seconds}",
    ]
    if command.user is not None:
        options += [f"--user={command.user.uid}", f"--group={command.user.gid}"]
    with command.log.open("ab") as log:
        keeping = subprocess.Popen(
            [sys.executable, "-I", "-S", keeper.__file__, *options, "--", *map(str, command.words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=command.folder,
            env=dict(command.environment),
            # Its own session: an interrupt typed at the terminal is for us, and we stop servers in our order.
            start_new_session=True,
            pass_fds=[] if lock is None else [lock],
            text=True,
        )
    if keeping.stdout is None:
        raise AssertionError("asked for a pipe")
    with contextlib.closing(keeping.stdout) as said:
        pid = said.readline().strip()
    if not pid:
        keeping.wait()
        raise ServerFailed(f"{command.words[0]} could not be started; {tail(command.log)}")
    return Process(keeping, int(pid), command.grace_seconds)


def tail(log: Path, lines: int = 15) -> str:
    """The end of a log as part of a sentence."""
    try:
        text = log.read_text(errors="replace").strip()
    except OSError as exc:
        return f"its log {log} cannot be read: {exc}"
    return f"the end of its log {log}:\n" + "\n".join(text.splitlines()[-lines:])
