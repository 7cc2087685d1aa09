"""Requests that break the rules of HTTP, JSON or the interface: refused with a reason, never a 5xx or a wait."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.door import Door, request_head

JOBS = "/api/v1/jobs"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def client(door: Door, tokens: dict[str, str]) -> Iterator[httpx.Client]:
    """Ada's, with her token; ten seconds are the longest that an answer may take."""
    headers = {"Authorization": f"Token {tokens['ada']}"}
    with httpx.Client(base_url=door.url, headers=headers, timeout=10) as client:
        yield client


@pytest.fixture(scope="module")
def nobody(door: Door) -> Iterator[httpx.Client]:
    """A client without credentials."""
    with httpx.Client(base_url=door.url, timeout=10) as client:
        yield client


def refused(response: httpx.Response, *codes: str) -> None:
    assert 400 <= response.status_code < 500, (response.request.url, response.status_code, response.text[:300])
    assert not codes or response.json()["code"] in codes, response.text[:300]


def encoded(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


CURSORS = [
    *("p=abc", "p=%00", "p=2020-01-01", "p=0001-01-01T00:00:00%2B23:59", "p=9999-12-31T23:59:59-23:59", "r=1&p=x"),
    *("p=" + "9" * 5000, "o=99999999999999999999&p=x"),
]
QUERIES = [
    *({"cursor": encoded(cursor)} for cursor in CURSORS),
    *({"cursor": cursor} for cursor in ("%%%", "x", encoded(b"\xff\xfe"), "A" * 5000)),
    *({"limit": limit} for limit in ("0", "-1", "1e3", "NaN", "9" * 5000, "\u0661", "101", "")),
    *({"client_id": "\0"}, {"state": "nobody"}, {"ordering": "owner__password"}),
    *({"owner": "1"}, {"format": "html"}, {"state__in": "ready"}),
]


def test_query_parameters(client: httpx.Client) -> None:
    for query in QUERIES:
        refused(client.get(JOBS, params=query), "invalid", "unknown_field", "not_found")
    assert client.get(JOBS, params={"cursor": encoded("p=2020-01-01 00:00:00%2B00:00")}).json()["results"] == []


BODIES = [
    *(b"null", b"[]", b"1e400", b'"x"', b"NaN", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 50_000, b"9" * 10_000, b""),
    *(b'{"priority":NaN}', b'{"priority":1e400}', b'{"priority":"\\ud800"}', b'{"\\ud800":1}', b'{"a\\u0000":1}'),
    *(b'{"priority":true}', b'{"priority":[1]}', b'{"priority":' + b"9" * 4000 + b"}", b'{"priority":101}'),
    *(b'{"priority":0,"state":"ready"}', b'{"priority":0,"owner":1}'),
]
CREDENTIALS = [
    *(b"null", b"[]", b"NaN", b"[" * 100_000, b'{"username":"\\ud800","password":"x"}', b'{"\\ud800":1}'),
    *(b'{"username":"a\\u0000","password":"x"}', b'{"username":{},"password":[]}', b'{"username":"a","password":NaN}'),
]


def test_json_bodies(client: httpx.Client, nobody: httpx.Client, job: str) -> None:
    for body in BODIES:
        response = client.put(f"{JOBS}/{job}/priority", content=body, headers=JSON)
        refused(response, "malformed", "invalid", "unknown_field")
    for body in CREDENTIALS:
        refused(nobody.post("/api/v1/tokens", content=body, headers=JSON), "malformed", "invalid")
    assert client.get(f"{JOBS}/{job}").json()["priority"] == 0


@pytest.mark.parametrize("charset", ["zlib", "hex", "undefined", "punycode", "utf-16", "idna", "no such", '"'])
def test_charsets_that_are_no_text(client: httpx.Client, job: str, charset: str) -> None:
    headers = {"Content-Type": f"application/json; charset={charset}"}
    refused(client.put(f"{JOBS}/{job}/priority", content=b"\x00\xff{", headers=headers))
    assert client.get(f"{JOBS}?limit=5", headers=headers).status_code == 200


def test_credentials_that_no_database_takes(nobody: httpx.Client) -> None:
    for text in ("a\0b:x", "a:\0", "a" * 40_000 + ":x", ":", "no colon", "\udcff:x"):
        header = base64.b64encode(text.encode("utf-8", "surrogateescape")).decode()
        response = nobody.post("/api/v1/tokens", headers={"Authorization": f"Basic {header}"})
        refused(response, "invalid", "bad_credentials")
    for cookie in ('"abc\\000def12345678"', '"\\377\\377\\377aaaaaaaaaaa"', "a" * 30_000, '"\\012\\015abcdefgh1234"'):
        headers = {"Cookie": f"sessionid={cookie}"}
        refused(nobody.get(JOBS, headers=headers), "not_authenticated")
        assert nobody.get("/", headers=headers).status_code == 302
        assert nobody.get("/admin/", headers=headers).status_code == 302


def test_paths_that_lead_elsewhere(client: httpx.Client, door: Door) -> None:
    secret = Path(__file__).read_bytes()[:40]
    climbs = ["..%2f..%2f", "%2e%2e/%2e%2e/", "/", "%5c..%5c", "..%00/", "%ff", "a" * 5000]
    for path in (
        *(f"/static/{climb}{target}" for climb in climbs for target in ("etc/passwd", "videoproc/settings.py")),
        *("/%00", "//evil.test/%2e%2e", "/upload/", "/sign-in/%00", "/sign-in/%ff", "/static/admin/", "/.env", "/var"),
        *(
            f"/internal/video-enhancement-status/{name}"
            for name in ("%00", "1" * 5000, "%7B0%7D", "..", "%f0%9f%98%80")
        ),
        *(f"{JOBS}/{name}" for name in ("%00", "0" * 36, "..%2f..%2fadmin")),
    ):
        with door.connect() as connection:  # a client library would tidy the path
            headers = {"Authorization": client.headers["Authorization"], "Connection": "close"}
            connection.sendall(request_head(path, headers, "GET"))
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.split()[1] in {b"400", b"404", b"410"}, (path, answer[:200])
        assert secret not in answer
        assert b"root:" not in answer


def test_methods_that_do_not_exist(client: httpx.Client, job: str) -> None:
    for path in ("/upload", JOBS, f"{JOBS}/{job}", f"{JOBS}/{job}/cancel", "/"):
        for method in ("PROPFIND", "TRACE", "PATCH", "LOCK"):
            refused(client.request(method, path))
    assert not client.get(f"{JOBS}/{job}").json()["terminal"]


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: evil.test\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /api/v1/jobs HTTP/1.1\r\nHost: evil.test\r\n\r\n",
        b"GET /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1@evil.test\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"FOO / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\0b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX : a\r\n\r\n",
        b"POST /upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n",
        b"POST /upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST /upload HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 600_000,
        b"GET /" + b"a" * 600_000,
    ],
    ids=lambda head: head[:40].decode("latin-1"),
)
def test_heads_that_break_the_rules(door: Door, head: bytes) -> None:
    before = door.peak_bytes()
    with door.connect() as connection:
        try:
            connection.sendall(head)
            status = connection.recv(65536).split()[1]
        except ConnectionError:
            status = b"reset"
    assert status in {b"400", b"401", b"403", b"reset"}
    assert door.peak_bytes() - before < 8 * 1024**2


def test_a_body_longer_or_shorter_than_said(door: Door, tokens: dict[str, str]) -> None:
    form = {"Authorization": f"Token {tokens['ada']}", "Content-Type": "multipart/form-data; boundary=x"}
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc\r\n--x--\r\n'
    for said, sent in ((len(part) - 9, part), (len(part) + 9, part), (10**12, b""), (None, part)):
        with door.connect() as connection:
            headers = form if said is None else form | {"Content-Length": str(said)}
            connection.sendall(request_head("/upload", headers) + sent)
            connection.shutdown(1)
            answer = connection.recv(65536)
        assert not answer or answer.split()[1] in {b"400", b"408", b"413"}, answer[:200]
