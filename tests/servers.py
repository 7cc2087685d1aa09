"""The servers of a test run: each started once, when first needed, several at a time, and stopped at its end.

An address in the environment (VIDEOPROC_TEST_DATABASE_URL, _BROKER_URL, _REDIS_URL) takes a server's place; what it
reaches is for tests alone, for they create databases in it, delete queues and empty it.
"""

from __future__ import annotations

import itertools
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import amqp
import redis
from kombu.utils.url import parse_url

from videoproc.servers.postgres import PostgreSQL, create_database
from videoproc.servers.rabbitmq import RabbitMQ
from videoproc.servers.redis import DATABASES, Redis
from videoproc.servers.s3 import Swift
from videoproc.servers.server import Server
from videoproc.servers.valkey import Valkey

KINDS: dict[str, type[Server]] = {
    "postgresql": PostgreSQL,
    "rabbitmq": RabbitMQ,
    "redis": Redis,
    "swift": Swift,
    "valkey": Valkey,
}
GIVEN = {
    "postgresql": "VIDEOPROC_TEST_DATABASE_URL",
    "rabbitmq": "VIDEOPROC_TEST_BROKER_URL",
    "redis": "VIDEOPROC_TEST_REDIS_URL",
}


class Servers:
    """The servers of this run, in folders below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pool = ThreadPoolExecutor(max_workers=len(KINDS), thread_name_prefix="server")
        self._lock = threading.Lock()
        self._started: dict[str, Future[Server]] = {}
        self._numbers = itertools.count(1)

    def given(self, kind: str) -> str | None:
        """The address in the environment, where there is one."""
        return os.environ.get(GIVEN.get(kind, ""), "") or None

    def begin(self, kind: str) -> None:
        """Start a server in the background; nothing if it was begun before or an address is given."""
        if self.given(kind) is None:
            self._future(kind)

    def server(self, kind: str) -> Server:
        """Our own server, started."""
        return self._future(kind).result()

    def url(self, kind: str) -> str:
        """Where `kind` answers."""
        return self.given(kind) or self.server(kind).url

    def fresh_database(self) -> str:
        """The url of a new PostgreSQL database, empty."""
        return create_database(self.url("postgresql"), f"videoproc_test_{os.getpid()}_{next(self._numbers)}")

    def fresh_broker(self) -> str:
        """The url of a virtual host without queues: a new one, or the given one emptied of ours."""
        given = self.given("rabbitmq")
        if given is not None:
            delete_queues(given)
            return given
        server = self.server("rabbitmq")
        assert isinstance(server, RabbitMQ)
        return server.fresh_virtual_host()

    def fresh_redis(self) -> str:
        """The url of an emptied Redis database: one of our own server's, in turn, or the given one."""
        url = self.given("redis")
        if url is None:
            server = self.server("redis")
            assert isinstance(server, Redis)
            url = server.database_url(next(self._numbers) % DATABASES)
        with redis.Redis.from_url(url) as client:
            client.flushdb()
        return url

    def stop(self) -> None:
        """Stop all that were begun, side by side."""
        with self._lock:
            started = list(self._started.values())
            self._started.clear()
        for stopped in [self._pool.submit(_stop, future) for future in started]:
            stopped.result()
        self._pool.shutdown()

    def _future(self, kind: str) -> Future[Server]:
        with self._lock:
            if kind not in self._started:
                self._started[kind] = self._pool.submit(self._start, kind)
            return self._started[kind]

    def _start(self, kind: str) -> Server:
        server = KINDS[kind](self._folder / kind, durable=False)
        server.start()
        return server


def _stop(future: Future[Server]) -> None:
    # A server that did not start was stopped by its start().
    if future.exception() is None:
        future.result().stop()


def delete_queues(url: str) -> None:
    """Delete the project's queues from a RabbitMQ virtual host."""
    from celery_app import app

    parts = parse_url(url)
    with amqp.Connection(
        host=f"{parts['hostname']}:{parts['port'] or 5672}",
        userid=parts["userid"],
        password=parts["password"],
        virtual_host=parts["virtual_host"] or "/",
    ) as connection:
        for queue in app.conf.task_queues:
            connection.channel().queue_delete(queue.name)
