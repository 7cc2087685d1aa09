"""Row 20: cancelled in every state."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.campaign import Campaign
from tests.faults.system import Faulty, FaultyServer, Waiting, media_processes

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
Begin = Callable[[Faulty], Campaign]
Figures = Callable[..., None]


@pytest.mark.parametrize("when", ["queued", "enhancing", "joining"])
def test_row_20_cancel(faulty: Faulty, campaign: Begin, long: Path, figures: Figures, when: str) -> None:
    """In each state, twice, and after the end: cancelled at once and idle within two seconds, or 409."""
    run = campaign(faulty)
    if when == "queued":
        faulty.pause("worker")
    file_id = run.upload(long)
    run.may_end(file_id, "cancelled")
    job_id = faulty.rows.job_of(file_id)["id"]
    if when != "queued":
        run.wait(file_id, when, seconds=90)
    began = time.monotonic()
    box = run.box()
    assert box._http.post(f"/api/v1/jobs/{job_id}/cancel").status_code == 200
    assert run.state(file_id) == "cancelled"
    assert box._http.post(f"/api/v1/jobs/{job_id}/cancel").status_code == 409
    if when == "queued":
        faulty.resume("worker")
    waiting = Waiting(2, "idle")
    while media_processes(faulty):
        waiting.again()
    figures(idle_after_s=time.monotonic() - began)
    run.finish()
    assert box._http.post(f"/api/v1/jobs/{job_id}/cancel").status_code == 409
    box.close()


@pytest.mark.parametrize(("state", "gate"), [("probing", "metadata_extracted"), ("publishing", "published")])
def test_row_20_cancel_a_moment_before_its_result_is_stored(
    server: FaultyServer, campaign: Begin, short: Path, tmp_path: Path, figures: Figures, state: str, gate: str
) -> None:
    """In the states that last too short to be met by chance: what the step brings then is void."""
    run = campaign(server)
    held = tmp_path / "gate"
    server.end("worker")
    server.run("worker", app="tests.faults.entry", variables={"VIDEOPROC_TEST_GATE": f"before:{gate}:{held}"})
    file_id = run.upload(short)
    run.may_end(file_id, "cancelled")
    waiting = Waiting(60, "the gate")
    while not held.exists():
        waiting.again()
    assert run.state(file_id) == state
    box = run.box()
    cancel = f"/api/v1/jobs/{server.rows.job_of(file_id)['id']}/cancel"
    assert box._http.post(cancel).status_code == 200
    assert run.state(file_id) == "cancelled"
    held.unlink()
    began = time.monotonic()
    run.finish()
    assert box._http.post(cancel).status_code == 409
    figures(cleaned_after_s=time.monotonic() - began)
    box.close()
    server.end("worker")
