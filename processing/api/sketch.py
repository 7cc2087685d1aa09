"""The two status documents by file id. Of several jobs of one file the newest counts."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from processing import progress
from processing.api.document import error, link
from processing.api.serializers import EnhancementStatusSerializer, MetadataStatusSerializer
from processing.models import Job

METADATA_PERCENT = {"queued": 0.0, "probing": 50.0, "ready": 100.0, "failed": 0.0}


class Status(GenericAPIView):
    """A view of a file's newest job."""

    queryset = Job.objects.order_by("-created_at", "-id")
    pagination_class = None

    def newest(self, file_id: str) -> Job:
        """Return the job; Http404 for a file that is unknown, another user's, or no id at all."""
        try:
            upload_id = UUID(file_id)
        except ValueError as exc:
            raise Http404 from exc
        job = self.filter_queryset(self.get_queryset()).filter(upload_id=upload_id).first()
        if job is None:
            raise Http404
        return job


class EnhancementStatus(Status):
    """How the enhancement stands."""

    serializer_class = EnhancementStatusSerializer

    @extend_schema(operation_id="video_enhancement_status")
    def get(self, request: Request, file_id: str) -> Response:
        """Return state and progress (0 to 100), and where the result is once it is there."""
        job = self.newest(file_id)
        percent = progress.measure([job])[job.pk].percent
        has_result = job.state == Job.State.READY and job.makes_result
        return Response(_status(job, job.state, percent) | {"result_url": link(job, "result") if has_result else None})


class MetadataStatus(Status):
    """How the metadata stands."""

    serializer_class = MetadataStatusSerializer

    @extend_schema(operation_id="metadata_extraction_status")
    def get(self, request: Request, file_id: str) -> Response:
        """Return state and progress (0 to 100), and the metadata and the poster once they are there."""
        job = self.newest(file_id)
        status = _status(job, job.metadata_state, METADATA_PERCENT[job.metadata_state])
        if job.metadata_state != Job.MetadataState.FAILED:
            status["error"] = None
        poster = link(job, "poster") if job.stills is not None else None
        return Response(status | {"metadata": job.metadata, "poster_url": poster})


def _status(job: Job, state: str, percent: float) -> dict[str, Any]:
    return {
        "file_id": str(job.upload_id),
        "status": state,
        "progress": percent,
        "error": error(job),
        "job_id": str(job.pk),
    }
