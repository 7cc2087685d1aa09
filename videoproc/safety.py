"""Says what is unsafe about a server installation, and which times contradict each other in any; nothing starts while
the list is not empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def unsafe(settings: Mapping[str, Any]) -> list[str]:
    """Return one sentence for each unsafe setting, each saying what to do."""
    found = []
    if settings["DEBUG"]:
        found.append("VIDEOPROC_DEBUG is on: it shows secrets to visitors; unset it")
    if len(settings["SECRET_KEY"]) < 50 or len(set(settings["SECRET_KEY"])) < 10:
        found.append("VIDEOPROC_SECRET_KEY is missing or weak: set 50 or more random characters")
    if not settings["ALLOWED_HOSTS"]:
        found.append("VIDEOPROC_ALLOWED_HOSTS is empty: name the hosts this service answers for")
    if any(host == "*" for host in settings["ALLOWED_HOSTS"]):
        found.append("VIDEOPROC_ALLOWED_HOSTS has a wildcard: name the hosts this service answers for")
    if settings["DATABASES"]["default"]["ENGINE"].endswith("sqlite3"):
        found.append("VIDEOPROC_DATABASE_URL is missing: server mode needs postgresql://")
    for name in ("VIDEOPROC_BROKER_URL", "VIDEOPROC_CHANNEL_LAYER_URL"):
        if not settings[name]:
            found.append(f"{name} is missing: set its address")
    broker = urlsplit(settings["VIDEOPROC_BROKER_URL"])
    if broker.scheme.startswith("amqp") and (broker.username or "guest") == "guest":
        found.append("VIDEOPROC_BROKER_URL uses the guest account: create a user of its own")
    return found


def contradictory(settings: Mapping[str, Any]) -> list[str]:
    """Return one sentence for each setting that makes another meaningless, each naming both and what would happen."""
    lease, renew = settings["VIDEOPROC_LEASE_SECONDS"], settings["VIDEOPROC_RENEW_SECONDS"]
    beat, seen = settings["VIDEOPROC_BEAT_SECONDS"], settings["VIDEOPROC_SEEN_SECONDS"]
    stall, step = settings["VIDEOPROC_STALL_SECONDS"], settings["VIDEOPROC_STEP_SECONDS"]
    between = f"VIDEOPROC_RENEW_SECONDS ({renew:g}) and VIDEOPROC_BEAT_SECONDS ({beat:g}) together"
    found = []
    if renew + beat >= lease:
        found.append(f"{between} reach VIDEOPROC_LEASE_SECONDS ({lease:g}): steps are taken from workers that live")
    if renew + beat >= seen:
        found.append(f"{between} reach VIDEOPROC_SEEN_SECONDS ({seen:g}): workers that live count as gone")
    if stall > step:
        found.append(
            f"VIDEOPROC_STALL_SECONDS ({stall:g}) is more than VIDEOPROC_STEP_SECONDS ({step:g}): a hang is never seen"
        )
    return found


def refuse_contradictory(settings: Mapping[str, Any]) -> None:
    """Raise ImproperlyConfigured with every contradiction named."""
    found = contradictory(settings)
    if found:
        raise ImproperlyConfigured("these times cannot work together:\n- " + "\n- ".join(found))


def refuse_unsafe(settings: Mapping[str, Any]) -> None:
    """Raise ImproperlyConfigured with every unsafe setting named."""
    found = unsafe(settings)
    if found:
        raise ImproperlyConfigured("server mode refuses to start:\n- " + "\n- ".join(found))


def refuse_unapplied_migrations() -> None:
    """Raise ImproperlyConfigured where the database is not at this code's schema."""
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        names = ", ".join(f"{migration.app_label}.{migration.name}" for migration, _ in missing[:5])
        raise ImproperlyConfigured(f"{len(missing)} migrations are not applied ({names}): run manage.py migrate")
