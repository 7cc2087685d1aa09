"""What the rows promise, on both databases: one claimer, one joiner, fenced writes, consecutive events, final ends."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction
from django.test import override_settings

from processing import control, dispatch, failures, pipeline, progress, release
from processing.clock import after
from processing.media.errors import (
    MediaError,
    ProcessCrashed,
    ProcessRefused,
    SegmentDamaged,
    StorageFull,
    TimelineMismatch,
    UnsupportedCodec,
)
from processing.models import Event, Job, Step, Worker
from processing.state import job as jobs
from processing.state import step as steps
from processing.state.errors import Fenced, IllegalMove, JobClosed, JobOpen
from tests import rows

Kind = Step.Kind
pytestmark = pytest.mark.usefixtures("database")


def seqs(job: Job) -> list[int]:
    return list(Event.objects.filter(job=job).order_by("seq").values_list("seq", flat=True))


def test_a_job_runs_from_accepted_to_ready_with_consecutive_events() -> None:
    job = rows.finished(rows.accepted())
    assert job.state == Job.State.READY
    assert job.result_key == "result.mp4"
    assert job.ended_at is not None
    names = list(job.events.values_list("name", flat=True))
    assert names == [
        "accepted",
        "probing_started",
        "metadata_extracted",
        "diagnosed",
        "planned",
        "segment_enhanced",
        "joining_started",
        "joined",
        "stills_made",
        "published",
    ]
    assert seqs(job) == list(range(1, len(names) + 1))
    percents = list(job.events.values_list("percent", flat=True))
    assert percents == sorted(percents)
    assert percents[-1] == 100.0


def test_a_plan_without_segments_goes_straight_to_the_join() -> None:
    job = rows.planned(rows.accepted(), segments=0)
    assert job.state == Job.State.JOINING
    rows.claimed(job, Kind.JOIN)


def test_a_job_that_makes_no_result_goes_from_the_metadata_to_the_stills() -> None:
    job = rows.told(rows.accepted(preset="metadata-only"))
    assert (job.state, job.result_key, job.stills_key) == (Job.State.READY, "", "stills")
    names = list(job.events.values_list("name", flat=True))
    assert names == ["accepted", "probing_started", "metadata_extracted", "stills_made", "published"]
    with pytest.raises(IntegrityError, match="job_ready_has_result"), transaction.atomic():
        Job.objects.filter(pk=job.pk).update(preset="auto")


def test_a_job_that_makes_no_result_is_taken_up_at_its_stills() -> None:
    job = rows.accepted(preset="metadata-only")
    pipeline.metadata_extracted(rows.claimed(job, Kind.METADATA), rows.METADATA, "facts.json")
    control.cancel(job.pk)
    control.retry(job.pk)
    job.refresh_from_db()
    assert job.state == Job.State.PUBLISHING
    pipeline.stills_made(rows.claimed(job, Kind.STILLS), rows.stills(), "stills")
    pipeline.published(rows.claimed(job, Kind.PUBLISH))
    job.refresh_from_db()
    assert job.state == Job.State.READY


def test_one_of_many_claimers_gets_the_step() -> None:
    job = rows.accepted()
    calls = [lambda n=n: steps.claim(job.pk, 1, Kind.METADATA, 0, worker=f"worker-{n}") for n in range(8)]
    won = [claim for claim in rows.side_by_side(calls) if claim is not None]
    assert len(won) == 1
    assert won[0].attempt == 1
    assert Step.objects.get(pk=won[0].step_id).state == Step.State.RUNNING


def test_what_a_later_release_wrote_waits_for_a_newer_worker_without_a_strike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = rows.accepted()
    monkeypatch.setattr(release, "NUMBER", release.NUMBER - 1)
    step = (job.pk, 1, Kind.METADATA, 0)
    assert steps.claim(*step, worker="old") is None
    steps.pass_on(*step, worker="old", delay_seconds=30)
    assert progress.measure([job])[job.pk].waiting_for == "no_worker"
    Worker.objects.create(name="old", slots=2, seen_at=after(0), started_at=after(0))
    assert progress.measure([job])[job.pk].waiting_for == "worker_too_old"
    assert steps.due(10) == []
    monkeypatch.undo()
    Step.objects.update(not_before=after(-1))
    claim = steps.claim(*step, worker="new")
    assert claim is not None
    assert (claim.attempt, claim.crashes, claim.losses) == (1, 0, 0)
    steps.pass_on(*step, worker="new", delay_seconds=30)
    assert Step.objects.get(pk=claim.step_id).state == Step.State.RUNNING


def test_what_is_done_and_not_taken_by_the_storage_says_so() -> None:
    job = rows.planned(rows.accepted(), segments=1)
    Worker.objects.create(name="worker-1", slots=1, seen_at=after(0), started_at=after(0))
    claim = rows.claimed(job, Kind.SEGMENT)
    assert progress.measure([job])[job.pk].waiting_for is None
    steps.note_waiting(claim, code="storage_away", detail="S3 refuses it")
    assert progress.measure([job])[job.pk].waiting_for == "storage_away"
    pipeline.segment_enhanced(claim, rows.segment_result(0), "jobs/a/segment")
    step = Step.objects.get(pk=claim.step_id)
    assert (step.state, step.error_code, step.not_before) == ("done", "", None)
    steps.note_waiting(claim, code="storage_away", detail="too late")
    step.refresh_from_db()
    assert step.error_code == ""


def test_what_an_earlier_release_wrote_is_taken() -> None:
    job = rows.accepted()
    Step.objects.update(release=0)
    assert steps.claim(job.pk, 1, Kind.METADATA, 0, worker="new") is not None
    assert steps.create(job, Kind.DIAGNOSE).release == release.NUMBER


def test_the_last_of_many_finishers_and_only_that_one_begins_the_join() -> None:
    job = rows.planned(rows.accepted(), segments=8)
    claims = [rows.claimed(job, Kind.SEGMENT, index) for index in range(8)]

    def finish(claim: steps.Claim) -> None:
        pipeline.segment_enhanced(claim, rows.segment_result(claim.index), f"segment-{claim.index}")

    assert rows.side_by_side([lambda c=c: finish(c) for c in claims]) == [None] * 8
    job.refresh_from_db()
    assert job.state == Job.State.JOINING
    assert Step.objects.filter(job=job, kind=Kind.JOIN).count() == 1
    assert Event.objects.filter(job=job, name="joining_started").count() == 1
    assert seqs(job) == list(range(1, job.seq + 1))


def test_a_write_of_an_earlier_attempt_is_refused() -> None:
    job = rows.planned(rows.accepted(), segments=1)
    slow = rows.claimed(job, Kind.SEGMENT)
    rows.lapse(slow)
    assert dispatch.expire_leases() == 1
    quick = rows.claimed(job, Kind.SEGMENT, worker="worker-2")
    assert quick.attempt == 2
    assert quick.losses == 1
    with pytest.raises(Fenced):
        pipeline.segment_enhanced(slow, rows.segment_result(0), "late.mp4")
    assert Step.objects.get(pk=quick.step_id).output == ""
    pipeline.segment_enhanced(quick, rows.segment_result(0), "right.mp4")
    with pytest.raises(Fenced):
        pipeline.segment_enhanced(quick, rows.segment_result(0), "twice.mp4")
    assert Step.objects.get(pk=quick.step_id).output == "right.mp4"


def test_a_refused_write_leaves_no_event_behind() -> None:
    job = rows.planned(rows.accepted(), segments=2)
    slow = rows.claimed(job, Kind.SEGMENT)
    rows.lapse(slow)
    dispatch.expire_leases()
    before = seqs(job)
    with pytest.raises(Fenced):
        pipeline.segment_enhanced(slow, rows.segment_result(0), "late.mp4")
    assert seqs(job) == before


def test_a_lapsed_lease_that_nobody_took_is_renewed_by_its_holder() -> None:
    job = rows.accepted()
    claim = rows.claimed(job, Kind.METADATA)
    rows.lapse(claim)
    steps.renew([claim])
    assert dispatch.expire_leases() == 0
    assert steps.still_held([claim]) == {(claim.step_id, claim.attempt)}


def test_ten_lost_workers_end_the_job_with_a_reason() -> None:
    job = rows.accepted()
    for _ in range(10):
        rows.lapse(rows.claimed(job, Kind.METADATA))
        dispatch.expire_leases()
    job.refresh_from_db()
    assert (job.state, job.error_code) == (Job.State.FAILED, "worker_lost")
    assert job.metadata_state == Job.MetadataState.FAILED
    assert steps.claim(job.pk, 1, Kind.METADATA, 0, worker="worker-1") is None


@override_settings(VIDEOPROC_BACKOFF_SECONDS=0.0)
@pytest.mark.parametrize("trouble", [StorageFull("no space"), ProcessRefused("fork: out of processes")], ids=repr)
def test_three_crashes_end_the_job_and_a_full_disk_or_machine_costs_no_strike(trouble: MediaError) -> None:
    job = rows.planned(rows.accepted(), segments=1)
    for _ in range(5):
        failures.step_failed(rows.claimed(job, Kind.SEGMENT), trouble)
    assert Event.objects.filter(job=job, name="step_handed_back").count() == 1
    for _ in range(2):
        failures.step_failed(rows.claimed(job, Kind.SEGMENT), ProcessCrashed("signal 11"))
    job.refresh_from_db()
    assert job.state == Job.State.ENHANCING
    assert Step.objects.get(job=job, kind=Kind.SEGMENT).error_code == "process_crashed"
    failures.step_failed(rows.claimed(job, Kind.SEGMENT), ProcessCrashed("signal 11"))
    job.refresh_from_db()
    assert (job.state, job.error_code) == (Job.State.FAILED, "process_crashed")
    assert "3 times" in job.error_detail


def test_a_fault_of_the_file_ends_the_job_at_once() -> None:
    job = rows.accepted()
    failures.step_failed(rows.claimed(job, Kind.METADATA), UnsupportedCodec("codec none"))
    job.refresh_from_db()
    assert (job.state, job.error_code, job.error_retryable) == (Job.State.FAILED, "unsupported_codec", False)


def test_backoff_keeps_a_step_from_being_taken_too_early() -> None:
    job = rows.accepted()
    failures.step_failed(rows.claimed(job, Kind.METADATA), ProcessCrashed("signal 11"))
    assert steps.claim(job.pk, 1, Kind.METADATA, 0, worker="worker-1") is None
    assert steps.due(10) == []
    Step.objects.update(not_before=after(-1))
    assert len(steps.due(10)) == 1


def test_cancel_is_final_and_takes_the_claims_away() -> None:
    job = rows.planned(rows.accepted(), segments=3)
    claim = rows.claimed(job, Kind.SEGMENT)
    results = rows.side_by_side([lambda: control.cancel(job.pk) for _ in range(4)])
    assert sum(isinstance(result, JobClosed) for result in results) == 3
    assert steps.still_held([claim]) == set()
    with pytest.raises(JobClosed):
        pipeline.segment_enhanced(claim, rows.segment_result(0), "late.mp4")
    job.refresh_from_db()
    assert job.state == Job.State.CANCELLED
    assert set(job.steps.exclude(state="done").values_list("state", flat=True)) == {"cancelled"}
    percents = list(job.events.order_by("seq").values_list("percent", flat=True))
    assert percents == sorted(percents)
    assert job.percent == percents[-1] > 0
    assert steps.due(10) == []


def test_a_damaged_segment_runs_again_in_a_new_epoch_and_the_others_stay() -> None:
    job = rows.planned(rows.accepted(), segments=3)
    for index in range(3):
        rows.enhance(job, index)
    failures.step_failed(rows.claimed(job, Kind.JOIN), SegmentDamaged("segment 1: digest differs", index=1))
    job.refresh_from_db()
    assert (job.epoch, job.state) == (2, Job.State.ENHANCING)
    assert [step.index for step in steps.due(10)] == [1]
    rows.enhance(job, 1)
    job.refresh_from_db()
    assert job.state == Job.State.JOINING
    assert rows.claimed(job, Kind.JOIN).epoch == 2
    assert seqs(job) == list(range(1, job.seq + 1))


def test_a_plan_that_proves_wrong_is_made_again_once_by_decoding() -> None:
    job = rows.planned(rows.accepted(), segments=3)
    rows.enhance(job, 0)
    other = rows.claimed(job, Kind.SEGMENT, 2)
    assert not pipeline.must_decode_to_plan(job)
    failures.step_failed(rows.claimed(job, Kind.SEGMENT, 1), TimelineMismatch("a frame where none is planned"))
    job.refresh_from_db()
    assert (job.epoch, job.state) == (2, Job.State.PROBING)
    assert pipeline.must_decode_to_plan(job)
    assert steps.still_held([other]) == set()
    assert [(step.kind, step.epoch) for step in steps.due(10)] == [(Kind.PLAN, 2)]
    pipeline.planned(rows.claimed(job, Kind.PLAN), rows.plan_of(segments=1), "plan-2.json")
    failures.step_failed(rows.claimed(job, Kind.SEGMENT, 0), TimelineMismatch("again"))
    job.refresh_from_db()
    assert job.epoch == 2
    assert seqs(job) == list(range(1, job.seq + 1))


def test_no_edge_leads_back_or_out_of_an_end() -> None:
    job = rows.finished(rows.accepted())
    with transaction.atomic(), pytest.raises(JobClosed):
        jobs.lock(job.pk)
    fresh = rows.accepted()
    with transaction.atomic(), pytest.raises(IllegalMove):
        jobs.record(jobs.lock(fresh.pk), "published", to=Job.State.READY)
    terminal = {state for state in Job.State if state not in jobs.EDGES}
    assert terminal == Job.TERMINAL


def test_progress_counts_frames_and_never_goes_back() -> None:
    job = rows.planned(rows.accepted(), segments=2)
    first = rows.claimed(job, Kind.SEGMENT, 0)
    steps.advance(first, 7)
    steps.advance(first, 5)
    halfway = progress.measure([job])[job.pk]
    assert (halfway.frames_done, halfway.frames_total, halfway.segments_done) == (7, 20, 0)
    rows.lapse(first)
    dispatch.expire_leases()
    again = rows.claimed(job, Kind.SEGMENT, 0)
    steps.advance(again, 2)
    assert progress.measure([job])[job.pk].percent == halfway.percent


def test_a_paused_job_waits_without_a_strike_and_goes_on() -> None:
    job = rows.planned(rows.accepted(), segments=2)
    claim = rows.claimed(job, Kind.SEGMENT)
    control.pause(job.pk)
    assert steps.still_held([claim]) == set()
    assert steps.due(10) == []
    assert steps.claim(job.pk, 1, Kind.SEGMENT, 1, worker="worker-1") is None
    with pytest.raises(Fenced):
        pipeline.segment_enhanced(claim, rows.segment_result(0), "late.mp4")
    control.resume(job.pk)
    assert [step.index for step in steps.due(10)] == [0, 1]
    again = rows.claimed(job, Kind.SEGMENT)
    assert (again.attempt, again.crashes, again.losses) == (2, 0, 0)


@pytest.mark.parametrize("ended", ["cancelled", "failed"])
def test_retry_keeps_finished_segments(ended: str) -> None:
    job = rows.planned(rows.accepted(), segments=3)
    rows.enhance(job, 1)
    if ended == "cancelled":
        control.cancel(job.pk)
    else:
        failures.step_failed(rows.claimed(job, Kind.SEGMENT, 0), UnsupportedCodec("codec none"))
    control.retry(job.pk)
    job.refresh_from_db()
    assert (job.epoch, job.state, job.error_code, job.ended_at) == (2, Job.State.ENHANCING, "", None)
    assert sorted(step.index for step in steps.due(10)) == [0, 2]
    rows.enhance(job, 0)
    rows.enhance(job, 2)
    job.refresh_from_db()
    assert job.state == Job.State.JOINING
    assert seqs(job) == list(range(1, job.seq + 1))
    with pytest.raises(JobOpen):
        control.retry(job.pk)


def test_retry_begins_where_nothing_is_left() -> None:
    early = rows.accepted()
    control.cancel(early.pk)
    control.retry(early.pk)
    assert [step.kind for step in early.steps.filter(epoch=2)] == [Kind.METADATA]
    cleaned = rows.planned(rows.accepted(), segments=2)
    rows.enhance(cleaned, 0)
    control.cancel(cleaned.pk)
    Job.objects.filter(pk=cleaned.pk).update(cleaned_at=after(0))
    control.retry(cleaned.pk)
    cleaned.refresh_from_db()
    assert cleaned.state == Job.State.PROBING
    assert list(cleaned.steps.filter(epoch=2, state="queued").values_list("kind", flat=True)) == [Kind.PLAN]
    ready = rows.finished(rows.accepted())
    with pytest.raises(JobClosed):
        control.retry(ready.pk)


def test_events_of_many_writers_have_no_gap() -> None:
    job = rows.planned(rows.accepted(), segments=6)
    claims = [rows.claimed(job, Kind.SEGMENT, index) for index in range(6)]

    def fail(claim: steps.Claim) -> None:
        failures.step_failed(claim, StorageFull("no space"))

    assert rows.side_by_side([lambda c=c: fail(c) for c in claims]) == [None] * 6
    job.refresh_from_db()
    assert seqs(job) == list(range(1, job.seq + 1))
