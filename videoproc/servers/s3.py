"""A private S3 server on 127.0.0.1: OpenStack Swift with its S3 interface, for tests of the storage in a bucket.

It checks signatures, and the digests in them, as Amazon's does, and knows uploads in parts with all their verbs.
Invariant: one process and one folder; what it serves on loopback beside S3 is Swift's own, and goes with it.
"""

from __future__ import annotations

import http.client
import os
import subprocess
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from videoproc.servers import debian, ports
from videoproc.servers.errors import ProgramMissing
from videoproc.servers.process import Command
from videoproc.servers.server import Server

ACCOUNT, USER, BUCKET, REGION = "test", "videoproc", "media", "us-east-1"
PACKAGE = "python3-swift"
ENTRY = Path(__file__).with_name("s3_entry.py")


class Swift(Server):
    """A Swift server with one user and one bucket."""

    name = "swift"

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        super().__init__(folder, durable=durable)
        self.port = ports.reserve()

    @property
    def url(self) -> str:
        """The S3 endpoint."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def access_key(self) -> str:
        """Who we are to it; the secret is `password`."""
        return f"{ACCOUNT}:{USER}"

    def options(self) -> dict[str, Any]:
        """What django-storages wants to know of it."""
        return {
            "bucket_name": BUCKET,
            "endpoint_url": self.url,
            "region_name": REGION,
            "access_key": self.access_key,
            "secret_key": self.password,
        }

    def start(self) -> None:
        """Start it, and make the bucket where it is missing."""
        super().start()
        config = Config(signature_version="s3v4", s3={"addressing_style": "path"})
        client = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.password,
            config=config,
        )
        if not client.list_buckets()["Buckets"]:
            client.create_bucket(Bucket=BUCKET)
        client.close()

    def _command(self) -> Command:
        python, paths = _interpreter()
        environment = {"PATH": os.defpath, "HOME": str(self.folder), "LANG": "C.UTF-8", "SWIFT_SECRET": self.password}
        return Command(
            words=[python, ENTRY, self.folder, str(self.port), ACCOUNT, USER],
            environment=environment | paths,
            folder=self.folder,
            log=self.log,
        )

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status < http.client.INTERNAL_SERVER_ERROR
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def _interpreter() -> tuple[Path, dict[str, str]]:
    """Find the Python that Debian's Swift is made for, and what it must be told to find Swift.

    Raises:
        ProgramMissing: Swift is not here and cannot be fetched; the message says what to install.
    """
    here = Path("/usr/bin/python3")
    if here.exists() and subprocess.run([here, "-c", "import swift, eventlet"], capture_output=True).returncode == 0:
        return here, {}
    try:
        root = debian.unpack(PACKAGE)
    except ProgramMissing as exc:
        raise ProgramMissing(
            f"swift is missing: install {PACKAGE} (Debian and Ubuntu), or let apt-get reach its mirror; {exc}"
        ) from exc
    unpacked = root / "usr" / "bin" / "python3"
    return (unpacked if unpacked.exists() else here), {
        "PYTHONPATH": str(root / "usr" / "lib" / "python3" / "dist-packages"),
        "LD_LIBRARY_PATH": os.pathsep.join(map(str, debian.library_folders(root))),
    }
