"""The S3 server away while everything works on it: no answer, none there, and keys that are no longer good.

Promise: nothing is lost and nothing is a strike; what waits says why; a worker hands back in time all the same; it goes
on by itself, and the bytes are those of an undisturbed run.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from processing.storage.backend import Backend
from processing.storage.s3 import S3
from processing.storage.scratch import Scratch
from tests.acceptance.client import BlackBox
from tests.faults.proxy import Proxy
from tests.faults.system import FaultyServer, Waiting
from tests.servers import Servers
from videoproc.servers.s3 import BUCKET, REGION, Swift

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
Figures = Callable[..., None]
STOP_SECONDS = 2.0 + 2.0
"""Handed back within two; the rest is the end of the process on a machine that others use."""
ON_SECONDS = 30.0
"""A request that hangs is asked again after the 20 s that a client waits for a byte."""


class Bucket:
    """A system over a bucket of its own server, by a wire."""

    def __init__(self, folder: Path, servers: Servers) -> None:
        self.swift = Swift(folder / "swift", durable=False)
        self.swift.start()
        self._good = self.swift.password
        self.wire = Proxy(self.swift.port)
        self.system = FaultyServer(
            folder,
            servers,
            VIDEOPROC_STORAGE_URL=f"s3://{BUCKET}/all?endpoint=http://127.0.0.1:{self.wire.port}&region={REGION}",
            VIDEOPROC_S3_ACCESS_KEY=self.swift.access_key,
            VIDEOPROC_S3_SECRET_KEY=self.swift.password,
        )
        self.system.start()
        self.store = S3(Backend(**self.swift.options(), location="all"), Scratch(folder / "look", cap_bytes=0))

    def revoke_keys(self) -> None:
        """Let the server know another secret from now on."""
        self.swift.password = "another" + self._good
        self.swift.restart()

    def heal(self) -> None:
        """Be whole again."""
        self.wire.heal()
        if self.swift.password != self._good:
            self.swift.password = self._good
            self.swift.restart()

    def close(self) -> None:
        """Stop everything."""
        self.heal()
        self.system.close()
        self.wire.close()
        self.swift.stop()


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory, servers: Servers) -> Iterator[Bucket]:
    """One system for all tests of the module."""
    made = Bucket(tmp_path_factory.mktemp("bucket"), servers)
    yield made
    made.close()


@pytest.fixture(scope="module")
def undisturbed(bucket: Bucket, short: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of an undisturbed result."""
    with client_of(bucket) as client:
        file_id = str(client.upload(short)["file_id"])
        return result_of(bucket, client, file_id, tmp_path_factory.mktemp("quiet"), seconds=90)


def client_of(bucket: Bucket) -> closing[BlackBox]:
    return closing(BlackBox(bucket.system.url, "bucket", token=bucket.system.token))


def state_of(bucket: Bucket, file_id: str) -> str:
    return str(bucket.system.rows.job_of(file_id)["state"])


def result_of(bucket: Bucket, client: BlackBox, file_id: str, folder: Path, *, seconds: float) -> str:
    """Wait until a job is ready and return its result's digest."""
    waiting = Waiting(seconds, "ready")
    while (state := state_of(bucket, file_id)) != "ready":
        assert state != "failed"
        waiting.again(0.1)
    path = client.download(client.enhancement(file_id)["result_url"], folder / "result.mp4")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def assert_whole(bucket: Bucket, file_id: str) -> None:
    """Assert that the job has no strike, and that nothing stays in the bucket but what its rows name."""
    job = bucket.system.rows.job_of(file_id)
    assert all(step["crashes"] == step["losses"] == 0 for step in bucket.system.rows.steps(job["id"]))
    waiting = Waiting(20, "a clean bucket")
    kinds: set[str] = set()
    while kinds != {"join", "plan", "stills"}:
        waiting.again(0.2)
        kinds = {key.split("/")[3].split("-")[0] for key in bucket.store.keys(f"jobs/{job['id']}")}
    assert bucket.store.sweep(older_than_seconds=-60) == 0, "an upload in parts was left"


def wait_for_reason(bucket: Bucket, file_id: str) -> None:
    """Wait until the job says that it waits for the storage."""
    job_id = bucket.system.rows.job_of(file_id)["id"]
    headers = {"Authorization": f"Token {bucket.system.token}"}
    waiting = Waiting(ON_SECONDS + 50, "the reason")
    while True:
        document = httpx.get(f"{bucket.system.url}/api/v1/jobs/{job_id}", headers=headers).json()
        if document["waiting_for"] == "storage_away":
            return
        waiting.again(0.2)


def test_row_15_a_bucket_that_does_not_answer(
    bucket: Bucket, undisturbed: str, short: Path, tmp_path: Path, figures: Figures
) -> None:
    """Mid job: a worker is stopped meanwhile and hands back in time; another waits; all goes on by itself."""
    with client_of(bucket) as client:
        file_id = str(client.upload(short)["file_id"])
        bucket.wire.freeze("back")
        job_id = bucket.system.rows.job_of(file_id)["id"]
        waiting = Waiting(20, "a step at work")
        while not any(step["state"] == "running" for step in bucket.system.rows.steps(job_id)):
            waiting.again()
        began = time.monotonic()
        bucket.system.end("worker")
        stopped = time.monotonic() - began
        assert not any(step["state"] == "running" for step in bucket.system.rows.steps(job_id))
        bucket.system.run("worker")
        wait_for_reason(bucket, file_id)
        ready = httpx.get(f"{bucket.system.url}/health/ready", timeout=10)
        assert (ready.status_code, ready.json()["checks"]["database"]) == (503, True)
        bucket.heal()
        began = time.monotonic()
        assert result_of(bucket, client, file_id, tmp_path, seconds=ON_SECONDS + 30) == undisturbed
        figures(stopped_s=stopped, ready_after_s=time.monotonic() - began)
    assert stopped < STOP_SECONDS
    assert_whole(bucket, file_id)


@pytest.mark.parametrize("trouble", ["gone", "forbidden"])
def test_row_15_a_bucket_that_is_gone_or_knows_us_no_more(
    bucket: Bucket, undisturbed: str, short: Path, tmp_path: Path, figures: Figures, trouble: str
) -> None:
    """Mid job: its step waits with the reason, uploads are told to come again; all goes on by itself."""
    with client_of(bucket) as client:
        file_id = str(client.upload(short)["file_id"])
        if trouble == "gone":
            bucket.wire.cut()
        else:
            bucket.revoke_keys()
        wait_for_reason(bucket, file_id)
        with short.open("rb") as file:
            refused = httpx.post(
                f"{bucket.system.url}/upload",
                files={"file": (short.name, file)},
                headers={"Authorization": f"Token {bucket.system.token}"},
                timeout=60,
            )
        assert (refused.status_code, refused.json()["code"]) == (503, "storage_away")
        assert int(refused.headers["Retry-After"]) > 0
        bucket.heal()
        began = time.monotonic()
        assert result_of(bucket, client, file_id, tmp_path, seconds=ON_SECONDS + 30) == undisturbed
        figures(ready_after_s=time.monotonic() - began)
    assert_whole(bucket, file_id)
