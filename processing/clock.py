"""The database's clock, the only one that decides about leases, hints and times in rows."""

from __future__ import annotations

from datetime import timedelta

from django.db import connection
from django.db.models import DateTimeField, DurationField, Value
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now

READING = {
    "postgresql": "SELECT EXTRACT(EPOCH FROM STATEMENT_TIMESTAMP())",
    "sqlite": "SELECT (JULIANDAY('now') - 2440587.5) * 86400",
}


def after(seconds: float) -> CombinedExpression:
    """Return the expression for the database's now plus `seconds` (minus, where negative)."""
    shift = Value(timedelta(seconds=seconds), output_field=DurationField())
    return CombinedExpression(Now(), "+", shift, output_field=DateTimeField())


def reading() -> float:
    """Return what the database's clock reads now, in seconds of the Unix epoch."""
    with connection.cursor() as cursor:
        cursor.execute(READING[connection.vendor])
        return float(cursor.fetchone()[0])
