"""Rows 3, 6 to 12, 15: kills between two writes, and what happens to the servers and the wires to them."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults import broker
from tests.faults.campaign import Campaign
from tests.faults.system import HINT_SECONDS, LEASE_SECONDS, STALL_SECONDS, Faulty, FaultyServer, Waiting
from tests.faults.work import redone, working_on

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
Begin = Callable[[Faulty], Campaign]
Figures = Callable[..., None]


@pytest.mark.parametrize("name", ["segment_enhanced", "joined", "published"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_row_03_killed_around_the_commit(
    server: FaultyServer, campaign: Begin, short: Path, tmp_path: Path, when: str, name: str
) -> None:
    """Between the file and its row: done again, with the same digest; between the row and the acknowledgement: the
    message that comes again does nothing."""
    run = campaign(server)
    gate = tmp_path / "gate"
    server.end("worker")
    server.run("worker", app="tests.faults.entry", variables={"VIDEOPROC_TEST_GATE": f"{when}:{name}:{gate}"})
    file_id = run.upload(short)
    waiting = Waiting(60, "the gate")
    while not gate.exists():
        waiting.again()
    server.kill("worker")
    server.run("worker")
    run.finish()
    steps = server.rows.steps(server.rows.job_of(file_id)["id"])
    hit = [step for step in steps if step["attempt"] > 1]
    # The gate holds both slots' segments; a commit that happened is not done again.
    assert len(hit) in ({1, 2} if when == "before" else {0, 1, 2} if name == "segment_enhanced" else {0})


@pytest.mark.fast
def test_row_06_broker_down_at_upload(faulty: Faulty, campaign: Begin, short: Path, figures: Figures) -> None:
    """201 as ever; the job starts within five seconds of its return."""
    run = campaign(faulty)
    faulty.stop_broker()
    try:
        began = time.monotonic()
        file_id = run.upload(short)
        answered = time.monotonic() - began
        assert run.state(file_id) == "queued"
    finally:
        faulty.start_broker()
    started = run.wait(file_id, "probing", "enhancing", "joining", "publishing", "ready", seconds=20)
    assert answered < 2
    assert started < 5
    run.finish()
    figures(upload_s=answered, started_after_s=started)


def test_row_07_broker_restarted(
    server: FaultyServer, campaign: Begin, long: Path, figures: Figures, full: bool
) -> None:
    """Again and again in the middle of jobs: nothing is lost, and there is no second result."""
    run = campaign(server)
    restarts = 20 if full else 4
    files = [run.upload(long)]
    for turn in range(restarts):
        server.broker.kill9() if turn % 2 else server.broker.stop()
        files.append(run.upload(long))
        server.broker.start()
        waiting = Waiting(60, "a step done after the broker's return")
        before = done_steps(server)
        while done_steps(server) == before:
            waiting.again()
    run.finish(seconds=240)
    figures(restarts=restarts, jobs=len(files), redone=sum(redone(server, file_id) for file_id in files))


def done_steps(system: Faulty) -> int:
    """Return how many steps were ever finished."""
    (row,) = system.rows.ask("SELECT count(*) AS done FROM processing_step WHERE state = 'done'")
    return int(row["done"])


def test_row_07_broker_wiped(faulty: Faulty, campaign: Begin, short: Path, figures: Figures) -> None:
    """With messages waiting and the worker away: all is published again within 10 s of a hint's time."""
    run = campaign(faulty)
    run.upload(short)  # by its end every process has published, and will not declare its queues again
    run.finish()
    faulty.pause("worker")
    files = [run.upload(short) for _ in range(3)]
    waiting = Waiting(10, "the hints")
    while faulty.rows.ask("SELECT id FROM processing_step WHERE state = 'queued' AND hinted_at IS NULL"):
        waiting.again()
    if isinstance(faulty, FaultyServer):
        faulty.empty_broker()
    else:
        broker.flush_valkey(faulty.data)
    faulty.resume("worker")
    waiting = Waiting(HINT_SECONDS + 10, "the first start")
    while all(run.state(file_id) == "queued" for file_id in files):
        waiting.again()
    started = waiting.passed_seconds
    run.finish()
    figures(started_after_s=started)


