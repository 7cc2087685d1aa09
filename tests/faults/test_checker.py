"""The checker can fail: with each of the promises' means taken out in turn, it finds the violation.

The means are taken out in worker and dispatcher processes started from tests/faults/entry.py; the product has no such
switch. Beside each mutation stands what the same scenario finds in the product as it is: nothing (the other tests).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.faults.campaign import TERMINAL, Campaign
from tests.faults.system import LEASE_SECONDS, Faulty, FaultyServer, Waiting
from tests.faults.work import attempt_of, working_on

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
Begin = Callable[[Faulty], Campaign]
PATIENCE_SECONDS = 25.0
TRIES = 3
PATIENT = {"VIDEOPROC_STALL_SECONDS": "120"}
"""What stood still with its worker is to go on, however long another worker takes to start meanwhile."""


@pytest.fixture
def mutated(server: FaultyServer) -> Iterator[Callable[[str], FaultyServer]]:
    """Give the server mode with a worker and a dispatcher that lack something; whole again afterwards."""

    def without(means: str) -> FaultyServer:
        for name in ("worker", "dispatch"):
            server.end(name)
            server.run(name, app="tests.faults.entry", variables=PATIENT | {"VIDEOPROC_TEST_WITHOUT": means})
        return server

    yield without
    # Whatever came of it: nothing that lacks something may run on, nor a job that it left open.
    for name in ("worker", "worker-b", "dispatch"):
        if server.runs(name):
            server.end(name)
    server.mend()
    forget(server)


def found(run: Campaign) -> list[str]:
    """Return what the checker finds, a job that never ends included."""
    try:
        run.settle(seconds=PATIENCE_SECONDS)
    except AssertionError as exc:
        return [str(exc), *run.verdict()]
    return run.verdict()


def finished_segment(system: FaultyServer, job_id: str) -> str:
    """Wait for a finished segment and return its key."""
    waiting = Waiting(90, "a finished segment")
    while True:
        for step in system.rows.steps(job_id):
            if step["kind"] == "segment" and step["state"] == "done":
                return str(step["output"])
        waiting.again(0.01)


def attempts_finished(system: FaultyServer, job_id: str, segment: int) -> list[int]:
    """Return which attempts at a segment were written down as enhanced, in order."""
    events = [event["data"] for event in system.rows.events(job_id) if event["name"] == "segment_enhanced"]
    return [data["attempt"] for data in events if data["segment"] == segment]


def test_without_the_fence_a_late_write_is_seen(
    mutated: Callable[[str], FaultyServer], campaign: Begin, long: Path
) -> None:
    server = mutated("fence")
    for _ in range(TRIES):
        run = campaign(server)
        if late_write(server, run, long):
            break
        run.finish()
    violations = found(run)
    assert any(text.startswith(("I2", "I6")) for text in violations), violations


def late_write(server: FaultyServer, run: Campaign, clip: Path) -> bool:
    """Let a worker finish a segment that another one holds by then; False where it had been given it once more."""
    file_id = run.upload(clip)
    job_id = server.rows.job_of(file_id)["id"]
    _, key = working_on(server, job_id)
    server.pause("worker")
    server.run("worker-b", app="tests.faults.entry", variables=PATIENT | {"VIDEOPROC_TEST_WITHOUT": "fence"})
    waiting = Waiting(LEASE_SECONDS + 60, "the other worker's attempt")
    while attempt_of(server, key) == 1:
        waiting.again(0.01)
    server.pause("worker-b")
    server.resume("worker")
    number = int(Path(key).stem.split("-")[1])
    waiting = Waiting(60, "the late write")
    while not (attempts := attempts_finished(server, job_id, number)):
        waiting.again()
    server.resume("worker-b")
    return attempts[0] == 1


def test_without_hinting_again_a_lost_message_is_seen(
    mutated: Callable[[str], FaultyServer], campaign: Begin, short: Path
) -> None:
    server = mutated("hints")
    run = campaign(server)
    server.end("worker")  # one that only stands still has the message already
    run.upload(short)
    waiting = Waiting(10, "the hint")
    while server.rows.ask("SELECT id FROM processing_step WHERE state = 'queued' AND hinted_at IS NULL"):
        waiting.again()
    server.empty_broker()
    server.run("worker", app="tests.faults.entry", variables={"VIDEOPROC_TEST_WITHOUT": "hints"})
    violations = found(run)
    assert any(text.startswith("I1") for text in violations), violations


def test_without_the_join_guard_an_early_join_is_seen(
    mutated: Callable[[str], FaultyServer], campaign: Begin, long: Path
) -> None:
    server = mutated("guard")
    run = campaign(server)
    run.upload(long)
    violations = found(run)
    assert any(text.startswith(("I1", "I2", "I3")) for text in violations), violations


def test_without_the_digest_check_a_flipped_byte_is_seen(
    mutated: Callable[[str], FaultyServer], campaign: Begin, long: Path
) -> None:
    server = mutated("digests")
    run = campaign(server)
    run.upload(long)
    run.finish()  # the undisturbed digest, and with nothing broken nothing is found
    file_id = run.upload(long)
    path = server.storage / finished_segment(server, server.rows.job_of(file_id)["id"])
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    violations = found(run)
    assert any(text.startswith("I3") for text in violations), violations


def forget(server: FaultyServer) -> None:
    """Cancel what a mutation left open, and the steps that it left at work in jobs which have ended."""
    for job in server.rows.jobs():
        if job["state"] not in TERMINAL:
            httpx.post(
                f"{server.url}/api/v1/jobs/{job['id']}/cancel",
                headers={"Authorization": f"Token {server.token}"},
                timeout=30,
            )
    with psycopg.connect(server.rows.url) as connection:
        connection.execute(
            "UPDATE processing_step SET state = 'cancelled', lease_until = NULL, hinted_at = NULL"
            " WHERE state IN ('queued', 'running')"
        )
