"""Uploads over REST: admits them, checks the form, has the file probed, and accepts it in one transaction.

The receiver calls `UploadView` twice: without a file to ask whether it may come, then with the staged one. What is not
accepted is removed here; the row publishes the file.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any, cast
from uuid import UUID

from django.db import close_old_connections, transaction
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle, UserRateThrottle

from processing import pipeline
from processing.api.document import job_documents
from processing.media.parameters import checked
from processing.models import Job
from processing.state.errors import DATABASE_AWAY
from uploads.models import Upload
from uploads.receiver import DECLARED, REFUSED, STAGED
from uploads.serializers import FormSerializer, UploadFormSerializer, UploadSerializer
from uploads.staged import Staged
from uploads.validators import NoFile, TooSlow, admit, prober

logger = logging.getLogger(__name__)


class UploadThrottle(UserRateThrottle):
    """How many uploads a user may begin."""

    scope = "upload"


class UploadView(GenericAPIView):
    """A file comes in."""

    queryset = Upload.objects.all()
    serializer_class = UploadSerializer
    pagination_class = None
    throttle_classes = (UploadThrottle,)

    def get_throttles(self) -> list[BaseThrottle]:
        """Return the throttles of the admission; one upload must not count twice."""
        return super().get_throttles() if DECLARED in _scope(self.request) else []

    @extend_schema(
        request={"multipart/form-data": UploadFormSerializer}, responses={HTTPStatus.CREATED: UploadSerializer}
    )
    def post(self, request: Request) -> Response:
        """Take a file and begin its enhancement; a file that is no video is refused here, with its reason."""
        scope = _scope(request)
        if DECLARED in scope:
            admit(scope[DECLARED])
            return Response(status=HTTPStatus.NO_CONTENT)
        if REFUSED in scope:
            raise scope[REFUSED]
        staged: Staged | None = scope.get(STAGED)
        if staged is None:
            raise NoFile
        if not staged.take():
            raise TooSlow
        try:
            upload, job = accept(cast(int, request.user.pk), staged)
        except DATABASE_AWAY:
            # The commit may have arrived although its answer did not: the sweep knows, once the database is back.
            raise
        except BaseException:
            staged.remove()
            raise
        logger.info(
            "upload accepted",
            extra={"upload": upload.pk, "job": job.pk, "size_bytes": staged.size_bytes, "preset": job.preset},
        )
        return Response(
            upload_document(upload),
            status=HTTPStatus.CREATED,
            headers={"Location": reverse("upload", args=[upload.pk])},
        )


class UploadDetail(GenericAPIView):
    """One upload."""

    queryset = Upload.objects.all()
    serializer_class = UploadSerializer
    lookup_url_kwarg = "upload_id"
    pagination_class = None

    @extend_schema(operation_id="uploads_get")
    def get(self, request: Request, upload_id: UUID) -> Response:
        """Return the upload with its newest job."""
        return Response(upload_document(self.get_object()))


def accept(owner_id: int, staged: Staged) -> tuple[Upload, Job]:
    """Check the form, probe the file, write its rows; return the upload and its job.

    Raises:
        ValidationError: a field is wrong (unknown_field, unknown_preset, bad_client_id, unknown_parameter,
            bad_parameter).
        MediaProblem, Busy: the file is no video that can be worked on, or the probe found no place.
        StorageUnavailable: the storage did not take the file.
    """
    form = FormSerializer(data=dict(staged.fields))
    form.is_valid(raise_exception=True)
    close_old_connections()  # probing takes seconds, and connections are few
    probe = prober().probe(staged.key)
    staged.publish()
    client_id = form.validated_data.get("client_id", str(staged.upload_id))
    with transaction.atomic():
        same = Upload.objects.filter(owner_id=owner_id, sha256=staged.sha256)
        upload = Upload.objects.create(
            pk=staged.upload_id,
            owner_id=owner_id,
            client_id=client_id,
            name=staged.name,
            source_key=staged.key,
            sha256=staged.sha256,
            size_bytes=staged.size_bytes,
            container=probe.container[:64],
            duplicate_of=same.order_by("created_at").first(),
        )
        job = pipeline.accept(
            pipeline.Source(
                upload_id=upload.pk,
                owner_id=owner_id,
                client_id=client_id,
                preset=form.validated_data["preset"],
                parameters=checked(form.validated_data.get("parameters", {})),
                key=staged.key,
                name=staged.name,
                sha256=staged.sha256,
                size_bytes=staged.size_bytes,
            )
        )
    return upload, job


def upload_document(upload: Upload) -> dict[str, Any]:
    """Return an upload with its newest job as JSON-ready values."""
    job = job_documents(upload.jobs.order_by("-created_at", "-id")[:1])[0]
    return {
        "file_id": str(upload.pk),
        "client_id": upload.client_id,
        "status": job["state"],
        "job": job,
        "duplicate_of": str(upload.duplicate_of_id) if upload.duplicate_of_id else None,
    }


def _scope(request: Any) -> dict[str, Any]:
    # Wrapped by the framework once it is an API request; only an ASGI request has a scope.
    return getattr(getattr(request, "_request", request), "scope", {})
