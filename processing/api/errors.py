"""The refusals of the HTTP interface. Each class has a status, a stable `code` and a `retryable` flag.

Problem
├── UnknownField              400  unknown_field (a validation error of its own; see `refuse_unknown`)
├── NotAvailable              404  not_available
├── AlreadyEnded              409  already_ended
├── StillOpen                 409  still_open
├── RangeNotSatisfiable       416  range_not_satisfiable
├── StorageUnavailable        503  storage_away
└── MediaProblem              a failure of the media engine, under the engine's own code

videoproc/problems.py turns them, and all that the frameworks raise, into problem documents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus

from rest_framework.exceptions import APIException, ValidationError

from processing.media.errors import (
    MediaError,
    ProcessRefused,
    ProcessStopped,
    SourceError,
    StorageAway,
    StorageFull,
    UnsupportedContainer,
)
from processing.media.parameters import BAD, UNKNOWN

FIELD_CODES = {"unknown_field", "unknown_preset", "bad_client_id", UNKNOWN, BAD}
"""Codes of field errors that a whole problem takes as its own where it has no other error."""


class Problem(APIException):
    """A request that is refused, with the facts in its detail."""

    status_code = HTTPStatus.BAD_REQUEST
    default_code = "bad_request"
    default_detail = "The request cannot be answered as it is."
    retryable = False

    def __init__(self, detail: str | None = None, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.headers = dict(headers or {})


class NotAvailable(Problem):
    """The thing asked for does not exist yet, or never will; `retryable` says which."""

    status_code = HTTPStatus.NOT_FOUND
    default_code = "not_available"
    default_detail = "There is nothing to fetch here yet."

    def __init__(self, detail: str, *, retryable: bool) -> None:
        super().__init__(detail)
        self.retryable = retryable


class AlreadyEnded(Problem):
    """The job has ended in a state that does not allow what was asked."""

    status_code = HTTPStatus.CONFLICT
    default_code = "already_ended"


class StillOpen(Problem):
    """The job is at work, so it cannot be taken up again."""

    status_code = HTTPStatus.CONFLICT
    default_code = "still_open"


class RangeNotSatisfiable(Problem):
    """No single byte range of the file was asked for."""

    status_code = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    default_code = "range_not_satisfiable"


class StorageUnavailable(Problem):
    """The storage cannot be read or written."""

    status_code = HTTPStatus.SERVICE_UNAVAILABLE
    default_code = "storage_away"
    default_detail = "The storage cannot be reached at the moment; try again."
    retryable = True

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "5"})


class MediaProblem(Problem):
    """A failure of the media engine on the way to the client."""

    def __init__(self, error: MediaError) -> None:
        self.status_code = media_status(error)
        self.default_code = error.code
        self.retryable = error.retryable
        super().__init__(error.detail)


def media_status(error: MediaError) -> HTTPStatus:
    """Return the status under which a media error is told.

    A crash or a stall over a file is told as the file's fault (422), as it mostly is: a hostile file must not look like
    a broken server. It stays `retryable`, for a machine under load may be the cause.
    """
    match error:
        case UnsupportedContainer():
            return HTTPStatus.UNSUPPORTED_MEDIA_TYPE
        case SourceError():
            return HTTPStatus.UNPROCESSABLE_ENTITY
        case StorageFull():
            return HTTPStatus.INSUFFICIENT_STORAGE
        case ProcessRefused() | ProcessStopped() | StorageAway():
            return HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.UNPROCESSABLE_ENTITY


def refuse_unknown(given: Iterable[str], known: Iterable[str]) -> None:
    """Raise ValidationError that names each given field that is not known."""
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValidationError({name: ["There is no such field."] for name in unknown}, code="unknown_field")
