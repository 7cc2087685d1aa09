"""Fixtures of the whole system: one of each mode for the run, clients of it, and clips worth killing a worker for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.acceptance.client import BlackBox
from tests.acceptance.system import EmbeddedSystem, ServerSystem, System
from tests.clips import make_clip
from tests.servers import Servers
from videoproc.demo import clip as demo_clip


@pytest.fixture(scope="session")
def embedded_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedSystem]:
    """The embedded system, running; shared by the tests that break nothing."""
    system = EmbeddedSystem(tmp_path_factory.mktemp("embedded"))
    try:
        system.start()
        yield system
    finally:
        system.stop()


@pytest.fixture(scope="session")
def server_system(tmp_path_factory: pytest.TempPathFactory, servers: Servers) -> Iterator[ServerSystem]:
    """The system in server mode, running on real servers, with a user's token."""
    system = ServerSystem(tmp_path_factory.mktemp("server"), servers)
    try:
        system.start()
        yield system
    finally:
        system.stop()


@pytest.fixture(params=["embedded", "server"])
def system(request: pytest.FixtureRequest) -> System:
    """Runs the test in both modes. What a test breaks it mends before it ends."""
    found: System = request.getfixturevalue(f"{request.param}_system")
    return found


@pytest.fixture
def client(system: System) -> Iterator[BlackBox]:
    """A client of its own id, with a token where the mode wants one."""
    box = BlackBox(system.url, f"test-{uuid4().hex[:12]}", token=system.token)
    yield box
    box.close()


@pytest.fixture(scope="session")
def small_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of noisy video with sound; each test that uploads it gets its own job."""
    folder = tmp_path_factory.mktemp("clips")
    return make_clip(
        folder / "small.mp4", frames=90, width=320, height=180, audio=["aac"], noise_sigma=5, gain=0.5, gop=15
    )


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds of noisy 720p with sound: long enough to be interrupted."""
    path = tmp_path_factory.mktemp("clips") / "long.mp4"
    demo_clip.make_clip(path)
    return path


@pytest.fixture
def new_client(request: pytest.FixtureRequest) -> Iterator[Callable[[System], BlackBox]]:
    """Make clients of a system whose address may change."""
    made: list[BlackBox] = []

    def make(system: System, client_id: str | None = None) -> BlackBox:
        made.append(BlackBox(system.url, client_id or f"test-{uuid4().hex[:12]}", token=system.token))
        return made[-1]

    yield make
    for box in made:
        box.close()
