"""Rows 1, 2, 4, 5, 16 to 19, 21: what happens to processes of ours, by signal, in the middle of work."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from tests.acceptance.system import orphans
from tests.faults.campaign import Campaign
from tests.faults.system import (
    LEASE_SECONDS,
    RENEW_SECONDS,
    SLACK_SECONDS,
    STALL_SECONDS,
    Faulty,
    FaultyServer,
    Waiting,
    media_processes,
)
from tests.faults.work import attempt_of, caught, is_done, redone, working_on

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
Begin = Callable[[Faulty], Campaign]
Figures = Callable[..., None]
BEGIN_SECONDS = 5.0
"""In which a worker that is there and a step that is free come together; how long its start takes is the machine's."""


def quiet_run(campaign: Campaign, *clips: Path) -> None:
    """Have each clip enhanced once without any fault, so that its digest is known."""
    for clip in clips:
        campaign.upload(clip)
    campaign.finish()


def test_row_01_media_process_killed(faulty: Faulty, campaign: Begin, long: Path, figures: Figures) -> None:
    """At 10, 50 and 90 percent of a segment: that segment runs again at once, and nothing else does."""
    run = campaign(faulty)
    quiet_run(run, long)
    again: list[float] = []
    for share in (0.1, 0.5, 0.9):
        while (seconds := killed_and_done_again(run, long, share=share)) is None:
            continue  # it had handed over its result a moment before
        again.append(seconds)
    run.finish()
    figures(again_after_s=max(again))
    assert max(again) < LEASE_SECONDS + SLACK_SECONDS


def killed_and_done_again(run: Campaign, clip: Path, *, share: float) -> float | None:
    """Kill a media process at `share` of a segment; the seconds until that runs again, None where it was done."""
    file_id, pid, key = caught(run, clip, share=share)
    attempt = attempt_of(run.system, key)
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return None
    waiting = Waiting(30, "the segment again, or its end")
    while attempt_of(run.system, key) == attempt:
        if is_done(run.system, key):
            return None
        waiting.again()
    seconds = waiting.passed_seconds
    run.wait(file_id, "ready", seconds=90)
    assert redone(run.system, file_id) == 1, "nothing but what was killed"
    return seconds


@pytest.mark.fast
def test_row_02_worker_killed(faulty: Faulty, campaign: Begin, long: Path, figures: Figures) -> None:
    """With all its children: the segments run again after their lease; no orphan goes on encoding."""
    run = campaign(faulty)
    file_id = run.upload(long)
    run.wait(file_id, "enhancing")
    job_id = faulty.rows.job_of(file_id)["id"]
    _, key = working_on(faulty, job_id)
    known = workers(faulty)
    pids = faulty.kill("worker")
    # Only now: a second slot may take a segment at any moment. What it held stays so until its lease is over.
    held = sum(step["state"] == "running" for step in faulty.rows.steps(job_id))
    waiting = Waiting(2, "the end of the worker's children")
    while orphans(pids):
        waiting.again()
    if isinstance(faulty, FaultyServer):
        faulty.run("worker")
    lapsed, again = taken_over(faulty, key, known)
    run.finish()
    assert 1 <= redone(faulty, file_id) <= held <= 2, "at most what was in work is lost"
    figures(lapsed_after_s=lapsed, again_after_s=again, redone=redone(faulty, file_id))


def workers(system: Faulty) -> set[str]:
    """Return the names of all workers that were ever seen."""
    return {row["name"] for row in system.rows.ask("SELECT name FROM processing_worker")}


def taken_over(system: Faulty, key: str, known: set[str]) -> tuple[float, float]:
    """Wait until a worker that was not `known` has the segment that a lost one wrote to `key`: the seconds until that
    one's lease was over, and until the segment ran again."""
    attempt = int(Path(key).stem.rsplit("-", 1)[1])
    waiting = Waiting(60, "the segment again")
    lapsed = seen = 0.0
    while attempt_of(system, key) == attempt:
        if not lapsed and any(step["losses"] for step in system.rows.steps(key.split("/")[0])):
            lapsed = waiting.passed_seconds
        if not seen and workers(system) - known:
            seen = waiting.passed_seconds
        waiting.again()
    again = waiting.passed_seconds
    assert (lapsed or again) < LEASE_SECONDS + SLACK_SECONDS
    assert again - max(lapsed, seen) < BEGIN_SECONDS
    return lapsed or again, again


