"""Three hosts over one bucket: one loses its network, one is killed, one joins midway; the result is one host's."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.client import BlackBox, Followed
from tests.acceptance.system import ServerSystem
from tests.clips import make_clip, read_numbers
from tests.faults.hosts import Host, Scattered
from tests.faults.system import LEASE_SECONDS, FaultyServer, Waiting
from tests.servers import Servers
from videoproc.servers.s3 import Swift

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
FRAMES = 600
NAMES = ("first", "second", "late")


@pytest.fixture
def hosts() -> Iterator[dict[str, Host]]:
    """Three hosts, by name."""
    made: dict[str, Host] = {}
    try:
        for number, name in enumerate(NAMES, start=1):
            made[name] = Host(number)
        yield made
    finally:
        for host in made.values():
            host.close()


@pytest.fixture
def scattered(tmp_path: Path, servers: Servers, swift: Swift, hosts: dict[str, Host]) -> Iterator[Scattered]:
    """The system with a worker on the first host."""
    system = Scattered(tmp_path / "scattered", servers, swift, hosts)
    system.folder.mkdir(exist_ok=True)
    try:
        system.start()
        yield system
    finally:
        system.stop()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four seconds of noisy 360p with sound."""
    path = tmp_path_factory.mktemp("hosts") / "clip.mp4"
    return make_clip(path, frames=FRAMES, width=640, height=360, audio=["aac"], noise_sigma=5, gain=0.5, gop=25)


def at_work(system: Scattered, job_id: str, name: str) -> tuple[int, int] | None:
    """Return (number, attempt) of a segment that the worker of a host holds."""
    mark = worker_of(system, name)
    for step in system.rows.steps(job_id):
        if (step["kind"], step["state"], step["worker"]) == ("segment", "running", mark):
            return step["number"], step["attempt"]
    return None


def worker_of(system: Scattered, name: str) -> str:
    """Return the name in the rows of the worker of a host, from its process id."""
    pid = system._processes[f"worker-{name}"].pid
    (found,) = [
        row["name"] for row in system.rows.ask("SELECT name FROM processing_worker") if f"-{pid}-" in row["name"]
    ]
    return str(found)


def test_row_15_three_hosts_that_come_and_go_make_the_bytes_of_one(
    scattered: Scattered,
    server: FaultyServer,
    hosts: dict[str, Host],
    clip: Path,
    tmp_path: Path,
    figures: Callable[..., None],
) -> None:
    scattered.join("second")
    with client_of(scattered) as client, client.listen() as socket:
        file_id = client.upload(clip)["file_id"]
        job_id = scattered.rows.job_of(file_id)["id"]
        lost = held(scattered, job_id, "first")
        hosts["first"].cut()
        scattered.join("late")
        waiting = Waiting(LEASE_SECONDS + 15, "another host on the segment of the one without a network")
        while attempt_of(scattered, job_id, lost[0]) == lost[1]:
            waiting.again()
        figures(taken_over_after_s=waiting.passed_seconds)
        killed = held(scattered, job_id, "second")
        scattered.kill("second")
        waiting = Waiting(LEASE_SECONDS + 15, "another host on the segment of the one that was killed")
        while attempt_of(scattered, job_id, killed[0]) == killed[1]:
            waiting.again()
        hosts["first"].heal()
        followed = client.follow(socket, file_id, Followed(), seconds=240)
        assert followed.statuses[-1] == "ready"
        scattered_result = client.download(client.enhancement(file_id)["result_url"], tmp_path / "scattered.mp4")
    assert read_numbers(scattered_result) == list(range(FRAMES)), "every frame once, in order"
    segments = [step for step in scattered.rows.steps(job_id) if step["kind"] == "segment"]
    redone = sum(step["attempt"] - 1 for step in segments)
    assert 2 <= redone <= 4, "what two hosts held, and at most one more that each had just begun"
    shares = {name: len(re.findall(r"step done.*step=segment", scattered.log(name))) for name in NAMES}
    assert shares["late"] >= 1
    with client_of(server) as client, client.listen() as socket:
        file_id = client.upload(clip)["file_id"]
        assert client.follow(socket, file_id, Followed(), seconds=120).statuses[-1] == "ready"
        one = client.download(client.enhancement(file_id)["result_url"], tmp_path / "one.mp4")
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (scattered_result, one)]
    assert digests[0] == digests[1]
    figures(redone=redone, **shares)


def client_of(system: ServerSystem) -> closing[BlackBox]:
    """Return a client of a system, closed at the block's end."""
    return closing(BlackBox(system.url, "hosts", token=system.token))


def held(system: Scattered, job_id: str, name: str) -> tuple[int, int]:
    """Wait until the worker of a host holds a segment; return (number, attempt)."""
    waiting = Waiting(60, f"a segment on the {name} host")
    while (found := at_work(system, job_id, name)) is None:
        waiting.again()
    return found


def attempt_of(system: Scattered, job_id: str, number: int) -> int:
    """Return the attempt that a segment is at."""
    steps = system.rows.steps(job_id)
    return max(int(step["attempt"]) for step in steps if (step["kind"], step["number"]) == ("segment", number))
