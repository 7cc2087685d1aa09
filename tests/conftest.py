"""Fixtures of every test: the servers, fresh places on them, and `database`, which runs a test on both databases.

Servers start once per run, only where a collected test asks for one, and all at once, as soon as collection is done.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import DjangoDbBlocker

from tests.databases import Databases
from tests.servers import Servers
from tests.settings import FOLDER
from videoproc.servers.s3 import Swift
from videoproc.servers.valkey import Valkey

SERVERS = pytest.StashKey[Servers]()
WANTS: dict[str, tuple[str, ...]] = {
    "postgresql_url": ("postgresql",),
    "rabbitmq_url": ("rabbitmq",),
    "redis_url": ("redis",),
    "valkey": ("valkey",),
    "swift": ("swift",),
    "server_system": ("postgresql", "rabbitmq", "redis"),
    # Values of the fixtures `database` and `system`.
    "postgresql": ("postgresql",),
    "server": ("postgresql", "rabbitmq", "redis"),
}
"""The servers behind a fixture's name, or behind a parameter's value."""


def pytest_configure(config: pytest.Config) -> None:
    """Make the servers' registry; it starts nothing yet."""
    # A shell's background job begins with SIGINT ignored and hands that on: programs under test then cannot be
    # interrupted. A handler here becomes the default action in whatever is executed.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.stash[SERVERS] = Servers(FOLDER)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin to start the servers that the collected tests will want, so that they come up side by side."""
    if session.config.option.collectonly:
        return
    wanted: set[str] = set()
    for item in session.items:
        parameters = getattr(item, "callspec", None)
        values = [] if parameters is None else [value for value in parameters.params.values() if isinstance(value, str)]
        for word in (*getattr(item, "fixturenames", ()), *values):
            wanted.update(WANTS.get(word, ()))
    for kind in sorted(wanted):
        session.config.stash[SERVERS].begin(kind)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what was started, after the last fixture."""
    config.stash[SERVERS].stop()


@pytest.fixture(scope="session")
def servers(pytestconfig: pytest.Config) -> Servers:
    """The servers of this run."""
    return pytestconfig.stash[SERVERS]


@pytest.fixture(scope="session")
def postgresql_url(servers: Servers) -> str:
    """A PostgreSQL server; its database is shared, ask for `fresh_postgresql_url` to write."""
    return servers.url("postgresql")


@pytest.fixture(scope="session")
def rabbitmq_url(servers: Servers) -> str:
    """A RabbitMQ server; its virtual host is shared."""
    return servers.url("rabbitmq")


@pytest.fixture(scope="session")
def redis_url(servers: Servers) -> str:
    """A Redis server; its database is shared."""
    return servers.url("redis")


@pytest.fixture(scope="session")
def valkey(servers: Servers) -> Valkey:
    """The embedded mode's broker and layer: `broker_url` for Celery, `url` for Channels; shared."""
    server = servers.server("valkey")
    assert isinstance(server, Valkey)
    return server


@pytest.fixture(scope="session")
def swift(servers: Servers) -> Swift:
    """A real S3 server with a bucket; tests keep to folders of their own in it."""
    server = servers.server("swift")
    assert isinstance(server, Swift)
    return server


@pytest.fixture
def fresh_postgresql_url(servers: Servers, postgresql_url: str) -> str:
    """An empty PostgreSQL database, without tables."""
    return servers.fresh_database()


@pytest.fixture
def fresh_rabbitmq_url(servers: Servers, rabbitmq_url: str) -> str:
    """A RabbitMQ virtual host without queues."""
    return servers.fresh_broker()


@pytest.fixture
def fresh_redis_url(servers: Servers, redis_url: str) -> str:
    """An empty Redis database."""
    return servers.fresh_redis()


@pytest.fixture(scope="session")
def databases(servers: Servers) -> Databases:
    """A migrated database of each kind."""
    return Databases(FOLDER / "databases", servers.fresh_database)


@pytest.fixture(params=["postgresql", "sqlite"])
def database(request: pytest.FixtureRequest, databases: Databases, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """Runs the test on PostgreSQL and on SQLite, with empty tables and real transactions, in all its threads.

    Its value is the kind. Do not mark such a test with `django_db`: that would put a third database in its place.
    """
    kind: str = request.param
    with django_db_blocker.unblock(), databases.use(kind):
        yield kind


@pytest.fixture
def server_folder() -> Iterator[Path]:
    """A new folder for a test's own server, in reach of one that drops root; pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="own-", dir=FOLDER))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
