"""A web server whose bucket goes away: what clients are told meanwhile, and that the rest of it goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.clips import make_clip
from tests.door import Door, eventually
from tests.faults.proxy import Proxy
from videoproc.servers.s3 import BUCKET, REGION, Swift

READERS = 12
ANSWER_SECONDS = 15.0


@pytest.fixture(scope="module")
def wire(swift: Swift) -> Iterator[Proxy]:
    """The wire between web server and bucket."""
    proxy = Proxy(swift.port)
    yield proxy
    proxy.close()


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory, swift: Swift, wire: Proxy) -> Iterator[Door]:
    """A web server that reaches its bucket by the wire."""
    endpoint = f"http://127.0.0.1:{wire.port}"
    door = Door(
        tmp_path_factory.mktemp("far"),
        VIDEOPROC_STORAGE_URL=f"s3://{BUCKET}/tests/{uuid4().hex}?endpoint={endpoint}&region={REGION}",
        VIDEOPROC_S3_ACCESS_KEY=swift.access_key,
        VIDEOPROC_S3_SECRET_KEY=swift.password,
    )
    yield door
    door.stop()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few megabytes."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return make_clip(path, frames=60, width=640, height=360, noise_sigma=40)


@pytest.fixture
def near(far: Door, wire: Proxy) -> Iterator[Door]:
    """The web server with its bucket, which comes back afterwards."""
    yield far
    wire.heal()
    eventually(lambda: httpx.get(f"{far.url}/health/ready", timeout=ANSWER_SECONDS).status_code == 200)


def upload(door: Door, clip: Path) -> httpx.Response:
    with clip.open("rb") as file:
        return httpx.post(f"{door.url}/upload", files={"file": ("clip.mp4", file)}, timeout=60)


def source_of(door: Door, clip: Path) -> str:
    """Upload a clip and return where its source is fetched."""
    found = upload(door, clip)
    assert found.status_code == 201, found.text
    return str(door.url + found.json()["job"]["links"]["source"])


def local_files(door: Door) -> list[str]:
    return [str(path) for path in door.data.glob("scratch/*/staged/**/*") if path.is_file()]


def assert_away(response: httpx.Response) -> None:
    assert response.status_code == 503, response.text
    assert (response.json()["code"], response.json()["retryable"]) == ("storage_away", True)
    assert int(response.headers["Retry-After"]) > 0


def test_who_asks_a_bucket_that_refuses_is_told_to_come_again(near: Door, wire: Proxy, clip: Path) -> None:
    url = source_of(near, clip)
    wire.cut()
    with ThreadPoolExecutor(3) as pool:
        whole = pool.submit(httpx.get, url, timeout=ANSWER_SECONDS)
        part = pool.submit(httpx.get, url, headers={"Range": "bytes=0-9"}, timeout=ANSWER_SECONDS)
        for asked in (whole, part, pool.submit(upload, near, clip)):
            assert_away(asked.result())
    assert local_files(near) == []
    text = httpx.post(f"{near.url}/upload", files={"file": ("clip.mp4", b"no video")}, timeout=ANSWER_SECONDS)
    assert text.json()["code"] == "unsupported_container", "told without asking the bucket"
    wire.heal()
    assert httpx.get(url, headers={"Range": "bytes=0-9"}).content == clip.read_bytes()[:10]
    assert near.log.read_text().count("Traceback") == 0


def test_a_bucket_that_stops_answering_stops_nothing_else(near: Door, wire: Proxy, clip: Path) -> None:
    url = source_of(near, clip)
    begun = threading.Barrier(READERS + 1)

    def read() -> bytes:
        with httpx.stream("GET", url, timeout=60) as response:
            pieces = response.iter_raw()
            first = next(pieces)
            begun.wait(ANSWER_SECONDS)
            return first + b"".join(pieces)

    wire.slow(0.1)
    with ThreadPoolExecutor(READERS) as pool:
        reading = [pool.submit(read) for _ in range(READERS)]
        begun.wait(ANSWER_SECONDS)
        wire.freeze("back")
        began = time.monotonic()
        text = httpx.post(f"{near.url}/upload", files={"file": ("clip.mp4", b"no video")}, timeout=60)
        ready = httpx.get(f"{near.url}/health/ready", timeout=60)
        assert time.monotonic() - began < ANSWER_SECONDS
        assert text.json()["code"] == "unsupported_container"
        assert (ready.status_code, ready.json()["checks"]["database"], ready.json()["checks"]["storage"]) == (
            503,
            True,
            False,
        )
        wire.heal()
        assert {found.result() for found in reading} == {clip.read_bytes()}


def test_a_file_that_breaks_off_is_seen_to_be_cut(near: Door, wire: Proxy, clip: Path) -> None:
    url = source_of(near, clip)
    wire.slow(0.3)
    with httpx.stream("GET", url) as response:
        assert response.status_code == 200
        got = response.iter_raw()
        next(got)
        wire.cut()
        with pytest.raises(httpx.RemoteProtocolError, match="peer closed"):
            list(got)
    [said] = [line for line in near.log.read_text().splitlines() if "breaks off on its way" in line]
    assert "StorageUnreachable" in said
    assert "Traceback" not in near.log.read_text()
