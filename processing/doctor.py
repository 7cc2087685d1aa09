"""What is right and wrong with this installation, a line for each thing looked at, each fault with what to do about it.

Nothing is changed but one small file, which is stored, read and removed again. A check that finds its server away says
so and goes on with the next: whoever asks has trouble already.
"""

from __future__ import annotations

import platform
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal
from uuid import uuid4

from amqp.exceptions import NotFound, PreconditionFailed
from asgiref.sync import async_to_sync
from celery import current_app
from channels.layers import get_channel_layer
from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Q
from kombu.exceptions import KombuError, OperationalError
from redis.exceptions import RedisError

from processing import clock, rehearsal, storage
from processing.clock import after
from processing.media.errors import MediaError, ProcessStopped
from processing.models import Step, Worker
from processing.state import turns
from processing.state.errors import DATABASE_AWAY

LARGEST_SKEW_SECONDS = 2.0
"""Leases go by the database's clock alone; logs, tokens and S3's signatures go by the machine's."""
DEAD_LETTERS = "videoproc.dead.v1"
"""The queue of deploy/rabbitmq/definitions.json."""
BROKER_SECONDS = 5.0
GIBIBYTE = 1024**3
AWAY = (*DATABASE_AWAY, KombuError, OperationalError, RedisError, OSError, TimeoutError)
PACKAGES = ("Django", "celery", "kombu", "channels", "av", "opencv-python-headless", "numpy")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line: `what` was looked at and how it is, and for a fault what to do."""

    level: Literal["ok", "note", "wrong"]
    what: str
    text: str
    cure: str = ""


def examine() -> Iterator[Finding]:
    """Look at everything and yield what was found, in the order in which faults explain each other."""
    yield from _versions()
    has_tables = True
    for what, look, cure in CHECKS:
        if look in OF_ROWS and not has_tables:
            continue
        try:
            for finding in look():
                has_tables = has_tables and (look is not _database or finding.level != "wrong")
                yield finding
        except AWAY as exc:
            has_tables = has_tables and look is not _database
            yield _wrong(what, f"no answer: {str(exc).strip() or repr(exc)}", cure)


def _ok(what: str, text: str) -> Finding:
    return Finding(level="ok", what=what, text=text)


def _note(what: str, text: str, cure: str) -> Finding:
    return Finding(level="note", what=what, text=text, cure=cure)


def _wrong(what: str, text: str, cure: str) -> Finding:
    return Finding(level="wrong", what=what, text=text, cure=cure)


def _versions() -> Iterator[Finding]:
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    yield _ok("versions", f"Python {platform.python_version()}, {packages}, {platform.machine()}")
    yield _ok("mode", f"{settings.VIDEOPROC_MODE}, settings accepted, {settings.VIDEOPROC_WORKER_SLOTS} slots a worker")


def _database() -> Iterator[Finding]:
    with connection.cursor() as cursor:
        kind = connection.display_name
        cursor.execute("SELECT sqlite_version()" if connection.vendor == "sqlite" else "SHOW server_version")
        yield _ok("database", f"{kind} {cursor.fetchone()[0]}")
    executor = MigrationExecutor(connection)
    missing = [str(migration) for migration, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())]
    if missing:
        yield _wrong("migrations", f"{len(missing)} are not applied ({', '.join(missing[:3])})", "manage.py migrate")
        return
    yield _ok("migrations", "all applied")
    yield from _clock()


def _clock() -> Iterator[Finding]:
    if connection.vendor == "sqlite":
        yield _ok("clock", "the database's is this machine's")
        return
    began = time.time()
    read = clock.reading()
    skew = (began + time.time()) / 2 - read
    text = f"this machine is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} the database"
    if abs(skew) > LARGEST_SKEW_SECONDS:
        yield _note("clock", text, "work goes on right; start NTP on both, for logs, tokens and S3's signatures")
    else:
        yield _ok("clock", text)


def _broker() -> Iterator[Finding]:
    with current_app.connection_for_write(connect_timeout=BROKER_SECONDS) as broker:
        broker.ensure_connection(max_retries=1, interval_start=0, timeout=BROKER_SECONDS)
        if broker.transport.driver_type != "amqp":
            yield _ok("broker", "answers; it keeps what waits, and leases bring back what gets lost")
            return
        facts = broker.connection.server_properties
        yield _ok("broker", f"{facts.get('product')} {facts.get('version')}")
        for queue in current_app.conf.task_queues:
            yield _queue(broker, queue)
        yield _dead_letters(broker)


def _queue(broker: object, queue: object) -> Finding:
    """Find a queue, and whether it is of the type that is asked for: a broker refuses to declare it otherwise."""
    name, kind = queue.name, queue.queue_arguments["x-queue-type"]  # type: ignore[attr-defined]
    try:
        with broker.channel() as channel:  # type: ignore[attr-defined]
            found = channel.queue_declare(queue=name, passive=True)
        with broker.channel() as channel:  # type: ignore[attr-defined]
            channel.queue_declare(queue=name, durable=True, auto_delete=False, arguments=queue.queue_arguments)  # type: ignore[attr-defined]
    except NotFound:
        return _note("queue", f"{name} is not there", "start a worker: it makes its queues")
    except PreconditionFailed as exc:
        return _wrong("queue", f"{name} is no {kind} queue: {exc}", f"stop the workers, delete {name}, start them")
    return _ok("queue", f"{name}: {kind}, {found.message_count} messages, {found.consumer_count} consumers")


def _dead_letters(broker: object) -> Finding:
    """Find what workers refused, as a worker of another version does with tasks that it does not know."""
    try:
        with broker.channel() as channel:  # type: ignore[attr-defined]
            count = channel.queue_declare(queue=DEAD_LETTERS, passive=True).message_count
    except NotFound:
        cure = "rabbitmqctl import_definitions deploy/rabbitmq/definitions.json"
        return _note("dead letters", "the broker has no policies: what is refused gets lost, unseen", cure)
    if count:
        cure = f"look at {DEAD_LETTERS}; no work is lost, the rows hint again: purge it afterwards"
        return _note("dead letters", f"workers refused {count} messages", cure)
    return _ok("dead letters", "none")


def _layer() -> Iterator[Finding]:
    async_to_sync(get_channel_layer().group_send)("doctor", {"type": "doctor.asked"})
    yield _ok("channel layer", "answers")


def _storage() -> Iterator[Finding]:
    place = storage.current()
    free = place.free_bytes()
    place.check()
    try:
        _try_out(place, f"doctor/{uuid4()}/file")
    except MediaError as exc:
        yield _wrong(
            "storage", exc.detail, "free space, or lower VIDEOPROC_FREE_BYTES: uploads and work wait until then"
        )
        return
    yield _ok("storage", f"{place.describe()}: written, read and removed a file")
    reserve = settings.VIDEOPROC_FREE_BYTES
    yield _ok("space", f"{free / GIBIBYTE:.1f} GiB free, {reserve / GIBIBYTE:.1f} of it kept free")
    static = Path(settings.VIDEOPROC_DATA_DIR)
    if static.exists() and shutil.disk_usage(static).free < reserve:
        yield _note("space", f"the disk of {static} is nearly full", "logs and the embedded database lie there")


def _try_out(place: storage.Store, key: str) -> None:
    """Write, read and remove a file; the first trouble is raised, not that the file cannot be removed either."""
    try:
        place.stage(key).write_bytes(b"written by the doctor")
        place.store(key)
        place.unstage(key)  # or that would be read, and no bucket asked
        with place.reading(key) as path:
            path.read_bytes()
    except (OSError, MediaError):
        place.unstage(key)
        hurry = threading.Event()
        hurry.set()  # a minute's wait for a silent server would say nothing new
        with suppress(OSError, ProcessStopped):
            place.delete(key.rpartition("/")[0], stop=hurry)
        raise
    place.remove([key])


def _workers() -> Iterator[Finding]:
    seen_lately = Worker.objects.filter(seen_at__gte=after(-settings.VIDEOPROC_SEEN_SECONDS))
    live = list(seen_lately.filter(slots__gt=0))
    drained = [worker.name for worker in seen_lately.filter(drained=True)]
    again = f"manage.py drain --undo {drained[0]}" if drained else ""
    if drained and not live:
        yield _wrong("workers", f"all are drained ({', '.join(drained)})", f"start one, or {again}")
        return
    if not live:
        last = Worker.objects.order_by("-seen_at").first()
        seen = f"; the last was {last.name}, at {last.seen_at:%Y-%m-%d %H:%M:%S} UTC" if last else ""
        yield _wrong("workers", f"none is there{seen}", "start one, or see in its log why it went")
        return
    slots = sum(worker.slots for worker in live)
    yield _ok("workers", f"{len(live)} with {slots} slots, {sum(worker.running for worker in live)} steps in work")
    if drained:
        yield _note("workers", f"{len(drained)} drained: {', '.join(drained)}", f"stop them, or {again}")
    common = set.intersection(*(set(worker.layers) for worker in live))
    yield _ok("sandbox", f"active in each worker: {', '.join(sorted(common)) or 'nothing'}")
    for worker in live:
        if lacking := set.union(*(set(each.layers) for each in live)) - set(worker.layers):
            text = f"{worker.name} lacks {', '.join(sorted(lacking))}, which others have"
            yield _note("sandbox", text, "its kernel or container forbids it")


def _dispatcher() -> Iterator[Finding]:
    """Find what only a dispatcher brings back: lapsed leases, and steps that wait although there is room for them."""
    cure = "start manage.py dispatch; where one runs, see its log, and manage.py dispatch --dry-run"
    lease = settings.VIDEOPROC_LEASE_SECONDS
    if held := Step.objects.filter(state=Step.State.RUNNING, lease_until__lt=after(-2 * lease)).count():
        yield _wrong("dispatcher", f"{held} leases lapsed over {2 * lease:g} s ago and nobody took them back", cure)
    elif forgotten := _forgotten():
        since = 3 * settings.VIDEOPROC_HINT_SECONDS
        text = f"{forgotten} steps wait, there is room for them, and no worker was told of any for {since:g} s"
        yield _wrong("dispatcher", text, cure)
    else:
        yield _ok("dispatcher", "no lease and no step was forgotten")
    for reason in rehearsal.reasons():
        yield _ok("waiting", reason)


def _forgotten() -> int:
    """Return how many due steps have waited for long with room for them and no hint at any.

    A long queue alone is no fault, nor is room in the moment between the end of a step and the next hint.
    """
    old = after(-3 * settings.VIDEOPROC_HINT_SECONDS)
    open_ones = Step.objects.filter(state__in=(Step.State.QUEUED, Step.State.RUNNING))
    if not turns.look().room or open_ones.filter(hinted_at__gte=old).exists():
        return 0
    return turns.due().filter(Q(not_before__isnull=True) | Q(not_before__lt=old), created_at__lt=old).count()


CHECKS: tuple[tuple[str, Callable[[], Iterator[Finding]], str], ...] = (
    ("database", _database, "start it, or mend VIDEOPROC_DATABASE_URL; uploads are refused until it answers"),
    ("broker", _broker, "start it, or mend VIDEOPROC_BROKER_URL; uploads are safe, work waits"),
    ("channel layer", _layer, "start it, or mend VIDEOPROC_CHANNEL_LAYER_URL; work goes on, live pages lag"),
    (
        "storage",
        _storage,
        "mount the folder, or mend or make the bucket, its keys and policy; see VIDEOPROC_STORAGE_DIR and "
        "VIDEOPROC_STORAGE_URL; uploads are refused and work waits until then",
    ),
    ("workers", _workers, "start the database"),
    ("dispatcher", _dispatcher, "start the database"),
)
OF_ROWS = (_workers, _dispatcher)
