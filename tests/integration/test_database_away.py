"""A web server whose database goes away and comes back: what it answers meanwhile, to whom, and how soon after."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
import pytest

from tests.door import Door, eventually
from tests.faults.proxy import Proxy
from tests.servers import Servers

ANSWER_SECONDS = 10.0
JOB = "00000000-0000-4000-8000-000000000000"
ASKED = (
    ("GET", "/api/v1/jobs"),
    ("GET", f"/api/v1/jobs/{JOB}"),
    ("POST", f"/api/v1/jobs/{JOB}/cancel"),
    ("GET", f"/internal/video-enhancement-status/{JOB}"),
    ("GET", f"/internal/metadata-extraction-status/{JOB}"),
    ("GET", "/"),
    ("GET", "/admin/"),
)


@pytest.fixture(scope="module")
def wire(fresh_database: str) -> Iterator[Proxy]:
    """The wire between web server and database."""
    proxy = Proxy(urlsplit(fresh_database).port or 0)
    yield proxy
    proxy.close()


@pytest.fixture(scope="module")
def fresh_database(servers: Servers, postgresql_url: str) -> str:
    """A database of this module's own."""
    return str(servers.fresh_database())


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory, fresh_database: str, wire: Proxy) -> Iterator[Door]:
    """A web server that reaches its database by the wire."""
    parts = urlsplit(fresh_database)
    address = urlunsplit(parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{wire.port}")))
    door = Door(tmp_path_factory.mktemp("far"), VIDEOPROC_DATABASE_URL=address)
    yield door
    door.stop()


@pytest.fixture
def away(far: Door, wire: Proxy) -> Iterator[Door]:
    """The web server without its database, which comes back afterwards."""
    wire.cut()
    yield far
    wire.heal()
    eventually(lambda: httpx.get(f"{far.url}/health/ready").status_code == 200)


def test_it_lives_and_is_not_ready(away: Door) -> None:
    eventually(lambda: httpx.get(f"{away.url}/health/ready", timeout=ANSWER_SECONDS).status_code == 503)
    ready = httpx.get(f"{away.url}/health/ready", timeout=ANSWER_SECONDS).json()
    assert (ready["status"], ready["checks"]["database"], ready["checks"]["storage"]) == ("unready", False, True)
    assert httpx.get(f"{away.url}/health/live", timeout=1).json() == {"status": "live"}


def test_whoever_asks_is_told_to_come_again_and_an_upload_leaves_nothing(away: Door) -> None:
    before = away.folders()

    def ask(method: str, path: str, **body: Any) -> httpx.Response:
        session = {"sessionid": "a" * 32}  # or the page would know at once that it is nobody's
        return httpx.request(method, f"{away.url}{path}", timeout=ANSWER_SECONDS, cookies=session, **body)

    with ThreadPoolExecutor() as pool:  # each waits for a connection for some seconds
        asked = {words: pool.submit(ask, *words) for words in ASKED}
        asked["POST", "/upload"] = pool.submit(ask, "POST", "/upload", files={"file": ("clip.mp4", b"not looked at")})
    for words, answer in asked.items():
        response = answer.result()
        assert response.status_code == 503, (words, response.text)
        assert (response.json()["code"], response.json()["retryable"]) == ("database_away", True), words
        assert int(response.headers["Retry-After"]) > 0, words
    assert away.folders() == before


def test_it_goes_on_by_itself(far: Door, wire: Proxy) -> None:
    wire.cut()
    assert httpx.get(f"{far.url}/api/v1/jobs", timeout=ANSWER_SECONDS).status_code == 503
    wire.heal()
    eventually(lambda: httpx.get(f"{far.url}/api/v1/jobs", timeout=ANSWER_SECONDS).status_code == 200)
    assert far.log.read_text().count("Traceback") == 0
