"""The keeper: a small parent that runs one server, and ends it with everything it spawned when its own parent is gone.

Run by path with `python -I -S`, so it imports the standard library alone and stays one thread: only then may it fork
with a hook and ask the kernel for a parent-death signal (which fires when the parent's *thread* ends). It is a child
subreaper, so a grandchild that leaves its session still falls to it. Invariant: no process below it outlives it.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
WATCHED = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
PARENT_CHECK_SECONDS = 0.5


def descendants(ancestor: int) -> list[int]:
    """All living processes below `ancestor`, parents before children; zombies are not counted."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # The name in parentheses may itself hold spaces and parentheses; what follows the last one does not.
            state, parent, *_ = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except (OSError, ValueError):
            continue  # it ended while we looked
        if state != "Z":
            children.setdefault(int(parent), []).append(int(entry.name))
    found: list[int] = []
    row = children.get(ancestor, [])
    while row:
        found += row
        row = [child for pid in row for child in children.get(pid, [])]
    return found


def signal_all(pids: list[int], number: int) -> None:
    """Send one signal to each process; those already gone are passed over."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _prctl(option: int, value: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def _before_exec(user: int | None, group: int | None, keeper: int) -> Callable[[], None]:
    def prepare() -> None:
        if user is not None and group is not None:
            os.setgroups([])
            os.setgid(group)
            os.setuid(user)
        # After the change of user, because that clears it.
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper:
            os._exit(1)
        signal.pthread_sigmask(signal.SIG_SETMASK, set())

    return prepare


def _reap(child: int) -> int | None:
    """Collect every ended descendant; the child's exit status once it is among them."""
    status = None
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, code = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == child:
                status = os.waitstatus_to_exitcode(code)
    return status


def _keep(child: int, parent: int, stop_signal: int, grace_seconds: float) -> int:
    deadline: float | None = None
    while True:
        received = signal.sigtimedwait(WATCHED, PARENT_CHECK_SECONDS)
        status = _reap(child)
        if status is not None:
            return status
        asked = received is not None and received.si_signo != signal.SIGCHLD
        if deadline is None and (asked or os.getppid() != parent):
            signal_all([child], stop_signal)
            deadline = time.monotonic() + grace_seconds
        if deadline is not None and time.monotonic() > deadline:
            signal_all(descendants(os.getpid()), signal.SIGKILL)


def _end_all() -> None:
    """Kill what is left below; twice round, because a process may fork while we look."""
    while rest := descendants(os.getpid()):
        signal_all(rest, signal.SIGKILL)
        _reap(-1)
        time.sleep(0.01)
    _reap(-1)


def main(arguments: list[str]) -> int:
    """Start the command, say its process id on standard output, and stay until it ends. Returns its exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--stop-signal", type=int, required=True)
    parser.add_argument("--grace-seconds", type=float, required=True)
    parser.add_argument("--user", type=int)
    parser.add_argument("--group", type=int)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(arguments)
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    process = subprocess.Popen(
        options.command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        preexec_fn=_before_exec(options.user, options.group, os.getpid()),
    )
    sys.stdout.write(f"{process.pid}\n")
    sys.stdout.close()
    status = _keep(process.pid, options.parent, options.stop_signal, options.grace_seconds)
    _end_all()
    # Reaped above: tell Popen, or it complains about a process still running.
    process.returncode = status
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
