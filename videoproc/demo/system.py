"""The service under the demo: `manage.py up` on a free port, over a data folder that lives as long as the demo.

Invariant: when the block ends, however it ends, no process of it is left and its data folder is gone.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from videoproc.servers.process import Command, Process, start, tail

READY = re.compile(r"^ready: (http://\S+?)/?(?:\s|$)", re.MULTILINE)
SIGN_IN = re.compile(r"^sign in .*?(http://\S+)$", re.MULTILINE)
READY_SECONDS = 120.0
GRACE_SECONDS = 30.0
PLACES = frozenset(
    (
        "VIDEOPROC_MODE",
        "VIDEOPROC_STORAGE_DIR",
        "VIDEOPROC_STATIC_DIR",
        "VIDEOPROC_DATABASE_URL",
        "VIDEOPROC_BROKER_URL",
    )
) | {"VIDEOPROC_CHANNEL_LAYER_URL"}
"""What a person may have set for an installation of their own; the demo keeps away from it."""


class SystemFailed(Exception):
    """The service did not come up; the message ends with what its log says."""


class System:
    """A running service: its address, and how to sign in with a browser."""

    def __init__(self, process: Process, url: str, sign_in_url: str | None) -> None:
        self._process = process
        self.url = url
        self.sign_in_url = sign_in_url

    @property
    def running(self) -> bool:
        """Whether it is still there."""
        return self._process.running


@contextmanager
def running_system(manage: Path, parent: Path) -> Iterator[System]:
    """Run the service by the script `manage`, its data in a new folder below `parent`, within the block.

    Raises SystemFailed where it does not come up.
    """
    data = Path(tempfile.mkdtemp(prefix="data-", dir=parent)).resolve()
    log = data / "up.log"
    environment = {name: value for name, value in os.environ.items() if name not in PLACES}
    try:
        process = start(
            Command(
                words=[sys.executable, manage, "up", "--port", "0"],
                environment=environment | {"VIDEOPROC_DATA_DIR": str(data), "PYTHONUNBUFFERED": "1"},
                folder=manage.parent,
                log=log,
                grace_seconds=GRACE_SECONDS,
            )
        )
        try:
            yield _once_ready(process, log)
        finally:
            process.stop()
    finally:
        shutil.rmtree(data, ignore_errors=True)


def _once_ready(process: Process, log: Path) -> System:
    give_up = time.monotonic() + READY_SECONDS
    while True:
        said = log.read_text(errors="replace")
        ready, sign_in = READY.search(said), SIGN_IN.search(said)
        if ready and (sign_in or said.count("\n", ready.end()) > 2):
            return System(process, ready[1], sign_in[1] if sign_in else None)
        if not process.running or time.monotonic() > give_up:
            state = f"not ready after {READY_SECONDS:g} s" if process.running else "ended at once"
            raise SystemFailed(f"the service {state}; {tail(log)}")
        time.sleep(0.1)
