"""The job interface over rows: documents, controls, events, metadata; and that nobody sees what is another's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from pytest_django import Settings

from processing import control, failures
from processing.api import serializers
from processing.media.errors import Damaged
from processing.models import Event, Job
from tests import rows
from tests.signed_in import client_of, get

pytestmark = pytest.mark.django_db

CONTROLS = {f"job-{name}": {"post"} for name in ("cancel", "retry", "pause", "resume")} | {"job-priority": {"put"}}
ROUTES_WITHOUT_OBJECTS = {"uploads", "sketch-upload", "tokens", "schema", "jobs"}


def api_routes() -> Iterator[tuple[str, URLPattern]]:
    def walk(patterns: list[Any], prefix: str) -> Iterator[tuple[str, URLPattern]]:
        for pattern in patterns:
            path = prefix + str(pattern.pattern)
            if isinstance(pattern, URLResolver):
                yield from walk(pattern.url_patterns, path)
            elif path.startswith(("api/", "internal/", "upload")):
                yield path, pattern

    return walk(get_resolver().url_patterns, "")


def test_the_document_has_the_documented_fields(ada: Client) -> None:
    job = rows.accepted()
    document = get(ada, f"/api/v1/jobs/{job.pk}")
    fields = serializers.JobSerializer().fields
    assert set(document) == set(fields)
    assert set(document["progress"]) == set(fields["progress"].fields)
    assert set(document["segments"]) == set(fields["segments"].fields)
    assert document | {"links": None, "created_at": None, "updated_at": None} == {
        "id": str(job.pk),
        "file_id": str(job.upload_id),
        "client_id": "client",
        "name": "clip.mp4",
        "preset": "auto",
        "parameters": {},
        "state": "queued",
        "terminal": False,
        "seq": 1,
        "progress": {
            "percent": 0.0,
            "frames_done": 0,
            "frames_total": None,
            "speed_x": None,
            "seconds_left": None,
            "place": 0,
        },
        "segments": {"total": None, "done": 0},
        "attempts": 0,
        "paused": False,
        "priority": 0,
        "waiting_for": "no_worker",
        "error": None,
        "warnings": [],
        "chosen": None,
        "links": None,
        "created_at": None,
        "updated_at": None,
    }
    assert set(document["links"]) == {"self", "events", "source"}
    assert document["created_at"].endswith("Z")


def test_links_appear_with_what_they_lead_to(ada: Client) -> None:
    job = rows.finished(rows.accepted())
    document = get(ada, f"/api/v1/jobs/{job.pk}")
    assert set(document["links"]) == set(serializers.LinksSerializer().fields)
    assert document["links"]["result"] == f"/api/v1/jobs/{job.pk}/result"
    assert (document["state"], document["terminal"], document["progress"]["percent"]) == ("ready", True, 100.0)
    assert document["chosen"] == {"operations": [], "reasons": ["clean"], "stepped_down": []}


def test_a_job_that_makes_no_result_is_ready_without_one(ada: Client) -> None:
    job = rows.told(rows.accepted(preset="metadata-only"))
    document = get(ada, f"/api/v1/jobs/{job.pk}")
    assert (document["state"], document["progress"]["percent"], document["chosen"]) == ("ready", 100.0, None)
    made = {"self", "events", "source", "metadata", "poster", "storyboard", "storyboard_cues", "thumbnail"}
    assert set(document["links"]) == made
    status = get(ada, f"/internal/video-enhancement-status/{job.upload_id}")
    assert (status["status"], status["result_url"], status["error"]) == ("ready", None, None)
    assert get(ada, f"/internal/metadata-extraction-status/{job.upload_id}")["poster_url"]
    for thing in ("result", "receipt", "before", "after"):
        answer = ada.get(f"/api/v1/jobs/{job.pk}/{thing}")
        assert (answer.status_code, answer.json()["code"], answer.json()["retryable"]) == (404, "not_available", False)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        *(("", "invalid"), ("?at=", "invalid"), ("?at=nan", "invalid"), ("?at=-1", "invalid"), ("?at=1e10", "invalid")),
        ("?at=1&to=2", "unknown_field"),
    ],
)
def test_a_thumbnail_needs_a_time(ada: Client, query: str, code: str) -> None:
    job = rows.finished(rows.accepted())
    answer = ada.get(f"/api/v1/jobs/{job.pk}/thumbnail{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_a_job_of_an_earlier_version_has_no_storyboard(ada: Client) -> None:
    job = rows.finished(rows.accepted())
    old = {name: value for name, value in job.stills.items() if name != "storyboard"}
    Job.objects.filter(pk=job.pk).update(stills=old)
    assert not {"storyboard", "storyboard_cues", "thumbnail"} & set(get(ada, f"/api/v1/jobs/{job.pk}")["links"])
    for thing in ("storyboard", "storyboard.vtt", "thumbnail?at=1"):
        assert ada.get(f"/api/v1/jobs/{job.pk}/{thing}").status_code == 404


def test_the_metadata_tell_what_was_measured(ada: Client) -> None:
    job = rows.accepted()
    rows.finished(job)
    Job.objects.filter(pk=job.pk).update(chosen=None)
    assert get(ada, f"/api/v1/jobs/{job.pk}/metadata")["diagnosis"] is None
    measured = {"diagnosis": {"blocking": 0.2}, "enhancement": {"choices": [], "reasons": []}}
    Job.objects.filter(pk=job.pk).update(chosen=measured)
    found = get(ada, f"/api/v1/jobs/{job.pk}/metadata")
    assert found["diagnosis"] == {"blocking": 0.2}
    assert found["frames_from_scan"] == 100


def test_the_sketchs_status_documents(ada: Client) -> None:
    job = rows.accepted()
    enhancement = f"/internal/video-enhancement-status/{job.upload_id}"
    metadata = f"/internal/metadata-extraction-status/{job.upload_id}"
    begun = {"file_id": str(job.upload_id), "status": "queued", "progress": 0.0, "error": None, "job_id": str(job.pk)}
    assert get(ada, enhancement) == begun | {"result_url": None}
    assert get(ada, metadata) == begun | {"metadata": None, "poster_url": None}
    assert set(get(ada, enhancement)) == set(serializers.EnhancementStatusSerializer().fields)
    assert set(get(ada, metadata)) == set(serializers.MetadataStatusSerializer().fields)
    rows.finished(job)
    assert get(ada, enhancement)["result_url"] == f"/api/v1/jobs/{job.pk}/result"
    found = get(ada, metadata)
    assert (found["status"], found["progress"], found["metadata"]["frames_from_scan"]) == ("ready", 100.0, 100)
    assert found["poster_url"] == f"/api/v1/jobs/{job.pk}/poster"


def test_a_failure_is_told_with_code_and_sentence(ada: Client) -> None:
    job = rows.accepted()
    failures.step_failed(rows.claimed(job, "metadata"), Damaged("no frame could be decoded"))
    error = {"code": "damaged", "detail": "no frame could be decoded", "retryable": False}
    assert get(ada, f"/api/v1/jobs/{job.pk}")["error"] == error
    status = get(ada, f"/internal/video-enhancement-status/{job.upload_id}")
    assert (status["status"], status["error"], status["result_url"]) == ("failed", error, None)


@pytest.mark.parametrize("file_id", [str(uuid4()), "no-id", "0", "%00", "x" * 300, "..%2f..", "٣"])
@pytest.mark.parametrize("kind", ["video-enhancement-status", "metadata-extraction-status"])
def test_an_unknown_file_id_is_not_found(ada: Client, kind: str, file_id: str) -> None:
    response = ada.get(f"/internal/{kind}/{file_id}")
    assert response.headers["Content-Type"] == "application/problem+json"
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("path", ["/api/v1/jobs/no-id", "/api/v1/jobs/1/result", "/api/v1/nothing", "/internal/x/y"])
def test_a_path_that_is_none_is_a_problem_too(ada: Client, path: str) -> None:
    response = ada.get(path)
    assert response.headers["Content-Type"] == "application/problem+json"
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


def test_a_job_is_paused_resumed_put_first_and_taken_up_again(ada: Client) -> None:
    job = rows.accepted()
    path = f"/api/v1/jobs/{job.pk}"
    assert ada.get(path).json()["waiting_for"] == "no_worker"
    for _ in range(2):
        paused = ada.post(f"{path}/pause")
        assert (paused.status_code, paused.json()["paused"], paused.json()["waiting_for"]) == (200, True, "paused")
    assert ada.post(f"{path}/resume").json()["paused"] is False
    assert ada.put(f"{path}/priority", {"priority": 7}, content_type="application/json").json()["priority"] == 7
    wrong = ada.put(f"{path}/priority", {"priority": 101}, content_type="application/json")
    assert (wrong.status_code, "priority" in str(wrong.json())) == (400, True)
    early = ada.post(f"{path}/retry")
    assert (early.status_code, early.json()["code"]) == (409, "still_open")
    assert "cancel it first" in early.json()["detail"]
    ada.post(f"{path}/cancel")
    late = ada.post(f"{path}/pause").json()
    assert (late["code"], "retry takes it up again" in late["detail"]) == ("already_ended", True)
    again = ada.post(f"{path}/retry")
    assert (again.status_code, again.json()["state"]) == (200, "queued")
    names = list(Event.objects.filter(job=job).order_by("seq").values_list("name", flat=True))
    assert names == ["accepted", "paused", "resumed", "prioritised", "cancelled", "retried"]
    assert {event.data["by"] for event in Event.objects.filter(job=job).exclude(name="accepted")} == {"owner"}


def test_cancel_ends_the_job_once(ada: Client) -> None:
    job = rows.accepted()
    response = ada.post(f"/api/v1/jobs/{job.pk}/cancel")
    assert (response.status_code, response.json()["state"]) == (200, "cancelled")
    again = ada.post(f"/api/v1/jobs/{job.pk}/cancel")
    assert (again.status_code, again.json()["code"], again.json()["retryable"]) == (409, "already_ended", False)
    assert Event.objects.filter(job=job, name="cancelled").count() == 1


def test_events_are_listed_by_seq(ada: Client) -> None:
    job = rows.planned(rows.accepted())
    events = get(ada, f"/api/v1/jobs/{job.pk}/events")
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [event["event"] for event in events][:3] == ["accepted", "probing_started", "metadata_extracted"]
    assert set(events[0]) == {"seq", "event", "at", "status", "progress", "data"}


@pytest.mark.parametrize("thing", ["metadata", "result", "poster", "before", "after", "receipt"])
def test_what_is_not_there_yet_is_not_available(ada: Client, thing: str) -> None:
    job = rows.accepted()
    problem = get(ada, f"/api/v1/jobs/{job.pk}/{thing}", status=404)
    assert (problem["code"], problem["retryable"]) == ("not_available", True)
    control.cancel(job.pk)
    problem = get(ada, f"/api/v1/jobs/{job.pk}/{thing}", status=404)
    assert (problem["code"], problem["retryable"]) == ("not_available", False)


def test_a_file_that_is_gone_is_not_available(ada: Client) -> None:
    problem = get(ada, f"/api/v1/jobs/{rows.accepted().pk}/source", status=404)
    assert (problem["code"], problem["retryable"]) == ("not_available", False)


@pytest.mark.parametrize("rights", [{}, {"is_staff": True, "is_superuser": True}], ids=["user", "superuser"])
def test_every_route_hides_what_is_anothers(rights: dict[str, bool]) -> None:
    job = rows.finished(rows.accepted())
    eve = client_of("eve", **rights)
    walked = set()
    for path, pattern in api_routes():
        walked.add(pattern.name)
        if pattern.name in ROUTES_WITHOUT_OBJECTS:
            continue
        concrete = path
        for argument, value in {
            "<uuid:job_id>": job.pk,
            "<uuid:upload_id>": job.upload_id,
            "<str:file_id>": job.upload_id,
            "<str:name>": "web",
        }.items():
            concrete = concrete.replace(argument, str(value))
        assert "<" not in concrete, f"{path} has an argument that this test does not know"
        for method in ("get", "head", "post", "put", "patch", "delete", "options"):
            response = getattr(eve, method)(f"/{concrete}")
            allowed = method in CONTROLS.get(str(pattern.name), {"get", "head"})
            expected = {404} if allowed else {405} if method != "options" else {200}
            assert response.status_code in expected, (method, concrete, response.status_code)
            assert str(job.pk) not in response.content.decode(), (method, concrete)
    assert walked >= ROUTES_WITHOUT_OBJECTS | {"job", "upload", "job-result", "enhancement-status", "metadata-status"}
    assert get(eve, "/api/v1/jobs")["results"] == []
    job.refresh_from_db()
    assert job.state == Job.State.READY


def test_every_route_wants_to_know_who_asks(settings: Settings) -> None:
    settings.VIDEOPROC_ANONYMOUS_CLIENTS = False
    job = rows.finished(rows.accepted())
    nobody = Client(headers={"Host": "localhost"})
    for path, pattern in api_routes():
        if pattern.name in {"schema", "tokens"}:
            continue
        concrete = path.replace("<uuid:job_id>", str(job.pk)).replace("<uuid:upload_id>", str(job.upload_id))
        concrete = concrete.replace("<str:file_id>", str(job.upload_id))
        for method in ("get", "post", "put", "patch", "delete", "options"):
            response = getattr(nobody, method)(f"/{concrete}")
            assert response.status_code == 401, (method, concrete)
            assert response.json()["code"] == "not_authenticated"
            assert response.headers["WWW-Authenticate"] == "Token"


def test_an_upload_without_the_receiver_has_no_file(ada: Client) -> None:
    response = ada.post("/upload")
    assert (response.status_code, response.json()["code"]) == (400, "no_file")


def test_a_database_that_is_away_is_503_with_a_time(ada: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    job = rows.accepted()

    def away(*_: object, **__: object) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(control, "cancel", away)
    response = ada.post(f"/api/v1/jobs/{job.pk}/cancel")
    problem = response.json()
    assert (response.status_code, problem["code"], problem["retryable"]) == (503, "database_away", True)
    assert int(response.headers["Retry-After"]) > 0
    assert "server closed" not in response.content.decode()


def test_an_error_nobody_foresaw_is_a_problem_without_details(ada: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(control, "cancel", broken)
    ada.raise_request_exception = False
    response = ada.post(f"/api/v1/jobs/{rows.accepted().pk}/cancel")
    assert response.headers["Content-Type"] == "application/problem+json"
    assert (response.status_code, response.json()["code"]) == (500, "internal_error")
    assert "secret" not in response.content.decode()


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        ("{", "application/json", 400, "malformed"),
        ("[" * 100_000, "application/json", 400, "malformed"),
        ("[]", "application/json", 400, "invalid"),
        ('{"username": {}, "password": "x"}', "application/json", 400, "invalid"),
        ("<a/>", "text/xml", 415, "unsupported_media_type"),
        ('{"username": "a", "password": "b"}', "application/json", 401, "bad_credentials"),
        ('{"username": "a\\u0000", "password": "b"}', "application/json", 400, "invalid"),
    ],
)
def test_a_wrong_body_is_a_problem(body: str, kind: str, status: int, code: str) -> None:
    client = Client(headers={"Host": "localhost"})
    response = client.post("/api/v1/tokens", body, content_type=kind)
    assert (response.status_code, response.json()["code"]) == (status, code)


def test_the_openapi_document_is_served_to_all(settings: Settings) -> None:
    settings.VIDEOPROC_ANONYMOUS_CLIENTS = False
    schema = Client(headers={"Host": "localhost"}).get("/api/v1/schema").json()
    assert schema["openapi"].startswith("3.")
    paths = {f"/{path}".replace("<uuid:", "{").replace("<str:", "{").replace(">", "}") for path, _ in api_routes()}
    assert set(schema["paths"]) == paths - {"/api/v1/schema"}
    assert "multipart/form-data" in schema["paths"]["/upload"]["post"]["requestBody"]["content"]
    for operations in schema["paths"].values():
        for operation in operations.values():
            assert "application/problem+json" in operation["responses"]["default"]["content"]
