"""Sweeps away what was received but never accepted: a source folder without a row, once it is old enough.

The row publishes the file, so a crash between receiving and accepting leaves a folder that nothing refers to.
"""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

from django.conf import settings

from processing import storage
from uploads.models import Upload

logger = logging.getLogger(__name__)


def sweep_abandoned(**_: Any) -> int:
    """Remove source folders that are older than the limit and belong to no upload; return how many."""
    names = abandoned()
    for name in names:
        storage.delete(f"{storage.SOURCES}/{name}")
        logger.info("abandoned upload removed", extra={"upload": name})
    return len(names)


def would_sweep(**_: Any) -> list[str]:
    """Return a line for each folder that the sweep would remove."""
    return [f"remove {storage.SOURCES}/{name}: no upload has it" for name in abandoned()]


def abandoned() -> list[str]:
    """Return the names of source folders that are older than the limit and belong to no upload."""
    old = set(storage.abandoned(storage.SOURCES, older_than_seconds=settings.VIDEOPROC_ABANDONED_SECONDS))
    ids = {UUID(name) for name in old if _is_uuid(name)}
    kept = {str(found) for found in Upload.objects.filter(pk__in=ids).values_list("pk", flat=True)}
    return sorted(old - kept)


def _is_uuid(name: str) -> bool:
    try:
        UUID(name)
    except ValueError:
        return False
    return True
