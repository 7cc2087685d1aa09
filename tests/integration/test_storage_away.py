"""A bucket whose server answers nothing, gives its bytes in drops, or is none: who waits for it, and how long."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from pytest_django import Settings

from processing.media.errors import ProcessStopped
from processing.storage import s3 as of_buckets
from processing.storage.backend import Backend
from processing.storage.interface import StorageUnreachable
from processing.storage.s3 import PART_BYTES, S3
from processing.storage.scratch import Scratch
from tests.faults.proxy import Proxy
from videoproc.servers.s3 import Swift

KEY = "sources/a/source"
CONTENT = bytes(range(256)) * 8000
STOPPED_SECONDS = 1.5
"""Of the two within which a worker hands back what it holds."""


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


@pytest.mark.parametrize("what", ["fetch", "small", "parts", "delete"])
def test_who_is_to_stop_leaves_a_server_that_does_not_answer(s3: S3, wire: Proxy, what: str) -> None:
    put(s3, KEY)
    s3.stage("jobs/a/1/small").write_bytes(CONTENT)
    s3.stage("jobs/a/1/parts").write_bytes(bytes(2 * PART_BYTES))
    wire.freeze("back")
    stop = threading.Event()
    stopping = threading.Timer(0.3, stop.set)
    calls: dict[str, Callable[[], object]] = {
        "fetch": lambda: read(s3, stop),
        "small": lambda: s3.store("jobs/a/1/small", stop=stop),
        "parts": lambda: s3.store("jobs/a/1/parts", stop=stop),
        "delete": lambda: s3.delete("jobs/a/1", stop=stop),
    }
    others = set(threading.enumerate())
    stopping.start()
    began = time.monotonic()
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
    for ask in (s3.check, lambda: s3.open(KEY), lambda: s3.exists(KEY), lambda: read(s3)):
        with pytest.raises(StorageUnreachable, match=r"nothing for 0\.5 s"):
            ask()
    wire.heal()
    assert read(s3) == CONTENT


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


class Page(http.server.BaseHTTPRequestHandler):
    """Answers everything as a proxy or a sign-in page in front of the server would: 200, and no word of S3."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(b"<html><p>Please sign in")

    do_HEAD = do_PUT = do_GET  # noqa: N815 - the library's names

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def answered_by(handler: type[Page], options: dict[str, str], folder: Path) -> Iterator[S3]:
    """Yield a storage whose server is one of the test's own, which answers each request like this."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = {"endpoint_url": f"http://127.0.0.1:{server.server_port}"}
        yield S3(Backend(**options | endpoint), Scratch(folder, cap_bytes=0))
        server.shutdown()


def test_what_is_no_s3_server_is_unreachable(options: dict[str, str], tmp_path: Path) -> None:
    with answered_by(Page, options, tmp_path / "other") as place:
        with pytest.raises(StorageUnreachable):
            list(place.keys("jobs"))
        with pytest.raises(StorageUnreachable), place.reading(KEY):
            pass


class Busy(Page):
    """Tells everybody to slow down."""

    def do_GET(self) -> None:
        self.send_response(503)
        self.send_header("Content-Type", "application/xml")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>")

    do_HEAD = do_PUT = do_GET  # noqa: N815 - the library's names


def test_a_server_with_too_much_to_do_is_unreachable_for_now(options: dict[str, str], tmp_path: Path) -> None:
    """By a small server of the test's own: the real one is never that busy."""
    with answered_by(Busy, options, tmp_path / "other") as place:
        place.stage(KEY).write_bytes(CONTENT)
        with pytest.raises(StorageUnreachable, match="SlowDown"):
            place.store(KEY)


def test_without_its_bucket_no_file_is_told_to_be_gone(options: dict[str, str], tmp_path: Path) -> None:
    place = S3(Backend(**options | {"bucket_name": "removed"}), Scratch(tmp_path / "other", cap_bytes=0))
    for ask in (place.check, lambda: place.open(KEY), lambda: place.exists(KEY), lambda: read(place)):
        with pytest.raises(StorageUnreachable, match="there is no bucket removed"):
            ask()
