"""What is not yours does not exist: no credentials, expired ones and another user's, on every route and verb."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from processing.api.urls import api
from processing.steering import ACTS
from tests.door import Door

VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
JOB_ROUTES = [str(route.pattern).replace("<uuid:job_id>", "{id}") for route in api if "job_id" in str(route.pattern)]
FILE_ROUTES = ["internal/video-enhancement-status/{id}", "internal/metadata-extraction-status/{id}"]


@pytest.fixture(scope="module")
def http(door: Door) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=door.url, timeout=10) as client:
        yield client


def answers(http: httpx.Client, routes: list[str], found: str, header: str) -> Iterator[tuple[str, str, int, str]]:
    headers = {"Authorization": header} if header else {}
    for route in routes:
        for verb in VERBS:
            response = http.request(verb, "/" + route.replace("{id}", found), headers=headers)
            yield verb, route, response.status_code, response.text


def routes(http: httpx.Client, job: str, tokens: dict[str, str]) -> list[tuple[list[str], str]]:
    """Return the routes of a job and of its file, with the id that each takes."""
    mine = {"Authorization": f"Token {tokens['ada']}"}
    file_id = http.get(f"/api/v1/jobs/{job}", headers=mine).json()["file_id"]
    paths = [f"api/v1/{route}" for route in JOB_ROUTES]
    return [(paths, job), ([*FILE_ROUTES, "api/v1/uploads/{id}"], file_id)]


@pytest.mark.parametrize("header", ["", "Bearer " + "f" * 64, "Basic YWRhOmFkYQ=="])
def test_without_valid_credentials(http: httpx.Client, job: str, tokens: dict[str, str], header: str) -> None:
    for paths, found in routes(http, job, tokens):
        for verb, route, status, _ in answers(http, paths, found, header):
            assert status == 401, (verb, route)


def test_another_users_things_are_like_things_that_do_not_exist(
    http: httpx.Client, job: str, tokens: dict[str, str]
) -> None:
    eve = f"Token {tokens['eve']}"
    for paths, found in routes(http, job, tokens):
        theirs = list(answers(http, paths, found, eve))
        nobodys = list(answers(http, paths, str(uuid4()), eve))
        assert theirs == nobodys
        assert {status for _, _, status, _ in theirs} <= {404, 405}
    mine = http.get(f"/api/v1/jobs/{job}", headers={"Authorization": f"Token {tokens['ada']}"}).json()
    assert (mine["state"], mine["paused"], mine["priority"]) == ("queued", False, 0)
    listed = http.get("/api/v1/jobs", headers={"Authorization": eve}).json()["results"]
    assert listed == []


def test_a_token_that_was_deleted_is_none(door: Door, http: httpx.Client, job: str, tokens: dict[str, str]) -> None:
    token = http.post("/api/v1/tokens", auth=("ada", "correct horse battery staple")).json()["token"]
    headers = {"Authorization": f"Token {token}"}
    assert http.delete("/api/v1/tokens", headers=headers).status_code == 204
    assert http.get(f"/api/v1/jobs/{job}/source", headers=headers).status_code == 401
    with pytest.raises(ConnectionClosed) as caught, connect(socket_of(door), additional_headers=headers) as socket:
        socket.recv(timeout=10)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 4401


def test_another_users_socket_under_the_same_client_id_says_nothing(
    door: Door, job: str, http: httpx.Client, tokens: dict[str, str]
) -> None:
    mine = {"Authorization": f"Token {tokens['ada']}"}
    client_id = http.get(f"/api/v1/jobs/{job}", headers=mine).json()["client_id"]
    eve = {"Authorization": f"Token {tokens['eve']}"}
    with connect(socket_of(door, client_id), additional_headers=eve) as socket:
        assert json.loads(socket.recv(timeout=10)) == {"type": "snapshot", "jobs": []}
        socket.send(json.dumps({"type": "resume", "jobs": {job: 0}}))
        answer = json.loads(socket.recv(timeout=10))
    assert (answer["type"], answer["code"]) == ("error", "unknown_job")


@pytest.mark.parametrize(("name", "status"), [("eve", 302), ("ada", 403)])
def test_the_admin_is_for_staff_with_rights(
    door: Door, job: str, cookies: dict[str, httpx.Cookies], name: str, status: int
) -> None:
    with httpx.Client(base_url=door.url, cookies=cookies[name], timeout=10) as browser:
        for path in (
            "processing/job/",
            f"processing/job/{job}/change/",
            "uploads/upload/",
            "auth/user/",
            "auth/user/add/",
        ):
            assert browser.get(f"/admin/{path}").status_code == status, path
        for thing in ("source", "web", "poster", "../../../manage.py", "%2e%2e"):
            assert browser.get(f"/admin/processing/job/{job}/file/{thing}").status_code in {status, 404}, thing
        form = {"csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        for path in (*(f"processing/job/{job}/do/{act}" for act in ACTS), f"processing/job/{job}/delete/"):
            assert browser.post(f"/admin/{path}", data=form).status_code == status, path


def test_a_session_writes_with_its_own_csrf_token_from_its_own_pages_alone(
    door: Door, job: str, cookies: dict[str, httpx.Cookies]
) -> None:
    with httpx.Client(base_url=door.url, cookies=cookies["ada"], timeout=10) as browser:
        for headers in ({}, {"X-CSRFToken": "x" * 32}, {"X-CSRFToken": browser.cookies["csrftoken"], "Origin": "null"}):
            for path in ("/upload", "/api/v1/uploads", f"/api/v1/jobs/{job}/cancel"):
                body: Any = {"json": {}} if path.endswith("cancel") else {"files": {"file": ("a", b"x")}}
                refused = browser.post(path, headers=headers, **body)
                assert refused.status_code == 403, (path, headers)
                assert refused.json()["code"] in {"permission_denied", "cross_site"}


@pytest.mark.parametrize(
    "target", ["http://evil.test/", "//evil.test/", "/\\evil.test", "javascript:alert(1)", "\t//evil.test"]
)
def test_signing_in_leads_nowhere_else(door: Door, cookies: dict[str, httpx.Cookies], target: str) -> None:
    with httpx.Client(base_url=door.url, cookies=cookies["eve"], timeout=10) as browser:
        for path in ("/sign-in", "/admin/login/"):
            answer = browser.get(path, params={"next": target}, headers={"X-Forwarded-Host": "evil.test"})
            assert "evil" not in answer.headers.get("Location", "")
            assert answer.status_code in {200, 302}


def socket_of(door: Door, client_id: str = "me") -> str:
    return f"ws://127.0.0.1:{door.port}/ws/{client_id}"
