"""The pictures of a job on their way to clients: poster, before and after, storyboard with its cues, thumbnails."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from http import HTTPStatus
from uuid import UUID

from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from processing.api.delivery import Delivery, deliver
from processing.api.document import stills, storyboard
from processing.api.errors import NotAvailable, refuse_unknown
from processing.api.serializers import ThumbnailSerializer
from processing.api.views import OneFile
from processing.media.receipts import Storyboard
from processing.models import Job


class JobStill(OneFile):
    """The poster, or one of the pair before and after."""

    still = ""

    @extend_schema(responses={(HTTPStatus.OK, "image/jpeg"): OpenApiTypes.BINARY})
    def get(self, request: Request, job_id: UUID) -> HttpResponseBase:
        """Return the JPEG."""
        return deliver(request, still_of(self.get_object(), self.still))


class JobStoryboard(OneFile):
    """Moments spread evenly over the video."""

    @extend_schema(operation_id="jobs_storyboard", responses={(HTTPStatus.OK, "image/jpeg"): OpenApiTypes.BINARY})
    def get(self, request: Request, job_id: UUID) -> HttpResponseBase:
        """Return the sheet of tiles as JPEG."""
        return deliver(request, sheet_of(self.get_object()))


class JobStoryboardCues(OneFile):
    """Where each moment is on the storyboard."""

    @extend_schema(operation_id="jobs_storyboard_cues", responses={(HTTPStatus.OK, "text/vtt"): OpenApiTypes.STR})
    def get(self, request: Request, job_id: UUID) -> HttpResponseBase:
        """Return WebVTT cues, each with the tile of its stretch of time: `storyboard#xywh=…`."""
        return deliver(request, cues_of(self.get_object()))


class JobThumbnail(OneFile):
    """A small picture of a moment."""

    @extend_schema(
        operation_id="jobs_thumbnail",
        parameters=[ThumbnailSerializer],
        responses={(HTTPStatus.OK, "image/jpeg"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, job_id: UUID) -> HttpResponseBase:
        """Return the JPEG of the storyboard's moment nearest to `at`."""
        job = self.get_object()
        asked = ThumbnailSerializer(data=request.query_params)
        refuse_unknown(request.query_params, asked.fields)
        asked.is_valid(raise_exception=True)
        return deliver(request, thumbnail_of(job, asked.validated_data["at"]))


def still_of(job: Job, still: str) -> Delivery:
    """Return the poster, or the still before or after, for delivery; NotAvailable before it is made."""
    if still not in stills(job):
        raise NotAvailable("There is no such picture.", retryable=not job.terminal)
    return _picture_file(job, (job.stills or {})[still]["name"], "image/jpeg")


def sheet_of(job: Job) -> Delivery:
    """Return the storyboard's sheet for delivery; NotAvailable before it is made."""
    return _picture_file(job, _storyboard(job).sheet.name, "image/jpeg")


def cues_of(job: Job) -> Delivery:
    """Return the storyboard's cues for delivery; NotAvailable before they are made."""
    return _picture_file(job, _storyboard(job).cues, "text/vtt; charset=utf-8")


def thumbnail_of(job: Job, at_seconds: float) -> Delivery:
    """Return the thumbnail of the moment nearest to a time, the earlier of two; NotAvailable before it is made."""
    board = _storyboard(job)
    index = min(range(len(board.moments_ms)), key=lambda one: abs(board.moments_ms[one] - 1000 * at_seconds))
    start = board.stops_bytes[index - 1] if index else 0
    whole = _picture_file(job, board.thumbnails, "image/jpeg")
    return replace(
        whole,
        digest=f"{whole.digest}-{index}",
        name=f"thumbnail-{board.moments_ms[index] / 1000:.3f}.jpg",
        part=range(start, board.stops_bytes[index]),
    )


def _storyboard(job: Job) -> Storyboard:
    found = storyboard(job)
    if found is None:
        raise NotAvailable("There is no storyboard.", retryable=not job.terminal)
    return found


def _picture_file(job: Job, name: str, content_type: str) -> Delivery:
    key = f"{job.stills_key}/{name}"
    # The key carries the attempt that wrote it, so it names the content as well as a digest would.
    digest = hashlib.sha256(key.encode()).hexdigest()
    return Delivery(key=key, digest=digest, content_type=content_type, name=name)
