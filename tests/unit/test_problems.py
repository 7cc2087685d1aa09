"""What each failure becomes on its way to a client."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions

from processing.api.errors import NotAvailable, Problem, RangeNotSatisfiable
from processing.media import errors as media
from processing.media.enhancement.presets import PRESETS
from processing.media.requests import METADATA_ONLY, PRESET_NAMES
from videoproc.problems import exception_handler


def told(exc: Exception) -> tuple[dict[str, Any], Any]:
    response = exception_handler(exc, {})
    assert response is not None
    assert response.content_type == "application/problem+json"
    body = dict(response.data)
    assert body["status"] == response.status_code
    assert body["type"] == f"urn:videoproc:problem:{body['code']}"
    return body, response.headers


@pytest.mark.parametrize(
    ("exc", "status", "code", "retryable"),
    [
        (exceptions.ParseError(), 400, "malformed", False),
        (exceptions.NotAuthenticated(), 401, "not_authenticated", False),
        (exceptions.AuthenticationFailed(), 401, "authentication_failed", False),
        (exceptions.PermissionDenied(), 403, "permission_denied", False),
        (PermissionDenied(), 403, "permission_denied", False),
        (Http404("No Job matches the given query."), 404, "not_found", False),
        (exceptions.MethodNotAllowed("PUT"), 405, "method_not_allowed", False),
        (exceptions.NotAcceptable(), 406, "not_acceptable", False),
        (exceptions.UnsupportedMediaType("text/xml"), 415, "unsupported_media_type", False),
        (exceptions.Throttled(wait=3), 429, "throttled", True),
        (RequestDataTooBig(), 413, "too_large", False),
        (SuspiciousOperation("secret"), 400, "malformed", False),
        (OperationalError("secret"), 503, "database_away", True),
        (InterfaceError("secret"), 503, "database_away", True),
        (RangeNotSatisfiable(), 416, "range_not_satisfiable", False),
        (NotAvailable("Later.", retryable=True), 404, "not_available", True),
        (media.EmptySource("0 bytes"), 422, "empty_file", False),
        (media.UnsupportedContainer("text"), 415, "unsupported_container", False),
        (media.UnsupportedCodec("vvc"), 422, "unsupported_codec", False),
        (media.NoVideoStream("sound"), 422, "no_video_stream", False),
        (media.ForeignReference("dref"), 422, "foreign_reference", False),
        (media.Truncated("cut"), 422, "truncated", False),
        (media.Damaged("broken"), 422, "damaged", False),
        (media.ResourceExceeded("big", code="resource_pixels"), 422, "resource_pixels", False),
        (media.StorageFull("full"), 507, "storage_full", True),
        (media.ProcessCrashed("signal 11"), 422, "process_crashed", True),
        (media.ProcessStalled("10 s"), 422, "process_stalled", True),
        (media.ProcessRefused("fork"), 503, "process_refused", True),
        (media.ProcessStopped("closing"), 503, "process_stopped", True),
    ],
)
def test_each_failure_has_its_status_and_code(exc: Exception, status: int, code: str, retryable: bool) -> None:
    body, _ = told(exc)
    assert (body["status"], body["code"], body["retryable"]) == (status, code, retryable)
    assert body["title"]
    assert body["detail"]
    assert "secret" not in body["detail"]
    assert "errors" not in body


def test_what_may_be_retried_later_says_when() -> None:
    assert told(exceptions.Throttled(wait=3))[1]["Retry-After"] == "4"
    assert int(told(OperationalError())[1]["Retry-After"]) > 0


def test_errors_carry_their_path() -> None:
    nested = exceptions.ValidationError({"a": ["Wrong."], "b": {"c": ["Bad."]}, "d": [{}, {"e": ["No."]}]})
    body, _ = told(nested)
    assert body["code"] == "invalid"
    assert [(error["path"], error["detail"]) for error in body["errors"]] == [
        ("a", "Wrong."),
        ("b.c", "Bad."),
        ("d[1].e", "No."),
    ]
    assert body["detail"] == "a: Wrong.; b.c: Bad.; d[1].e: No."


def test_a_field_named_message_is_still_a_field() -> None:
    body, _ = told(exceptions.ValidationError({"message": ["Wrong."], "code": ["Bad."]}))
    assert [error["path"] for error in body["errors"]] == ["message", "code"]


def test_a_single_specific_field_error_names_the_problem() -> None:
    one = exceptions.ValidationError({"preset": ["No."]}, code="unknown_preset")
    assert told(one)[0]["code"] == "unknown_preset"
    generic = exceptions.ValidationError({"preset": ["No."]}, code="max_length")
    assert told(generic)[0]["code"] == "invalid"


def test_what_nobody_foresaw_is_left_to_django() -> None:
    assert exception_handler(ZeroDivisionError(), {}) is None


def test_each_kind_of_problem_is_a_problem_of_its_own() -> None:
    def walk(kind: type[Problem]) -> list[type[Problem]]:
        return [kind, *(found for child in kind.__subclasses__() for found in walk(child))]

    for kind in walk(Problem):
        assert 400 <= kind.status_code < 600
        assert kind.__doc__


def test_the_presets_that_can_be_asked_for_are_those_there_are() -> None:
    assert (*PRESETS, METADATA_ONLY) == PRESET_NAMES
