"""The reserve: what stays free on a disk that this project writes to, so that databases and logs on it live."""

from __future__ import annotations

from django.conf import settings

from processing.media.errors import StorageFull


def refuse_full(free_bytes: int, more_bytes: int) -> None:
    """Raise StorageFull where `more_bytes` do not fit above the reserve."""
    if free_bytes - more_bytes < settings.VIDEOPROC_FREE_BYTES:
        wanted = f"{more_bytes} bytes are to be written, " if more_bytes else ""
        raise StorageFull(f"{wanted}{free_bytes} are free, {settings.VIDEOPROC_FREE_BYTES} are kept free")
