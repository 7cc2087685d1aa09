"""Row 23: the embedded mode killed whole, again and again, at any moment."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.acceptance.system import orphans
from tests.faults.campaign import Campaign
from tests.faults.system import Faulty, FaultyEmbedded

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200)]


def test_row_23_everything_killed(
    tmp_path: Path,
    campaign: Callable[[Faulty], Campaign],
    short: Path,
    long: Path,
    figures: Callable[..., None],
    full: bool,
) -> None:
    """With -9, at random moments: the database is whole, nobody is told of a lock, and every job ends."""
    times = 500 if full else 20
    dice = random.Random(23)
    system = FaultyEmbedded(tmp_path)
    system.start()
    run = campaign(system)
    slowest = 0.0
    try:
        for turn in range(times):
            if turn % 2 == 0:
                run.upload(long if turn % 8 == 0 else short)
            time.sleep(dice.uniform(0, 1.5))
            pids = system.pids()
            system.kill_all()
            assert orphans(pids) == []
            connection = sqlite3.connect(f"file:{system.data}/videoproc.sqlite3?mode=ro", uri=True)
            try:
                assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            finally:
                connection.close()
            began = time.monotonic()
            system.start()
            slowest = max(slowest, time.monotonic() - began)
            if turn % 20 == 19:
                run.finish(seconds=300)
        assert httpx.get(f"{system.url}/health/ready", timeout=30).json()["status"] == "ready"
        run.finish(seconds=300)
        for log in (system.data / "logs").glob("web.log*"):
            assert "database is locked" not in log.read_text(errors="replace")
        figures(kills=times, jobs=len(run.accepted), slowest_start_s=slowest)
    finally:
        system.stop()
