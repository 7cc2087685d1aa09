"""The database's clock, the only one that decides about leases, hints and times in rows."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import DateTimeField, DurationField, Value
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now


def after(seconds: float) -> CombinedExpression:
    """Return the expression for the database's now plus `seconds` (minus, where negative)."""
    shift = Value(timedelta(seconds=seconds), output_field=DurationField())
    return CombinedExpression(Now(), "+", shift, output_field=DateTimeField())
