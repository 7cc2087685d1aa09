"""Row 17, beside restarts that hand steps back: a worker that is drained before it is stopped costs nothing at all."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.system import ROOT
from tests.faults.campaign import Campaign
from tests.faults.system import Faulty, FaultyServer, Waiting
from tests.faults.work import redone

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
Begin = Callable[[Faulty], Campaign]
Figures = Callable[..., None]


def test_row_17_drained_before_it_is_stopped(
    server: FaultyServer, campaign: Begin, long: Path, figures: Figures
) -> None:
    """One of two workers under load is drained: it ends its segment, takes no more while there is more to take, and
    not one segment is done twice."""
    run = campaign(server)
    server.end("worker")
    for name in ("worker", "worker-b"):
        server.run(name, variables={"VIDEOPROC_WORKER_SLOTS": "1"})
    files = [run.upload(long) for _ in range(2)]
    jobs = {server.rows.job_of(file_id)["id"] for file_id in files}
    mark = f"-{server.pid('worker')}-"

    def held(state: str) -> list[str]:
        rows = server.rows.ask(f"SELECT worker, job_id FROM processing_step WHERE state = '{state}'")  # noqa: S608
        return [row["worker"] for row in rows if row["job_id"] in jobs and mark in row["worker"]]

    waiting = Waiting(60, "both workers' first steps")
    while not held("running"):
        waiting.again()
    (name,) = set(held("running"))
    began = time.monotonic()
    command = [sys.executable, "manage.py", "drain", name, "--wait"]
    environment = os.environ | {"VIDEOPROC_MODE": "server"} | server._environment
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=60)
    took, done = time.monotonic() - began, len(held("done"))
    assert any(run.state(file_id) != "ready" for file_id in files), "there is more to take"
    run.wait(files[0], "ready", seconds=120)
    assert (len(held("done")), held("running")) == (done, []), "it took nothing more"
    server.end("worker")
    run.finish(seconds=240)
    assert [redone(server, file_id) for file_id in files] == [0, 0]
    server.end("worker-b")
    figures(drained_after_s=took)
