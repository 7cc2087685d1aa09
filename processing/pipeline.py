"""The whole flow of a video, on one screen: which step follows which, and what each result does to its job.

    accept ─ chain(extract_metadata, diagnose, plan_segments) ─┬ enhance_segment ┬─ chain(join, make_stills, publish)
                                                               ├ enhance_segment ┤
                                                               └ …               ┘

A job that makes no result goes from extract_metadata to make_stills at once. A step row exists once the step may run.
Each result is stored in one transaction with the next step's row and its event, fenced by the claim. Only this module
builds Celery signatures: they carry ids, and are hints that may get lost.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from celery import Signature, chain, signature
from django.db import transaction
from django.db.models.functions import Now

from processing import nudge, progress
from processing.live.doorbell import audience
from processing.media import wire
from processing.media.parameters import NONE_GIVEN, Parameters
from processing.media.receipts import Receipt, SegmentResult, Stills
from processing.media.requests import Chosen, Metadata, Planned
from processing.models import Job, Step
from processing.state import job as jobs
from processing.state import step as steps
from processing.state.errors import JobClosed
from processing.state.step import Claim

logger = logging.getLogger(__name__)
Kind, State = Step.Kind, Job.State

TASKS = {
    Kind.METADATA: "processing.extract_metadata",
    Kind.DIAGNOSE: "processing.diagnose",
    Kind.PLAN: "processing.plan_segments",
    Kind.SEGMENT: "processing.enhance_segment",
    Kind.JOIN: "processing.join",
    Kind.STILLS: "processing.make_stills",
    Kind.PUBLISH: "processing.publish",
}
CHAINS = ((Kind.METADATA, Kind.DIAGNOSE, Kind.PLAN), (Kind.JOIN, Kind.STILLS, Kind.PUBLISH))


@dataclass(frozen=True, kw_only=True)
class Source:
    """What the door hands over: a probed file on disk and who sent it."""

    upload_id: UUID
    owner_id: int
    client_id: str
    preset: str
    parameters: Parameters = NONE_GIVEN
    key: str
    name: str
    sha256: str
    size_bytes: int
    priority: int = 0


def accept(source: Source) -> Job:
    """Write the job, its first step and its first event, inside the caller's transaction with the upload's row."""
    last = Job.objects.filter(owner_id=source.owner_id).order_by("-number").values_list("number", flat=True).first()
    job = Job.objects.create(
        number=(last or 0) + 1,
        priority=source.priority,
        upload_id=source.upload_id,
        owner_id=source.owner_id,
        client_id=source.client_id,
        audience=audience(source.owner_id, source.client_id),
        preset=source.preset,
        parameters=source.parameters.given,
        source_key=source.key,
        source_name=source.name,
        source_sha256=source.sha256,
        source_size_bytes=source.size_bytes,
        created_at=Now(),
        updated_at=Now(),
    )
    jobs.record(job, "accepted", data={"preset": source.preset, **_asked(source.parameters)})
    _next(job, Kind.METADATA)
    return job


def _asked(parameters: Parameters) -> dict[str, Any]:
    return {"parameters": parameters.given} if parameters.given else {}


def message(step: Step) -> Signature:
    """Return the message that hints at a step: the rest of its chain, or the segment alone."""
    for links in CHAINS:
        if step.kind in links:
            rest = links[links.index(Kind(step.kind)) :]
            return chain(*(_task(kind, str(step.job_id), step.epoch) for kind in rest))
    return _task(Kind.SEGMENT, str(step.job_id), step.epoch, step.index)


def _task(kind: str, *arguments: object) -> Signature:
    return signature(TASKS[Kind(kind)], args=arguments, immutable=True)


def _next(job: Job, kind: str, *, begins: bool = False) -> None:
    """Create the step that follows; `begins` where no chain under way leads to it."""
    if not begins and any(kind in links[1:] for links in CHAINS):
        # The chain under way is its hint; should that get lost, the dispatcher hints again.
        steps.create(job, kind, hinted_at=Now())
    else:
        steps.create(job, kind)
        transaction.on_commit(nudge.nudge, robust=True)


def started(claim: Claim) -> Job:
    """Note that a step began; the first one moves the job to probing. JobClosed where the job has ended."""
    if claim.kind == Kind.SEGMENT:
        return _planned_job(claim.job_id, claim.epoch)
    if claim.kind != Kind.METADATA:
        return _open_job(claim.job_id, claim.epoch)
    with transaction.atomic():
        job = jobs.lock(claim.job_id, epoch=claim.epoch)
        if job.state == State.QUEUED:
            probing = Job.MetadataState.PROBING
            jobs.record(job, "probing_started", to=State.PROBING, metadata_state=probing, started_at=Now())
    return job


def _open_job(job_id: UUID, epoch: int) -> Job:
    job = Job.objects.defer(*jobs.DOCUMENTS).get(pk=job_id)
    if job.terminal or job.epoch != epoch:
        raise JobClosed(f"job {job.pk} is {job.state} in epoch {job.epoch}")
    return job


@lru_cache(maxsize=64)
def _planned_job(job_id: UUID, epoch: int) -> Job:
    """Return a job as its segments need it, read once: what they need of it is the same as long as its epoch lasts.

    A claim proves that the job was open then; should it have ended since, the heartbeat or the fenced write finds out.
    """
    return _open_job(job_id, epoch)


@transaction.atomic
def metadata_extracted(claim: Claim, metadata: Metadata, output: str) -> None:
    """Store the metadata, and where the facts were written for those that follow; the diagnosis follows, if wanted."""
    job = jobs.lock(claim.job_id, epoch=claim.epoch)
    steps.finish(claim, output=output)
    facts: dict[str, Any] = {
        "metadata": wire.to_builtins(metadata),
        "metadata_state": Job.MetadataState.READY,
        "source_seconds": metadata.duration_seconds,
    }
    if job.makes_result:
        jobs.record(job, "metadata_extracted", **facts)
        _next(job, Kind.DIAGNOSE)
    else:
        jobs.record(job, "metadata_extracted", to=State.PUBLISHING, warnings=list(metadata.warnings), **facts)
        _next(job, Kind.STILLS, begins=True)


@transaction.atomic
def diagnosed(claim: Claim, chosen: Chosen) -> None:
    """Store what was measured and chosen; the plan follows."""
    job = jobs.lock(claim.job_id, epoch=claim.epoch)
    steps.finish(claim)
    operations = {choice.operation: choice.strength for choice in chosen.enhancement.choices}
    jobs.record(job, "diagnosed", data={"operations": operations}, chosen=wire.to_builtins(chosen))
    _next(job, Kind.PLAN)


@transaction.atomic
def planned(claim: Claim, plan: Planned, output: str) -> None:
    """Store the plan; its segments follow, or the join where the video packets are copied."""
    job = jobs.lock(claim.job_id, epoch=claim.epoch)
    steps.finish(claim, output=output, sha256=plan.sha256, result=wire.to_builtins(plan))
    spans = spans_of(plan)
    jobs.record(
        job,
        "planned",
        to=State.ENHANCING if spans else State.JOINING,
        data={"segments": len(spans), "video": plan.video, "renditions": ["web", *plan.further]},
        plan_key=output,
        frames_total=sum(plan.segment_frames) or plan.frames_total,
        segments_total=len(spans),
        warnings=list(plan.warnings),
    )
    if spans:
        steps.create_segments(job, spans)
        transaction.on_commit(nudge.nudge, robust=True)
    else:
        _next(job, Kind.JOIN)


@transaction.atomic
def segment_enhanced(claim: Claim, segment: SegmentResult, output: str) -> None:
    """Store a segment. The job's lock makes finishers take turns, so exactly one is the last and begins the join."""
    job = jobs.lock(claim.job_id, epoch=claim.epoch, brief=True)
    steps.finish(
        claim,
        output=output,
        sha256=segment.sha256,
        result=wire.to_builtins(segment),
        frames_done=segment.frames_out,
    )
    facts = {"segment": claim.index, "frames": segment.frames_out, "attempt": claim.attempt}
    frames, still_open = progress.segments(job)
    jobs.record(job, "segment_enhanced", data=facts, frames=frames)
    if still_open:
        transaction.on_commit(nudge.nudge, robust=True)
    else:
        jobs.record(job, "joining_started", to=State.JOINING, frames=frames)
        _next(job, Kind.JOIN)


