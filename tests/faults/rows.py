"""Reads a running system's rows past its own code: plain SQL over a connection of its own for each question, alike on
PostgreSQL and SQLite. Never writes; ids come as text with dashes, JSON comes parsed.
"""

from __future__ import annotations

import json
import sqlite3
import time
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

IDS = {"id", "job_id", "upload_id"}
JSON = {"data", "receipt", "chosen", "metadata", "result", "stills"}
PATIENCE_SECONDS = 30.0


class Rows:
    """The rows of the database at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, query: str, *values: object) -> list[dict[str, Any]]:
        """Return the rows that a SELECT with `?` for each value finds; waits where the database is away."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                rows = self._sqlite(query, values) if self.url.startswith("sqlite") else self._postgresql(query, values)
                return [{name: _plain(name, value) for name, value in row.items()} for row in rows]
            except (psycopg.OperationalError, sqlite3.OperationalError):
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.2)

    def _postgresql(self, query: str, values: tuple[object, ...]) -> list[dict[str, Any]]:
        with psycopg.connect(self.url, connect_timeout=5, row_factory=dict_row) as connection:
            return connection.execute(query.replace("?", "%s").encode(), values).fetchall()

    def _sqlite(self, query: str, values: tuple[object, ...]) -> list[dict[str, Any]]:
        plain = [value.hex if isinstance(value, UUID) else value for value in values]
        connection = sqlite3.connect(f"file:{urlsplit(self.url).path}?mode=ro", uri=True, timeout=10)
        try:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query, plain)]
        finally:
            connection.close()

    def jobs(self) -> list[dict[str, Any]]:
        """Return all jobs."""
        return self.ask(
            "SELECT id, upload_id, state, epoch, seq, result_key, stills_key, plan_key, receipt, stills, error_code,"
            " error_detail, cleaned_at FROM processing_job"
        )

    def job_of(self, file_id: str) -> dict[str, Any]:
        """Return the job of an upload."""
        (job,) = [job for job in self.jobs() if job["upload_id"] == file_id]
        return job

    def steps(self, job_id: str) -> list[dict[str, Any]]:
        """Return the steps of a job, in the order they were made."""
        return self.ask(
            "SELECT id, job_id, epoch, kind, state, attempt, crashes, losses, worker, frames, frames_done, output,"
            ' error_code, "index" AS number FROM processing_step WHERE job_id = ? ORDER BY id',
            UUID(job_id),
        )

    def events(self, job_id: str) -> list[dict[str, Any]]:
        """Return the events of a job in order."""
        return self.ask(
            "SELECT seq, name, state, data FROM processing_event WHERE job_id = ? ORDER BY seq", UUID(job_id)
        )


def _plain(name: str, value: Any) -> Any:
    if name in IDS and isinstance(value, str | UUID):
        return str(UUID(str(value)))
    if name in JSON and isinstance(value, str):
        return json.loads(value)
    return value
