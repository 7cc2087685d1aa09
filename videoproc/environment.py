"""Reads settings from the environment: one function for each type, each naming the variable when its value is wrong."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured


def text(name: str, default: str, *, choices: Sequence[str] = ()) -> str:
    """Return the variable, or the default where it is unset or empty."""
    value = os.environ.get(name, "").strip() or default
    if choices and value not in choices:
        raise ImproperlyConfigured(f"{name} is {value!r}; it must be one of {', '.join(choices)}")
    return value


def words(name: str, default: str) -> list[str]:
    """Return the variable split at spaces and commas."""
    return text(name, default).replace(",", " ").split()


def boolean(name: str, *, default: bool) -> bool:
    """Return whether the variable says 1, true, yes or on."""
    value = text(name, "on" if default else "off").lower()
    if value not in {"1", "true", "yes", "on", "0", "false", "no", "off"}:
        raise ImproperlyConfigured(f"{name} is {value!r}; it must be on or off")
    return value in {"1", "true", "yes", "on"}


def integer(name: str, default: int, *, least: int) -> int:
    """Return the variable as a whole number of at least `least`."""
    return int(_checked(name, text(name, str(default)), int, least))


def number(name: str, default: float, *, least: float) -> float:
    """Return the variable as a number of at least `least`."""
    return float(_checked(name, text(name, str(default)), float, least))


def _checked(name: str, value: str, kind: type, least: float) -> Any:
    try:
        result = kind(value)
    except ValueError as exc:
        raise ImproperlyConfigured(f"{name} is {value!r}; it must be a number") from exc
    if not result >= least:  # also refuses nan
        raise ImproperlyConfigured(f"{name} is {value}; it must be at least {least}")
    return result


def local_secret(data_dir: Path) -> str:
    """Return the secret key kept in the data directory, made on first use and readable by its owner alone."""
    try:
        return _kept_secret(data_dir)
    except OSError as exc:
        raise ImproperlyConfigured(f"VIDEOPROC_DATA_DIR is {data_dir}: {exc.strerror}") from exc


def _kept_secret(data_dir: Path) -> str:
    path = data_dir / "secret-key"
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        # Written aside and linked, so two processes that start at once agree on one key.
        draft = data_dir / f".secret-key-{os.getpid()}"
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(64))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text()


PATIENCE_WITH_THE_SILENT = {
    # A peer that is gone without a word, as where a host lost its network: the system alone would wait for it a quarter
    # of an hour, or two hours, and would try again ever more seldom.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    # A process that stands still in the middle of a transaction holds rows that others want. None of ours takes longer
    # but where a dispatcher removes the files of a very long job, which then goes on at its next look.
    "options": "-c idle_in_transaction_session_timeout=60000",
}
"""What PostgreSQL and its client library are told; a URL's own options replace it."""


def database(url: str, *, connections: int) -> dict[str, Any]:
    """Return Django's settings for sqlite:///absolute/path or postgresql://user:password@host:port/name?option=value."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": unquote(parts.path),
            "OPTIONS": {
                # A deferred transaction that reads and then writes fails at once under contention.
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
            },
        }
    if parts.scheme in {"postgresql", "postgres"}:
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": unquote(parts.path.lstrip("/")),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": unquote(parts.hostname or ""),
            "PORT": str(parts.port or ""),
            "CONN_HEALTH_CHECKS": True,
            "OPTIONS": {
                "connect_timeout": 5,
                **PATIENCE_WITH_THE_SILENT,
                **dict(parse_qsl(parts.query, keep_blank_values=True)),
                # The pool doubles its pause after each failed try, and no one's asking shortens it: with its default
                # it would see that a database is back only after as long again as that was away.
                "pool": {"min_size": 0, "max_size": connections, "timeout": 5, "reconnect_timeout": 3},
            },
        }
    raise ImproperlyConfigured(f"VIDEOPROC_DATABASE_URL starts with {parts.scheme!r}; use sqlite:/// or postgresql://")


def stored_files(url: str, folder: Path, *, access_key: str, secret_key: str) -> dict[str, Any]:
    """Return Django's settings for the folder, or for s3://bucket/prefix?endpoint=https://host&region=name.

    Without keys the S3 client looks where it always does: its own variables, its files, the machine's role.
    """
    if not url:
        return {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": folder}}
    parts = urlsplit(url)
    asked = dict(parse_qsl(parts.query))
    endpoint, region = asked.pop("endpoint", None), asked.pop("region", None)
    if parts.scheme != "s3" or not parts.hostname or parts.username or asked:
        raise ImproperlyConfigured(
            "VIDEOPROC_STORAGE_URL must read s3://bucket/prefix?endpoint=https://host&region=name, without keys in it"
        )
    options = {
        "bucket_name": parts.hostname,
        "location": parts.path.strip("/"),
        "endpoint_url": endpoint,
        "region_name": region,
    }
    if access_key or secret_key:
        options |= {"access_key": access_key, "secret_key": secret_key}
    return {"BACKEND": "processing.storage.backend.Backend", "OPTIONS": options}


GIBIBYTE = 1024**3
CGROUP_CORES = "/sys/fs/cgroup/cpu.max"
CGROUP_MEMORY = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def worker_slots() -> int:
    """Return how many segments this machine, or this container, works on at once: one a core, each with 1 GiB."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in map(Path, CGROUP_MEMORY):
        limit = path.read_text().strip() if path.is_file() else "max"
        if limit.isdigit():
            memory_bytes = min(memory_bytes, int(limit))
    return max(1, min(len(os.sched_getaffinity(0)), _cgroup_cores(), memory_bytes // GIBIBYTE))


def _cgroup_cores() -> int:
    """Return how many cores the container may use, counted up; very many where it has no limit."""
    path = Path(CGROUP_CORES)
    quota, _, period = path.read_text().partition(" ") if path.is_file() else ("max", "", "")
    return -(-int(quota) // int(period)) if quota.isdigit() else 1 << 16
