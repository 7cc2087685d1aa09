"""How the hub reads: what a poll costs, what an outage leaves to be told, whom a long backlog delays."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from processing.clock import after
from processing.live import backlog, events, hub
from processing.live.messages import Head
from processing.models import Event, Job
from tests import rows
from tests.sockets import in_thread, socket

ALL_EVENTS = 10
"""How many events `rows.finished` leaves."""
pytestmark = pytest.mark.usefixtures("database", "quick")


def crowd(like: Job, count: int) -> list[Job]:
    """Make jobs that wait as `like` does, each with its first event; they share its upload."""
    names = [field.attname for field in Job._meta.concrete_fields if not field.primary_key]
    same = {name: getattr(like, name) for name in names}
    made = Job.objects.bulk_create(Job(**same) for _ in range(count))
    first = {"seq": 1, "name": "accepted", "state": like.state, "at": like.created_at}
    Event.objects.bulk_create(Event(job=job, **first) for job in made)
    return made


@pytest.mark.parametrize("read", ["heads", "log"])
async def test_the_database_being_away_loses_nothing(monkeypatch: pytest.MonkeyPatch, read: str) -> None:
    monkeypatch.setattr(hub, "RETRY_SECONDS", 0.05)
    ada = await in_thread(lambda: rows.user("ada"))
    async with socket(ada) as client:
        await client.read()
        real = getattr(events, read)
        away = asyncio.Event()

        def fail(*_: Any, **__: Any) -> Any:
            loop.call_soon_threadsafe(away.set)
            raise OperationalError("the database is restarting")

        loop = asyncio.get_running_loop()
        monkeypatch.setattr(events, read, fail)
        job = await in_thread(lambda: rows.finished(rows.accepted()))
        async with asyncio.timeout(10):
            await away.wait()
        monkeypatch.setattr(events, read, real)
        await client.read_until(lambda: client.status.get(str(job.pk)) == "ready")
        assert client.seqs[str(job.pk)] == list(range(ALL_EVENTS + 1))


async def test_a_resume_asked_for_while_the_database_is_away_is_answered_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "RETRY_SECONDS", 0.05)
    job = await in_thread(rows.accepted)
    real, away, loop = events.heads, asyncio.Event(), asyncio.get_running_loop()

    def fail_where_named(named: set[str], *which: Any, **window: Any) -> Any:
        if named and not away.is_set():
            loop.call_soon_threadsafe(away.set)
            raise OperationalError("the database is restarting")
        return real(named, *which, **window)

    monkeypatch.setattr(events, "heads", fail_where_named)
    async with socket(await in_thread(rows.user)) as client:
        await client.read()
        await client.say({"type": "resume", "jobs": {str(job.pk): 0}})
        again = await client.read()
        assert away.is_set()
        assert (again["job_id"], again["seq"]) == (str(job.pk), 1)


async def test_a_poll_after_an_outage_looks_back_to_the_last_one_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "RETRY_SECONDS", 0.05)
    real, windows, over = events.heads, [], asyncio.Event()
    loop = asyncio.get_running_loop()

    def away_for_a_while(*which: Any, within_seconds: float) -> Any:
        if not which[2]:
            return real(*which, within_seconds=within_seconds)
        windows.append(within_seconds)
        if len(windows) > 1 and windows[-1] < windows[-2]:
            loop.call_soon_threadsafe(over.set)
        elif windows[-1] - windows[0] < 0.5:
            raise OperationalError("the database is restarting")
        return real(*which, within_seconds=within_seconds)

    monkeypatch.setattr(events, "heads", away_for_a_while)
    async with socket(await in_thread(rows.user)) as client:
        await client.read()
        async with asyncio.timeout(10):
            await over.wait()
    *during, afterwards = windows[: next(i for i in range(1, len(windows)) if windows[i] < windows[i - 1]) + 1]
    assert min(windows) >= hub.MARGIN_SECONDS
    assert during == sorted(during), "each try looks back over the outage so far, and the margin"
    assert afterwards < during[-1], "the first that succeeds is where the next one begins"


async def test_rings_without_end_do_not_put_off_the_poll() -> None:
    async with socket(await in_thread(rows.user)) as client:
        rung = await in_thread(rows.accepted)
        await client.read()

        async def ring() -> None:
            while True:
                hub.of_this_loop().rang(str(rung.pk), rung.audience)
                await asyncio.sleep(0)

        ringing = asyncio.create_task(ring())
        job = await in_thread(rows.accepted)
        await client.read_until(lambda: str(job.pk) in client.seqs)
        ringing.cancel()


async def test_open_jobs_beyond_the_snapshot_are_told_in_shares_that_delay_no_other_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events, "SNAPSHOT_JOBS", 2)
    monkeypatch.setattr(backlog, "JOBS_AT_ONCE", 4)
    real, shares = events.log, []

    def log(wanted: list[tuple[Head, int]]) -> Any:
        shares.append(Counter(head.audience for head, _ in wanted))
        return real(wanted)

    monkeypatch.setattr(events, "log", log)
    many = await in_thread(lambda: crowd(rows.accepted(), 30))
    async with socket(await in_thread(rows.user)) as client, socket(await in_thread(rows.user), "other") as other:
        assert len((await client.read())["jobs"]) == 2
        await other.read()
        single = await in_thread(lambda: rows.accepted(client_id="other"))
        await other.read_until(lambda: str(single.pk) in other.seqs)
        await client.read_until(lambda: client.seqs.keys() >= {str(job.pk) for job in many})
        client.check()
    assert max(share[many[0].audience] for share in shares) <= 4
    assert sum(share[many[0].audience] for share in shares) == 31 - 2


def test_a_poll_reads_what_changed_and_measures_no_more_than_a_hundred_in_line_however_many_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at_work = rows.planned(rows.accepted())
    rows.claimed(at_work, "segment", 0)
    changed = rows.accepted()
    measured: list[int] = []
    real = events.measure

    def measure(some: list[Job]) -> Any:
        measured.append(len(some))
        return real(some)

    monkeypatch.setattr(events, "measure", measure)
    Job.objects.filter(pk=at_work.pk).update(updated_at=after(-3600))
    costs = []
    for more in (10, 1000):
        waiting = crowd(changed, more)
        Job.objects.filter(pk__in=Job.objects.exclude(pk=changed.pk)).update(updated_at=after(-3600))
        with CaptureQueriesContext(connection) as queries:
            polled = events.heads((), (), {changed.audience}, within_seconds=60)
        assert polled.keys() >= {str(at_work.pk), str(changed.pk)}
        assert len(polled) <= events.SNAPSHOT_JOBS + 2
        assert polled[str(at_work.pk)].measured is not None
        costs.append((len(queries), measured.copy()))
        measured.clear()
        with CaptureQueriesContext(connection) as queries:
            seen = events.heads((), {changed.audience}, (), within_seconds=60)
        assert seen.keys() >= {str(job.pk) for job in waiting} | {str(at_work.pk), str(changed.pk)}
        costs.append((len(queries), measured.copy()))
        measured.clear()
    # A poll measures one batch of those in line; slots, line and pace are three queries a batch, mostly from memory.
    assert [queries for queries, _ in costs] == [11, 6, 11, 6]
    assert [jobs for _, jobs in costs] == [[11, 1], [1], [events.SNAPSHOT_JOBS, 1], [1]]


def test_one_client_that_sends_very_many_does_not_hide_the_places_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "IN_LINE_JOBS", 20)
    modest = [rows.accepted(client_id="modest") for _ in range(3)]
    bulk = crowd(rows.accepted(client_id="bulk"), 200)
    Job.objects.update(updated_at=after(-3600))
    polled = events.heads((), (), {modest[0].audience, bulk[0].audience}, within_seconds=60)
    told = [head for head in polled.values() if head.audience == modest[0].audience]
    assert {head.job_id for head in told} == {str(job.pk) for job in modest}
    assert all(head.measured is not None and head.measured.place is not None for head in told)
    assert len(polled) == 20


async def test_a_task_of_the_hub_that_ends_by_an_error_ends_the_process_in_order(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise ValueError("nobody foresaw this")

    monkeypatch.setattr(events, "heads", fail)
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    try:
        async with socket(await in_thread(rows.user)) as client, asyncio.timeout(10):
            await client.read()
            await asked.wait()
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
    assert "hub reading: ended by an error, and so does its process" in caplog.text
    assert "nobody foresaw this" in caplog.text