def test_row_02_worker_main_process_alone_killed(faulty: Faulty, campaign: Begin, long: Path) -> None:
    """Without its children: they end with it."""
    run = campaign(faulty)
    file_id = run.upload(long)
    working_on(faulty, faulty.rows.job_of(file_id)["id"])
    worker = faulty.pid("worker")
    family = [worker, *media_processes(faulty)]
    os.kill(worker, signal.SIGKILL)
    waiting = Waiting(3, "the end of the worker and its media processes")
    while orphans(family):
        waiting.again()
    if isinstance(faulty, FaultyServer):
        faulty.run("worker")  # what keeps it may not have ended yet, so `mend` would take it for alive
    run.finish()


def test_row_04_limits_of_a_media_process(faulty: Faulty, campaign: Begin, long: Path, short: Path) -> None:
    """A media process dies by segmentation fault, CPU limit and as the kernel kills for memory: the worker and the
    neighbours are unharmed."""
    run = campaign(faulty)
    worker = faulty.pid("worker")
    for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL):
        hurt, neighbour = run.upload(long), run.upload(short)
        pid, _ = working_on(faulty, faulty.rows.job_of(hurt)["id"])
        os.kill(pid, number)
        run.wait(hurt, "ready", seconds=90)
        run.wait(neighbour, "ready", seconds=90)
        assert redone(faulty, neighbour) == 0
    # The CPU limit is a verdict on the file: the job fails with its code, and is not tried again.
    file_id = run.upload(long)
    pid, _ = working_on(faulty, faulty.rows.job_of(file_id)["id"])
    os.kill(pid, signal.SIGXCPU)
    run.may_end(file_id, "failed")
    run.finish()
    assert faulty.rows.job_of(file_id)["error_code"] == "resource_cpu"
    assert faulty.pid("worker") == worker


def freeze_until_taken(server: FaultyServer, file_id: str) -> float:
    """Freeze the worker in a segment of a video, start another, and return the seconds until that has the segment."""
    _, key = working_on(server, server.rows.job_of(file_id)["id"])
    known = workers(server)
    server.pause("worker")
    server.run("worker-b")
    return taken_over(server, key, known)[1]


@pytest.mark.fast
def test_row_05_worker_frozen(server: FaultyServer, campaign: Begin, long: Path, figures: Figures) -> None:
    """For longer than a lease, then continued: the lease has moved, and the late write is refused."""
    run = campaign(server)
    file_id = run.upload(long)
    moved = freeze_until_taken(server, file_id)
    run.wait(file_id, "ready", seconds=60)
    server.resume("worker")
    run.finish()
    server.end("worker-b")
    assert 1 <= redone(server, file_id) <= 2, "what its slots held"
    figures(lease_moved_after_s=moved, redone=redone(server, file_id))


def test_row_05_worker_frozen_comes_back_in_the_middle(server: FaultyServer, campaign: Begin, long: Path) -> None:
    """Both workers then hold what is one segment's work: one writes, the other finds itself fenced."""
    run = campaign(server)
    freeze_until_taken(server, run.upload(long))
    server.resume("worker")
    run.finish()
    server.end("worker-b")


