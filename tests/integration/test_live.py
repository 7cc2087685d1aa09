"""What clients of the hub see: consecutive events, each once, whatever becomes of rings, and only their own jobs."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import transaction

from processing import control
from processing.clock import after
from processing.live import doorbell, events, hub, reader
from processing.live.doorbell import Ring
from processing.models import Job
from processing.state import job as jobs
from processing.state import step as steps
from tests import rows
from tests.sockets import Client, in_thread, socket

ALL_EVENTS = 10
"""How many events `rows.finished` leaves."""
pytestmark = pytest.mark.usefixtures("database", "quick")


@pytest.fixture
def lossy(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let rings reach this loop's hub as a bad network would: half of them lost, some twice, some late."""
    chance = random.Random(7)

    def begin() -> None:
        loop, mine = asyncio.get_running_loop(), hub.of_this_loop()

        def ring(ring: Ring) -> None:
            for _ in range(chance.choice((0, 0, 1, 2))):
                loop.call_soon_threadsafe(loop.call_later, chance.random() / 10, mine.rang, ring.job_id, ring.audience)

        monkeypatch.setattr(doorbell, "ring", ring)

    return begin


async def test_every_event_arrives_once_and_in_order_though_writers_race_and_rings_get_lost(
    lossy: Callable[[], None],
) -> None:
    lossy()
    ada = await in_thread(lambda: rows.user("ada"))

    async def follow(delay: float) -> Client:
        await asyncio.sleep(delay)
        async with socket(ada) as client:
            await client.read_until(lambda: list(client.status.values()).count("ready") == 6)
            return client

    followers = [asyncio.create_task(follow(delay)) for delay in (0.0, 0.05, 0.2, 0.5)]
    for _ in range(2):
        await asyncio.gather(*(in_thread(lambda: rows.finished(rows.accepted())) for _ in range(3)))
    for client in await asyncio.gather(*followers):
        client.check()
        assert {seqs[-1] for seqs in client.seqs.values()} == {ALL_EVENTS}
        assert {percents[-1] for percents in client.percents.values()} == {100.0}


async def test_a_job_accepted_without_any_ring_appears_and_its_progress_moves() -> None:
    ada = await in_thread(lambda: rows.user("ada"))
    async with socket(ada) as client:
        assert (await client.read())["jobs"] == []
        job = await in_thread(lambda: rows.planned(rows.accepted(), segments=2))
        await client.read_until(lambda: client.status.get(str(job.pk)) == "enhancing")
        claim = await in_thread(lambda: rows.claimed(job, "segment", 0))
        await in_thread(lambda: steps.advance(claim, 7))
        message = await client.read()
        while not message["progress"]["frames_done"]:  # its place in the line, while it waited
            message = await client.read()
        assert message["type"] == "progress"
        assert message["progress"]["frames_done"] == 7
        assert message["progress"]["frames_total"] == 20
        client.check()


async def test_nobody_sees_the_jobs_of_another_user_or_client() -> None:
    ada, bob = await in_thread(lambda: (rows.user("ada"), rows.user("bob")))
    await in_thread(lambda: (rows.accepted(owner="bob"), rows.accepted(owner="ada", client_id="other")))
    async with socket(ada) as client:
        assert (await client.read())["jobs"] == []
        theirs = await in_thread(lambda: rows.accepted(owner="bob"))
        mine = await in_thread(lambda: rows.accepted())
        await client.say({"type": "resume", "jobs": {str(theirs.pk): 0}})
        await client.read_until(lambda: bool(client.errors))
        assert client.errors[0]["code"] == "unknown_job"
        await client.read_until(lambda: str(mine.pk) in client.seqs)
        assert list(client.seqs) == [str(mine.pk)]
    async with socket(bob) as client:
        assert len((await client.read())["jobs"]) == 2


async def test_resume_replays_what_happened_after_the_seq_that_the_client_names() -> None:
    job = await in_thread(lambda: rows.finished(rows.accepted()))
    async with socket(await in_thread(lambda: rows.user("ada"))) as client:
        await client.read()
        await client.say({"type": "resume", "jobs": {str(job.pk): 4}})
        seen = [await client.read() for _ in range(ALL_EVENTS - 4)]
        assert [message["seq"] for message in seen] == list(range(5, ALL_EVENTS + 1))
        assert seen[-1]["event"] == "published"
        assert seen[-1]["file_id"] == str(job.upload_id)
        assert seen[-1]["progress"] == {"percent": 100.0}


async def test_a_long_log_is_replayed_whole_through_a_short_queue() -> None:
    job = await in_thread(rows.accepted)

    def write() -> None:
        with transaction.atomic():
            locked = jobs.lock(job.pk)
            for _ in range(3 * events.PAGE):
                jobs.record(locked, "step_handed_back")

    await in_thread(write)
    async with socket(await in_thread(lambda: rows.user("ada"))) as client:
        await client.read()
        client.seqs[str(job.pk)] = [0]
        await client.say({"type": "resume", "jobs": {str(job.pk): 0}})
        await client.read_until(lambda: client.seqs[str(job.pk)][-1] == 3 * events.PAGE + 1)
        client.check()


