"""A private Redis on 127.0.0.1: the channel layer of the server mode, with a password and an append-only file.

Invariant: it listens on loopback alone and forgets nothing over a restart.
"""

from __future__ import annotations

from pathlib import Path

import redis

from videoproc.servers import ports
from videoproc.servers.process import Command
from videoproc.servers.programs import REDIS, obtain
from videoproc.servers.server import Server

DATABASES = 64


class Redis(Server):
    """A Redis server."""

    name = "redis"

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        super().__init__(folder, durable=durable)
        self.port = ports.reserve()

    @property
    def url(self) -> str:
        """Database 0."""
        return self.database_url(0)

    def database_url(self, number: int) -> str:
        """The url of one of the 64 databases; keys are apart, channels of pub/sub are shared by all."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/{number}"

    def _command(self) -> Command:
        program = obtain(REDIS)
        settings = self.folder / "redis.conf"
        lines = ["bind 127.0.0.1", f"port {self.port}", f"databases {DATABASES}", f"requirepass {self.password}"]
        write_settings(settings, lines, self.folder, durable=self.durable)
        return Command(
            words=[program.executables["redis-server"], settings],
            environment=program.environment(self.folder),
            folder=self.folder,
            log=self.log,
        )

    def _answers(self) -> bool:
        return answers(self.url)


def write_settings(path: Path, lines: list[str], data: Path, *, durable: bool) -> None:
    """Write a settings file for Redis or Valkey: `lines`, and an append-only file in `data`."""
    kept = ["daemonize no", "protected-mode yes", 'save ""', "appendonly yes", f'dir "{data}"']
    # everysec loses at most a second on a power cut, and nothing when only the server dies.
    kept.append(f"appendfsync {'everysec' if durable else 'no'}")
    path.touch(mode=0o600)
    path.write_text("\n".join([*lines, *kept]) + "\n")


def answers(url: str) -> bool:
    """Whether a Redis or Valkey at `url` serves commands now; while it loads its data it does not."""
    try:
        with redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False
