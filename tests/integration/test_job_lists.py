"""Lists of jobs over rows: pages, filters, wrong queries, and how many statements a page takes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from processing import control
from processing.models import Job
from tests import rows
from tests.signed_in import get

pytestmark = pytest.mark.django_db


def test_pages_of_jobs_are_whole_while_new_ones_arrive(ada: Client) -> None:
    def arrives(hour: int, owner: str = "ada") -> Job:
        job = rows.accepted(owner=owner)
        Job.objects.filter(pk=job.pk).update(created_at=datetime(2030, 1, 1, hour, tzinfo=UTC))
        return job

    made = [arrives(hour) for hour in range(5)]
    arrives(5, owner="eve")
    first = get(ada, "/api/v1/jobs", limit="2")
    arrives(6)
    second = get(ada, first["next"])
    third = get(ada, second["next"])
    seen = [job["id"] for page in (first, second, third) for job in page["results"]]
    assert seen == [str(job.pk) for job in reversed(made)]
    assert third["next"] is None


def test_jobs_are_filtered(ada: Client) -> None:
    cancelled, other = rows.accepted(client_id="a", preset="gentle"), rows.accepted(client_id="b")
    control.cancel(cancelled.pk)

    def ids(**query: str) -> list[str]:
        return [job["id"] for job in get(ada, "/api/v1/jobs", **query)["results"]]

    assert ids(state="cancelled") == ids(client_id="a") == ids(preset="gentle") == [str(cancelled.pk)]
    assert ids(state="queued") == ids(client_id="b") == [str(other.pk)]
    assert ids(state="queued", client_id="a") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"state": "gone"}, "state"),
        ({"limit": "0"}, "limit"),
        ({"limit": "1000"}, "limit"),
        ({"limit": "1e9"}, "limit"),
        ({"limit": "٣"}, "limit"),
        ({"ordering": "owner__password"}, "ordering"),
        ({"owner": "1"}, "owner"),
    ],
)
def test_a_wrong_query_is_refused_by_its_path(ada: Client, query: dict[str, str], field: str) -> None:
    problem = get(ada, "/api/v1/jobs", status=400, **query)
    assert [error["path"] for error in problem["errors"]] == [field]


def test_a_broken_cursor_is_refused(ada: Client) -> None:
    assert get(ada, "/api/v1/jobs", status=404, cursor="x")["code"] == "not_found"


def test_a_list_takes_the_same_number_of_queries_however_long(ada: Client, django_assert_num_queries: Any) -> None:
    for _ in range(3):
        rows.planned(rows.accepted())
    with django_assert_num_queries(7):  # session, user, jobs, progress, live slots; line and pace, else from memory
        get(ada, "/api/v1/jobs")