def test_row_07_broker_killed_right_after_its_queues_were_made(
    server: FaultyServer, campaign: Begin, short: Path, figures: Figures
) -> None:
    """A quorum queue that lost its leader for good: its messages are only hints, so it is made anew."""
    run = campaign(server)
    server.end("worker")
    server.end("dispatch")
    server.empty_broker()
    server.run("worker")
    server.run("dispatch")
    waiting = Waiting(30, "the queues")
    while not broker.queues_exist(server.broker_url):
        waiting.again()
    server.broker.kill9()
    server.broker.start()
    file_id = run.upload(short)
    started = run.wait(file_id, "probing", "publishing", "enhancing", "joining", "ready", seconds=120)
    run.finish(seconds=120)
    figures(started_after_s=started)
    assert started < 30


def test_row_08_broker_alarm(server: FaultyServer, campaign: Begin, short: Path, figures: Figures) -> None:
    """Publishers blocked by a memory alarm: HTTP does not notice; the backlog drains afterwards."""
    run = campaign(server)
    broker.raise_alarm(server.broker)
    try:
        slowest = 0.0
        for _ in range(5):
            began = time.monotonic()
            run.upload(short)
            slowest = max(slowest, time.monotonic() - began)
        time.sleep(6)  # longer than a publisher waits for a confirmation
        began = time.monotonic()
        run.upload(short)
        slowest = max(slowest, time.monotonic() - began)
    finally:
        broker.clear_alarm(server.broker)
    began = time.monotonic()
    run.finish(seconds=180)
    assert slowest < 5
    figures(slowest_upload_s=slowest, drained_after_s=time.monotonic() - began)


def test_row_09_cut_before_the_confirm(server: FaultyServer, campaign: Begin, short: Path, figures: Figures) -> None:
    """Messages arrive, their confirmations do not, and the connection is cut: one execution wins."""
    run = campaign(server)
    files = []
    for _ in range(4):
        for kind in ("worker", "dispatch"):
            server.wires[kind, "broker"].freeze("back")
        files.append(run.upload(short))
        time.sleep(1)  # a pass of the dispatcher: its message is with the broker by now
        for kind in ("worker", "dispatch"):
            server.wires[kind, "broker"].reset()
            server.wires[kind, "broker"].heal()
    run.finish(seconds=180)
    figures(jobs=len(files), redone=sum(redone(server, file_id) for file_id in files))


@pytest.mark.fast
def test_row_09_one_message_five_times_and_stale_ones(
    server: FaultyServer, campaign: Begin, short: Path, figures: Figures
) -> None:
    """Five copies at once, of every step, from the epoch at work and from others: one execution wins."""
    run = campaign(server)
    file_id = run.upload(short)
    job_id = server.rows.job_of(file_id)["id"]
    sent = 0
    while run.state(file_id) not in {"ready", "failed"}:
        for step in server.rows.steps(job_id):
            sent += broker.send_hints(server.broker_url, job_id, step, copies=5)
        time.sleep(0.2)
    for step in server.rows.steps(job_id):
        sent += broker.send_hints(server.broker_url, job_id, step | {"epoch": step["epoch"] + 1}, copies=5)
    run.finish()
    assert all(step["attempt"] == 1 for step in server.rows.steps(job_id))
    waiting = Waiting(30, "the queues empty")
    while broker.waiting_messages(server.broker_url):
        waiting.again()
    figures(messages=sent)


