"""Who is let in: tokens, sessions, the local user, the one-time link; over HTTP and over sockets."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from django.conf import settings as project
from django.contrib.auth import get_user_model
from django.test import Client
from pytest_django import Settings
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.door import Door
from videoproc import access

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A server that lets nobody in without credentials, with two users."""
    door = Door(tmp_path_factory.mktemp("closed"), VIDEOPROC_ANONYMOUS_CLIENTS="off")
    door.add_user("ada", PASSWORD)
    yield door
    door.stop()


def token_of(door: Door) -> str:
    response = httpx.post(f"{door.url}/api/v1/tokens", json={"username": "ada", "password": PASSWORD})
    assert response.status_code == 201
    token: str = response.json()["token"]
    return token


@contextmanager
def session_of(door: Door) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=door.url) as client:
        client.get("/admin/login/")
        form = {"username": "ada", "password": PASSWORD, "csrfmiddlewaretoken": client.cookies["csrftoken"]}
        assert client.post("/admin/login/?next=/", data=form).status_code == 302
        yield client


def socket_end(door: Door, **headers: str) -> int | str:
    """Return the code a socket is closed with, or the type of the first message."""
    address = f"ws://127.0.0.1:{door.port}/ws/me"
    origin = headers.pop("Origin", None)
    try:
        with connect(address, additional_headers=headers, origin=origin, open_timeout=20) as socket:  # type: ignore[arg-type]
            message: dict[str, Any] = json.loads(socket.recv(timeout=20))
            return str(message["type"])
    except ConnectionClosed as exc:
        return exc.rcvd.code if exc.rcvd else "no code"


def test_a_token_lets_in_until_it_is_deleted(door: Door) -> None:
    token = token_of(door)
    for scheme in ("Token", "Bearer", "token"):
        headers = {"Authorization": f"{scheme} {token}"}
        assert httpx.get(f"{door.url}/api/v1/jobs", headers=headers).status_code == 200
    assert httpx.delete(f"{door.url}/api/v1/tokens", headers=headers).status_code == 204
    problem = httpx.get(f"{door.url}/api/v1/jobs", headers=headers)
    assert (problem.status_code, problem.json()["code"]) == (401, "authentication_failed")


def test_a_token_by_basic_authentication(door: Door) -> None:
    assert httpx.post(f"{door.url}/api/v1/tokens", auth=("ada", PASSWORD)).status_code == 201
    refused = httpx.post(f"{door.url}/api/v1/tokens", auth=("ada", "guess"))
    assert (refused.status_code, refused.json()["code"]) == (401, "bad_credentials")


@pytest.mark.parametrize("header", ["Token", "Token x y", "Basic YTpi", "Token \xff", "Token " + "a" * 64, "Digest x"])
def test_a_bad_authorization_is_refused(door: Door, header: str) -> None:
    response = httpx.get(f"{door.url}/api/v1/jobs", headers={"Authorization": header.encode("latin-1")})
    assert (response.status_code, response.json()["code"]) == (401, "authentication_failed")
    assert response.headers["WWW-Authenticate"] == "Token"


def test_a_session_reads_freely_and_writes_with_its_csrf_token(door: Door) -> None:
    with session_of(door) as client:
        assert client.get("/api/v1/jobs").status_code == 200
        refused = client.post("/upload", files={"file": ("a", b"x")})
        assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
        headers = {"X-CSRFToken": client.cookies["csrftoken"]}
        assert client.post("/upload", files={"file": ("a", b"x")}, headers=headers).json()["code"] == (
            "unsupported_container"
        )


def test_an_upload_without_credentials_is_refused_before_its_body(door: Door) -> None:
    response = httpx.post(f"{door.url}/upload", files={"file": ("a", b"x")})
    assert (response.status_code, response.json()["code"]) == (401, "not_authenticated")
    assert not door.folders()


