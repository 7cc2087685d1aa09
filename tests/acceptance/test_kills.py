"""What is killed in the middle of a job, and that its client never knows but by the time it takes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.client import BlackBox, Followed
from tests.acceptance.system import EmbeddedSystem, System, orphans
from videoproc.demo.checks import read

SEGMENT_SECONDS = 20.0
"""More than the longest segment of the clip takes on a slow machine."""
FRAMES = 250


@pytest.fixture
def own_embedded_system(tmp_path: Path) -> Iterator[EmbeddedSystem]:
    """An embedded system for one test to kill."""
    system = EmbeddedSystem(tmp_path / "system")
    system.start()
    yield system
    system.stop()


@pytest.fixture(scope="module")
def digests() -> set[str]:
    """The digests of all results of the long clip: whatever was killed on the way, they are one."""
    return set()


def result_is_whole(client: BlackBox, file_id: str, folder: Path, digests: set[str]) -> bool:
    """Whether the result holds every frame of the long clip at its time, in the same bytes as each time before."""
    path = client.download(client.enhancement(file_id)["result_url"], folder / "result.mp4")
    digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1
    result = read(path)
    stamps = [stamp - result.stamps[0] for stamp in result.stamps if stamp is not None and result.stamps[0] is not None]
    return [stamp * 25 for stamp in stamps] == list(range(FRAMES))


def test_a_worker_killed_in_the_middle_costs_seconds(
    system: System, client: BlackBox, long_clip: Path, tmp_path: Path, digests: set[str]
) -> None:
    followed = Followed()
    with client.listen() as socket:
        file_id = client.upload(long_clip)["file_id"]
        client.follow(socket, file_id, followed, seconds=60, until="segment_enhanced")
        system.kill_worker()
        client.follow(socket, file_id, followed, seconds=30 + SEGMENT_SECONDS)
    assert followed.statuses[-1] == "ready"
    assert followed.events.count("published") == 1
    assert "step_lost" in followed.events, "the job was being worked on when its worker died"
    assert result_is_whole(client, file_id, tmp_path, digests)


def test_a_broker_away_during_an_upload_delays_the_job_alone(
    system: System, client: BlackBox, small_clip: Path
) -> None:
    followed = Followed()
    system.stop_broker()
    try:
        file_id = client.upload(small_clip)["file_id"]
        assert client.enhancement(file_id)["status"] == "queued"
    finally:
        system.start_broker()
    with client.listen() as socket:
        client.follow(socket, file_id, followed, seconds=60)
    assert followed.statuses[-1] == "ready"


def test_the_embedded_system_killed_whole_goes_on_where_it_was(
    own_embedded_system: EmbeddedSystem,
    new_client: Callable[..., BlackBox],
    long_clip: Path,
    tmp_path: Path,
    digests: set[str],
) -> None:
    client = new_client(own_embedded_system)
    followed = Followed()
    with client.listen() as socket:
        file_id = client.upload(long_clip)["file_id"]
        client.follow(socket, file_id, followed, seconds=60, until="segment_enhanced")
    pids = own_embedded_system.pids()
    own_embedded_system.kill_all()
    assert orphans(pids) == []
    own_embedded_system.start()
    client = new_client(own_embedded_system, client.client_id)
    client.follow_anew(file_id, followed, seconds=60 + SEGMENT_SECONDS)
    assert followed.statuses[-1] == "ready"
    assert followed.events.count("published") == 1
    assert result_is_whole(client, file_id, tmp_path, digests)
