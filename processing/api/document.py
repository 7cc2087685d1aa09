"""The job document: what every reader sees of a job, the same over REST, WebSocket and page, built here alone."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.urls import reverse

from processing import progress as measuring
from processing.media.receipts import Storyboard
from processing.media.wire import from_builtins
from processing.models import Job
from processing.progress import Progress

STILLS = ("poster", "before", "after")
STORYBOARD = ("storyboard", "storyboard_cues", "thumbnail")


def job_document(job: Job, progress: Progress) -> dict[str, Any]:
    """Return a job as JSON-ready values; links lead only to what is there, as absolute paths."""
    return {
        "id": str(job.pk),
        "file_id": str(job.upload_id),
        "client_id": job.client_id,
        "name": job.source_name,
        "preset": job.preset,
        "parameters": job.parameters,
        "state": job.state,
        "terminal": job.terminal,
        "seq": job.seq,
        "progress": {
            "percent": progress.percent,
            "frames_done": progress.frames_done,
            "frames_total": progress.frames_total,
            "speed_x": progress.speed_x,
            "seconds_left": list(progress.seconds_left) if progress.seconds_left else None,
            "place": progress.place,
        },
        "segments": {"total": progress.segments_total, "done": progress.segments_done},
        "attempts": progress.attempts,
        "paused": job.paused,
        "priority": job.priority,
        "waiting_for": progress.waiting_for,
        "error": error(job),
        "warnings": list(job.warnings),
        "chosen": chosen(job),
        "links": links(job),
        "created_at": _time(job.created_at),
        "updated_at": _time(job.updated_at),
    }


def job_documents(jobs: Iterable[Job]) -> list[dict[str, Any]]:
    """Return the documents of jobs, their progress measured in one query."""
    jobs = list(jobs)
    measured = measuring.measure(jobs)
    return [job_document(job, measured[job.pk]) for job in jobs]


def error(job: Job) -> dict[str, Any] | None:
    """Return why a job failed, or None."""
    if not job.error_code:
        return None
    return {"code": job.error_code, "detail": job.error_detail, "retryable": job.error_retryable}


def chosen(job: Job) -> dict[str, Any] | None:
    """Return what is done to the picture and why, once that is chosen; no operation means "left alone"."""
    if not job.chosen:
        return None
    enhancement = job.chosen["enhancement"]
    return {
        "operations": enhancement["choices"],
        "reasons": enhancement["reasons"],
        "stepped_down": enhancement.get("stepped_down", []),
    }


def links(job: Job) -> dict[str, Any]:
    """Return the paths of what can be fetched now."""
    found: dict[str, Any] = {"self": link(job), "events": link(job, "events"), "source": link(job, "source")}
    if job.metadata is not None:
        found["metadata"] = link(job, "metadata")
    if job.stills is not None and job.state not in {Job.State.FAILED, Job.State.CANCELLED}:
        found |= {name: link(job, name) for name in (*stills(job), *(STORYBOARD if storyboard(job) else ()))}
    if job.state == Job.State.READY and job.makes_result:
        found |= {name: link(job, name) for name in ("result", "receipt")}
        found["renditions"] = renditions(job)
    return found


def stills(job: Job) -> tuple[str, ...]:
    """Return which of STILLS the job has."""
    return tuple(name for name in STILLS if (job.stills or {}).get(name))


def storyboard(job: Job) -> Storyboard | None:
    """Return the job's storyboard; jobs of versions before it have none."""
    found = (job.stills or {}).get("storyboard")
    return from_builtins(found, Storyboard) if found else None


def renditions(job: Job) -> list[dict[str, Any]]:
    """Return the files of a published result, the one every browser plays first."""
    return [
        {
            "name": name,
            "codec": receipt.get("codec", "h264"),
            "url": reverse("job-rendition", args=[job.pk, name]),
            "size_bytes": receipt["size_bytes"],
            "width": receipt["width_px"],
            "height": receipt["height_px"],
            "hdr": receipt.get("hdr", "none"),
        }
        for name, receipt in zip(job.rendition_keys, job.rendition_receipts, strict=True)
    ]


def link(job: Job, thing: str = "") -> str:
    """Return the path of a job, or of one of its things."""
    return reverse(f"job-{thing}" if thing else "job", args=[job.pk])


def _time(value: datetime) -> str:
    return value.isoformat().replace("+00:00", "Z")
