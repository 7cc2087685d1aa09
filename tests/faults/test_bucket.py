"""The S3 server away while everything works on it: no answer, none there, too busy, keys that are no longer good, a
wire that goes in the middle of files, and objects that somebody removed.

Promise: nothing is lost and nothing is a strike; what waits says why; a worker hands back in time all the same; it goes
on by itself, the bytes are those of an undisturbed run, and no file is left.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest

from processing.storage.backend import Backend
from processing.storage.s3 import S3
from processing.storage.scratch import Scratch
from tests.acceptance.client import BlackBox
from tests.faults.answers import Busy, answering
from tests.faults.proxy import Proxy
from tests.faults.system import FaultyServer, Waiting
from tests.servers import Servers
from videoproc.servers.s3 import BUCKET, REGION, Swift

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
Figures = Callable[..., None]
STOP_SECONDS = 2.0 + 2.0
"""Handed back within two; the rest is the end of the process on a machine that others use."""
TOLD_SECONDS = 15.0
"""A client hears that the bucket is silent after the 10 s that an answer may take."""
FROZEN_SECONDS = 7.0
"""Longer than the leases and stall limits of these systems, which are a third of the real ones; so is this of 20 s."""
MIDDLES = (((b"PUT ", b"segment-00001"), 2), ((b"GET ", b"segment-00000"), 1), ((b"PUT ", b"join-00000"), 2))
"""While a segment is stored, while the join fetches one, while its result is stored: words of the request that goes by,
and how many pieces of its connection after them."""
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
    # In the scratch folders of web server and worker.
    while [path for path in bucket.system.folder.glob("data/scratch/*/staged/**/*") if path.is_file()]:
        waiting.again(0.2)


def upload(bucket: Bucket, clip: Path) -> httpx.Response:
    headers = {"Authorization": f"Token {bucket.system.token}"}
    with clip.open("rb") as file:
        return httpx.post(f"{bucket.system.url}/upload", files={"file": (clip.name, file)}, headers=headers, timeout=60)


def assert_told_to_come_again(refused: httpx.Response) -> None:
    assert (refused.status_code, refused.json()["code"]) == (503, "storage_away")
    assert int(refused.headers["Retry-After"]) > 0


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
        with ThreadPoolExecutor(1) as pool:
            refused = pool.submit(upload, bucket, short)
            wait_for_reason(bucket, file_id)
            assert_told_to_come_again(refused.result())
        assert refused.result().elapsed.total_seconds() < TOLD_SECONDS
        ready = httpx.get(f"{bucket.system.url}/health/ready", timeout=10)
        assert (ready.status_code, ready.json()["checks"]["database"]) == (503, True)
        bucket.heal()
        began = time.monotonic()
        assert result_of(bucket, client, file_id, tmp_path, seconds=ON_SECONDS + 30) == undisturbed
        figures(stopped_s=stopped, ready_after_s=time.monotonic() - began)
    assert stopped < STOP_SECONDS
    assert_whole(bucket, file_id)


@pytest.mark.parametrize("trouble", ["gone", "forbidden", "busy"])
def test_row_15_a_bucket_that_is_gone_or_will_not_serve_us(
    bucket: Bucket, undisturbed: str, short: Path, tmp_path: Path, figures: Figures, trouble: str
) -> None:
    """Mid job: its step waits with the reason, uploads are told to come again; all goes on by itself."""
    with client_of(bucket) as client, ExitStack() as others:
        file_id = str(client.upload(short)["file_id"])
        if trouble == "gone":
            bucket.wire.cut()
        elif trouble == "forbidden":
            bucket.revoke_keys()
        else:
            bucket.wire.divert(others.enter_context(answering(Busy)))
        wait_for_reason(bucket, file_id)
        assert_told_to_come_again(upload(bucket, short))
        bucket.heal()
        began = time.monotonic()
        assert result_of(bucket, client, file_id, tmp_path, seconds=ON_SECONDS + 30) == undisturbed
        figures(ready_after_s=time.monotonic() - began)
    assert_whole(bucket, file_id)


@pytest.mark.parametrize("trouble", ["cut", "frozen"])
def test_row_15_a_wire_that_goes_in_the_middle_of_files(
    bucket: Bucket, undisturbed: str, short: Path, tmp_path: Path, figures: Figures, trouble: str
) -> None:
    """One job meets it three times, and goes on by itself each time."""
    fault = bucket.wire.cut if trouble == "cut" else bucket.wire.freeze
    struck = [bucket.wire.when(fault, *words, pieces=pieces) for words, pieces in MIDDLES]
    with client_of(bucket) as client:
        file_id = str(client.upload(short)["file_id"])
        for each in struck:
            assert each.wait(ON_SECONDS)
            if trouble == "cut":
                wait_for_reason(bucket, file_id)
            else:
                time.sleep(FROZEN_SECONDS)
            bucket.heal()
        began = time.monotonic()
        assert result_of(bucket, client, file_id, tmp_path, seconds=ON_SECONDS) == undisturbed
        figures(ready_after_s=time.monotonic() - began)
    assert_whole(bucket, file_id)


def test_row_22_objects_that_somebody_removes_or_spoils_just_before_they_are_fetched(
    bucket: Bucket, undisturbed: str, short: Path, tmp_path: Path
) -> None:
    """A segment is gone when the join asks for it, one between its asking and its fetching, and the joined file is not
    what it was when the stills are to be made: each is made again."""

    def found(name: str) -> list[str]:
        return [key for key in bucket.store.keys("jobs") if name in key]

    def remove(name: str) -> None:
        bucket.store.remove(found(name))

    def spoil(name: str) -> None:
        for key in found(name):
            bucket.store.stage(key).write_bytes(bytes(bucket.store.open(key).size_bytes))
            bucket.store.store(key)
            bucket.store.unstage(key)

    spoilt = bucket.wire.when(lambda: spoil("join-00000"), b"HEAD ", b"join-00000")
    asked = bucket.wire.when(lambda: remove("segment-00000"), b"HEAD ", b"segment-00000")
    fetched = bucket.wire.when(lambda: remove("segment-00001"), b"GET ", b"segment-00001")
    with client_of(bucket) as client:
        file_id = str(client.upload(short)["file_id"])
        assert result_of(bucket, client, file_id, tmp_path, seconds=ON_SECONDS) == undisturbed
    assert all(each.is_set() for each in (asked, fetched, spoilt))
    events = bucket.system.rows.events(bucket.system.rows.job_of(file_id)["id"])
    lost = [event["data"]["segment"] for event in events if event["name"] == "segment_damaged"]
    assert sorted(lost) == [0, 1], "each once"
    assert [event["name"] for event in events].count("output_lost") == 1
    assert_whole(bucket, file_id)
