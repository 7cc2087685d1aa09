"""Hosts of the test's own: network namespaces, each with one cable to this machine and to the servers.

Making them needs root and Debian's iproute2. Invariant: a host reaches nothing but its end of the cable; after close()
namespace, cable and processes are gone.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from tests.acceptance.system import ROOT, ServerSystem
from tests.faults.proxy import Proxy
from tests.faults.rows import Rows
from tests.faults.system import SHORT
from tests.servers import Servers
from videoproc.servers.process import Command, start
from videoproc.servers.s3 import BUCKET, REGION, Swift

SERVICES = ("VIDEOPROC_DATABASE_URL", "VIDEOPROC_BROKER_URL", "VIDEOPROC_CHANNEL_LAYER_URL")
NETWORK = "10.213"
"""Of the addresses for private use; it leads nowhere but to the other end of a cable."""


class Host:
    """One namespace `name`; `number` tells its addresses from other hosts'."""

    def __init__(self, number: int) -> None:
        self.name = f"vp{os.getpid()}-{number}"
        self._cable, self._end = f"vp{os.getpid() % 100_000}c{number}", f"vp{os.getpid() % 100_000}e{number}"
        self._here, self._there = f"{NETWORK}.{number}.1", f"{NETWORK}.{number}.2"
        self._proxies: list[Proxy] = []
        _ip("netns", "add", self.name)
        _ip("link", "add", self._cable, "type", "veth", "peer", "name", self._end, "netns", self.name)
        _ip("address", "add", f"{self._here}/30", "dev", self._cable)
        _ip("link", "set", self._cable, "up")
        _ip("-n", self.name, "address", "add", f"{self._there}/30", "dev", self._end)
        for device in ("lo", self._end):
            _ip("-n", self.name, "link", "set", device, "up")

    @property
    def prefix(self) -> list[str]:
        """What makes a command run on this host."""
        return ["ip", "netns", "exec", self.name]

    def reach(self, url: str) -> str:
        """Return the address under which this host reaches a server of this machine."""
        parts = urlsplit(url)
        proxy = Proxy(parts.port or 0, address=self._here)
        self._proxies.append(proxy)
        netloc = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{netloc[0]}{netloc[1]}{self._here}:{proxy.port}"))

    def cut(self) -> None:
        """Pull the cable: packets vanish, connections hear of nothing."""
        _ip("link", "set", self._cable, "down")

    def heal(self) -> None:
        """Put it in again."""
        _ip("link", "set", self._cable, "up")

    def close(self) -> None:
        """Take the host down; what still ran on it has lost its network and is the caller's to end."""
        for proxy in self._proxies:
            proxy.close()
        _ip("link", "delete", self._cable)
        _ip("netns", "delete", self.name)


class Scattered(ServerSystem):
    """Web server and dispatcher here, one worker on each host, S3 between them; nothing else is shared."""

    def __init__(self, folder: Path, servers: Servers, swift: Swift, hosts: Mapping[str, Host]) -> None:
        super().__init__(
            folder,
            servers,
            **SHORT,
            VIDEOPROC_S3_ACCESS_KEY=swift.access_key,
            VIDEOPROC_S3_SECRET_KEY=swift.password,
            VIDEOPROC_STATIC_DIR=str(folder / "static"),
        )
        self.folder = folder
        self.rows = Rows(self._environment["VIDEOPROC_DATABASE_URL"])
        self._hosts = hosts
        self._bucket = f"s3://{BUCKET}/{folder.name}?region={REGION}&endpoint="
        self._environment["VIDEOPROC_STORAGE_URL"] = self._bucket + swift.url
        self._environment["VIDEOPROC_WORKER_SLOTS"] = "1"
        self._there = {
            name: {variable: host.reach(self._environment[variable]) for variable in SERVICES}
            | {"VIDEOPROC_STORAGE_URL": self._bucket + host.reach(swift.url)}
            for name, host in hosts.items()
        }

    def join(self, name: str) -> None:
        """Start the worker of a host."""
        self._run(f"worker-{name}", self._hosts[name].prefix, self._there[name])

    def kill(self, name: str) -> None:
        """Kill everything on a host."""
        self._processes[f"worker-{name}"].kill9()

    def stop(self) -> None:
        for process in reversed(self._processes.values()):
            process.stop()

    def log(self, name: str) -> str:
        """Return what the worker of a host logged."""
        return (self.folder / f"worker-{name}.log").read_text()

    def _start(self, name: str) -> None:
        if name == "worker":
            self.join(next(iter(self._hosts)))
        else:
            self._run(name, [], {})

    def _run(self, name: str, prefix: list[str], variables: Mapping[str, str]) -> None:
        words = self._words(name.partition("-")[0])
        if name.startswith("worker"):
            words += ["--hostname", f"{name}@%h"]
        own = {"VIDEOPROC_DATA_DIR": str(self.folder / name)}
        self._processes[name] = start(
            Command(
                words=[*prefix, *words],
                environment=self._environment | own | variables,
                folder=ROOT,
                log=self.folder / f"{name}.log",
                grace_seconds=15,
            )
        )


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
