"""Whose turn it is: which steps are hinted at, in what order owners are served, and what a pass reads."""

from __future__ import annotations

import re
from collections import deque

import pytest
from django.db import connection
from django.db.models.functions import Now

from processing import control
from processing.clock import after
from processing.models import Job, Step, Worker
from processing.state import step as steps
from processing.state import turns
from tests import rows

Kind = Step.Kind
pytestmark = pytest.mark.usefixtures("database")


def test_a_hint_is_marked_by_one_dispatcher_and_due_again_when_it_is_old() -> None:
    rows.accepted()
    (step,) = steps.due(10)
    hinted = rows.side_by_side([lambda: list(steps.hint(10, turns.look().at_work)) for _ in range(4)])
    assert sorted([each.pk for each in one] for one in hinted) == [[], [], [], [step.pk]]
    assert steps.due(10) == []
    Step.objects.update(hinted_at=after(-21))
    assert [due.pk for due in steps.due(10)] == [step.pk]


@pytest.mark.parametrize(("slots", "alone", "crowded"), [(0, 1, 1), (1, 1, 1), (2, 3, 2), (4, 6, 4), (64, 66, 66)])
def test_steps_are_hinted_for_each_live_slot_and_spare_ones_only_where_they_delay_nobody(
    slots: int, alone: int, crowded: int
) -> None:
    rows.planned(rows.accepted(), segments=100)
    Worker.objects.create(name="dead", slots=64, seen_at=after(-60), started_at=after(-60))
    Worker.objects.create(name="live", slots=slots, seen_at=after(0), started_at=after(0))
    assert turns.look().room == alone
    other = rows.accepted(owner="other")
    assert turns.look().room == crowded
    rows.claimed(other, Kind.METADATA)
    assert turns.look().room == crowded - 1
    end(Step.objects.get(job=other))
    assert [step.index for step in steps.hint(1, turns.look().at_work)] == [0]
    assert turns.look().room == alone - 1


@pytest.mark.parametrize("slots", [1, 2, 4, 16])
def test_anothers_first_video_waits_for_no_more_than_a_slots_one_segment(slots: int) -> None:
    """Slots take messages in the order of the hints; the latecomer's steps follow each other as links of chains."""
    Worker.objects.create(name="live", slots=slots, seen_at=after(0), started_at=after(0))
    many = rows.planned(rows.accepted(owner="many"), segments=200)
    queue: deque[Step] = deque()

    def hint() -> None:
        waiting = turns.look(after_owner=many.owner_id)
        queue.extend(steps.hint(waiting.room, waiting.at_work))

    def free_slot() -> Step:
        """Let a slot that is done take the next message, and tell whose it was."""
        hint()
        step = queue.popleft()
        assert steps.claim(step.job_id, 1, step.kind, step.index, worker="live") is not None
        return step

    running = deque(free_slot() for _ in range(slots))
    hint()
    late = rows.accepted(owner="late")
    segments_meanwhile, finished = 0, 0
    while finished < turns.STEPS_IN_LINE:
        ended = running.popleft()  # all of a round end before one of the next
        end(ended)
        if ended.job_id == late.pk:
            finished += 1
            # As a chain does: the next link is in the queue before its slot looks for another message.
            created = steps.create(late, Kind.SEGMENT, index=finished, hinted_at=Now())
            queue.append(Step.objects.get(pk=created.pk))
        begun = free_slot()
        running.append(begun)
        segments_meanwhile += begun.job_id == many.pk and not any(step.job_id == late.pk for step in running)
    assert segments_meanwhile <= slots


def end(step: Step) -> None:
    """Let a step be done, without what follows it."""
    Step.objects.filter(pk=step.pk).update(state=Step.State.DONE, lease_until=None)


def test_a_user_with_many_videos_does_not_hold_up_another() -> None:
    for _ in range(20):
        rows.accepted(owner="many")
    late = rows.accepted(owner="late")
    chosen = [step.job_id for step in steps.due(3)]
    assert late.pk in chosen
    assert len(chosen) == 3


def test_very_many_owners_are_served_in_rounds() -> None:
    owners = [rows.accepted(owner=f"owner-{number}").owner_id for number in range(turns.OWNERS_A_PASS + 6)]
    seen = turns.look(after_owner=owners[9]).at_work
    assert list(seen) == [*owners[10:], *owners[: turns.OWNERS_A_PASS - len(owners[10:])]]
    assert set(seen.values()) == {0}
    few = owners[:3]
    Step.objects.exclude(owner_id__in=few).delete()
    assert list(turns.look(after_owner=few[1]).at_work) == [few[2], few[0], few[1]]
    assert list(turns.look().at_work) == few
    assert list(turns.look(after_owner=few[2]).at_work) == few
    rows.claimed(Job.objects.get(owner_id=few[0]), Kind.METADATA)
    assert list(turns.look().at_work.items()) == [(few[1], 0), (few[2], 0)]
    Step.objects.filter(owner_id__in=few[1:]).delete()
    assert turns.look().at_work == {}


def test_who_has_least_at_work_goes_first_and_those_at_work_count() -> None:
    many = [rows.accepted(owner="many") for _ in range(4)]
    rows.claimed(many[0], Kind.METADATA)
    rows.claimed(many[1], Kind.METADATA)
    few = [rows.accepted(owner="few") for _ in range(3)]
    hinted = [step.job_id for step in steps.hint(3, turns.look().at_work)]
    assert hinted == [few[0].pk, few[1].pk, many[2].pk]


def test_a_long_job_falls_behind_a_new_one_of_the_same_owner() -> None:
    long = rows.planned(rows.accepted(), segments=30)
    new = rows.accepted()
    order = [step.job_id for step in steps.due(31)]
    assert order.index(new.pk) == 9  # the tie goes to the older job
    control.prioritise(new.pk, 5)
    assert steps.due(1)[0].job_id == new.pk
    assert long.pk in order


def test_a_priority_reaches_steps_at_work_and_finished_ones_that_are_queued_again() -> None:
    job = rows.planned(rows.accepted(), segments=3)
    rows.enhance(job, 0)
    at_work = rows.claimed(job, Kind.SEGMENT, 1)
    control.prioritise(job.pk, 5)
    steps.hand_back(at_work, code="", detail="", strike=None, delay_seconds=0)
    steps.requeue(Job.objects.get(pk=job.pk), Kind.SEGMENT, 0)
    assert [(step.index, step.priority) for step in steps.due(3)] == [(0, 5), (1, 5), (2, 5)]


def test_no_statement_of_a_pass_reads_every_step_there_ever_was(database: str) -> None:
    job = rows.accepted()
    Step.objects.bulk_create(
        Step(
            job=job,
            owner_id=job.owner_id,
            turn=index,
            epoch=1,
            kind=Kind.SEGMENT,
            index=index,
            state=Step.State.DONE,
            attempt=1,
            created_at=Now(),
        )
        for index in range(5000)
    )
    looking = turns._looking(connection.vendor, 20.0, 10.0)
    hinting = steps._hinting(connection.vendor, 20.0)
    explain = "EXPLAIN" if database == "postgresql" else "EXPLAIN QUERY PLAN"
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        for statement in (looking, hinting):
            cursor.execute(f"{explain} {statement.sql}", statement.parameters(job.owner_id))
            plan = "\n".join(str(row[-1]) for row in cursor.fetchall())
            assert not re.search(
                r"Seq Scan on processing_step|SCAN (processing_step|U\d)(?! USING INDEX step_)", plan
            ), plan
