"""Free ports on loopback, lent so that two servers never get the same one.

A port found by binding and closing may be taken before the server binds it. So ports come from below the kernel's
ephemeral range (no outgoing connection is given one) and each is held by a lock file for as long as this process
lives. Invariant: no two processes of this project hold one port, and no port is lent that something listens on.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

from videoproc.servers.errors import ServerFailed

FIRST_PORT, LAST_PORT = 20_000, 32_000
_held: dict[int, int] = {}


def reserve() -> int:
    """A port on 127.0.0.1 that is free and stays ours until release() or the end of this process.

    Raises:
        ServerFailed: none of 200 tried was free.
    """
    # One folder for all users, sticky as /tmp is, so that root and others see each other's locks.
    folder = Path(tempfile.gettempdir()) / "videoproc-ports"
    try:
        folder.mkdir(mode=0o777)
        folder.chmod(0o1777)
    except FileExistsError:
        pass
    for port in random.SystemRandom().sample(range(FIRST_PORT, LAST_PORT), 200):
        handle = _locked(folder / str(port))
        if handle is None:
            continue
        if _free(port):
            _held[port] = handle
            return port
        os.close(handle)
    raise ServerFailed(f"no free port on 127.0.0.1 between {FIRST_PORT} and {LAST_PORT}")


def release(port: int) -> None:
    """Give a port back; one that is not ours is ignored."""
    handle = _held.pop(port, None)
    if handle is not None:
        os.close(handle)


def _locked(path: Path) -> int | None:
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        handle = os.open(path, flags | os.O_CREAT, 0o644)
    except PermissionError:
        # In a sticky folder the kernel may refuse O_CREAT on another user's file (fs.protected_regular).
        handle = os.open(path, flags)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


def _free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port that only lingers from closed connections counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