def test_sockets_know_tokens_and_sessions(door: Door) -> None:
    token = token_of(door)
    assert socket_end(door) == 4401
    assert socket_end(door, Authorization="Token wrong") == 4401
    assert socket_end(door, Cookie="sessionid=wrong") == 4401
    assert socket_end(door, Authorization=f"Token {token}") == "snapshot"
    with session_of(door) as client:
        cookie = f"sessionid={client.cookies['sessionid']}"
    own = f"http://127.0.0.1:{door.port}"
    assert socket_end(door, Cookie=cookie, Origin=own) == "snapshot"
    assert socket_end(door, Cookie=cookie, Origin="http://evil.test") == 4403
    assert socket_end(door, Cookie=cookie, Origin="null") == 4403


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Host": "evil.test"}, "foreign_host"),
        ({"Host": "127.0.0.1.evil.test"}, "foreign_host"),
        ({"Host": "localhost:80", "Origin": "http://localhost:81"}, "cross_site"),
        ({"Host": "localhost", "Origin": "null"}, "cross_site"),
        ({"Host": "localhost", "Origin": "http://[broken"}, "cross_site"),
        ({"Host": "localhost", "Sec-Fetch-Site": "cross-site"}, "cross_site"),
        ({"Host": "localhost", "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, "cross_site"),
    ],
)
@pytest.mark.parametrize("path", ["/", "/api/v1/jobs", "/admin/", "/health/live"])
def test_the_embedded_mode_answers_its_own_pages_alone(path: str, headers: dict[str, str], code: str) -> None:
    response = Client(headers=headers).get(path)
    assert (response.status_code, response.json()["code"]) == (403, code)


@pytest.mark.django_db
def test_a_link_to_the_page_may_be_followed_but_not_into_the_api() -> None:
    visit = {
        "Host": "localhost",
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
    }
    assert Client(headers=visit).get("/").status_code == 200
    assert Client(headers=visit).get("/api/v1/jobs").status_code == 403
    assert Client(headers=visit).post("/").status_code == 403


@pytest.mark.django_db
def test_anybody_is_the_local_user_but_not_in_the_admin() -> None:
    client = Client(headers={"Host": "localhost"})
    assert client.get("/api/v1/jobs").status_code == 200
    local = get_user_model().objects.get(username="local")
    assert not local.has_usable_password()
    assert client.get("/admin/").status_code == 302


@pytest.mark.django_db
def test_in_server_mode_anybody_is_a_user_without_rights(settings: Settings) -> None:
    settings.EMBEDDED = False
    user = access.anonymous_user()
    assert (user.username, user.is_staff, user.is_superuser, user.has_usable_password()) == (
        "anonymous",
        False,
        False,
        False,
    )


@pytest.mark.django_db
class TestSignInLink:
    def test_signs_in_once(self) -> None:
        path = access.new_sign_in_path()
        first, second = Client(headers={"Host": "localhost"}), Client(headers={"Host": "localhost"})
        assert first.head(path).status_code == 200
        answer = first.get(path, {"next": "/admin/"})
        assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")
        assert first.get("/admin/").status_code == 200
        assert second.get(path).status_code == 410
        assert second.get("/admin/").status_code == 302
        assert first.get(path).status_code == 302, "who is signed in already is led on"

    def test_keeps_only_a_digest_for_the_owner_alone(self) -> None:
        token = access.new_sign_in_path().rsplit("/", 1)[1]
        kept = project.VIDEOPROC_DATA_DIR / "sign-in"
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        assert token not in kept.read_text()

    def test_a_new_link_voids_the_old(self) -> None:
        old, new = access.new_sign_in_path(), access.new_sign_in_path()
        client = Client(headers={"Host": "localhost"})
        assert client.get(old).status_code == 410
        assert client.get(new).status_code == 302

    def test_a_guess_does_not_void_it(self) -> None:
        path = access.new_sign_in_path()
        client = Client(headers={"Host": "localhost"})
        assert client.get("/sign-in/guess").status_code == 410
        assert client.get(path).status_code == 302

    @pytest.mark.parametrize("target", ["http://evil.test/", "//evil.test", "javascript:alert(1)"])
    def test_leads_nowhere_else(self, target: str) -> None:
        answer = Client(headers={"Host": "localhost"}).get(access.new_sign_in_path(), {"next": target})
        assert answer.headers["Location"] == "/"

    def test_is_not_there_in_server_mode(self, settings: Settings) -> None:
        settings.EMBEDDED = False
        assert Client(headers={"Host": "localhost"}).get(access.new_sign_in_path()).status_code == 404


def test_health_says_what_is_missing(door: Door) -> None:
    assert httpx.get(f"{door.url}/health/live").json() == {"status": "live"}
    response = httpx.get(f"{door.url}/health/ready", timeout=20)
    assert response.status_code == 200, "uploads are accepted without broker, layer and worker"
    assert response.json() == {
        "status": "degraded",
        "checks": {"database": True, "storage": True, "broker": False, "channel_layer": False, "workers": False},
        "slots": 0,
        "sandbox": [],
    }