def spans_of(plan: Planned) -> list[tuple[int, int, int, int]]:
    """Return (index, start_pts, stop_pts, frames) of each segment of a plan."""
    pairs = zip(plan.segments, plan.segment_frames, strict=True)
    return [(index, start, stop, frames) for index, ((start, stop), frames) in enumerate(pairs)]


def must_decode_to_plan(job: Job) -> bool:
    """Return whether a plan made from the packets proved wrong, so that the next is made by decoding everything."""
    return job.events.filter(name="times_doubted").exists()


@transaction.atomic
def joined(claim: Claim, receipt: Receipt, output: str) -> None:
    """Store the joined file and its receipt; the stills follow."""
    job = jobs.lock(claim.job_id, epoch=claim.epoch)
    steps.finish(claim, output=output, sha256=receipt.sha256)
    warnings = sorted({*job.warnings, *receipt.warnings})
    data = {"frames": receipt.frames_out, "size_bytes": receipt.size_bytes}
    jobs.record(job, "joined", to=State.PUBLISHING, data=data, receipt=wire.to_builtins(receipt), warnings=warnings)
    _next(job, Kind.STILLS)


@transaction.atomic
def stills_made(claim: Claim, stills: Stills, output: str) -> None:
    """Store the stills; publishing follows."""
    job = jobs.lock(claim.job_id, epoch=claim.epoch)
    steps.finish(claim, output=output)
    jobs.record(job, "stills_made", stills=wire.to_builtins(stills), stills_key=output)
    _next(job, Kind.PUBLISH)


@transaction.atomic
def published(claim: Claim) -> None:
    """Make the result visible, if there is one: from here on the job is ready."""
    job = jobs.lock(claim.job_id, epoch=claim.epoch)
    steps.finish(claim)
    result_key = ""
    if job.makes_result:
        result_key = Step.objects.get(job=job, epoch=job.epoch, kind=Kind.JOIN, state=Step.State.DONE).output
    jobs.record(job, "published", to=State.READY, result_key=result_key)