def test_row_10_consumer_timeout(server: FaultyServer, campaign: Begin, long: Path, figures: Figures) -> None:
    """The broker closes the channel of a consumer that holds a message too long: the work goes on or is done again,
    and the worker goes on consuming."""
    run = campaign(server)
    broker.set_consumer_timeout(server.broker, milliseconds=2000, look_each=500)
    try:
        server.end("worker")
        server.run("worker")
        file_id = run.upload(long)
        pid, _ = working_on(server, server.rows.job_of(file_id)["id"])
        log = server.folder / "worker.log"
        said_before = log.stat().st_size
        os.kill(pid, signal.SIGSTOP)  # the step holds its message for longer than the broker allows
        waiting = Waiting(STALL_SECONDS, "the end of the channel")
        while b"delivery acknowledgement on channel" not in log.read_bytes()[said_before:]:
            waiting.again()
        os.kill(pid, signal.SIGCONT)
        after = run.upload(long)
        run.finish(seconds=180)
        assert server.alive("worker")
    finally:
        broker.set_consumer_timeout(server.broker, milliseconds=1_800_000, look_each=60_000)
    figures(redone=redone(server, file_id) + redone(server, after))


@pytest.mark.parametrize("how", ["flushed", "killed", "gone"])
def test_row_11_layer(
    server: FaultyServer, campaign: Begin, short: Path, figures: Figures, full: bool, how: str
) -> None:
    """Redis flushed, killed, gone: jobs do not notice; clients are whole again soon."""
    run = campaign(server)
    first = run.upload(short)
    if how == "flushed":
        broker.flush_redis(server.layer.url)
    else:
        server.layer.kill9()
    second = run.upload(short)
    if how == "gone":
        run.wait(first, "ready", seconds=60)
        run.wait(second, "ready", seconds=60)
        time.sleep(60 if full else 10)
    server.layer.start()
    began = time.monotonic()
    third = run.upload(short)
    waiting = Waiting(15, "an event of a job uploaded after the layer's return")
    while run.watcher.seq(third) < 2:
        waiting.again()
    whole = time.monotonic() - began
    run.finish()
    assert {step["attempt"] for file_id in (first, second, third) for step in steps_of(server, file_id)} == {1}
    assert strikes(server, run) == 0, "jobs did not notice"
    figures(whole_after_s=whole)


def steps_of(system: Faulty, file_id: str) -> list[dict[str, Any]]:
    """Return the steps of an upload's job."""
    return system.rows.steps(system.rows.job_of(file_id)["id"])


def test_row_12_database_restarted(
    server: FaultyServer, campaign: Begin, short: Path, long: Path, figures: Figures, full: bool
) -> None:
    """At random moments: 503 with Retry-After, no attempt burned, no acknowledged write lost."""
    run = campaign(server)
    dice = random.Random(12)
    restarts = 20 if full else 5
    statuses: list[int] = []
    pids = {name: server.pid(name) for name in ("worker", "dispatch", "web")}
    run.upload(long)
    for turn in range(restarts):
        server.database.stop() if turn % 2 else server.database.kill9()
        statuses.append(try_while_away(run, short))
        server.database.start()
        run.upload(short)
        time.sleep(dice.uniform(0, 2))
    run.finish(seconds=240)
    assert set(statuses) <= {503, 201}
    assert pids == {name: server.pid(name) for name in pids}, "nothing crashed"
    figures(restarts=restarts, answers=sorted(set(statuses)), strikes=strikes(server, run))
    assert strikes(server, run) == 0


def strikes(system: FaultyServer, run: Campaign) -> int:
    """Return how many strikes the steps of a campaign have."""
    jobs = [system.rows.job_of(file_id)["id"] for file_id in run.accepted]
    return sum(step["crashes"] + step["losses"] for job in jobs for step in system.rows.steps(job))


def try_while_away(run: Campaign, clip: Path) -> int:
    """Upload while the database is away; the answer says when to come again."""
    response = run.try_upload(clip)
    if response.status_code == 503:
        assert int(response.headers["Retry-After"]) > 0
        assert response.json()["retryable"] is True
    return response.status_code


