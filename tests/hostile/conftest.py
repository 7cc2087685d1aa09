"""Fixtures of the attacks: media processes, a listener that nobody may call, web servers and a whole system to attack.

The systems are shared: an attack that leaves one of them worse than it found it has succeeded.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from processing.media.launcher import MediaProcesses


@pytest.fixture(scope="session")
def processes() -> Iterator[MediaProcesses]:
    """Media processes as a worker has them."""
    with MediaProcesses() as processes:
        yield processes


@pytest.fixture
def nobody_calls() -> Iterator[str]:
    """An address that a hostile file may name; the test fails where anything connects to it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
