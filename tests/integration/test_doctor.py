"""What the doctor finds on a sound and on a broken installation, and what a dry run of the dispatcher says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import kombu
import pytest
from django.db import connection
from django.db.models.functions import Now
from pytest_django import Settings

from processing import control, doctor, storage
from processing.clock import after
from processing.models import Step, Worker
from processing.rehearsal import rehearse
from processing.state import step as steps
from processing.state import turns
from tests import rows

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, settings: Settings) -> Path:
    settings.VIDEOPROC_STORAGE_DIR = tmp_path / "media"
    settings.VIDEOPROC_FREE_BYTES = 0
    return tmp_path


def work(*, slots: int = 2, layers: tuple[str, ...] = ("limits",), name: str = "here-1") -> None:
    Worker.objects.create(name=name, slots=slots, layers=list(layers), seen_at=Now(), started_at=Now())


def found(what: str) -> list[tuple[str, str]]:
    return [(finding.level, finding.text) for finding in doctor.examine() if finding.what == what]


def test_a_new_installation(
    fresh_postgresql_url: str, fresh_rabbitmq_url: str, fresh_redis_url: str, place: Path
) -> None:
    environment = os.environ | {
        "VIDEOPROC_DATABASE_URL": fresh_postgresql_url,
        "VIDEOPROC_BROKER_URL": fresh_rabbitmq_url,
        "VIDEOPROC_CHANNEL_LAYER_URL": fresh_redis_url,
        "VIDEOPROC_STORAGE_DIR": str(place / "media"),
        "VIDEOPROC_FREE_BYTES": "0",
    }

    def manage(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "manage.py", *words]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)

    before = manage("doctor")
    assert before.returncode == 1
    assert "wrong  migrations: " in before.stdout
    assert "-> manage.py migrate" in before.stdout
    assert manage("migrate", "--verbosity=0").returncode == 0
    after_migrate = manage("doctor")
    assert after_migrate.returncode == 1, "there is no worker"
    levels = {
        line.split(":")[0].split(None, 1)[1]: line.split()[0]
        for line in after_migrate.stdout.splitlines()
        if ":" in line
    }
    assert levels == {
        "versions": "ok",
        "mode": "ok",
        "database": "ok",
        "migrations": "ok",
        "clock": "ok",
        "broker": "ok",
        "queue": "note",
        "dead letters": "ok",
        "channel layer": "ok",
        "storage": "ok",
        "space": "ok",
        "workers": "wrong",
        "dispatcher": "ok",
    }
    assert after_migrate.stdout.endswith("1 fault\n")
    assert list((place / "media").rglob("file")) == []
    with kombu.Connection(fresh_rabbitmq_url) as broker, broker.channel() as channel:
        channel.queue_declare("videoproc.segments.v1", durable=True, auto_delete=False)
    assert "wrong  queue: videoproc.segments.v1 is no quorum queue" in manage("doctor").stdout


def test_servers_that_are_away_are_named(database: str) -> None:
    wrong = {finding.what: finding.cure for finding in doctor.examine() if finding.level == "wrong"}
    assert wrong.keys() == {"broker", "channel layer", "workers"}
    assert "VIDEOPROC_BROKER_URL" in wrong["broker"]


def test_workers_and_their_layers(database: str) -> None:
    work(layers=("limits", "landlock"))
    work(layers=("limits",), name="there-1")
    assert found("workers") == [("ok", "2 with 4 slots, 0 steps in work")]
    assert found("sandbox") == [
        ("ok", "active in each worker: limits"),
        ("note", "there-1 lacks landlock, which others have"),
    ]


def test_drained_workers_are_told_apart_from_lost_ones(database: str) -> None:
    work(slots=0, name="resting")
    control.drain("resting")
    assert found("workers") == [("wrong", "all are drained (resting)")]
    work()
    assert found("workers") == [("ok", "1 with 2 slots, 0 steps in work"), ("note", "1 drained: resting")]


def test_a_full_disk_and_a_missing_folder(database: str, settings: Settings, place: Path) -> None:
    settings.VIDEOPROC_FREE_BYTES = 10**18
    assert [level for level, _ in found("storage")] == ["wrong"]
    settings.VIDEOPROC_FREE_BYTES = 0
    settings.VIDEOPROC_STORAGE_DIR = place / "file"
    (place / "file").write_text("no folder")
    assert [level for level, _ in found("storage")] == ["wrong"]


def test_a_dry_run_says_what_would_be_done_and_does_nothing(database: str, settings: Settings) -> None:
    settings.VIDEOPROC_ABANDONED_SECONDS = -60
    job = rows.accepted()
    assert "waits  1 step, no_worker: start one" in list(rehearse())
    Step.objects.update(hinted_at=Now())
    assert "waits  1 step, no_worker: start one" in list(rehearse()), "a message that nobody can take is no comfort"
    Step.objects.update(hinted_at=None)
    work()
    lost = rows.planned(rows.accepted(owner="bob"), segments=2)
    rows.claimed(lost, Step.Kind.SEGMENT, 0, worker="gone-1")
    Step.objects.filter(state=Step.State.RUNNING).update(lease_until=after(-1))
    Step.objects.filter(job=lost, index=1).update(not_before=after(50), error_code="storage_full")
    ended = rows.finished(rows.accepted(owner="eve"))
    type(ended).objects.filter(pk=ended.pk).update(ended_at=after(-1000))
    storage.stage("sources/nobodys/source").write_bytes(b"bytes")
    before = list(Step.objects.order_by("pk").values())
    said = list(rehearse())
    assert f"expire segment 0 of job {lost.pk}, attempt 2: gone-1 has let its lease lapse" in said
    assert f"hint   metadata 0 of job {job.pk}, attempt 1: nobody was told of it lately" in said
    assert [line for line in said if line.startswith(f"clean  job {ended.pk}: ready since ")]
    assert "remove sources/nobodys: no upload has it" in said
    assert "slots  2 of live workers, 1 steps at work or hinted, room for 1 more" in said
    assert [line for line in said if line.startswith("waits  1 step, storage_full: tried again in ")]
    assert list(Step.objects.order_by("pk").values()) == before
    assert storage.exists("sources/nobodys/source")


def test_a_long_queue_is_no_fault_and_what_only_a_dispatcher_brings_back_is(database: str) -> None:
    fine = ("ok", "no lease and no step was forgotten")
    rows.planned(rows.accepted(), segments=10)
    work()
    list(steps.hint(turns.look().room, turns.look().at_work))
    Step.objects.update(created_at=after(-600))
    assert turns.look().room == 0
    assert found("dispatcher") == [fine]
    first = Step.objects.filter(state=Step.State.QUEUED, hinted_at__isnull=False).first()
    assert first is not None
    claimed = steps.claim(first.job_id, first.epoch, first.kind, first.index, worker="here-1")
    assert claimed is not None
    steps.finish(claimed)
    assert turns.look().room == 1
    assert found("dispatcher") == [fine], "a slot is free for this moment"

    Step.objects.filter(state=Step.State.QUEUED).update(hinted_at=after(-600))
    [(level, text)] = found("dispatcher")
    assert level == "wrong"
    assert "steps wait, there is room for them, and no worker was told of any for 60 s" in text
    assert found("waiting") == [("ok", "9 steps, a_place: more steps than slots, owners take turns")]

    Step.objects.filter(state=Step.State.QUEUED).update(state=Step.State.RUNNING, lease_until=after(-20))
    assert found("dispatcher") == [fine], "a dispatcher waits one lease itself"
    Step.objects.filter(state=Step.State.RUNNING).update(lease_until=after(-30))
    [(level, text)] = found("dispatcher")
    assert level == "wrong"
    assert "leases lapsed over 24 s ago" in text


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    connection.close()
