"""Whose turn it is: which owners have due steps, how much of each is at work, and how much more may be begun.

Only reads. One statement answers for all owners, by one index look-up for each that waits, however many steps wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Q, QuerySet
from django.db.models.expressions import RawSQL
from django.db.models.functions import Now

from processing import progress
from processing.clock import after
from processing.models import Step

OWNERS_A_PASS = 64
SPARE = 2
"""At most so many more steps than there are live slots are hinted at: a slot that is done finds a message at once."""
STEPS_IN_LINE = 7
"""The steps of the shortest video, one after the other; each may find the spare messages before its own."""


NUMBER = 2**62
"""Stands in a prepared statement for the number that differs between its uses."""


class Prepared:
    """A statement that Django made once: making it takes longer than the database needs for it."""

    def __init__(self, sql: str, parameters: Sequence[Any]) -> None:
        self.sql = sql
        self._parameters = parameters

    def parameters(self, number: int) -> list[Any]:
        """Return the parameters for one use."""
        return [number if value == NUMBER else value for value in self._parameters]


@dataclass(frozen=True, kw_only=True)
class Turns:
    """Who waits and for how much there is room."""

    room: int
    """How many more steps may be at work or hinted at."""
    at_work: dict[int, int]
    """Of each owner with due steps, how many steps are at work or hinted at: who has least goes first."""


def due() -> QuerySet[Step]:
    """Return the queued steps that may run and have no fresh hint."""
    unhinted = Q(hinted_at__isnull=True) | Q(hinted_at__lt=after(-settings.VIDEOPROC_HINT_SECONDS))
    runnable = Q(not_before__isnull=True) | Q(not_before__lte=Now())
    return Step.objects.filter(unhinted, runnable, state=Step.State.QUEUED, paused=False)


def at_work() -> QuerySet[Step, Any]:
    """Return the owner of each step that is running or has a fresh hint; each half has an index."""
    hinted = Step.objects.filter(
        state=Step.State.QUEUED, hinted_at__gte=after(-settings.VIDEOPROC_HINT_SECONDS)
    ).order_by()
    running = Step.objects.filter(state=Step.State.RUNNING).order_by()
    return hinted.values("owner_id").union(running.values("owner_id"), all=True)


def look(*, after_owner: int = 0) -> Turns:
    """Return the turns as they are now.

    Of very many owners a part is looked at, those after `after_owner` first; pass the last one served to go round.
    """
    statement = _looking(connection.vendor, settings.VIDEOPROC_HINT_SECONDS, settings.VIDEOPROC_SEEN_SECONDS)
    with connection.cursor() as cursor:
        cursor.execute(statement.sql, statement.parameters(after_owner))
        (_, _, outstanding, lowest, highest, live_slots), *owners = cursor.fetchall()
    at_work = {owner: steps for owner, steps, *_ in owners}
    slots = int(live_slots or 0)
    alone = len({lowest, highest, *at_work} - {None}) <= 1
    # One for a worker that was not seen yet.
    hints = max(slots + spare(slots, alone=alone), 1)
    return Turns(room=max(hints - int(outstanding or 0), 0), at_work=at_work)


def spare(slots: int, *, alone: bool) -> int:
    """Return how many more steps than slots may be hinted at, `alone` where one owner has all that waits or runs.

    A message lies before those of an owner who comes later, and before each next step of one who is there: spare ones
    may cost the former, and all steps of the latter's video together, the time of one segment, no more.
    """
    return min(SPARE, max(slots - 1, 0) if alone else slots // STEPS_IN_LINE)


@lru_cache(maxsize=8)
def _looking(vendor: str, hint_seconds: float, seen_seconds: float) -> Prepared:
    # Each row of `waiting` finds the next: the first due owner behind it, at the end (a row without an owner) once
    # more from the beginning, as far as the number, which is the last owner served.
    next_owner = due().filter(owner_id__gt=RawSQL("COALESCE(waiting.owner_id, -1)", ()))
    slots = progress.live_workers().order_by().values("slots")
    next_sql, next_parameters = next_owner.order_by("owner_id").values("owner_id")[:1].query.sql_with_params()
    busy_sql, busy_parameters = at_work().query.sql_with_params()
    slots_sql, slots_parameters = slots.query.sql_with_params()
    # Made here and by Django alone; every value is a parameter.
    statement = f"""
        WITH RECURSIVE loads (owner_id, steps) AS (
            SELECT owner_id, COUNT(*) FROM ({busy_sql}) AS busy GROUP BY owner_id
        ),
        waiting (owner_id, lap, place) AS (
            SELECT CAST(%s AS bigint), 0, 0
            UNION ALL
            SELECT ({next_sql}), CASE WHEN waiting.owner_id IS NULL THEN 1 ELSE waiting.lap END, waiting.place + 1
            FROM waiting WHERE place <= {OWNERS_A_PASS} AND (lap = 0 OR waiting.owner_id <= %s)
        )
        SELECT waiting.owner_id, COALESCE(loads.steps, 0), (SELECT SUM(steps) FROM loads),
            (SELECT MIN(owner_id) FROM loads), (SELECT MAX(owner_id) FROM loads),
            (SELECT SUM(slots) FROM ({slots_sql}) AS live)
        FROM waiting LEFT JOIN loads ON loads.owner_id = waiting.owner_id
        WHERE place = 0 OR (waiting.owner_id IS NOT NULL AND (lap = 0 OR waiting.owner_id <= %s))
        ORDER BY place"""  # noqa: S608
    return Prepared(statement, (*busy_parameters, NUMBER, *next_parameters, NUMBER, *slots_parameters, NUMBER))
