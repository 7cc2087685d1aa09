"""Fixtures of the faults: one system of each mode for the run, mended before each test, and the table at the end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clips import make_clip
from tests.faults.campaign import Campaign
from tests.faults.report import Report
from tests.faults.system import Faulty, FaultyEmbedded, FaultyServer
from tests.servers import Servers

REPORT = pytest.StashKey[Report]()


def pytest_configure(config: pytest.Config) -> None:
    """Make the table."""
    config.stash[REPORT] = Report()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note how each test ended."""
    if report.when == "call" or report.failed:
        Report.ended(report)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table of rows."""
    for line in config.stash[REPORT].lines():
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def full() -> bool:
    """Whether the full counts are wanted (VIDEOPROC_TEST_FAULTS=full)."""
    return os.environ.get("VIDEOPROC_TEST_FAULTS", "") == "full"


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Add figures to the row's line in the table: `figures(redone=1, seconds=3.2)`."""
    return lambda **found: Report.add(request.node.nodeid, found)


@pytest.fixture(scope="session")
def faulty_server(tmp_path_factory: pytest.TempPathFactory, servers: Servers) -> Iterator[FaultyServer]:
    """The server mode, for tests to break."""
    for kind in ("postgresql", "rabbitmq", "redis"):
        servers.begin(kind)
    system = FaultyServer(tmp_path_factory.mktemp("server"), servers)
    try:
        system.start()
        yield system
    finally:
        system.close()


@pytest.fixture(scope="session")
def faulty_embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyEmbedded]:
    """The embedded mode, for tests to break."""
    system = FaultyEmbedded(tmp_path_factory.mktemp("embedded"))
    try:
        system.start()
        yield system
    finally:
        system.close()


@pytest.fixture
def server(faulty_server: FaultyServer) -> Iterator[FaultyServer]:
    """The server mode, whole at the test's beginning."""
    faulty_server.mend()
    yield faulty_server
    faulty_server.heal()


@pytest.fixture(params=["embedded", "server"])
def faulty(request: pytest.FixtureRequest) -> Iterator[Faulty]:
    """Runs the test in both modes; the system is whole at the test's beginning."""
    system: Faulty = request.getfixturevalue(f"faulty_{request.param}")
    system.mend()
    yield system
    system.mend()


@pytest.fixture
def campaign(request: pytest.FixtureRequest) -> Iterator[Callable[[Faulty], Campaign]]:
    """Begin campaigns that end with the test."""
    begun: list[Campaign] = []

    def begin(system: Faulty) -> Campaign:
        begun.append(Campaign(system=system))
        return begun[-1]

    yield begin
    for each in begun:
        each.close()


@pytest.fixture(scope="session")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of small noisy video with sound: two segments, a job of a second or two."""
    folder = tmp_path_factory.mktemp("faults")
    return make_clip(
        folder / "short.mp4", frames=50, width=256, height=144, rate=25, audio=["aac"], noise_sigma=5, gop=12
    )


@pytest.fixture(scope="session")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds of noisy 540p with sound: four segments, each long enough to be hit in the middle."""
    folder = tmp_path_factory.mktemp("faults")
    return make_clip(
        folder / "long.mp4", frames=150, width=960, height=540, rate=25, audio=["aac"], noise_sigma=3, gain=0.5, gop=25
    )
