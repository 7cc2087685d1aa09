"""Every refusal as an RFC 9457 problem document, `{type, title, status, detail, code, retryable}`, built here alone.

`code` is stable and `retryable` says whether the same request may succeed later. A refusal for its fields has `errors`
with each field's path. What people open in a browser keeps Django's own pages.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from django.core.exceptions import BadRequest, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.deprecation import MiddlewareMixin
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from processing.api.errors import FIELD_CODES, MediaProblem, Problem
from processing.media.errors import MediaError

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
API_PATHS = ("/api/", "/upload", "/internal/", "/health/")
RETRY_SECONDS = "5"

FRAMEWORK_CODES: dict[type[exceptions.APIException], str] = {
    exceptions.ValidationError: "invalid",
    exceptions.ParseError: "malformed",
    exceptions.AuthenticationFailed: "authentication_failed",
    exceptions.NotAuthenticated: "not_authenticated",
    exceptions.PermissionDenied: "permission_denied",
    exceptions.NotFound: "not_found",
    exceptions.MethodNotAllowed: "method_not_allowed",
    exceptions.NotAcceptable: "not_acceptable",
    exceptions.UnsupportedMediaType: "unsupported_media_type",
    exceptions.Throttled: "throttled",
}


def document(
    status: int, code: str, detail: str, *, retryable: bool = False, errors: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    """Return a problem document; its type is a name, not an address: docs/api.md explains each code."""
    found = {
        "type": f"urn:videoproc:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": _writable(detail),
        "code": code,
        "retryable": retryable,
    }
    if not errors:
        return found
    return found | {"errors": [{key: _writable(text) for key, text in error.items()} for error in errors]}


def _writable(text: str) -> str:
    """Return text without lone surrogates: JSON can carry them in, and no response can carry them out."""
    return text.encode("utf-8", "replace").decode()


def response(status: int, code: str, detail: str, *, retryable: bool = False) -> HttpResponse:
    """Return a problem document as a plain Django response; one that may be retried says when."""
    answer = JsonResponse(document(status, code, detail, retryable=retryable), status=status, content_type=CONTENT_TYPE)
    if retryable and status == HTTPStatus.SERVICE_UNAVAILABLE:
        answer.headers["Retry-After"] = RETRY_SECONDS
    # Not every path out passes the middleware that would add it.
    answer.headers["Content-Length"] = str(len(answer.content))
    return answer


def exception_handler(exc: Exception, context: Mapping[str, Any]) -> Response | None:
    """Return the problem response for what an API view raised; None for what nobody foresaw, which becomes a 500."""
    known = _as_api_exception(exc)
    if known is None:
        return None
    set_rollback()
    errors = list(_field_errors(known.get_full_details())) if isinstance(known, exceptions.ValidationError) else []
    body = document(
        known.status_code,
        _code(known, errors),
        _detail(known, errors),
        retryable=_retryable(known),
        errors=errors,
    )
    return Response(body, status=known.status_code, headers=_headers(known), content_type=CONTENT_TYPE)


class DatabaseAway(Problem):
    """The database does not answer; nothing was changed."""

    status_code = HTTPStatus.SERVICE_UNAVAILABLE
    default_code = "database_away"
    default_detail = "The database does not answer at the moment. Nothing was changed; try again."
    retryable = True

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": RETRY_SECONDS})


class BodyTooLarge(Problem):
    """A request body that is no upload is larger than any such body may be."""

    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"
    default_detail = "The request's body is too large."


def _as_api_exception(exc: Exception) -> exceptions.APIException | None:
    match exc:
        case exceptions.APIException():
            return exc
        case Http404():
            return exceptions.NotFound()
        case PermissionDenied():
            return exceptions.PermissionDenied()
        case RequestDataTooBig():
            return BodyTooLarge()
        case BadRequest() | SuspiciousOperation():
            return exceptions.ParseError()
        case MediaError():
            return MediaProblem(exc)
        case OperationalError() | InterfaceError():
            logger.warning("database unreachable", extra={"cause": str(exc)})
            return DatabaseAway()
    return None


def _field_errors(details: Any, path: str = "") -> Iterator[dict[str, str]]:
    if isinstance(details, dict) and set(details) == {"message", "code"} and isinstance(details["message"], str):
        yield {"path": path, "code": str(details["code"]), "detail": str(details["message"])}
    elif isinstance(details, dict):
        for name, inner in details.items():
            yield from _field_errors(inner, f"{path}.{name}" if path else str(name))
    else:
        for index, inner in enumerate(details):
            leaf = isinstance(inner, dict) and set(inner) == {"message", "code"}
            yield from _field_errors(inner, path if leaf else f"{path}[{index}]")


def _code(exc: exceptions.APIException, errors: list[dict[str, str]]) -> str:
    if isinstance(exc, Problem):
        return exc.default_code
    codes = {error["code"] for error in errors}
    if len(codes) == 1 and codes <= FIELD_CODES:
        return codes.pop()
    for kind, code in FRAMEWORK_CODES.items():
        if isinstance(exc, kind):
            return code
    return exc.default_code


def _detail(exc: exceptions.APIException, errors: list[dict[str, str]]) -> str:
    if errors:
        return "; ".join(
            f"{error['path']}: {error['detail']}" if error["path"] else error["detail"] for error in errors
        )
    return str(exc.detail)


def _retryable(exc: exceptions.APIException) -> bool:
    return exc.retryable if isinstance(exc, Problem) else isinstance(exc, exceptions.Throttled)


def _headers(exc: exceptions.APIException) -> dict[str, str]:
    headers = dict(exc.headers) if isinstance(exc, Problem) else {}
    wait = getattr(exc, "wait", None)
    if wait:
        headers["Retry-After"] = str(int(wait) + 1)
    challenge = getattr(exc, "auth_header", None)
    return headers | {"WWW-Authenticate": challenge} if challenge else headers


class UnavailableMiddleware(MiddlewareMixin):
    """Answers 503 with Retry-After where the database is away under a view that is not an API view."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Return the response, or None for any other exception."""
        if not isinstance(exception, OperationalError | InterfaceError):
            return None
        logger.warning("database unreachable", extra={"cause": str(exception)})
        return response(
            HTTPStatus.SERVICE_UNAVAILABLE, DatabaseAway.default_code, DatabaseAway.default_detail, retryable=True
        )


def _for_machines(request: HttpRequest) -> bool:
    return request.path.startswith(API_PATHS)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 400, as a problem where a program asks."""
    if _for_machines(request):
        return response(HTTPStatus.BAD_REQUEST, "malformed", "The request cannot be understood.")
    return defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 403, as a problem where a program asks."""
    if _for_machines(request):
        return response(HTTPStatus.FORBIDDEN, "permission_denied", "You may not do this.")
    return defaults.permission_denied(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 404, as a problem where a program asks."""
    if _for_machines(request):
        return response(HTTPStatus.NOT_FOUND, "not_found", "Not found.")
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 500, as a problem where a program asks; the log has the traceback."""
    if _for_machines(request):
        return response(
            HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", "Something went wrong here.", retryable=True
        )
    return defaults.server_error(request)
