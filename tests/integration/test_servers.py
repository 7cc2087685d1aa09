"""The private servers: each answers, keeps its data through a crash, ends without a trace, bears a second beside it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import amqp
import psycopg
import pytest
import redis

from videoproc.servers.errors import FolderUnusable, ServerFailed
from videoproc.servers.postgres import PostgreSQL
from videoproc.servers.process import Command, start
from videoproc.servers.rabbitmq import RabbitMQ
from videoproc.servers.redis import Redis
from videoproc.servers.server import Server, check_reach, unprivileged_user
from videoproc.servers.valkey import LONGEST_SOCKET_PATH_BYTES, Valkey

LOOPBACK = {"0100007F", "00000000000000000000000001000000"}
"""127.0.0.1 and ::1 as /proc/net/tcp and tcp6 write them; epmd always adds the latter."""
REPOSITORY = Path(__file__).resolve().parents[2]


def write_row(server: Server, value: str) -> None:
    """Commit `value` to PostgreSQL."""
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (value text)")
        connection.execute("INSERT INTO kept VALUES (%s)", [value])


def read_rows(server: Server) -> list[str]:
    """All values committed."""
    with psycopg.connect(server.url) as connection:
        return [value for (value,) in connection.execute("SELECT value FROM kept ORDER BY value")]


def push(server: Server, value: str) -> None:
    """Append `value` to a list in Redis or Valkey."""
    with redis.Redis.from_url(server.url) as client:
        client.rpush("kept", value)


def pull(server: Server) -> list[str]:
    """The whole list."""
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        return client.lrange("kept", 0, -1)


def amqp_connection(url: str) -> amqp.Connection:
    """A connection that waits for the broker's confirmation of what it publishes."""
    parts = urlsplit(url)
    return amqp.Connection(
        host=f"{parts.hostname}:{parts.port}",
        userid=parts.username,
        password=parts.password,
        virtual_host=parts.path[1:],
        confirm_publish=True,
        connect_timeout=10,
    )


