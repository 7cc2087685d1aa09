"""Sessions in the database whose key, which comes from a cookie, is looked at before it becomes part of a query.

A cookie may hold any byte in octal; PostgreSQL refuses a NUL with an error that would be a 500.
"""

from __future__ import annotations

from django.contrib.sessions.backends.db import SessionStore as DatabaseStore


class SessionStore(DatabaseStore):
    """The database's sessions, for keys made of letters and digits alone, as all are that were made here."""

    def _validate_session_key(self, key: str) -> bool:
        return bool(super()._validate_session_key(key)) and key.isascii() and key.isalnum()  # type: ignore[misc]
