"""The files of a result that has more than one: published together, removed together, kept together."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import cast

import pytest
from pytest_django import Settings

from processing import dispatch, pipeline, storage
from processing.leases import Lease
from processing.media.process.launcher import MediaProcesses
from processing.models import Job, Step
from processing.supervisor import Work
from tests import rows

pytestmark = pytest.mark.django_db
HDR = dataclasses.replace(rows.receipt(), rendition="hdr", codec="hevc", bit_depth=10, hdr="pq")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Settings) -> Path:
    settings.VIDEOPROC_STORAGE_DIR = tmp_path
    settings.VIDEOPROC_FREE_BYTES = 0
    return tmp_path


def join_of(job: Job) -> tuple[Work, list[str]]:
    """Return the work of a job's join after it wrote two files, and their keys."""
    rows.planned(job, segments=1)
    rows.enhance(job, 0)
    claim = rows.claimed(job, Step.Kind.JOIN)
    work = Work(claim, Lease(claim=claim), cast(MediaProcesses, None))
    keys = []
    for suffix in (".mp4", ".hdr.mp4"):
        key, path = work.write(suffix)
        Path(path).write_bytes(b"content")
        keys.append(key)
    return work, keys


def test_an_attempt_that_came_to_nothing_leaves_none_of_its_files() -> None:
    work, keys = join_of(rows.accepted())
    work.discard()
    assert not any(storage.exists(key) for key in keys)


def test_a_commit_whose_answer_got_lost_keeps_all_of_them() -> None:
    work, keys = join_of(rows.accepted())
    pipeline.joined(work.claim, dataclasses.replace(rows.receipt(), further=(HDR,)), keys[0])
    work.discard()
    assert all(storage.exists(key) for key in keys)


def test_all_of_them_outlive_the_working_files(monkeypatch: pytest.MonkeyPatch) -> None:
    job = rows.accepted()
    work, keys = join_of(job)
    storage.stage(f"jobs/{job.pk}/1/segment-00000-1.mp4").write_bytes(b"content")
    pipeline.joined(work.claim, dataclasses.replace(rows.receipt(), further=(HDR,)), keys[0])
    pipeline.stills_made(rows.claimed(job, Step.Kind.STILLS), rows.stills(), "stills")
    pipeline.published(rows.claimed(job, Step.Kind.PUBLISH))
    job.refresh_from_db()
    assert list(job.rendition_keys.values()) == keys
    monkeypatch.setattr(dispatch, "to_clean", lambda: [job])
    dispatch.clean_ended_jobs()
    assert all(storage.exists(key) for key in keys)
    assert not storage.exists(f"jobs/{job.pk}/1/segment-00000-1.mp4")
