"""Rows for tests: an accepted job as the door would write it, and shortcuts through the pipeline with made answers."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.db import connection, transaction

from processing import pipeline, storage
from processing.clock import after
from processing.media.measured import Diagnosis
from processing.media.receipts import Receipt, SegmentResult, Still, Stills, Storyboard
from processing.media.requests import Chosen, Metadata, Planned
from processing.media.specs import Colour, Enhancement, MediaProbe, VideoStream
from processing.models import Job, Step
from processing.state import step as steps
from processing.state.errors import Fenced, IllegalMove, JobClosed
from processing.state.step import Claim
from uploads.models import Upload

PROBE = MediaProbe(
    container="mov,mp4",
    duration_seconds_from_header=4.0,
    bit_rate_bps_from_header=None,
    video=VideoStream(
        index=0,
        codec="h264",
        profile="High",
        pixel_format="yuv420p",
        bit_depth=8,
        width_px=320,
        height_px=240,
        time_base=Fraction(1, 12800),
        average_frame_rate=Fraction(25),
        nominal_frame_rate=Fraction(25),
        sample_aspect=Fraction(1),
        rotation_degrees=0,
        colour=Colour(),
        hdr="none",
        has_dolby_vision=False,
        field_order="progressive",
        frames_from_header=100,
        duration_seconds_from_header=4.0,
        language=None,
        tags={},
    ),
    audio=(),
    other=(),
    chapters=(),
    tags={},
)
METADATA = Metadata(
    probe=PROBE,
    duration_seconds=4.0,
    frames_from_header=100,
    frames_from_scan=100,
    packets_from_scan=100,
    discarded_from_scan=0,
    is_variable_rate=False,
    keyframes=4,
    keyframe_spacing_seconds=(1.0, 1.0, 1.0),
    times_repaired=0,
    warnings=(),
)


def user(name: str = "ada") -> AbstractBaseUser:
    """Return the user of that name, made where missing."""
    return get_user_model().objects.get_or_create(username=name)[0]


@transaction.atomic
def accepted(*, owner: str = "ada", client_id: str = "client", preset: str = "auto", name: str = "clip.mp4") -> Job:
    """Return a job that was just accepted."""
    upload_id = uuid.uuid4()
    sha256 = hashlib.sha256(upload_id.bytes).hexdigest()
    key = storage.source_key(upload_id)
    who = user(owner)
    Upload.objects.create(
        id=upload_id,
        owner=who,
        client_id=client_id,
        name=name,
        source_key=key,
        sha256=sha256,
        size_bytes=1000,
        container="mov,mp4",
    )
    return pipeline.accept(
        pipeline.Source(
            upload_id=upload_id,
            owner_id=who.pk,
            client_id=client_id,
            preset=preset,
            key=key,
            name=name,
            sha256=sha256,
            size_bytes=1000,
        )
    )


def claimed(job: Job, kind: str, index: int = 0, *, worker: str = "worker-1") -> Claim:
    """Return a claim on a step that must be there to be taken."""
    job.refresh_from_db()
    claim = steps.claim(job.pk, job.epoch, kind, index, worker=worker)
    assert claim is not None, f"{kind} {index} cannot be claimed"
    pipeline.started(claim)
    return claim


def planned(job: Job, *, segments: int = 3, frames: int = 10) -> Job:
    """Take a job through metadata, diagnosis and plan, with that many segments."""
    pipeline.metadata_extracted(claimed(job, Step.Kind.METADATA), METADATA, "facts.json")
    pipeline.diagnosed(claimed(job, Step.Kind.DIAGNOSE), chosen())
    pipeline.planned(claimed(job, Step.Kind.PLAN), plan_of(segments=segments, frames=frames), "plan.json")
    job.refresh_from_db()
    return job


def chosen() -> Chosen:
    """Return the answer of a diagnosis's media process: nothing is to be done."""
    enhancement = Enhancement(
        preset="auto", choices=(), reasons=("clean",), noise_sigma_luma=0.0, noise_sigma_chroma=0.0
    )
    return Chosen(diagnosis=_diagnosis(), enhancement=enhancement)


