"""Steering a job: cancel, retry, pause, resume and its place among its owner's jobs. Each answers with the document."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from processing import control
from processing.api.document import job_documents
from processing.api.errors import AlreadyEnded, StillOpen, refuse_unknown
from processing.api.serializers import PrioritySerializer
from processing.api.views import OneJob
from processing.models import Job
from processing.state.errors import JobClosed, JobOpen


class Control(OneJob):
    """A change that is asked of one of the acting user's jobs."""

    def change(self, act: Callable[[UUID], Job]) -> Response:
        """Do it and return the job's document; 409 where the job's state does not allow it."""
        job = self.get_object()
        try:
            act(job.pk)
        except JobClosed as exc:
            state = self.get_object().state
            left = "send the file again" if state == Job.State.READY else "retry takes it up again"
            raise AlreadyEnded(f"The job is {state}: nothing of it is at work; {left}.") from exc
        except JobOpen as exc:
            raise StillOpen(f"The job is {self.get_object().state}: wait for its end, or cancel it first.") from exc
        return Response(job_documents([self.get_object()])[0])


class JobCancel(Control):
    """The end of a job before its time."""

    @extend_schema(operation_id="jobs_cancel", request=None)
    def post(self, request: Request, job_id: UUID) -> Response:
        """End the job now; 409 `already_ended` where it has ended before."""
        return self.change(control.cancel)


class JobRetry(Control):
    """A second chance."""

    @extend_schema(operation_id="jobs_retry", request=None)
    def post(self, request: Request, job_id: UUID) -> Response:
        """Take a failed or cancelled job up again, keeping its finished segments; 409 `still_open`, `already_ended`."""
        return self.change(control.retry)


class JobPause(Control):
    """A job waits."""

    @extend_schema(operation_id="jobs_pause", request=None)
    def post(self, request: Request, job_id: UUID) -> Response:
        """Let the job wait; what is at work on it is handed back. Twice is once. 409 `already_ended`."""
        return self.change(control.pause)


class JobResume(Control):
    """A job goes on."""

    @extend_schema(operation_id="jobs_resume", request=None)
    def post(self, request: Request, job_id: UUID) -> Response:
        """Let a paused job go on. Twice is once. 409 `already_ended`."""
        return self.change(control.resume)


class JobPriority(Control):
    """A job's place among its owner's."""

    @extend_schema(operation_id="jobs_priority", request=PrioritySerializer)
    def put(self, request: Request, job_id: UUID) -> Response:
        """Put the job before (higher) or behind (lower) its owner's others. 409 `already_ended`."""
        self.get_object()  # what is another's does not exist, whatever the body says
        data: Any = request.data
        serializer = PrioritySerializer(data=data)
        refuse_unknown(data if isinstance(data, dict) else (), serializer.fields)
        serializer.is_valid(raise_exception=True)
        priority = serializer.validated_data["priority"]
        return self.change(lambda found: control.prioritise(found, priority))
