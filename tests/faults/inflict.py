"""The faults of a random campaign: each a function that breaks one thing, mends it, and says what it did.

Invariant: when a fault returns, every process and server that belongs to the system runs or is being started, and all
wires are whole; what it may change about the end of an upload it has told the campaign.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

import httpx

from tests.faults import broker
from tests.faults.campaign import Campaign
from tests.faults.system import Faulty, FaultyServer, Waiting, media_processes

CONNECTION_LOST = (httpx.TransportError,)
WORKERS = ("worker", "worker-b")
T = TypeVar("T")
Fault = Callable[[FaultyServer, Campaign, random.Random, float], str]


def done_steps(system: Faulty) -> int:
    """Return how many steps were ever finished."""
    (row,) = system.rows.ask("SELECT count(*) AS done FROM processing_step WHERE state = 'done'")
    return int(row["done"])


def open_jobs(system: Faulty) -> int:
    """Return how many jobs have not ended."""
    (row,) = system.rows.ask(
        "SELECT count(*) AS open FROM processing_job WHERE state NOT IN ('ready', 'failed', 'cancelled')"
    )
    return int(row["open"])


def steps_at_work(system: Faulty) -> dict[int, int]:
    """Return the attempt of each step that runs, by its key."""
    rows = system.rows.ask("SELECT id AS key, attempt FROM processing_step WHERE state = 'running'")
    return {row["key"]: row["attempt"] for row in rows}


def still_held(system: Faulty, at_work: dict[int, int]) -> bool:
    """Whether a step that was at work has neither ended nor been begun again."""
    rows = system.rows.ask("SELECT id AS key, attempt FROM processing_step WHERE state IN ('queued', 'running')")
    return any(at_work.get(row["key"]) == row["attempt"] for row in rows)


def lost_attempts(system: Faulty) -> Counter[int]:
    """Return how many attempts at each segment, by its step's key, came to nothing so far."""
    rows = system.rows.ask(
        "SELECT id AS key, attempt - 1 AS lost FROM processing_step WHERE kind = 'segment' AND attempt > 1"
    )
    return Counter({row["key"]: int(row["lost"]) for row in rows})


def sought(look: Callable[[], list[T]]) -> list[T]:
    """Return what `look` finds, within ten seconds."""
    until = time.monotonic() + 10
    while not (found := look()) and time.monotonic() < until:
        time.sleep(0.02)
    return found


def signal_media(number: signal.Signals) -> Fault:
    """Return the fault of one media process getting a signal."""

    def fault(system: FaultyServer, run: Campaign, dice: random.Random, seconds: float) -> str:
        found = sought(lambda: sorted(media_processes(system)))
        if not found:
            return "no media process was at work"
        pid = dice.choice(found)
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return "it had just ended"
        return f"{number.name} to a media process"

    return fault


def worker_killed(system: FaultyServer, run: Campaign, dice: random.Random, seconds: float) -> str:
    name = dice.choice(WORKERS)
    system.kill(name)
    time.sleep(seconds / 4)
    system.run(name)
    return name


def worker_frozen(system: FaultyServer, run: Campaign, dice: random.Random, seconds: float) -> str:
    name = dice.choice(WORKERS)
    system.pause(name)
    time.sleep(seconds)
    system.resume(name)
    return f"{name} for {seconds} s"


def worker_restarted(system: FaultyServer, run: Campaign, dice: random.Random, seconds: float) -> str:
    name = dice.choice(WORKERS)
    system.end(name)
    system.run(name)
    return name


def dispatcher_killed(system: FaultyServer, run: Campaign, dice: random.Random, seconds: float) -> str:
    system.kill("dispatch")
    time.sleep(seconds)
    system.run("dispatch")
    return f"away for {seconds} s"


def dispatcher_frozen(system: FaultyServer, run: Campaign, dice: random.Random, seconds: float) -> str:
    system.pause("dispatch")
    time.sleep(seconds)
    system.resume("dispatch")
    return f"for {seconds} s"


def web_killed(system: FaultyServer, run: Campaign, dice: random.Random, seconds: float) -> str:
    system.kill("web")
    time.sleep(seconds / 4)
    system.run("web")
    return "web"


def server_down(which: str, how: str) -> Fault:
    """Return the fault of a server killed or stopped, away for a while, and started again."""

    def fault(system: FaultyServer, run: Campaign, dice: random.Random, seconds: float) -> str:
        server = getattr(system, which)
        server.kill9() if how == "killed" else server.stop()
        time.sleep(seconds)
        server.start()
        return f"{which} {how}, away for {seconds} s"

    return fault


