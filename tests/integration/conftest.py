"""Fixtures of the tests against real servers: a web server that lets anybody in, a quick hub, a signed-in client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client
from pytest_django import Settings

from tests.door import Door
from tests.signed_in import client_of

UPLOAD_MAX_BYTES = 80 * 1024**2


@pytest.fixture(scope="session")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A web server without worker or broker; an upload may have 80 MiB."""
    door = Door(tmp_path_factory.mktemp("door"), VIDEOPROC_UPLOAD_MAX_BYTES=str(UPLOAD_MAX_BYTES))
    yield door
    door.stop()


@pytest.fixture
def ada() -> Client:
    """Who owns the rows made without an owner's name."""
    return client_of("ada")


@pytest.fixture
def quick(settings: Settings) -> None:
    """A layer in memory, short times, and storage that nothing else uses."""
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    settings.VIDEOPROC_HUB_TICK_SECONDS = 0.02
    settings.VIDEOPROC_HUB_POLL_SECONDS = 0.4
