"""The Celery tasks: one for each kind of step, each an interface that loads, runs one media operation and stores.

What follows what is in pipeline.py. A task that finds its step taken, done or void returns at once.
"""

from __future__ import annotations

from celery import shared_task
from django.conf import settings

from processing import pipeline
from processing.media import requests as media
from processing.media import wire
from processing.media.parameters import Parameters
from processing.media.receipts import Receipt, SegmentResult, Stills
from processing.models import Step
from processing.supervisor import Work, current, patiently

Kind = Step.Kind


def _asked(task: Work) -> Parameters:
    return wire.from_builtins(task.job.parameters, Parameters)


@shared_task(name="processing.extract_metadata")
def extract_metadata(job_id: str, epoch: int) -> None:
    """Probe and scan the source."""

    def work(task: Work) -> None:
        key, path = task.write(".json")
        metadata = task.run("metadata", media.MetadataRequest(source=task.source(), output=path), media.Metadata)
        patiently(lambda: pipeline.metadata_extracted(task.claim, metadata, key))

    current().perform(job_id, epoch, Kind.METADATA, work)


@shared_task(name="processing.diagnose")
def diagnose(job_id: str, epoch: int) -> None:
    """Measure the picture and choose what is done to it."""

    def work(task: Work) -> None:
        request = media.DiagnoseRequest(
            source=task.source(), preset=task.job.preset, facts=task.facts(), parameters=_asked(task)
        )
        chosen = task.run("diagnose", request, media.Chosen)
        patiently(lambda: pipeline.diagnosed(task.claim, chosen))

    current().perform(job_id, epoch, Kind.DIAGNOSE, work)


@shared_task(name="processing.plan_segments")
def plan_segments(job_id: str, epoch: int) -> None:
    """Cut the timeline into segments and freeze the plan."""

    def work(task: Work) -> None:
        key, path = task.write(".json")
        request = media.PlanRequest(
            source=task.source(),
            source_digest=task.job.source_sha256,
            chosen=wire.from_builtins(task.job.chosen, media.Chosen),
            output=path,
            facts=task.facts(),
            parameters=_asked(task),
            strip_tags=settings.VIDEOPROC_STRIP_TAGS,
            with_deep=settings.VIDEOPROC_DEEP_RENDITION,
            by_decoding=pipeline.must_decode_to_plan(task.job),
        )
        plan = task.run("plan", request, media.Planned)
        patiently(lambda: pipeline.planned(task.claim, plan, key))

    current().perform(job_id, epoch, Kind.PLAN, work)


@shared_task(name="processing.enhance_segment")
def enhance_segment(job_id: str, epoch: int, index: int) -> None:
    """Decode, enhance and encode one segment."""

    def work(task: Work) -> None:
        key, path = task.write(".mp4")
        request = media.SegmentRequest(source=task.source(), plan=task.plan(), index=index, output=path)
        segment = task.run("segment", request, SegmentResult)
        patiently(lambda: pipeline.segment_enhanced(task.claim, segment, key))

    current().perform(job_id, epoch, Kind.SEGMENT, work, index=index)


@shared_task(name="processing.join")
def join(job_id: str, epoch: int) -> None:
    """Put the finished segments together with the source's sound and tags."""

    def work(task: Work) -> None:
        rows = Step.objects.filter(job=task.job, epoch=epoch, kind=Kind.SEGMENT).order_by("index")
        results = tuple(wire.from_builtins(row.result, SegmentResult) for row in rows)
        plan = Step.objects.get(job=task.job, epoch=epoch, kind=Kind.PLAN)
        further = wire.from_builtins(plan.result, media.Planned).further
        key, path = task.write(".mp4", more_bytes=sum(result.size_bytes for result in results))
        request = media.JoinRequest(
            source=task.source(),
            plan=task.plan(),
            segments=task.segments([row.output for row in rows]),
            results=results,
            output=path,
            further=tuple(task.write(f".{name}.mp4")[1] for name in further),
        )
        receipt = task.run("join", request, Receipt)
        patiently(lambda: pipeline.joined(task.claim, receipt, key))

    current().perform(job_id, epoch, Kind.JOIN, work)


@shared_task(name="processing.make_stills")
def make_stills(job_id: str, epoch: int) -> None:
    """Make the poster, the storyboard and the pair of stills before and after; of the source, where it is all."""

    def work(task: Work) -> None:
        key, path = task.write()
        if not task.job.makes_result:
            of_source = media.SourceStillsRequest(source=task.source(), output=path, facts=task.facts())
            stills = task.run("source_stills", of_source, Stills)
            return patiently(lambda: pipeline.stills_made(task.claim, stills, key))
        joined = Step.objects.get(job=task.job, epoch=epoch, kind=Kind.JOIN)
        request = media.StillsRequest(
            source=task.source(),
            plan=task.plan(),
            result=task.output(joined.output, sha256=joined.sha256),
            output=path,
        )
        stills = task.run("stills", request, Stills)
        return patiently(lambda: pipeline.stills_made(task.claim, stills, key))

    current().perform(job_id, epoch, Kind.STILLS, work)


@shared_task(name="processing.publish")
def publish(job_id: str, epoch: int) -> None:
    """Make the result visible."""

    def work(task: Work) -> None:
        patiently(lambda: pipeline.published(task.claim))

    current().perform(job_id, epoch, Kind.PUBLISH, work)
