"""What the faults do to the servers through their own doors: messages, alarms, timeouts, wipes, all connections taken.

Invariant: nothing here outlasts its test where the test undoes it; each function names what it changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import amqp
import psycopg
import redis
from kombu import Connection
from kombu.utils.url import parse_url

from celery_app import app
from processing.pipeline import TASKS
from videoproc.servers.postgres import PostgreSQL
from videoproc.servers.rabbitmq import RabbitMQ
from videoproc.servers.valkey import socket_path


def send_hints(url: str, job_id: str, step: dict[str, Any], *, copies: int) -> int:
    """Publish messages for a step, as the dispatcher would; return how many."""
    arguments: list[Any] = [job_id, step["epoch"]]
    if step["kind"] == "segment":
        arguments.append(step["number"])
    with Connection(url) as connection:
        for _ in range(copies):
            app.signature(TASKS[step["kind"]], args=arguments, immutable=True).apply_async(connection=connection)
    return copies


def waiting_messages(url: str) -> int:
    """Return how many messages wait in the queues."""
    with _channel(url) as channel:
        return sum(channel.queue_declare(queue.name, passive=True).message_count for queue in app.conf.task_queues)


def queues_exist(url: str) -> bool:
    """Whether each of the project's queues is declared."""
    for queue in app.conf.task_queues:
        try:
            with _channel(url) as channel:
                channel.queue_declare(queue.name, passive=True)
        except amqp.NotFound:
            return False
    return True


@contextmanager
def _channel(url: str) -> Iterator[amqp.Channel]:
    parts = parse_url(url)
    with amqp.Connection(
        host=f"{parts['hostname']}:{parts['port']}",
        userid=parts["userid"],
        password=parts["password"],
        virtual_host=parts["virtual_host"],
    ) as connection:
        yield connection.channel()


def raise_alarm(server: RabbitMQ) -> None:
    """Let the broker find its memory used up: it blocks all publishers."""
    server._order("vm_memory_monitor:set_vm_memory_high_watermark(0.0000001)")


def clear_alarm(server: RabbitMQ) -> None:
    """Give it its memory back."""
    server._order("vm_memory_monitor:set_vm_memory_high_watermark(0.4)")


def set_consumer_timeout(server: RabbitMQ, *, milliseconds: int, look_each: int) -> None:
    """Change how long a new channel's message may stay unacknowledged, and how often that is looked at."""
    server._order(f"application:set_env(rabbit, consumer_timeout, {milliseconds})")
    server._order(f"application:set_env(rabbit, channel_tick_interval, {look_each})")


def flush_valkey(data: Path) -> None:
    """Empty the embedded mode's broker."""
    with redis.Redis(unix_socket_path=str(socket_path(data / "valkey"))) as client:
        client.flushall()


def flush_redis(url: str) -> None:
    """Empty the layer's server, and cut all its clients off."""
    with redis.Redis.from_url(url) as client:
        client.flushall()
        client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")


@contextmanager
def all_connections(server: PostgreSQL) -> Iterator[int]:
    """Hold every connection that the database has left; yields how many."""
    with ExitStack() as held:
        count = 0
        while True:
            try:
                connection = psycopg.connect(server.url, connect_timeout=5)
            except psycopg.OperationalError:
                break
            held.callback(connection.close)
            count += 1
        yield count
