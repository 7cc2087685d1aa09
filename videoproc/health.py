"""Whether this server lives, and whether it can serve: /health/live and /health/ready.

Ready (200) means that an upload would be accepted: database and storage. What only delays work (broker, channel layer,
no worker) makes the status "degraded", still 200: a load balancer that took every web server away because the broker
restarts would refuse uploads that lose nothing by it. Answers are shared for a second, so asking often costs little.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.conf import settings
from django.db import connection
from django.http import HttpRequest, JsonResponse
from kombu.exceptions import KombuError, OperationalError
from redis.exceptions import RedisError

import celery_app
from processing import storage
from processing.clock import after
from processing.models import Worker
from processing.state.errors import DATABASE_AWAY

CHECK_SECONDS = 2.0
SHARED_SECONDS = 1.0
NEEDED = ("database", "storage")
AWAY = (*DATABASE_AWAY, KombuError, OperationalError, RedisError, OSError, TimeoutError)

_under_way: dict[str, asyncio.Future[dict[str, Any]]] = {}
_shared: tuple[float, dict[str, Any]] = (-SHARED_SECONDS, {})


async def live(request: HttpRequest) -> JsonResponse:
    """Answer that the process serves requests."""
    return JsonResponse({"status": "live"})


async def ready(request: HttpRequest) -> JsonResponse:
    """Answer 200 where uploads are accepted and 503 where not, with each check's outcome."""
    global _shared
    if time.monotonic() - _shared[0] >= SHARED_SECONDS:
        _shared = (time.monotonic(), await _look())
    body = _shared[1]
    status = HTTPStatus.SERVICE_UNAVAILABLE if body["status"] == "unready" else HTTPStatus.OK
    return JsonResponse(body, status=status, headers={"Cache-Control": "no-store"})


async def _look() -> dict[str, Any]:
    found = dict(zip(CHECKS, await asyncio.gather(*map(_checked, CHECKS)), strict=True))
    workers = found["database"] or {}
    fine = {name: bool(outcome) for name, outcome in found.items()} | {"workers": bool(workers.get("slots"))}
    status = "ready" if all(fine.values()) else "degraded"
    if not all(fine[name] for name in NEEDED):
        status = "unready"
    return {
        "status": status,
        "checks": fine,
        "slots": workers.get("slots", 0),
        "sandbox": workers.get("layers", []),
    }


async def _checked(name: str) -> dict[str, Any] | None:
    """Look at one thing for CHECK_SECONDS; a look that takes longer goes on, and no second one begins beside it."""
    look = _under_way.get(name)
    if look is None:
        look = _under_way[name] = asyncio.ensure_future(CHECKS[name]())
        look.add_done_callback(lambda look: _ended(name, look))
    try:
        return await asyncio.wait_for(asyncio.shield(look), CHECK_SECONDS)
    except AWAY:
        return None


def _ended(name: str, look: asyncio.Future[dict[str, Any]]) -> None:
    """Let the next look begin; an error that came too late for anybody was an answer all the same."""
    del _under_way[name]
    if not look.cancelled():
        look.exception()


def _in_thread(check: Callable[[], dict[str, Any]]) -> Callable[[], Awaitable[dict[str, Any]]]:
    return sync_to_async(check, thread_sensitive=False)


def _workers() -> dict[str, Any]:
    try:
        live = Worker.objects.filter(seen_at__gte=after(-settings.VIDEOPROC_SEEN_SECONDS), slots__gt=0)
        rows = list(live.values_list("slots", "layers"))
    finally:
        connection.close()  # this thread belongs to no request
    # A layer counts where it holds in every worker.
    layers = set.intersection(*(set(names) for _, names in rows)) if rows else set()
    return {"asked": True, "slots": sum(slots for slots, _ in rows), "layers": sorted(layers)}


def _storage() -> dict[str, Any]:
    has_room = storage.free_bytes() >= settings.VIDEOPROC_FREE_BYTES
    storage.check()
    return {"asked": True} if has_room else {}


def _broker() -> dict[str, Any]:
    with celery_app.app.connection_for_write(connect_timeout=CHECK_SECONDS) as broker:
        broker.ensure_connection(max_retries=1, interval_start=0, timeout=CHECK_SECONDS)
    return {"asked": True}


async def _layer() -> dict[str, Any]:
    await get_channel_layer().group_send("health", {"type": "health.asked"})
    return {"asked": True}


CHECKS: dict[str, Callable[[], Awaitable[dict[str, Any]]]] = {
    "database": _in_thread(_workers),
    "storage": _in_thread(_storage),
    "broker": _in_thread(_broker),
    "channel_layer": _layer,
}