def server_frozen(which: str) -> Fault:
    """Return the fault of a server that holds still with its connections open."""

    def fault(system: FaultyServer, run: Campaign, dice: random.Random, seconds: float) -> str:
        getattr(system, which).pause()
        time.sleep(seconds)
        getattr(system, which).resume()
        return f"{which} for {seconds} s"

    return fault


def broker_wiped(system: FaultyServer, run: Campaign, dice: random.Random, seconds: float) -> str:
    system.empty_broker()
    return "all queues deleted"


def layer_flushed(system: FaultyServer, run: Campaign, dice: random.Random, seconds: float) -> str:
    broker.flush_redis(system.layer.url)
    return "flushed"


def wire_broken(how: str) -> Fault:
    """Return the fault of one wire cut, frozen, slowed down or reset for a while."""

    def fault(system: FaultyServer, run: Campaign, dice: random.Random, seconds: float) -> str:
        key = dice.choice(sorted(system.wires))
        wire = system.wires[key]
        if how == "cut":
            wire.cut()
        elif how == "frozen":
            wire.freeze(*dice.choice(((), ("back",), ("there",))))
        elif how == "slow":
            wire.slow(0.1)
        else:
            wire.reset()
        time.sleep(seconds)
        if how == "frozen":
            wire.reset()
        wire.heal()
        return f"{'-'.join(key)} for {seconds} s"

    return fault


def messages_doubled(system: FaultyServer, run: Campaign, dice: random.Random, seconds: float) -> str:
    steps = sought(
        lambda: system.rows.ask(
            'SELECT s.job_id, s.epoch, s.kind, s."index" AS number FROM processing_step s'
            " JOIN processing_job j ON j.id = s.job_id WHERE j.state NOT IN ('ready', 'failed', 'cancelled')"
        )
    )
    sent = sum(broker.send_hints(system.broker_url, step["job_id"], step, copies=3) for step in steps)
    return f"{sent} messages"


def segment_harmed(system: FaultyServer, run: Campaign, dice: random.Random, seconds: float) -> str:
    rows = sought(
        lambda: system.rows.ask(
            "SELECT s.output FROM processing_step s JOIN processing_job j ON j.id = s.job_id"
            " WHERE s.kind = 'segment' AND s.state = 'done' AND j.state = 'enhancing' ORDER BY s.id"
        )
    )
    if not rows:
        return "no finished segment waited"
    path = system.storage / dice.choice(rows)["output"]
    try:
        data = bytearray(path.read_bytes())
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        path.write_bytes(data)
    except FileNotFoundError:
        return "it had just been cleaned"
    return f"a bit of {path.name}"


def cancelled(system: FaultyServer, run: Campaign, dice: random.Random, seconds: float) -> str:
    found = sought(
        lambda: system.rows.ask(
            "SELECT id, upload_id FROM processing_job WHERE state NOT IN ('ready', 'failed', 'cancelled') ORDER BY id"
        )
    )
    found = [job for job in found if job["upload_id"] in run.accepted]
    if not found:
        return "nothing was at work"
    job = dice.choice(found)
    file_id = str(job["upload_id"])
    # Either may be first: the cancel, or the job's own end.
    run.may_end(file_id, "cancelled", "ready")
    waiting = Waiting(60, "the web server")
    while True:
        box = run.box()
        try:
            box._http.post(f"/api/v1/jobs/{job['id']}/cancel")
            break
        except CONNECTION_LOST:
            waiting.again(0.2)  # it was killed by an earlier fault and is still starting
        finally:
            box.close()
    return file_id


FAULTS: dict[str, Fault] = {
    "media_killed": signal_media(signal.SIGKILL),
    "media_crashed": signal_media(signal.SIGSEGV),
    "media_hung": signal_media(signal.SIGSTOP),
    "worker_killed": worker_killed,
    "worker_frozen": worker_frozen,
    "worker_restarted": worker_restarted,
    "dispatcher_killed": dispatcher_killed,
    "dispatcher_frozen": dispatcher_frozen,
    "web_killed": web_killed,
    "broker_killed": server_down("broker", "killed"),
    "broker_stopped": server_down("broker", "stopped"),
    "broker_frozen": server_frozen("broker"),
    "broker_wiped": broker_wiped,
    "database_killed": server_down("database", "killed"),
    "database_stopped": server_down("database", "stopped"),
    "database_frozen": server_frozen("database"),
    "layer_killed": server_down("layer", "killed"),
    "layer_flushed": layer_flushed,
    "layer_frozen": server_frozen("layer"),
    "wire_cut": wire_broken("cut"),
    "wire_frozen": wire_broken("frozen"),
    "wire_slow": wire_broken("slow"),
    "wire_reset": wire_broken("reset"),
    "messages_doubled": messages_doubled,
    "segment_harmed": segment_harmed,
    "cancelled": cancelled,
}
