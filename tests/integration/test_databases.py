"""The `database` fixture itself: empty tables on each kind, for every thread of a test, and nothing left open."""

from __future__ import annotations

import threading

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, connections, transaction
from pytest_django import DjangoDbBlocker

from tests.databases import Databases, pointed_at
from tests.door import eventually

KINDS = ("postgresql", "sqlite")


def names() -> list[str]:
    """All users' names, read through this thread's own connection, which stays open."""
    return list(get_user_model().objects.order_by("username").values_list("username", flat=True))


@pytest.mark.parametrize("attempt", [1, 2])
def test_begins_empty_with_real_transactions_and_sequences_from_one(database: str, attempt: int) -> None:
    assert connection.vendor == database
    assert names() == []
    user = get_user_model().objects.create_user("somebody")
    assert user.pk == 1
    assert not connection.in_atomic_block
    called: list[int] = []
    with transaction.atomic():
        transaction.on_commit(lambda: called.append(1))
        assert called == []
    assert called == [1]


def test_threads_see_what_was_committed(database: str) -> None:
    get_user_model().objects.create_user("somebody")
    seen: list[tuple[str, list[str]]] = []

    def look() -> None:
        seen.append((connection.vendor, names()))
        connections.close_all()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [(database, ["somebody"])]


def test_a_thread_left_over_from_another_database_follows(
    databases: Databases, django_db_blocker: DjangoDbBlocker
) -> None:
    """A pool's thread keeps its connection between tests; it must not read the database of the test before."""
    ask, answered = threading.Semaphore(0), threading.Semaphore(0)
    seen: list[tuple[str, list[str]]] = []

    def keep_looking() -> None:
        for _ in range(2):
            ask.acquire()
            seen.append((connection.vendor, names()))
            answered.release()

    thread = threading.Thread(target=keep_looking)
    thread.start()
    with django_db_blocker.unblock():
        for kind in KINDS:
            with databases.use(kind):
                get_user_model().objects.create_user(kind)
                ask.release()
                answered.acquire()
    thread.join()
    assert seen == [(kind, [kind]) for kind in KINDS]


def test_what_a_thread_leaves_open_is_closed(fresh_postgresql_url: str, django_db_blocker: DjangoDbBlocker) -> None:
    count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"

    def others() -> int:
        with connection.cursor() as cursor:
            cursor.execute(count)
            return int(cursor.fetchone()[0])

    with django_db_blocker.unblock():
        with pointed_at(fresh_postgresql_url):
            opener = threading.Thread(target=lambda: connections["default"].ensure_connection())
            opener.start()
            opener.join()
            assert others() == 1
        with pointed_at(fresh_postgresql_url):
            eventually(lambda: others() == 0, seconds=10)  # the server takes a moment to end what was closed