def publish(server: Server, value: str) -> None:
    """Publish `value` to a quorum queue and wait until the broker has it."""
    with amqp_connection(server.url) as connection:
        channel = connection.channel()
        channel.queue_declare("kept", durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
        channel.basic_publish_confirm(amqp.Message(value, delivery_mode=2), routing_key="kept")
    # RabbitMQ 3.10 confirms a new quorum queue seconds before it writes its name down, and a crash between the two
    # leaves the queue without a leader for ever; what is tested here is our harness, not that.
    names = next(server.folder.glob("data/*/quorum/*/names.dets"))
    wait_until(lambda: b"videoproc_kept" in names.read_bytes(), seconds=20)


def consume(server: Server) -> list[str]:
    """Every message of that queue; none is acknowledged, so all stay."""
    with amqp_connection(server.url) as connection:
        channel = connection.channel()
        found = []
        while (message := channel.basic_get("kept")) is not None:
            found.append(message.body)
        return sorted(found)


KINDS: dict[type[Server], tuple[Callable[[Server, str], None], Callable[[Server], list[str]]]] = {
    PostgreSQL: (write_row, read_rows),
    RabbitMQ: (publish, consume),
    Redis: (push, pull),
    Valkey: (push, pull),
}


def alive(pids: list[int]) -> list[int]:
    """Those of `pids` that still run."""
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@pytest.fixture
def spare() -> Iterator[list[Server]]:
    """Servers put in here are stopped when the test ends, however it ends."""
    servers: list[Server] = []
    yield servers
    for server in servers:
        server.stop()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_keeps_its_data_and_address_through_crash_and_restart(
    kind: type[Server], server_folder: Path, spare: list[Server]
) -> None:
    write, read = KINDS[kind]
    server = kind(server_folder / "one")
    spare.append(server)
    server.start()
    url, before = server.url, server.pids
    write(server, "a")
    server.kill9()
    assert not server.running
    assert alive(before) == []

    server.start()
    assert server.url == url
    assert read(server) == ["a"]
    write(server, "b")
    last = server.pids
    assert set(last).isdisjoint(before)
    server.stop()
    assert alive(last) == []
    assert server.pids == []

    # A new object over the same folder, as after a restart of the whole program, finds the data.
    again = kind(server_folder / "one")
    spare.append(again)
    again.start()
    assert read(again) == ["a", "b"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_two_side_by_side_know_nothing_of_each_other(
    kind: type[Server], server_folder: Path, spare: list[Server]
) -> None:
    write, read = KINDS[kind]
    spare += [kind(server_folder / name, durable=False) for name in ("one", "two")]
    first, second = spare
    first.start()
    second.start()
    write(first, "first")
    write(second, "second")
    assert (read(first), read(second)) == (["first"], ["second"])
    first.stop()
    assert read(second) == ["second"]


def listening_addresses(pids: list[int]) -> set[str]:
    """The local addresses on which any of these processes listens, in the kernel's hexadecimal form."""
    sockets = set()
    for pid in pids:
        # A helper of PostgreSQL's may end while we look.
        with contextlib.suppress(FileNotFoundError):
            targets = [str(handle.readlink()) for handle in Path(f"/proc/{pid}/fd").iterdir()]
            sockets |= {target[8:-1] for target in targets if target.startswith("socket:[")}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in sockets:
                found.add(fields[1].split(":")[0])
    return found


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_listens_on_loopback_alone(kind: type[Server], server_folder: Path, spare: list[Server]) -> None:
    server = kind(server_folder / "one", durable=False)
    spare.append(server)
    server.start()
    addresses = listening_addresses(server.pids)
    assert addresses <= LOOPBACK
    assert bool(addresses) == (kind is not Valkey)


def test_refuses_a_client_without_the_password(postgresql_url: str, redis_url: str, rabbitmq_url: str) -> None:
    def without(url: str) -> str:
        parts = urlsplit(url)
        return parts._replace(netloc=f"{parts.username}:wrong@{parts.hostname}:{parts.port}").geturl()

    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(without(postgresql_url))
    with redis.Redis.from_url(without(redis_url)) as client, pytest.raises(redis.AuthenticationError):
        client.ping()
    connection = amqp_connection(without(rabbitmq_url))
    with pytest.raises(amqp.AccessRefused):
        connection.connect()
    connection.collect()


def test_a_paused_server_is_silent_and_goes_on_where_it_was(server_folder: Path, spare: list[Server]) -> None:
    server = Redis(server_folder / "one", durable=False)
    spare.append(server)
    server.start()
    with redis.Redis.from_url(server.url, socket_timeout=0.3) as client:
        client.set("kept", "1")
        server.pause()
        with pytest.raises(redis.TimeoutError):
            client.get("kept")
        server.resume()
        assert client.get("kept") == b"1"
    server.pause()
    server.stop()
    assert not server.running


ORPHAN_MAKER = """
import pathlib, sys, threading, time
from videoproc.servers.{module} import {name}
server = {name}(pathlib.Path(sys.argv[1]), durable=False)
# From a thread that ends at once: a parent-death signal set by it would fire now.
starter = threading.Thread(target=server.start)
starter.start()
starter.join()
print(*server.pids, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("kind", [PostgreSQL, RabbitMQ], ids=lambda kind: kind.name)
def test_ends_when_the_process_that_started_it_is_killed(kind: type[Server], server_folder: Path) -> None:
    script = ORPHAN_MAKER.format(module=kind.__module__.rpartition(".")[2], name=kind.__name__)
    with subprocess.Popen(
        [sys.executable, "-c", script, str(server_folder / "one")], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as starter:
        try:
            assert starter.stdout is not None
            pids = [int(word) for word in starter.stdout.readline().split()]
            # Not all of them: PostgreSQL's answer to the first connection has ended by now.
            assert len(alive(pids)) >= 2
        finally:
            starter.kill()
    wait_until(lambda: alive(pids) == [], seconds=30)


def test_nothing_is_left_when_the_keeper_itself_is_killed(server_folder: Path) -> None:
    log = server_folder / "log"
    process = start(
        Command(words=["/bin/sleep", "600"], environment={"PATH": os.defpath}, folder=server_folder, log=log)
    )
    keeper, command = process.pids
    assert command == process.pid
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: alive([command]) == [], seconds=10)
    process.stop()


def test_a_grandchild_that_left_its_session_ends_too(server_folder: Path) -> None:
    script = "setsid sleep 601 & echo started; wait"
    process = start(
        Command(
            words=["/bin/sh", "-c", script],
            environment={"PATH": os.environ["PATH"]},
            folder=server_folder,
            log=server_folder / "log",
        )
    )
    wait_until(lambda: len(process.pids) >= 3, seconds=10)
    pids = process.pids
    process.stop()
    assert alive(pids) == []


def test_one_that_ignores_the_request_is_killed_after_its_grace(server_folder: Path) -> None:
    log = server_folder / "log"
    process = start(
        Command(
            words=["/bin/sh", "-c", 'trap "" TERM; echo ready; while :; do sleep 0.1; done'],
            environment={"PATH": os.environ["PATH"]},
            folder=server_folder,
            log=log,
            grace_seconds=0.5,
        )
    )
    wait_until(lambda: "ready" in log.read_text(), seconds=10)
    asked = time.monotonic()
    assert process.stop() == 128 + signal.SIGKILL
    assert 0.4 < time.monotonic() - asked < 8


def test_says_why_a_server_did_not_start(server_folder: Path) -> None:
    server = Redis(server_folder / "one", durable=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", server.port))
        taken.listen()
        with pytest.raises(ServerFailed, match=r"(?s)redis ended while starting.*Address already in use"):
            server.start()
    assert not server.running
    server.start()
    server.stop()


def test_a_program_that_cannot_be_executed_is_a_sentence(server_folder: Path) -> None:
    command = Command(words=["/nonexistent/server"], environment={}, folder=server_folder, log=server_folder / "log")
    with pytest.raises(ServerFailed, match="/nonexistent/server could not be started"):
        start(command)


def test_the_embedded_socket_is_short_and_private_however_long_the_folder(
    server_folder: Path, spare: list[Server]
) -> None:
    server = Valkey(server_folder / ("long name " * 12) / "data", durable=False)
    spare.append(server)
    server.start()
    assert len(os.fsencode(server.socket)) <= LONGEST_SOCKET_PATH_BYTES
    assert stat.S_IMODE(server.socket.parent.stat().st_mode) == 0o700
    push(server, "a")
    server.stop()
    assert not server.socket.parent.exists()


def test_refuses_a_socket_folder_that_others_may_enter(server_folder: Path) -> None:
    server = Valkey(server_folder / "one", durable=False)
    server.socket.parent.mkdir(mode=0o700)
    server.socket.parent.chmod(0o777)
    with pytest.raises(FolderUnusable, match="not a private folder"):
        server.start()
    server.socket.parent.rmdir()


def test_one_folder_has_one_server_at_a_time(
    server_folder: Path, spare: list[Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("videoproc.servers.server.LOCK_SECONDS", 0.2)
    first, second = Valkey(server_folder / "one"), Valkey(server_folder / "one")
    spare += [first, second]
    first.start()
    with pytest.raises(FolderUnusable, match="another valkey runs on"):
        second.start()
    second.stop()
    push(first, "a")
    first.stop()
    second.start()
    assert pull(second) == ["a"]


def test_secrets_are_the_owners_alone(server_folder: Path, spare: list[Server]) -> None:
    server = Redis(server_folder / "one", durable=False)
    spare.append(server)
    server.start()
    for name in ("password", "redis.conf"):
        assert stat.S_IMODE((server.folder / name).stat().st_mode) == 0o600


def test_a_closed_folder_on_the_way_is_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "data").mkdir(parents=True)
    tmp_path.chmod(0o711)
    closed.chmod(0o700)
    user = unprivileged_user()
    if user is None:  # a plain user's servers run as that user, whose own folders are open to it
        assert os.geteuid() != 0
    else:
        with pytest.raises(FolderUnusable, match="is closed to others"):
            check_reach(closed / "data", user)


def wait_until(condition: Callable[[], bool], *, seconds: float) -> None:
    """Poll until the condition holds; a failed assertion when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