def plan_of(*, segments: int, frames: int = 10) -> Planned:
    """Return the answer of a plan's media process."""
    return Planned(
        video="encode" if segments else "copy",
        frames_total=segments * frames,
        segments=tuple((i * frames, (i + 1) * frames) for i in range(segments)),
        segment_frames=(frames,) * segments,
        warnings=(),
        sha256="0" * 64,
    )


def segment_result(index: int, frames: int = 10) -> SegmentResult:
    """Return the answer of a segment's media process."""
    return SegmentResult(
        index=index,
        frames_from_decode=frames,
        frames_out=frames,
        corrupt_frames=0,
        size_bytes=1,
        sha256="1" * 64,
        fingerprint="engine",
    )


def enhance(job: Job, index: int) -> None:
    """Finish one segment."""
    pipeline.segment_enhanced(claimed(job, Step.Kind.SEGMENT, index), segment_result(index), f"segment-{index}.mp4")


def finished(job: Job, *, further: tuple[Receipt, ...] = ()) -> Job:
    """Take an accepted job to ready, with receipts of further renditions."""
    planned(job, segments=1)
    enhance(job, 0)
    joined = dataclasses.replace(receipt(), further=further)
    pipeline.joined(claimed(job, Step.Kind.JOIN), joined, "result.mp4")
    pipeline.stills_made(claimed(job, Step.Kind.STILLS), stills(), "stills")
    pipeline.published(claimed(job, Step.Kind.PUBLISH))
    job.refresh_from_db()
    return job


def told(job: Job) -> Job:
    """Take an accepted job that makes no result to ready."""
    pipeline.metadata_extracted(claimed(job, Step.Kind.METADATA), METADATA, "facts.json")
    made = replace(stills(), before=None, after=None, pair_seconds=None)
    pipeline.stills_made(claimed(job, Step.Kind.STILLS), made, "stills")
    pipeline.published(claimed(job, Step.Kind.PUBLISH))
    job.refresh_from_db()
    return job


def receipt(frames: int = 10) -> Receipt:
    """Return the answer of a join's media process."""
    return Receipt(
        frames_from_scan=frames,
        frames_from_decode=frames,
        frames_out=frames,
        pts_equal=True,
        pts_repaired=0,
        audio=(),
        rotation_degrees=0,
        sample_aspect=Fraction(1),
        colour=Colour(),
        width_px=320,
        height_px=240,
        duration_seconds=0.4,
        size_bytes=100,
        sha256="2" * 64,
        fingerprints=("engine",),
        corrupt_frames=0,
        dropped_streams=(),
        warnings=(),
    )


def stills() -> Stills:
    """Return the answer of the stills' media process."""
    still = Still(name="poster.jpg", width_px=320, height_px=240)
    return Stills(
        poster=still,
        before=still,
        after=still,
        poster_seconds=0.0,
        pair_seconds=0.0,
        storyboard=Storyboard(
            sheet=Still(name="storyboard.jpg", width_px=320, height_px=90),
            cues="storyboard.vtt",
            thumbnails="thumbnails.mjpeg",
            moments_ms=(500, 2500),
            stops_bytes=(4, 10),
        ),
    )


def _diagnosis() -> Diagnosis:
    return Diagnosis(
        frames_sampled=8,
        noise_sigma_luma=0.0,
        noise_sigma_chroma=0.0,
        mean_luma=110.0,
        black_luma=20.0,
        white_luma=220.0,
        contrast=50.0,
        sharpness=10.0,
        is_interlaced=False,
    )


def side_by_side(calls: list[Callable[[], Any]]) -> list[Any]:
    """Run the calls at once in threads of their own; return their results, an exception where one was raised."""
    results: list[Any] = [None] * len(calls)
    gate = threading.Barrier(len(calls))

    def run(position: int, call: Callable[[], Any]) -> None:
        gate.wait()
        try:
            results[position] = call()
        except (Fenced, JobClosed, IllegalMove) as exc:
            results[position] = exc
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=item) for item in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def lapse(claim: steps.Claim) -> None:
    """Let a claim's lease be over."""
    Step.objects.filter(pk=claim.step_id).update(lease_until=after(-1))
