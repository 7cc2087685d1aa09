"""Both databases in one run: points Django's default connection at PostgreSQL or SQLite for the length of a test.

Threads that a test starts, and threads left over from earlier tests, follow: connections are kept in a store that is
replaced whole. Invariant: a test begins with empty tables and leaves no connection open, whoever opened it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from asgiref.local import Local
from django.core.management import call_command
from django.core.management.color import no_style
from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from videoproc.environment import database

# What migrate itself puts there.
KEPT_TABLES = {"django_migrations", "django_content_type", "auth_permission"}
CONNECTIONS = 16


class Databases:
    """A migrated database of each kind, made when first asked for."""

    def __init__(self, folder: Path, fresh_postgresql: Callable[[], str]) -> None:
        self._folder = folder
        self._fresh_postgresql = fresh_postgresql
        self._urls: dict[str, str] = {}

    @contextmanager
    def use(self, kind: str) -> Iterator[str]:
        """Make `kind` ("postgresql" or "sqlite") the default database within the block; yields its url."""
        new = kind not in self._urls
        if new:
            self._urls[kind] = self._fresh_postgresql() if kind == "postgresql" else self._sqlite_url()
        with pointed_at(self._urls[kind]):
            if new:
                call_command("migrate", verbosity=0, interactive=False)
            else:
                empty_tables()
            yield self._urls[kind]

    def _sqlite_url(self) -> str:
        self._folder.mkdir(parents=True, exist_ok=True)
        return f"sqlite://{self._folder / 'tests.sqlite3'}"


@contextmanager
def pointed_at(url: str) -> Iterator[None]:
    """Make the database at `url` Django's default one within the block, and close every connection made in it."""
    opened: list[BaseDatabaseWrapper] = []

    def remember(connection: BaseDatabaseWrapper, **_: Any) -> None:
        opened.append(connection)

    before, store = connections.settings["default"], connections._connections
    settings = connections.configure_settings({"default": database(url, connections=CONNECTIONS)})["default"]
    connections.settings["default"] = settings
    connections._connections = Local(connections.thread_critical)
    connection_created.connect(remember)
    try:
        yield
    finally:
        connection_created.disconnect(remember)
        for wrapper in opened:
            wrapper.inc_thread_sharing()
            wrapper.close()
            if hasattr(wrapper, "close_pool"):
                wrapper.close_pool()
        connections.settings["default"] = before
        connections._connections = store


def empty_tables() -> None:
    """Empty all tables of the default database but those that migrate fills, and start their sequences anew."""
    tables = sorted(set(connection.introspection.django_table_names(only_existing=True)) - KEPT_TABLES)
    statements = connection.ops.sql_flush(no_style(), tables, reset_sequences=True, allow_cascade=True)
    connection.ops.execute_sql_flush(statements)
