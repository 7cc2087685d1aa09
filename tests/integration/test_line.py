"""What a waiting job says of its place and its end, what that costs, and who is told when it moves."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from processing import control, line, progress
from processing.clock import after
from processing.live import events
from processing.live.reader import Reader
from processing.models import Job, Step, Worker
from tests import rows

Kind = Step.Kind
pytestmark = pytest.mark.usefixtures("database")


def places(jobs: Iterable[Job]) -> list[int | None]:
    jobs = [Job.objects.get(pk=job.pk) for job in jobs]
    measured = progress.measure(jobs)
    return [measured[job.pk].place for job in jobs]


def left(job: Job) -> tuple[float, float] | None:
    job = Job.objects.get(pk=job.pk)
    return progress.measure([job])[job.pk].seconds_left


def work(slots: int = 1) -> None:
    Worker.objects.create(name="here", slots=slots, seen_at=after(600), started_at=Now())


def test_places_follow_what_users_do() -> None:
    mine = [rows.accepted() for _ in range(3)]
    other = [rows.accepted(owner="other") for _ in range(2)]
    assert places(mine + other) == [0, 2, 4, 0, 2]
    control.prioritise(mine[2].pk, 1)
    assert places(mine) == [2, 4, 0]
    control.pause(mine[2].pk)
    assert places(mine) == [0, 2, None]
    control.cancel(other[0].pk)
    assert places(mine + other) == [0, 2, None, None, 0]
    rows.claimed(mine[0], Kind.METADATA)
    assert places(mine) == [None, 2, None]


def test_an_estimate_needs_a_worker_and_something_that_was_ready_lately() -> None:
    first = rows.finished(rows.accepted())
    waiting = rows.accepted()
    assert left(waiting) is None, "no worker"
    work()
    Step.objects.filter(job=first).update(started_at=after(-2), ended_at=after(0))
    guess = left(waiting)
    assert guess is not None
    steps = Step.objects.filter(job=first).count()
    assert guess[0] < 2 * steps < guess[1], "of the same size as the one that was ready"
    further = [rows.accepted() for _ in range(9)]
    behind = left(further[-1])
    assert behind is not None
    assert behind[0] < 10 * 2 * steps < behind[1]
    assert guess < behind
    rows.claimed(waiting, Kind.METADATA)
    assert left(waiting) is not None, "at work, but no frame is done"
    control.pause(further[-1].pk)
    assert left(further[-1]) is None
    Job.objects.filter(pk=first.pk).update(ended_at=after(-2 * line.LATELY_SECONDS))
    assert left(further[0]) is None, "too long ago"


def test_the_line_is_read_once_for_all_who_ask_and_by_its_index(
    database: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.VIDEOPROC_LINE_SECONDS = 60.0
    monkeypatch.setattr(line, "_line", line.Kept(line._read_line, looks=1))
    monkeypatch.setattr(line, "_pace", line.Kept(line._read_pace, looks=1))
    work()
    jobs = [rows.accepted() for _ in range(4)]
    ended = rows.finished(rows.accepted())
    columns = {field.name: getattr(ended, field.name) for field in Job._meta.concrete_fields if field.name != "id"}
    Job.objects.bulk_create(Job(**columns | {"cleaned_at": Now()}) for _ in range(3000))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    with CaptureQueriesContext(connection) as captured:
        progress.measure(jobs)
        first = captured.captured_queries
        for job in jobs:
            progress.measure([job])
        assert (len(first), len(captured)) == (4, 4 + 2 * len(jobs))
    explain = "EXPLAIN" if database == "postgresql" else "EXPLAIN QUERY PLAN"
    scan = re.compile(r"Seq Scan on processing_job|SCAN (processing_job|U\d)(?! USING INDEX job_)")
    with connection.cursor() as cursor:
        for query in first:
            cursor.execute(f"{explain} {query['sql']}")
            plan = "\n".join(str(row[-1]) for row in cursor.fetchall())
            assert not scan.search(plan), plan


def test_who_watches_is_told_of_a_new_place_once() -> None:
    jobs = [rows.accepted() for _ in range(3)]
    audience = jobs[2].audience
    reader = Reader(audience)
    reader.begin(events.snapshot(audience))

    def told() -> list[str]:
        for head in events.heads([], [], [audience], within_seconds=0).values():
            reader.offer_progress(head)
        waiting, reader._progress = reader._progress, {}
        return [re.findall(r'"place":(\w+)', waiting[str(job.pk)])[0] for job in jobs if str(job.pk) in waiting]

    assert told() == []
    control.cancel(jobs[0].pk)
    assert told() == ["0", "1"]
    assert told() == []
