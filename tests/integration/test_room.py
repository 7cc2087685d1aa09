"""Load that is refused rather than suffered: no step that writes begins on a full disk; slots follow the machine."""

from __future__ import annotations

import hashlib
import re
from functools import partial
from pathlib import Path
from typing import cast

import pytest
from celery import Signature
from celery.app.trace import build_tracer
from django.db import connection
from pytest_django import Settings

from processing import pipeline, progress, storage, tasks
from processing.media.errors import OutputLost, SegmentDamaged
from processing.media.process.launcher import MediaProcesses
from processing.models import Job, Step
from processing.supervisor import Supervisor, Work
from tests import rows
from videoproc import environment

GIBIBYTE = 1024**3


@pytest.fixture
def supervisor(tmp_path: Path, settings: Settings) -> Supervisor:
    settings.VIDEOPROC_STORAGE_DIR = tmp_path / "media"
    settings.VIDEOPROC_BACKOFF_SECONDS = 0
    settings.VIDEOPROC_FREE_BYTES = 10**18
    return Supervisor()


def test_a_step_that_writes_waits_for_room_without_an_attempt(
    database: str, supervisor: Supervisor, settings: Settings
) -> None:
    job = rows.planned(rows.accepted(), segments=1)
    began: list[Work] = []
    supervisor.perform(str(job.pk), job.epoch, Step.Kind.SEGMENT, began.append)
    step = Step.objects.get(job=job, kind=Step.Kind.SEGMENT)
    assert began == []
    assert (step.state, step.attempt, step.error_code, step.hinted_at) == ("queued", 0, "storage_full", None)
    assert progress.measure([job])[job.pk].waiting_for in {"storage_full", "no_worker"}
    settings.VIDEOPROC_FREE_BYTES = 0
    supervisor.perform(str(job.pk), job.epoch, Step.Kind.SEGMENT, began.append)
    assert len(began) == 1, "it goes on by itself"
    step.refresh_from_db()
    assert (step.state, step.attempt) == ("running", 1)


@pytest.mark.parametrize("is_full", [True, False])
def test_a_chain_goes_on_only_behind_a_step_that_is_done(
    database: str, supervisor: Supervisor, settings: Settings, monkeypatch: pytest.MonkeyPatch, *, is_full: bool
) -> None:
    job = rows.accepted()
    settings.VIDEOPROC_FREE_BYTES = 10**18 if is_full else 0
    monkeypatch.setattr(tasks, "current", lambda: supervisor)
    monkeypatch.setattr(supervisor, "_performed", partial(_performed_without_a_process, supervisor))
    published: list[str] = []
    monkeypatch.setattr(Signature, "apply_async", lambda self, *_, **__: published.append(self.task))
    first, *rest = pipeline.message(Step.objects.get(job=job)).tasks
    task = tasks.extract_metadata
    request = {"id": "1", "chain": [dict(link) for link in reversed(rest)], "delivery_info": {}}
    trace = build_tracer(task.name, task, app=task.app)
    for _ in range(2):  # and for a message that comes twice
        trace("1", first.args, {}, request | {"chain": list(request["chain"])})
    state = Step.objects.get(job=job, kind=Step.Kind.METADATA).state
    assert (state, published) == (("queued", []) if is_full else ("done", ["processing.diagnose"] * 2))


def _performed_without_a_process(
    supervisor: Supervisor, job_id: str, epoch: int, kind: str, work: object, index: int
) -> bool:
    def store(task: Work) -> None:
        pipeline.metadata_extracted(task.claim, rows.METADATA, "facts.json")

    return Supervisor._performed(supervisor, job_id, epoch, kind, store, index)


def test_what_only_reads_begins_on_a_full_disk(database: str, supervisor: Supervisor) -> None:
    job = rows.accepted()
    pipeline.metadata_extracted(rows.claimed(job, Step.Kind.METADATA), rows.METADATA, "facts.json")
    began: list[Work] = []
    supervisor.perform(str(job.pk), job.epoch, Step.Kind.DIAGNOSE, began.append)
    assert len(began) == 1