def test_row_12_database_gone(
    server: FaultyServer, campaign: Begin, short: Path, long: Path, figures: Figures, full: bool
) -> None:
    """For a long time: everything waits, and is whole again soon after its return."""
    run = campaign(server)
    pids = {name: server.pid(name) for name in ("worker", "dispatch", "web")}
    file_id = run.upload(long)
    working_on(server, server.rows.job_of(file_id)["id"])
    server.database.stop()
    gone = time.monotonic() + (300 if full else 60)
    answers = set()
    while time.monotonic() < gone:
        answers.add(try_while_away(run, short))
        time.sleep(1)
    server.database.start()
    began = time.monotonic()
    while run.try_upload(short).status_code != 201:
        assert time.monotonic() - began < 60
        time.sleep(0.2)
    accepting = time.monotonic() - began
    before = done_steps(server)
    waiting = Waiting(60, "work going on")
    while done_steps(server) == before:
        waiting.again()
    figures(answers=sorted(answers), accepting_after_s=accepting, working_after_s=time.monotonic() - began)
    run.finish(seconds=180)
    assert answers == {503}
    assert pids == {name: server.pid(name) for name in pids}, "nothing crashed"
    figures(strikes=strikes(server, run))
    assert strikes(server, run) == 0


def test_row_12_database_and_dispatcher_restarted_together(
    server: FaultyServer, campaign: Begin, long: Path, figures: Figures
) -> None:
    """As by a reboot of their machine, away for longer than a lease: what workers held all the while stays theirs."""
    run = campaign(server)
    file_id = run.upload(long)
    working_on(server, server.rows.job_of(file_id)["id"])
    server.database.stop()
    server.kill("dispatch")
    time.sleep(LEASE_SECONDS + 1)
    server.database.start()
    server.run("dispatch")
    run.finish(seconds=120)
    assert strikes(server, run) == 0
    figures(redone=redone(server, file_id))


def test_row_12_database_out_of_connections(
    server: FaultyServer, campaign: Begin, short: Path, figures: Figures
) -> None:
    """503 with Retry-After while it lasts; all goes on afterwards."""
    run = campaign(server)
    pids = {name: server.pid(name) for name in ("worker", "dispatch", "web")}
    first = run.upload(short)
    with broker.all_connections(server.database):
        server.wires["worker", "database"].reset()
        answers = {try_while_away(run, short) for _ in range(2)}
    run.upload(short)
    run.finish(seconds=120)
    assert answers <= {503, 201}
    assert run.state(first) == "ready"
    assert pids == {name: server.pid(name) for name in pids}, "nothing crashed"
    assert strikes(server, run) == 0
    figures(answers=sorted(answers))


@pytest.mark.parametrize("services", ["database", "broker", "database broker layer"])
@pytest.mark.parametrize("how", ["cut", "frozen"])
def test_row_15_partition(
    server: FaultyServer, campaign: Begin, long: Path, figures: Figures, services: str, how: str
) -> None:
    """Of a worker from one or all servers, for longer than a lease: the fence holds; whole again within a minute."""
    run = campaign(server)
    file_id = run.upload(long)
    working_on(server, server.rows.job_of(file_id)["id"])
    wires = [server.wires["worker", service] for service in services.split()]
    for wire in wires:
        wire.cut() if how == "cut" else wire.freeze()
    time.sleep(LEASE_SECONDS + 2)
    for wire in wires:
        if how == "frozen":
            wire.reset()  # a wire comes back with new connections: the old ones were given up on the other side
        wire.heal()
    began = time.monotonic()
    before = done_steps(server)
    waiting = Waiting(60, "work going on")
    while done_steps(server) == before and run.state(file_id) != "ready":
        waiting.again()
    figures(working_after_s=time.monotonic() - began)
    run.finish(seconds=120)
    assert redone(server, file_id) <= 2, "what its slots held"
    figures(redone=redone(server, file_id))
