"""A bucket whose server answers nothing, gives its bytes in drops, or is none: who waits for it, and how long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
from pytest_django import Settings

from processing import doctor, storage
from processing.media.errors import ProcessStopped
from processing.storage import s3 as of_buckets
from processing.storage import sending
from processing.storage.backend import Backend
from processing.storage.interface import StorageUnreachable
from processing.storage.s3 import S3
from processing.storage.scratch import Scratch
from processing.storage.sending import PART_BYTES
from tests.door import eventually
from tests.faults.answers import Busy, Page, answering
from tests.faults.proxy import Proxy
from videoproc.servers.s3 import Swift

KEY = "sources/a/source"
CONTENT = bytes(range(256)) * 8000
STOPPED_SECONDS = 1.5
"""Of the two within which a worker hands back what it holds."""
DOCTOR_SECONDS = 10.0


@pytest.fixture
def wire(swift: Swift) -> Iterator[Proxy]:
    """The wire to the S3 server."""
    proxy = Proxy(swift.port)
    yield proxy
    proxy.close()


@pytest.fixture
def options(swift: Swift, wire: Proxy) -> dict[str, str]:
    """A folder of its own in the bucket, by the wire."""
    return swift.options() | {
        "location": f"tests/{uuid4().hex}",
        "endpoint_url": f"http://127.0.0.1:{wire.port}",
    }


@pytest.fixture
def s3(options: dict[str, str], tmp_path: Path, settings: Settings) -> S3:
    settings.VIDEOPROC_FREE_BYTES = 0
    return S3(Backend(**options), Scratch(tmp_path / "scratch", cap_bytes=2**30))


def put(s3: S3, key: str, content: bytes = CONTENT) -> None:
    s3.stage(key).write_bytes(content)
    s3.store(key)
    s3.unstage(key)


def read(s3: S3, stop: threading.Event | None = None) -> bytes:
    with s3.reading(KEY, stop=stop) as path:
        return path.read_bytes()


@pytest.mark.parametrize("what", ["fetch", "ask", "small", "parts", "delete"])
def test_who_is_to_stop_leaves_a_server_that_does_not_answer(s3: S3, wire: Proxy, what: str) -> None:
    put(s3, KEY)
    s3.stage("jobs/a/1/small").write_bytes(CONTENT)
    s3.stage("jobs/a/1/parts").write_bytes(bytes(2 * PART_BYTES))
    stop = threading.Event()
    stopping = threading.Timer(0.3, stop.set)
    calls: dict[str, Callable[[], object]] = {
        "fetch": lambda: read(s3, stop),
        "ask": lambda: s3.store("jobs/a/1/small", stop=stop),
        "small": lambda: s3.store("jobs/a/1/small", stop=stop),
        "parts": lambda: s3.store("jobs/a/1/parts", stop=stop),
        "delete": lambda: s3.delete("jobs/a/1", stop=stop),
    }

    def fall_silent() -> None:
        wire.freeze("back")
        stopping.start()

    others = set(threading.enumerate())
    began = time.monotonic()
    if what in {"small", "parts"}:
        wire.when(fall_silent, b"PUT ", what.encode(), pieces=2)
    else:
        fall_silent()
    with pytest.raises(ProcessStopped):
        calls[what]()
    assert time.monotonic() - began < 0.3 + STOPPED_SECONDS
    left = [thread for thread in threading.enumerate() if thread not in others | {stopping}]
    assert [thread for thread in left if not thread.daemon] == [], "what is left keeps no process from ending"
    wire.heal()
    assert read(s3) == CONTENT


def test_who_is_to_stop_leaves_bytes_that_come_in_drops(s3: S3, wire: Proxy) -> None:
    put(s3, KEY)
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    wire.slow(5.0)
    began = time.monotonic()
    with pytest.raises(ProcessStopped):
        read(s3, stop)
    assert time.monotonic() - began < 0.3 + STOPPED_SECONDS


def test_what_does_not_answer_is_unreachable_soon(s3: S3, wire: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    put(s3, KEY)
    monkeypatch.setattr(of_buckets, "ANSWER_SECONDS", 0.5)
    wire.freeze("back")
    s3.stage("jobs/a/1/new").write_bytes(CONTENT)
    asked: list[Callable[[], object]] = [
        s3.check,
        lambda: s3.open(KEY),
        lambda: s3.exists(KEY),
        lambda: read(s3),
        lambda: s3.store("jobs/a/1/new"),
    ]
    for ask in asked:
        with pytest.raises(StorageUnreachable, match=r"nothing for 0\.5 s"):
            ask()
    wire.heal()
    assert read(s3) == CONTENT


def test_a_file_that_goes_out_in_drops_is_given_up(s3: S3, wire: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytes(PART_BYTES - 1)  # more than the sockets on the way hold
    s3.stage(KEY).write_bytes(content)
    monkeypatch.setattr(sending, "PIECE_SECONDS", 0.5)
    wire.slow(0.3)
    with pytest.raises(StorageUnreachable, match=r"nothing for 0\.5 s"):
        s3.store(KEY)
    wire.heal()
    s3.store(KEY)
    s3.unstage(KEY)
    assert read(s3) == content


@pytest.mark.parametrize("size_bytes", [PART_BYTES // 4, PART_BYTES * 2])
def test_a_file_whose_server_falls_silent_is_given_up(
    s3: S3, wire: Proxy, monkeypatch: pytest.MonkeyPatch, size_bytes: int
) -> None:
    s3.stage(KEY).write_bytes(bytes(size_bytes))
    monkeypatch.setattr(sending, "PIECE_SECONDS", 0.5)
    wire.when(wire.freeze, b"PUT ", b"/source", pieces=2)
    with pytest.raises(StorageUnreachable, match=r"nothing for 0\.5 s"):
        s3.store(KEY)
    wire.heal()
    s3.store(KEY)
    s3.unstage(KEY)
    assert read(s3) == bytes(size_bytes)
    where = s3._where(KEY)
    eventually(lambda: "Uploads" not in s3._client.list_multipart_uploads(Bucket=where["Bucket"], Prefix=where["Key"]))


def test_a_file_that_waits_for_its_turn_is_not_given_up(s3: S3, wire: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request takes half a second: the last begin long after the others."""
    monkeypatch.setattr(sending, "PIECE_SECONDS", 1.5)
    wire.slow(0.1)
    keys = [f"jobs/a/1/{number}" for number in range(sending.SENDERS * 6)]
    for key in keys:
        s3.stage(key).write_bytes(CONTENT[:100_000])
    with ThreadPoolExecutor(len(keys)) as pool:
        list(pool.map(s3.store, keys))
    wire.heal()
    assert sorted(s3.keys("jobs/a/1")) == sorted(keys)