def test_facts_of_the_source_are_handed_on_and_may_be_gone(
    database: str, supervisor: Supervisor, settings: Settings
) -> None:
    job = rows.accepted()
    metadata = rows.claimed(job, Step.Kind.METADATA)
    key = storage.output_key(metadata, ".json")
    pipeline.metadata_extracted(metadata, rows.METADATA, key)
    found: list[str | None] = []

    def look(work: Work) -> None:
        found.append(work.facts())
        storage.stage(key).write_text("{}")
        found.append(work.facts())

    settings.VIDEOPROC_FREE_BYTES = 0
    supervisor.perform(str(job.pk), job.epoch, Step.Kind.DIAGNOSE, look)
    assert found == [None, str(settings.VIDEOPROC_STORAGE_DIR / key)]


def test_a_storage_that_is_away_is_a_reason_to_wait(
    database: str, supervisor: Supervisor, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    settings.VIDEOPROC_STORAGE_DIR = tmp_path / "file"
    job = rows.planned(rows.accepted(), segments=1)
    supervisor.perform(str(job.pk), job.epoch, Step.Kind.SEGMENT, pytest.fail)
    assert Step.objects.get(job=job, kind=Step.Kind.SEGMENT).error_code == "storage_away"


def test_a_lost_output_is_made_again_but_without_the_source_it_is_the_storage_that_is_away(
    database: str, supervisor: Supervisor, settings: Settings
) -> None:
    settings.VIDEOPROC_FREE_BYTES = 0
    job = rows.accepted()
    source = storage.stage(job.source_key)
    source.touch()
    Job.objects.filter(pk=job.pk).update(source_sha256=hashlib.sha256(b"").hexdigest(), plan_key="jobs/none/plan.json")

    def read(work: Work) -> None:
        with pytest.raises(SegmentDamaged, match="segment 0"):
            work.segments(["jobs/none/1/segment.mp4"])
        with pytest.raises(OutputLost, match=re.escape("plan.json is missing")):
            work.plan()
        source.unlink()
        work.plan()

    supervisor.perform(str(job.pk), job.epoch, Step.Kind.METADATA, read)
    step = Step.objects.get(job=job)
    assert (step.state, step.error_code, step.crashes) == ("queued", "storage_away", 0)


def test_an_error_that_nobody_foresaw_is_a_strike_with_its_reason(
    database: str, supervisor: Supervisor, settings: Settings
) -> None:
    settings.VIDEOPROC_FREE_BYTES = 0
    job = rows.accepted()

    def stumble(work: Work) -> None:
        raise LookupError("no such row")

    for crashes in (1, 2, 2):
        supervisor.perform(str(job.pk), job.epoch, Step.Kind.METADATA, stumble)
        step = Step.objects.get(job=job)
        assert (step.crashes, step.losses, step.error_code) == (crashes, 0, "internal_error")
        Step.objects.update(not_before=None)
    job.refresh_from_db()
    assert (job.state, job.error_code) == (Job.State.FAILED, "internal_error")
    assert job.error_detail == "LookupError('no such row')"


@pytest.mark.parametrize(
    ("memory", "cpu", "slots"),
    [("max", "max 100000", 4), (str(3 * GIBIBYTE), "max 100000", 3), ("max", "150000 100000", 2), ("1000", "max", 1)],
)
def test_slots_follow_cores_memory_and_the_containers_limits(
    memory: str, cpu: str, slots: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "memory").write_text(memory + "\n")
    (tmp_path / "cpu").write_text(cpu + "\n")
    monkeypatch.setattr(environment, "CGROUP_MEMORY", (str(tmp_path / "memory"), str(tmp_path / "none")))
    monkeypatch.setattr(environment, "CGROUP_CORES", str(tmp_path / "cpu"))
    monkeypatch.setattr(environment.os, "sched_getaffinity", lambda _: set(range(4)))
    monkeypatch.setattr(
        environment.os, "sysconf", lambda name: 4096 if name == "SC_PAGE_SIZE" else 8 * GIBIBYTE // 4096
    )
    assert environment.worker_slots() == slots


def test_a_slot_at_work_holds_no_database_connection(database: str, supervisor: Supervisor, settings: Settings) -> None:
    settings.VIDEOPROC_FREE_BYTES = 0
    job = rows.accepted()
    connections: list[object] = []

    class Processes:
        def run(self, *_: object, **__: object) -> str:
            connections.append(connection.connection)
            return "done"

    supervisor.processes = cast(MediaProcesses, Processes())
    answers: list[str] = []
    supervisor.perform(
        str(job.pk), job.epoch, Step.Kind.METADATA, lambda task: answers.append(task.run("metadata", None, str))
    )
    assert (answers, connections) == (["done"], [None])