async def test_a_client_that_does_not_read_is_held_to_a_bounded_queue_and_begins_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader, "STALL_SECONDS", 0.05)
    job = await in_thread(rows.accepted)
    idle = hub.of_this_loop().join(job.audience)
    assert json.loads(await idle.next() or "")["type"] == "snapshot"

    def write(count: int) -> None:
        with transaction.atomic():
            locked = jobs.lock(job.pk)
            for _ in range(count):
                jobs.record(locked, "step_handed_back")

    await in_thread(lambda: write(2 * events.PAGE))
    async with asyncio.timeout(10):
        while await idle.next() is not None:
            await asyncio.sleep(0.2)
    hub.of_this_loop().begin(idle)
    again = json.loads(await idle.next() or "")
    assert again["type"] == "snapshot"
    assert again["jobs"][0]["seq"] == 2 * events.PAGE + 1
    await hub.of_this_loop().leave(idle)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("", "not_json"),
        ("[1]", "not_json"),
        ("[" * 9000, "not_json"),
        ("NaN", "not_json"),
        ('{"type": "hello"}', "unknown_type"),
        ('{"type": "resume"}', "bad_resume"),
        ('{"type": "resume", "jobs": {}, "since": 1}', "bad_resume"),
        ('{"type": "resume", "jobs": {"x": 1}}', "bad_job_id"),
        ('{"type": "resume", "jobs": {"00000000-0000-0000-0000-000000000000": -1}}', "bad_seq"),
        ('{"type": "resume", "jobs": {"00000000-0000-0000-0000-000000000000": "abc"}}', "bad_seq"),
        ('{"type": "resume", "jobs": {"00000000-0000-0000-0000-000000000000": true}}', "bad_seq"),
        ('{"type": "resume", "jobs": {"00000000-0000-0000-0000-000000000000": 1e18}}', "bad_seq"),
        ('{"type": "resume", "jobs": {"00000000-0000-0000-0000-000000000000": 10}}', "unknown_job"),
    ],
)
async def test_what_cannot_be_followed_is_answered_with_a_code(message: str, code: str) -> None:
    async with socket(await in_thread(rows.user)) as client:
        await client.read()
        await client.say(message)
        assert (await client.read())["code"] == code


@pytest.mark.parametrize(
    ("message", "times", "code"),
    [("x" * 20_000, 1, 1009), ('{"type": "resume", "jobs": {}}', 200, 4429), ("?", 40, 4422)],
)
async def test_abuse_closes_the_socket(message: str, times: int, code: int) -> None:
    async with socket(await in_thread(rows.user)) as client:
        for _ in range(times):
            await client.say(message)
        assert await client.closed_with() == code


async def test_a_socket_is_refused_with_a_code_that_says_why() -> None:
    ada = await in_thread(rows.user)
    for client_id, user, code in (
        ("a%20b", ada, 4400),
        ("x" * 65, ada, 4400),
        ("fine", AnonymousUser(), 4401),
        ("a/b", ada, 4404),
    ):
        async with socket(user, client_id) as client:
            assert await client.closed_with() == code


async def test_the_hub_stops_with_its_last_reader() -> None:
    ada = await in_thread(rows.user)
    before = asyncio.all_tasks()
    async with socket(ada) as one, socket(ada, "other") as other:
        await one.read()
        await other.read()
        assert len(asyncio.all_tasks()) > len(before)
    async with asyncio.timeout(5):
        while asyncio.all_tasks() != before:
            await asyncio.sleep(0.01)


async def test_the_snapshot_holds_open_jobs_and_those_that_ended_lately() -> None:
    old = await in_thread(lambda: rows.finished(rows.accepted()))
    new = await in_thread(lambda: rows.finished(rows.accepted()))
    at_work = await in_thread(rows.accepted)
    await in_thread(lambda: Job.objects.filter(pk=old.pk).update(ended_at=after(-7200)))
    async with socket(await in_thread(rows.user)) as client:
        documents = (await client.read())["jobs"]
        assert {document["id"] for document in documents} == {str(new.pk), str(at_work.pk)}


async def test_a_job_taken_up_again_is_told_on_in_the_same_log_from_a_lower_percent() -> None:
    job = await in_thread(lambda: rows.planned(rows.accepted()))
    await in_thread(lambda: control.cancel(job.pk))
    async with socket(await in_thread(rows.user)) as client:
        ended = (await client.read())["jobs"][0]
        assert ended["state"] == "cancelled"
        await in_thread(lambda: control.retry(job.pk))
        message = await client.read()
        assert (message["event"], message["seq"], message["status"]) == ("retried", ended["seq"] + 1, "enhancing")
        await in_thread(lambda: rows.enhance(job, 0))
        await client.read_until(lambda: client.seqs[str(job.pk)][-1] == ended["seq"] + 2)
        client.check()