def test_row_16_clock_an_hour_off(server: FaultyServer, campaign: Begin, long: Path, figures: Figures) -> None:
    """Of one worker, forward and back: no lease is early or late, for only the database's clock counts."""
    run = campaign(server)
    server.end("worker")
    for hours in (1, -1):
        server.run("worker", app="tests.faults.entry", variables={"VIDEOPROC_TEST_CLOCK_HOURS": str(hours)})
        file_id = run.upload(long)
        run.wait(file_id, "ready", seconds=90)
        assert redone(server, file_id) == 0
        # And a lease of the worker with the wrong clock, killed, lapses in time.
        file_id = run.upload(long)
        _, key = working_on(server, server.rows.job_of(file_id)["id"])
        attempt = attempt_of(server, key)
        server.kill("worker")
        waiting = Waiting(LEASE_SECONDS + 3, "the lease's end")
        while not any(s["state"] == "queued" and s["losses"] for s in server.rows.steps(key.split("/")[0])):
            waiting.again()
        lapsed = waiting.passed_seconds
        assert attempt_of(server, key) == attempt
        assert lapsed > LEASE_SECONDS - RENEW_SECONDS - 0.5, "nor early"
        server.run("worker")
        run.wait(file_id, "ready", seconds=90)
        server.end("worker")
        figures(**{f"lapsed_after_s_{hours:+d}h": lapsed})
    server.run("worker")
    run.finish()


def test_row_17_rolling_restart(
    server: FaultyServer, campaign: Begin, long: Path, figures: Figures, full: bool
) -> None:
    """Of two workers in turn, under load: each is gone within two seconds; no failed job, no strike, at most the one
    segment that a slot held is redone."""
    run = campaign(server)
    one_slot = {"VIDEOPROC_WORKER_SLOTS": "1"}
    server.end("worker")
    for name in ("worker", "worker-b"):
        server.run(name, variables=one_slot)
    restarts = 20 if full else 6
    dice = random.Random(17)
    files = [run.upload(long) for _ in range(2)]
    slowest = 0.0
    for turn in range(restarts):
        name = ("worker", "worker-b")[turn % 2]
        if all(run.state(file_id) == "ready" for file_id in files):
            files.append(run.upload(long))
        time.sleep(dice.uniform(0, 1.5))
        began = time.monotonic()
        server.end(name)
        slowest = max(slowest, time.monotonic() - began)
        server.run(name, variables=one_slot)
        waiting = Waiting(60, f"{name} at work again")
        while not is_seen(server, server.pid(name)):
            waiting.again()
    run.finish(seconds=240)
    steps = [step for f in files for step in server.rows.steps(server.rows.job_of(f)["id"])]
    assert all(step["crashes"] == step["losses"] == 0 for step in steps), "no strike"
    assert sum(redone(server, file_id) for file_id in files) <= restarts
    assert slowest < 2
    for name in ("worker", "worker-b"):
        server.end(name)
    figures(restarts=restarts, redone=sum(redone(server, f) for f in files), slowest_stop_s=slowest)


def test_row_17_old_and_new_code_mixed(server: FaultyServer, campaign: Begin, short: Path, figures: Figures) -> None:
    """A worker of an earlier release beside a new one: what new code wrote waits for the new one, without a strike."""
    run = campaign(server)
    server.end("worker")
    server.run("worker-old", app="tests.faults.entry", variables={"VIDEOPROC_TEST_RELEASE": "1"})
    first = run.upload(short)
    job_id = server.rows.job_of(first)["id"]
    waiting = Waiting(30, "the old worker's refusal")
    while "worker_too_old" not in {step["error_code"] for step in server.rows.steps(job_id)}:
        waiting.again()
    server.run("worker")
    files = [first, *(run.upload(short) for _ in range(4))]
    run.finish(seconds=240)
    steps = [step for f in files for step in server.rows.steps(server.rows.job_of(f)["id"])]
    assert {step["attempt"] for step in steps} == {1}
    assert all(step["crashes"] == step["losses"] == 0 for step in steps), "no strike"
    assert not any(f"-{server.pid('worker-old')}-" in step["worker"] for step in steps)
    server.end("worker-old")
    figures(jobs=len(files), slowest_s=max(duration(server, f) for f in files[1:]))


def is_seen(system: FaultyServer, pid: int) -> bool:
    """Whether the worker of this process id has said that it is there."""
    return any(f"-{pid}-" in row["name"] for row in system.rows.ask("SELECT name FROM processing_worker"))