def test_a_fetch_that_stands_still_is_given_up(s3: S3, wire: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    put(s3, KEY)
    monkeypatch.setattr(of_buckets, "PIECE_SECONDS", 0.5)
    wire.slow(0.3)  # the size is told in time, the pieces are not
    with pytest.raises(StorageUnreachable, match=r"nothing for 0\.5 s"):
        read(s3)


def test_a_fetch_that_breaks_off_is_taken_up_where_it_was(s3: S3, wire: Proxy) -> None:
    put(s3, KEY)
    wire.slow(0.05)
    threading.Timer(0.4, wire.reset).start()
    assert read(s3) == CONTENT


def served_by(port: int, options: dict[str, str], folder: Path) -> S3:
    endpoint = {"endpoint_url": f"http://127.0.0.1:{port}"}
    return S3(Backend(**options | endpoint), Scratch(folder, cap_bytes=0))


def test_what_is_no_s3_server_is_unreachable(options: dict[str, str], tmp_path: Path) -> None:
    with answering(Page) as port:
        place = served_by(port, options, tmp_path / "other")
        with pytest.raises(StorageUnreachable):
            list(place.keys("jobs"))
        with pytest.raises(StorageUnreachable), place.reading(KEY):
            pass


def test_a_server_with_too_much_to_do_is_unreachable_for_now(options: dict[str, str], tmp_path: Path) -> None:
    """By a small server of the test's own: the real one is never that busy."""
    with answering(Busy) as port:
        place = served_by(port, options, tmp_path / "other")
        place.stage(KEY).write_bytes(CONTENT)
        with pytest.raises(StorageUnreachable, match=r"SlowDown|InternalError"):
            place.store(KEY)


def test_without_its_bucket_no_file_is_told_to_be_gone(options: dict[str, str], tmp_path: Path) -> None:
    place = S3(Backend(**options | {"bucket_name": "removed"}), Scratch(tmp_path / "other", cap_bytes=0))
    for ask in (place.check, lambda: place.open(KEY), lambda: place.exists(KEY), lambda: read(place)):
        with pytest.raises(StorageUnreachable, match="there is no bucket removed"):
            ask()


def doctors_words(place: S3, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """Return what the doctor finds of the storage: level, text, cure."""
    monkeypatch.setattr(storage, "current", lambda: place)
    return [(finding.level, finding.text, finding.cure) for finding in doctor.examine() if finding.what == "storage"]


@pytest.mark.parametrize("trouble", ["refused", "frozen", "frozen in the middle", "no bucket", "wrong secret"])
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_doctor_says_within_seconds_what_is_wrong_with_a_bucket(
    database: str,
    options: dict[str, str],
    wire: Proxy,
    tmp_path: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    trouble: str,
) -> None:
    settings.VIDEOPROC_FREE_BYTES = 0
    odd = {"no bucket": {"bucket_name": "removed"}, "wrong secret": {"secret_key": "guessed"}}.get(trouble, {})
    place = S3(Backend(**options | odd), Scratch(tmp_path / "scratch", cap_bytes=0))
    if trouble == "refused":
        wire.cut()
    if trouble == "frozen":
        wire.freeze("back")
        monkeypatch.setattr(of_buckets, "ANSWER_SECONDS", 0.5)
    if trouble == "frozen in the middle":
        wire.when(wire.freeze, b"PUT ", b"doctor/", pieces=1)
        monkeypatch.setattr(sending, "PIECE_SECONDS", 0.5)
    began = time.monotonic()
    [(level, text, cure)] = doctors_words(place, monkeypatch)
    assert time.monotonic() - began < DOCTOR_SECONDS
    assert level == "wrong"
    assert {
        "refused": "does not serve bucket media",
        "frozen": "S3 gave nothing for 0.5 s: bucket media",
        "frozen in the middle": "S3 took nothing for 0.5 s: tests/",
        "no bucket": "there is no bucket removed at ",
        "wrong secret": "SignatureDoesNotMatch",
    }[trouble] in text
    assert "bucket" in cure
    assert "VIDEOPROC_STORAGE_URL" in cure


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_doctor_reads_what_it_wrote_from_the_bucket_itself(
    database: str, s3: S3, wire: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = wire.when(lambda: s3.remove(list(s3.keys("doctor"))), b"GET ", b"doctor/")
    [(level, text, _)] = doctors_words(s3, monkeypatch)
    assert lost.is_set()
    assert (level, "is not in the storage" in text) == ("wrong", True)
    assert [finding[0] for finding in doctors_words(s3, monkeypatch)] == ["ok"]
    assert list(s3.keys("doctor")) == []
