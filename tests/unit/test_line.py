"""Places and estimates are those of a line in which users take turns."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.line import BUSY_JOBS, Line, Pace, Taken, pace_of
from processing.models import Job

PACE = Pace(jobs=20, seconds_a_byte=0.01, busy_seconds_a_byte=0.0, spread=0.1, segment_seconds=5.0, serial_seconds=2.0)


def job(owner: int, number: int, *, priority: int = 0, size: int = 1000) -> Job:
    return Job(owner_id=owner, number=number, priority=priority, source_size_bytes=size, preset="auto")


def line(*jobs: Job) -> Line:
    ordered = sorted(jobs, key=lambda each: (each.owner_id, -each.priority, each.number))
    return Line((each.owner_id, each.priority, each.number, float(each.source_size_bytes)) for each in ordered)


def middle(guess: tuple[float, float]) -> float:
    """Return what a guess with PACE was made from."""
    low, high = guess
    return math.sqrt(low * (high - PACE.serial_seconds - 1))


def test_priority_goes_before_number_and_one_that_is_not_read_yet_has_its_place() -> None:
    jobs = [job(1, number, priority=priority) for number, priority in ((1, 0), (2, 5), (3, 0), (4, -1))]
    assert [line(*jobs).place(each) for each in jobs] == [1, 0, 2, 3]
    assert line(*jobs).place(job(1, 5)) == 3
    assert line(*jobs).place(job(2, 1)) == 0


def test_anothers_thousand_add_none_to_the_first_and_one_to_the_second() -> None:
    many = [job(1, number) for number in range(1, 1001)]
    assert [line(*many, job(2, 1), job(2, 2)).place(job(2, number)) for number in (1, 2)] == [0, 2]
    assert line(*many, job(2, 1), job(2, 2)).place(many[-1]) == 999 + 2


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.data())
def test_a_place_is_how_many_go_before_where_users_take_turns(counts: list[int], data: st.DataObject) -> None:
    owner = data.draw(st.integers(0, len(counts) - 1))
    number = data.draw(st.integers(1, counts[owner]))
    owners = [owner, *(other for other in range(len(counts)) if other != owner)]
    turns = [(turn, each) for turn in range(1, max(counts) + 1) for each in owners if turn <= counts[each]]
    jobs = [job(each, turn) for turn, each in turns]
    assert line(*jobs).place(job(owner, number)) == turns.index((number, owner))


def test_an_estimate_goes_by_what_is_before_it_and_by_the_slots() -> None:
    alone = line(job(1, 1))
    assert middle(alone.seconds_left(job(1, 1), PACE, 1)) == pytest.approx(10, rel=0.1)
    assert middle(alone.seconds_left(job(1, 1), PACE, 4)) == pytest.approx(2.5, rel=0.1)
    shared = line(job(1, 1), job(2, 1, size=10**9), job(3, 1, size=500))
    assert middle(shared.seconds_left(job(1, 1), PACE, 1)) == pytest.approx(10 + 10 + 5, rel=0.1)
    fourth = line(*(job(1, number) for number in range(1, 6)))
    assert middle(fourth.seconds_left(job(1, 4), PACE, 1)) == pytest.approx(40, rel=0.1)
    urgent = line(job(1, 1), job(1, 2, priority=1, size=10**6))
    assert middle(urgent.seconds_left(job(1, 1), PACE, 1)) == pytest.approx(10_010, rel=0.1)


def test_a_short_job_overtakes_a_long_one_of_its_owner() -> None:
    long, short = job(1, 1, size=1_000_000), job(1, 2)
    both = line(long, short)
    # Eight segments of the long one go before the short one's first, and as many as it has itself beside them.
    assert middle(both.seconds_left(short, PACE, 1)) == pytest.approx(8 * 5 + 10 + 10, rel=0.1)
    assert middle(both.seconds_left(long, PACE, 1)) == pytest.approx(10_010, rel=0.1)


NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def taken(*seconds: float, every: float = 60.0, waited: float = 0.0) -> list[Taken]:
    """Return jobs of these slot seconds that ended one after the other, each `waited` for so long before."""
    return [
        Taken(
            accepted_at=NOON + timedelta(seconds=every * number - each - waited),
            began_at=NOON + timedelta(seconds=every * number - each),
            ended_at=NOON + timedelta(seconds=every * number),
            size_bytes=1000,
            segments=4,
            segment_seconds=each,
            serial_seconds=0.0,
        )
        for number, each in enumerate(seconds)
    ]


def test_a_guess_is_wide_where_little_is_known_or_what_is_known_differs() -> None:
    def factor(*seconds: float) -> float:
        pace = pace_of(taken(*seconds))
        assert pace is not None
        low, high = line(job(1, 1)).seconds_left(job(1, 1), pace, 1)
        return (high - 1) / low

    assert pace_of([]) is None
    assert 1.4 < factor(*[10.0] * 20) < 2.2, "machines do not keep their pace"
    assert factor(*[2.0, 20.0] * 10) > 10.0
    assert factor(10.0) > 10.0


def test_where_jobs_waited_what_passed_between_ends_meanwhile_tells_the_pace() -> None:
    def rate(waited: float) -> float:
        # Two slots, which spend six of sixteen seconds between steps.
        pace = pace_of(taken(*[10.0] * 20, every=8.0, waited=waited))
        assert pace is not None
        low, high = line(job(1, 1)).seconds_left(job(1, 1), pace, 2)
        return math.sqrt(low * (high - pace.serial_seconds - 1)) / 1000

    assert rate(0.0) == pytest.approx(10 / 2 / 1000, rel=0.1)
    assert rate(8.0 * (BUSY_JOBS + 1)) == pytest.approx(8 / 1000, rel=0.1)
    assert rate(3600.0) == pytest.approx(8 / 1000, rel=0.1)
    assert rate(8.0 * BUSY_JOBS - 1) == pytest.approx(10 / 2 / 1000, rel=0.1), "too few meanwhile"