def test_row_18_poison(server: FaultyServer, campaign: Begin, long: Path, short: Path, figures: Figures) -> None:
    """A video that kills whoever touches it, among good ones: three strikes, then it is failed with its reason; the
    good ones take no longer than beside the same video in good health. The rounds are in an order in which a machine
    that grows slower, or faster, favours neither."""
    run = campaign(server)
    good = 50

    def among(*, poison: bool) -> tuple[str, list[str]]:
        first = run.upload(long)
        job_id = server.rows.job_of(first)["id"]
        stop = threading.Event()
        # Looking for processes to kill takes its share of the machine, so it is done beside the healthy one too.
        arguments = (server, job_id if poison else "nobody", stop)
        killer = threading.Thread(target=kill_all_on, args=arguments, daemon=True)
        killer.start()
        try:
            if poison:
                run.may_end(first, "failed")
            others = [run.upload(short) for _ in range(good)]
            run.finish(seconds=300)
        finally:
            stop.set()
            killer.join()
        return job_id, others

    p95: dict[bool, list[float]] = {False: [], True: []}
    for poison in (False, True, True, False):
        job_id, others = among(poison=poison)
        p95[poison].append(percentile([duration(server, file_id) for file_id in others], 95))
        if poison:
            (job,) = [job for job in server.rows.jobs() if job["id"] == job_id]
            assert job["error_code"] == "process_crashed"
            assert max(step["crashes"] for step in server.rows.steps(job_id)) == 2, "the third strike ends the job"
    calm, among_s = mean(p95[False]), mean(p95[True])
    figures(p95_calm_s=calm, p95_among_s=among_s, ratio=among_s / calm)
    assert among_s <= 1.1 * calm


def kill_all_on(system: FaultyServer, job_id: str, stop: threading.Event) -> None:
    """Kill each media process that writes a segment of a job."""
    while not stop.wait(0.01):
        for pid, key in media_processes(system, operation="segment").items():
            if key.startswith(job_id):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue


def duration(system: FaultyServer, file_id: str) -> float:
    """Return the seconds from a job's acceptance to its end."""
    (row,) = system.rows.ask(
        "SELECT extract(epoch FROM ended_at - created_at)::float AS seconds FROM processing_job WHERE upload_id = ?",
        file_id,
    )
    return float(row["seconds"])


def percentile(values: list[float], percent: int) -> float:
    """Return the value that so many percent do not exceed."""
    return sorted(values)[min(len(values) * percent // 100, len(values) - 1)]


def test_row_19_hang(faulty: Faulty, campaign: Begin, long: Path, figures: Figures) -> None:
    """Without CPU or progress: killed at the stall limit, and done again."""
    run = campaign(faulty)
    file_id = run.upload(long)
    pid, key = working_on(faulty, faulty.rows.job_of(file_id)["id"])
    attempt = attempt_of(faulty, key)
    os.kill(pid, signal.SIGSTOP)
    waiting = Waiting(3 * STALL_SECONDS + 5, "another attempt")
    while attempt_of(faulty, key) == attempt:
        waiting.again()
    again = waiting.passed_seconds
    assert STALL_SECONDS - 1 < again < STALL_SECONDS + SLACK_SECONDS
    assert orphans([pid]) == []
    run.finish()
    figures(again_after_s=again)


def test_row_21_dispatchers(server: FaultyServer, campaign: Begin, short: Path, figures: Figures, full: bool) -> None:
    """Killed, and three of them running: nothing is lost, and nothing happens twice."""
    run = campaign(server)
    server.kill("dispatch")
    files = [run.upload(short) for _ in range(3)]
    for name in ("dispatch", "dispatch-b", "dispatch-c"):
        server.run(name)
    files += [run.upload(short) for _ in range(20 if full else 6)]
    server.kill("dispatch-b")
    files += [run.upload(short) for _ in range(3)]
    run.finish(seconds=240)
    attempts: list[Any] = [step["attempt"] for f in files for step in server.rows.steps(server.rows.job_of(f)["id"])]
    assert set(attempts) == {1}, "no step was done twice"
    figures(jobs=len(files), steps=len(attempts))
