"""Whatever lies in the broker's queues: the worker lives, keeps its process, and does the next real job.

What names no task or has senseless headers is rejected without requeue, so that RabbitMQ dead-letters it; what cannot
be decoded or does not fit its task is acknowledged, with a line in the log.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from kombu import Connection, Producer

from tests.acceptance.system import ROOT, EmbeddedSystem, environment
from tests.clips import make_clip
from tests.door import eventually
from tests.servers import Servers
from videoproc.servers.process import Command, start
from videoproc.servers.valkey import broker_url, socket_path

QUEUES = ("control", "segments")
JOB = str(uuid4())


class Evil:
    """Would run a command where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return subprocess.call, (["touch", str(self.mark)],)


def body(*arguments: object, **keywords: object) -> bytes:
    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    return json.dumps([arguments, keywords, embed]).encode()


def headers(task: object, **more: object) -> dict[str, Any]:
    return {"lang": "py", "task": task, "id": str(uuid4()), "root_id": None, "parent_id": None, "group": None, **more}


def messages(mark: Path) -> Iterator[dict[str, Any]]:
    """Yield what `Producer.publish` takes."""
    json_type = {"content_type": "application/json", "content_encoding": "utf-8"}
    pickled = pickle.dumps([[Evil(mark)], {}, {}])
    for kind in ("application/x-python-serialize", "application/pickle"):
        task = headers("processing.publish")
        yield {"body": pickled, "content_type": kind, "content_encoding": "binary", "headers": task}
    yaml = f"!!python/object/apply:subprocess.call [[touch, {mark}]]".encode()
    task = headers("processing.publish")
    yield {"body": yaml, "content_type": "application/x-yaml", "content_encoding": "utf-8", "headers": task}
    for task_name in (
        "processing.nobody",
        "os.system",
        "",
        "celery.backend_cleanup",
        7,
        None,
        ["x"],
        {"a": 1},
        "x" * 10_000,
    ):
        yield {"body": body(JOB, 1), "headers": headers(task_name), **json_type}
    for text in (b"", b"{", b"null", b"[]", b"[1]", b"\xff\xfe", b"[" * 100_000, b"NaN"):
        yield {"body": text, "headers": headers("processing.publish"), **json_type}
    for arguments in (
        (),
        ("not an id", 1),
        (JOB,),
        (JOB, 10**30),
        (JOB, "x"),
        (JOB, 1, 2, 3),
        ({}, []),
        (JOB, None),
        ("\0", 1),
    ):
        yield {"body": body(*arguments), "headers": headers("processing.publish"), **json_type}
        yield {"body": body(*arguments), "headers": headers("processing.enhance_segment"), **json_type}
    yield {"body": body(JOB, 1, evil=1), "headers": headers("processing.publish"), **json_type}
    yield {"body": body("x" * 10 * 1024**2, 1), "headers": headers("processing.publish"), **json_type}
    for more in (
        *(
            {"eta": "no time"},
            {"eta": 7},
            {"expires": "never"},
            {"retries": "x"},
            {"timelimit": "x"},
            {"timelimit": [1, 2, 3]},
        ),
        *({"id": None}, {"id": 7}, {"group": 7}, {"shadow": 7}, {"lang": None}, {"stamps": 1, "stamped_headers": 2}),
    ):
        yield {"body": body(JOB, 1), "headers": headers("processing.publish", **more), **json_type}
    yield {"body": body(JOB, 1), "headers": {}, **json_type}
    yield {
        "body": json.dumps({"task": "processing.publish", "id": "1", "args": [JOB, 1]}).encode(),
        "headers": {},
        **json_type,
    }
    chained = {"task": "processing.publish", "args": [JOB, 1], "kwargs": {}, "options": {}}
    for embed in ({"chain": [chained] * 3}, {"callbacks": [chained]}, {"chain": 7}, {"chord": chained}, 7):
        yield {
            "body": json.dumps([[JOB, 1], {}, embed]).encode(),
            "headers": headers("processing.publish"),
            **json_type,
        }


def flood(url: str, mark: Path) -> int:
    """Publish all of them to both queues and return how many."""
    count = 0
    with Connection(url) as connection:
        producer = Producer(connection.channel())
        for message in messages(mark):
            for queue in QUEUES:
                producer.publish(routing_key=f"videoproc.{queue}.v1", **message)
                count += 1
    return count


def waiting(url: str) -> int:
    with Connection(url) as connection:
        channel = connection.channel()
        return sum(channel.queue_declare(f"videoproc.{name}.v1", passive=True).message_count for name in QUEUES)


def dead_letters(url: str) -> list[str]:
    """The tasks named by what workers refused and RabbitMQ put aside; they stay there."""
    with Connection(url) as connection:
        channel = connection.channel()
        names = []
        while (message := channel.basic_get("videoproc.dead.v1")) is not None:
            names.append(str(message.headers.get("task")))
        return names


def test_on_rabbitmq(servers: Servers, tmp_path: Path, rabbitmq_url: str, postgresql_url: str) -> None:
    url, mark, log = servers.fresh_broker(), tmp_path / "evil", tmp_path / "worker.log"
    settings = environment(
        VIDEOPROC_DATA_DIR=str(tmp_path / "data"),
        VIDEOPROC_DATABASE_URL=servers.fresh_database(),
        VIDEOPROC_BROKER_URL=url,
    )
    subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity=0"], cwd=ROOT, env=settings, check=True)
    words = [sys.executable, "-m", "celery", "--app", "celery_app", "worker", "--pool", "threads", "--loglevel", "INFO"]
    worker = start(Command(words=words, environment=settings, folder=ROOT, log=log, grace_seconds=15))
    try:
        eventually(lambda: b" ready." in log.read_bytes(), seconds=60)
        assert flood(url, mark) > 100
        eventually(lambda: waiting(url) == 0, seconds=60)
        eventually(lambda: "processing.nobody" in dead_letters(url), seconds=10)
        assert worker.running
        assert not mark.exists()
        assert log.read_bytes().count(b" ready.") == 1, "it never began anew"
    finally:
        worker.stop()
    assert waiting(url) == 0, "each was acknowledged or rejected"


@pytest.mark.heavy
def test_on_valkey(tmp_path: Path) -> None:
    system = EmbeddedSystem(tmp_path)
    mark = tmp_path / "evil"
    system.start()
    try:
        url = broker_url(socket_path(system.data / "valkey"))
        worker = system._pid("worker", "--pool")
        assert flood(url, mark) > 100
        clip = make_clip(tmp_path / "clip.mp4", frames=12, width=64, height=48)
        answer = httpx.post(f"{system.url}/upload", files={"file": clip.read_bytes()}, timeout=30).json()
        path = f"{system.url}/internal/video-enhancement-status/{answer['file_id']}"
        eventually(lambda: httpx.get(path, timeout=30).json()["status"] == "ready", seconds=120)
        assert system._pid("worker", "--pool") == worker, "it never began anew"
        assert not mark.exists()
    finally:
        system.stop()
