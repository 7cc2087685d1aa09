"""The hub and the doorbell over a real layer: rings are quick, and a layer that dies or freezes loses nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from pytest_django import Settings

from processing.live import doorbell, hub
from processing.live.reader import Reader
from processing.models import Job
from tests import rows
from tests.sockets import in_thread
from videoproc.servers.valkey import Valkey

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def layer(server_folder: Path, settings: Settings) -> Iterator[Valkey]:
    """A layer of the test's own, with this process ringing over it."""
    with Valkey(server_folder / "valkey", durable=False) as server:
        settings.CHANNEL_LAYERS = {
            "default": {
                "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
                "CONFIG": {"hosts": [f"{server.url}?db=1"]},
            }
        }
        settings.VIDEOPROC_HUB_TICK_SECONDS = 0.02
        doorbell.start()
        yield server
        doorbell.stop()


async def next_event(reader: Reader, job: Job) -> dict[str, Any]:
    """Read on to the next event of a job, which must come within seconds."""
    async with asyncio.timeout(20):
        while True:
            message = json.loads(await reader.next() or "{}")
            if message.get("type") == "event" and message["job_id"] == str(job.pk):
                return message


@asynccontextmanager
async def joined() -> AsyncIterator[Reader]:
    """A reader that has its snapshot, of a hub that hears rings."""
    audience = doorbell.audience((await in_thread(rows.user)).pk, "client")
    reader = hub.of_this_loop().join(audience)
    assert json.loads(await reader.next() or "")["type"] == "snapshot"
    await rung(reader)
    yield reader
    await hub.of_this_loop().leave(reader)


async def rung(reader: Reader) -> None:
    """Wait until the hub hears rings: accept jobs until one is rung for."""
    heard = asyncio.Event()
    the_hub = hub.of_this_loop()
    listen = the_hub.rang

    def rang(job_id: str, audience: str) -> None:
        heard.set()
        listen(job_id, audience)

    the_hub.rang = rang  # type: ignore[method-assign]
    async with asyncio.timeout(30):
        while not heard.is_set():
            job = await in_thread(rows.accepted)
            with suppress(TimeoutError):
                async with asyncio.timeout(0.3):
                    await heard.wait()
        await next_event(reader, job)
    the_hub.rang = listen  # type: ignore[method-assign]


async def test_a_ring_brings_an_event_without_any_poll(layer: Valkey, settings: Settings) -> None:
    settings.VIDEOPROC_HUB_POLL_SECONDS = 3600
    async with joined() as reader:
        job = await in_thread(rows.accepted)
        message = await next_event(reader, job)
        assert (message["event"], message["seq"]) == ("accepted", 1)


@pytest.mark.parametrize("fault", ["killed", "frozen", "flushed"])
async def test_events_come_by_poll_while_the_layer_is_away_and_by_ring_once_it_is_back(
    layer: Valkey, settings: Settings, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(hub, "RETRY_SECONDS", 0.1)
    monkeypatch.setattr(hub, "LAYER_SECONDS", 0.5)
    settings.VIDEOPROC_HUB_POLL_SECONDS = 0.5
    async with joined() as reader:
        if fault == "killed":
            await asyncio.to_thread(layer.kill9)
        elif fault == "frozen":
            layer.pause()
        else:
            with redis.Redis.from_url(layer.url) as client:
                client.flushall()
        job = await in_thread(lambda: rows.finished(rows.accepted()))
        assert [(await next_event(reader, job))["seq"] for _ in range(10)] == list(range(1, 11))
        if fault == "killed":
            await asyncio.to_thread(layer.start)
        elif fault == "frozen":
            layer.resume()
        await rung(reader)
