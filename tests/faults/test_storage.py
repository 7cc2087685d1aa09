"""Rows 13, 14, 22: a full disk, clients that vanish or repeat themselves, and files that change under the rows."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.faults.campaign import Campaign
from tests.faults.disk import Disk
from tests.faults.system import Faulty, FaultyServer, Waiting
from tests.faults.work import redone

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
Begin = Callable[[Faulty], Campaign]
Figures = Callable[..., None]


@pytest.fixture
def disk(server: FaultyServer) -> Iterator[Disk]:
    """The storage's disk, which a test may fill."""
    disk = Disk(server)
    yield disk
    disk.close()


def test_row_13_disk_full_at_upload(server: FaultyServer, campaign: Begin, short: Path, disk: Disk) -> None:
    """507, and nothing half visible; goes on when space returns."""
    run = campaign(server)
    disk.fill()
    before = set((server.storage / "sources").iterdir())
    response = run.try_upload(short)
    assert (response.status_code, response.json()["code"]) == (507, "storage_full")
    assert set((server.storage / "sources").iterdir()) == before
    disk.free()
    run.upload(short)
    run.finish()


@pytest.mark.parametrize("state", ["enhancing", "joining"])
def test_row_13_disk_full_at_work(
    server: FaultyServer, campaign: Begin, long: Path, disk: Disk, figures: Figures, state: str
) -> None:
    """At a segment and at the join: the step waits with its reason and no strike, and goes on when space returns."""
    run = campaign(server)
    file_id = run.upload(long)
    run.wait(file_id, state, seconds=90)
    disk.fill()
    job_id = server.rows.job_of(file_id)["id"]
    waiting = Waiting(60, "the reason, or the end")
    reasons: set[str] = set()
    while "storage_full" not in reasons and run.state(file_id) != "ready":
        reasons = {row["error_code"] for row in server.rows.ask("SELECT error_code FROM processing_step")}
        waiting.again()
    assert run.state(file_id) == "ready" or "storage_full" in reasons
    disk.free()
    began = time.monotonic()
    run.finish(seconds=120)
    assert all(step["crashes"] == step["losses"] == 0 for step in server.rows.steps(job_id))
    figures(waited="storage_full" in reasons, ready_after_s=time.monotonic() - began)


def test_row_14_client_vanishes(faulty: Faulty, campaign: Begin, short: Path, figures: Figures, full: bool) -> None:
    """At random bytes of its upload: nothing of it stays, and the next upload is served."""
    run = campaign(faulty)
    data = body_of(short, run.client_id)
    dice = random.Random(14)
    before = set((faulty.storage / "sources").iterdir()) if (faulty.storage / "sources").is_dir() else set()
    broken = 200 if full else 40
    for _ in range(broken):
        send_part(faulty, data, dice.randrange(len(data)))
    waiting = Waiting(10, "nothing left of broken uploads")
    while (faulty.storage / "sources").is_dir() and set((faulty.storage / "sources").iterdir()) - before:
        waiting.again()
    run.upload(short)
    run.finish()
    figures(broken=broken)


BOUNDARY = "----made-for-the-test"


def body_of(clip: Path, client_id: str) -> bytes:
    """Return a form with a clip, as a browser sends it."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="client_id"\r\n\r\n{client_id}\r\n'
    file = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{clip.name}"\r\n\r\n'
    return head.encode() + file.encode() + clip.read_bytes() + f"\r\n--{BOUNDARY}--\r\n".encode()


def send_part(system: Faulty, body: bytes, length: int) -> None:
    """Send the first `length` bytes of a form and hang up."""
    address = urlsplit(system.url)
    token = f"Authorization: Token {system.token}\r\n" if system.token else ""
    head = (
        f"POST /upload HTTP/1.1\r\nHost: {address.netloc}\r\n{token}Content-Length: {len(body)}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
    )
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(head.encode() + body[:length])


def test_row_14_ten_posts_at_once(faulty: Faulty, campaign: Begin, short: Path, figures: Figures) -> None:
    """Of the same bytes: each is answered, each job ends, and each result is the same."""
    run = campaign(faulty)
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: run.try_upload(short).status_code, range(10)))
    assert set(answers) <= {201, 503}
    run.finish(seconds=180)
    figures(accepted=answers.count(201))


@pytest.mark.parametrize("harm", ["truncated", "flipped", "gone"])
def test_row_22_finished_segment_harmed(
    faulty: Faulty, campaign: Begin, long: Path, figures: Figures, harm: str
) -> None:
    """Truncated, a byte flipped, or removed before the join: noticed, and that segment runs again."""
    run = campaign(faulty)
    file_id = run.upload(long)
    job_id = faulty.rows.job_of(file_id)["id"]
    waiting = Waiting(90, "a finished segment")
    done: list[str] = []
    while not done:
        waiting.again(0.01)
        done = [s["output"] for s in faulty.rows.steps(job_id) if s["kind"] == "segment" and s["state"] == "done"]
    path = faulty.storage / done[0]
    data = bytearray(path.read_bytes())
    if harm == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif harm == "flipped":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    else:
        path.unlink()
    run.finish(seconds=180)
    events = [event["name"] for event in faulty.rows.events(job_id)]
    assert events.count("segment_damaged") == 1
    assert redone(faulty, file_id) == 1
    figures(redone=redone(faulty, file_id))
