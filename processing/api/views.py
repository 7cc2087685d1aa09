"""The job interface: lists, documents, events, metadata and files. Rows are filtered by owner in one place."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import PurePath
from typing import Any
from uuid import UUID

from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from processing.api.delivery import Delivery, deliver
from processing.api.document import job_documents
from processing.api.errors import NotAvailable
from processing.api.serializers import EventSerializer, JobSerializer, ReceiptSerializer
from processing.media.requests import file_name
from processing.models import Job


class OneJob(GenericAPIView):
    """A view of one of the acting user's jobs."""

    queryset = Job.objects.all()
    serializer_class: type[BaseSerializer] = JobSerializer
    lookup_url_kwarg = "job_id"
    pagination_class = None


class JobList(GenericAPIView):
    """Jobs, newest first."""

    queryset = Job.objects.all()
    serializer_class = JobSerializer
    filterset_fields = ("state", "preset", "client_id")

    @extend_schema(operation_id="jobs_list", responses=JobSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Return one page of jobs; `next` leads to the following one."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(job_documents(page or ()))


class JobDetail(OneJob):
    """One job."""

    @extend_schema(operation_id="jobs_get")
    def get(self, request: Request, job_id: UUID) -> Response:
        """Return the job document."""
        return Response(job_documents([self.get_object()])[0])


class JobEvents(OneJob):
    """The log of a job."""

    serializer_class = EventSerializer

    @extend_schema(operation_id="jobs_events", responses=EventSerializer(many=True))
    def get(self, request: Request, job_id: UUID) -> Response:
        """Return all events of the job, by `seq`."""
        return Response(EventSerializer(self.get_object().events.order_by("seq"), many=True).data)


class JobMetadata(OneJob):
    """What the source is, and what was measured on its pictures."""

    @extend_schema(operation_id="jobs_metadata", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, job_id: UUID) -> Response:
        """Return container, streams and counts of the source; 404 `not_available` before they are known.

        `diagnosis` is null before the pictures were measured, and where nobody asked for it.
        """
        job = self.get_object()
        if job.metadata is None:
            raise NotAvailable("There is no metadata.", retryable=not job.terminal)
        return Response(
            {
                **job.metadata,
                "sha256": job.source_sha256,
                "size_bytes": job.source_size_bytes,
                "diagnosis": (job.chosen or {}).get("diagnosis"),
            }
        )


class JobReceipt(OneJob):
    """The proof of a result."""

    @extend_schema(operation_id="jobs_receipt", responses=ReceiptSerializer)
    def get(self, request: Request, job_id: UUID) -> Response:
        """Return what was measured on the written file, and what the enhancement was based on."""
        job = _with_result(self.get_object())
        chosen = job.chosen or {}
        return Response(
            {
                "receipt": job.receipt,
                "diagnosis": chosen.get("diagnosis"),
                "enhancement": chosen.get("enhancement"),
            }
        )


class WhateverAccepted(BaseContentNegotiation):
    """Serves a file whatever the client says it accepts: there is only the one form."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        """Return the first parser; nothing is parsed."""
        return parsers[0] if parsers else None

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        """Return the first renderer, which is for problems."""
        return renderers[0], renderers[0].media_type


RANGE = OpenApiParameter("Range", location="header", description="One range of bytes.")
FILE = {
    (HTTPStatus.OK, "application/octet-stream"): OpenApiTypes.BINARY,
    (HTTPStatus.PARTIAL_CONTENT, "application/octet-stream"): OpenApiTypes.BINARY,
    HTTPStatus.NOT_MODIFIED: OpenApiResponse(description="The client has it already."),
}


class OneFile(OneJob):
    """A view that delivers one of a job's files."""

    content_negotiation_class = WhateverAccepted


class JobResult(OneFile):
    """The enhanced video."""

    @extend_schema(operation_id="jobs_result", parameters=[RANGE], responses=FILE)
    def get(self, request: Request, job_id: UUID) -> HttpResponseBase:
        """Return the video, or the range of it that was asked for."""
        return deliver(request, result_of(self.get_object()))


class JobRendition(OneFile):
    """One file of the result."""

    @extend_schema(operation_id="jobs_rendition", parameters=[RANGE], responses=FILE)
    def get(self, request: Request, job_id: UUID, name: str) -> HttpResponseBase:
        """Return that rendition, or the range of it that was asked for."""
        return deliver(request, rendition_of(self.get_object(), name))


class JobSource(OneFile):
    """The uploaded file."""

    @extend_schema(operation_id="jobs_source", parameters=[RANGE], responses=FILE)
    def get(self, request: Request, job_id: UUID) -> HttpResponseBase:
        """Return the file as it was sent, as an attachment."""
        return deliver(request, source_of(self.get_object()))


def result_of(job: Job) -> Delivery:
    """Return the enhanced video for delivery; NotAvailable before the job is ready."""
    return rendition_of(job, "web")


def rendition_of(job: Job, name: str) -> Delivery:
    """Return one file of the result for delivery; NotAvailable where there is none, or before the job is ready."""
    keys = _with_result(job).rendition_keys
    if name not in keys:
        raise NotAvailable("There is no such rendition.", retryable=False)
    receipt = dict(zip(keys, job.rendition_receipts, strict=True))[name]
    shown = file_name(f"{PurePath(job.source_name).stem[:200]}-enhanced.mp4", name)
    return Delivery(key=keys[name], digest=receipt["sha256"], content_type="video/mp4", name=shown)


def source_of(job: Job) -> Delivery:
    """Return the uploaded file for delivery."""
    return Delivery(
        key=job.source_key,
        digest=job.source_sha256,
        content_type="application/octet-stream",
        name=job.source_name,
        is_attachment=True,
    )


def _with_result(job: Job) -> Job:
    if not job.makes_result:
        raise NotAvailable(f"The preset {job.preset} makes no result.", retryable=False)
    if job.state != Job.State.READY:
        raise NotAvailable(f"The job is {job.state}.", retryable=not job.terminal)
    return job
