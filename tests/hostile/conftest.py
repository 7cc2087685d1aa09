"""Fixtures of the attacks: media processes, a listener that nobody may call, web servers and a whole system to attack.

The systems are shared: an attack that leaves one of them worse than it found it has succeeded.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx
import pytest

from processing.media.process.launcher import MediaProcesses
from tests.clips import make_clip
from tests.door import Door, eventually
from tests.servers import Servers

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="session")
def processes() -> Iterator[MediaProcesses]:
    """Media processes as a worker has them."""
    with MediaProcesses() as processes:
        yield processes


@pytest.fixture
def nobody_calls() -> Iterator[str]:
    """An address that a hostile file may name; the test fails where anything connects to it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.fixture(scope="session")
def door(tmp_path_factory: pytest.TempPathFactory, servers: Servers, postgresql_url: str) -> Iterator[Door]:
    """A web server over PostgreSQL, which refuses what SQLite takes, that lets nobody in without credentials.

    Its users are ada, who is staff without any right, and eve, who is not.
    """
    door = Door(
        tmp_path_factory.mktemp("door"),
        VIDEOPROC_ANONYMOUS_CLIENTS="off",
        VIDEOPROC_DATABASE_URL=servers.fresh_database(),
    )
    for name, is_staff in (("ada", True), ("eve", False)):
        door.add_user(name, PASSWORD, is_staff=is_staff)
    yield door
    door.stop()


@pytest.fixture(scope="session")
def tokens(door: Door) -> dict[str, str]:
    """A token of each user."""
    made = {name: httpx.post(f"{door.url}/api/v1/tokens", auth=(name, PASSWORD), timeout=30) for name in ("ada", "eve")}
    return {name: response.json()["token"] for name, response in made.items()}


@pytest.fixture(scope="session")
def cookies(door: Door) -> dict[str, httpx.Cookies]:
    """A browser's cookies of each user."""
    found = {}
    for name in ("ada", "eve"):
        with httpx.Client(base_url=door.url, timeout=30) as browser:
            browser.get("/sign-in")
            form = {"username": name, "password": PASSWORD, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
            assert browser.post("/sign-in", data=form).status_code == 302
            found[name] = browser.cookies
    return found


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Holds each test of the web server to leaving no source folder behind that it did not ask for."""
    if "door" not in request.fixturenames or "job" in request.fixturenames:
        yield
        return
    door: Door = request.getfixturevalue("door")
    before = door.folders()
    yield
    eventually(lambda: door.folders() == before)


@pytest.fixture(scope="session")
def job(door: Door, tokens: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of a job of ada's, which nobody works on."""
    clip = make_clip(tmp_path_factory.mktemp("job") / "clip.mp4", frames=5, width=64, height=48)
    headers = {"Authorization": f"Token {tokens['ada']}"}
    files = {"file": ("clip.mp4", clip.read_bytes())}
    answer = httpx.post(f"{door.url}/upload", files=files, headers=headers, timeout=30)
    found: str = answer.json()["job"]["id"]
    return found
