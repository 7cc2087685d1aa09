"""The upload against a real server: what is accepted, what is refused and when, and that a refusal leaves nothing."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import av
import httpx
import pytest

from tests.clips import make_clip
from tests.door import Door, eventually, read_response, request_head

BOUNDARY = "test-boundary"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small video."""
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", frames=15, width=160, height=90).read_bytes()


@pytest.fixture
def nothing_left(door: Door) -> Iterator[None]:
    """Holds a test to leaving no source folder behind."""
    before = door.folders()
    yield
    eventually(lambda: door.folders() == before)


def unlike(clip: bytes, size_bytes: int = 0) -> bytes:
    """Return a clip with the same pictures and other bytes: a `free` box of any size at its end."""
    filling = uuid4().bytes + bytes(size_bytes)
    return clip + (8 + len(filling)).to_bytes(4, "big") + b"free" + filling


def post(door: Door, data: bytes, name: str = "clip.mp4", path: str = "/upload", **fields: str) -> httpx.Response:
    return httpx.post(f"{door.url}{path}", files={"file": (name, data, "video/mp4")}, data=fields, timeout=60)


def part(name: str, value: bytes, filename: str | None = None) -> bytes:
    file = f'; filename="{filename}"' if filename is not None else ""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
    return head.encode() + value + b"\r\n"


def post_form(door: Door, body: bytes) -> httpx.Response:
    return httpx.post(f"{door.url}/upload", content=body, headers={"Content-Type": FORM}, timeout=60)


def check_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert (response.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert problem["type"] == f"urn:videoproc:problem:{code}"
    assert problem["title"]
    assert problem["detail"]
    return problem


def test_a_video_is_accepted_and_kept_as_it_was_sent(door: Door, clip: bytes) -> None:
    data = unlike(clip)
    response = post(door, data, client_id="me.1", preset="gentle")
    answer = response.json()
    assert response.status_code == 201
    assert response.headers["Location"] == f"/api/v1/uploads/{answer['file_id']}"
    assert set(answer) == {"file_id", "client_id", "status", "job", "duplicate_of"}
    assert (answer["client_id"], answer["status"], answer["duplicate_of"]) == ("me.1", "queued", None)
    assert (answer["job"]["file_id"], answer["job"]["preset"], answer["job"]["seq"]) == (
        answer["file_id"],
        "gentle",
        1,
    )
    folder = door.sources / answer["file_id"]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [entry.name for entry in folder.iterdir()] == ["source"]
    assert (folder / "source").read_bytes() == data
    metadata = httpx.get(f"{door.url}{answer['job']['links']['source']}")
    assert metadata.headers["ETag"] == f'"{hashlib.sha256(data).hexdigest()}"'
    assert httpx.get(f"{door.url}{response.headers['Location']}").json() == answer


def test_parameters_are_kept_with_the_job_and_told(door: Door, clip: bytes) -> None:
    asked = {"denoise": 0.8, "deinterlace": False, "strength": 1}
    job = post(door, unlike(clip), parameters=json.dumps(asked | {"lift": None})).json()["job"]
    assert job["parameters"] == asked
    (event,) = httpx.get(f"{door.url}{job['links']['events']}").json()
    assert event["data"] == {"preset": "auto", "parameters": asked}
    wrong = check_problem(post(door, unlike(clip), parameters='{"crf": 60}'), 400, "bad_parameter")
    assert wrong["detail"] == "parameters.crf: Must be 14 to 35."


def test_without_a_client_id_it_is_the_file_id(door: Door, clip: bytes) -> None:
    answer = post(door, clip, path="/api/v1/uploads").json()
    assert answer["client_id"] == answer["file_id"]
    assert answer["job"]["preset"] == "auto"


def test_the_same_bytes_again_are_a_new_file_that_names_the_first(door: Door, clip: bytes) -> None:
    data = unlike(clip)
    first, second, third = (post(door, data).json() for _ in range(3))
    assert first["duplicate_of"] is None
    assert second["duplicate_of"] == third["duplicate_of"] == first["file_id"]
    assert len({first["file_id"], second["file_id"], third["file_id"]}) == 3


def test_the_content_decides_and_not_the_name(door: Door, tmp_path: Path) -> None:
    matroska = make_clip(tmp_path / "clip.mkv", frames=15, width=160, height=90).read_bytes()
    assert post(door, matroska, name="clip.mp4").status_code == 201


def test_a_name_is_shown_but_never_a_path(door: Door, clip: bytes) -> None:
    body = part("file", clip, "../../etc/ev\u202eil\t.mp4") + f"--{BOUNDARY}--\r\n".encode()
    answer = post_form(door, body).json()
    assert answer["job"]["name"] == "evil.mp4"


def test_memory_is_flat_however_large_the_file(door: Door, clip: bytes) -> None:
    post(door, unlike(clip))
    before = door.peak_bytes()
    answer = post(door, unlike(clip, 60 * 1024**2))
    assert answer.status_code == 201
    assert (door.sources / answer.json()["file_id"] / "source").stat().st_size > 60 * 1024**2
    assert door.peak_bytes() - before < 16 * 1024**2


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 422, "empty_file"),
        (b"x", 415, "unsupported_container"),
        (b"just some text, " * 100, 415, "unsupported_container"),
        (b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n", 415, "unsupported_container"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", 415, "unsupported_container"),
        (b"%PDF-1.7\n" + bytes(200), 415, "unsupported_container"),
    ],
)
def test_what_is_no_video_is_refused_with_its_reason(door: Door, data: bytes, status: int, code: str) -> None:
    assert check_problem(post(door, data), status, code)["retryable"] is False


@pytest.mark.usefixtures("nothing_left")
def test_a_video_cut_short_is_refused(door: Door, clip: bytes) -> None:
    check_problem(post(door, clip[: len(clip) // 3]), 422, "truncated")


@pytest.mark.usefixtures("nothing_left")
def test_sound_alone_is_refused(door: Door, tmp_path: Path) -> None:
    path = tmp_path / "sound.m4a"
    with av.open(path, "w", format="mp4") as output:
        stream = output.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        frame.sample_rate = 48000
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        output.mux([*stream.encode(frame), *stream.encode(None)])
    check_problem(post(door, path.read_bytes()), 422, "no_video_stream")


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(
    ("fields", "code", "path"),
    [
        ({"client_id": "no spaces"}, "bad_client_id", "client_id"),
        ({"client_id": ""}, "bad_client_id", "client_id"),
        ({"client_id": "ü"}, "bad_client_id", "client_id"),
        ({"client_id": "me\n"}, "bad_client_id", "client_id"),
        ({"client_id": "x" * 65}, "bad_client_id", "client_id"),
        ({"preset": "magic"}, "unknown_preset", "preset"),
        ({"preset": ""}, "unknown_preset", "preset"),
        ({"owner": "1"}, "unknown_field", "owner"),
        ({"parameters": '{"glow": 1}'}, "unknown_parameter", "parameters.glow"),
        ({"parameters": '{"denoise": 2.5}'}, "bad_parameter", "parameters.denoise"),
        ({"parameters": '{"denoise": "1"}'}, "bad_parameter", "parameters.denoise"),
        ({"parameters": '{"denoise": NaN}'}, "bad_parameter", "parameters"),
        ({"parameters": '{"lift": 1, "lift": 0}'}, "bad_parameter", "parameters"),
        ({"preset": "metadata-only", "parameters": '{"denoise": 1}'}, "bad_parameter", "parameters"),
        ({"parameters": "[1]"}, "bad_parameter", "parameters"),
        ({"parameters": ""}, "bad_parameter", "parameters"),
        ({"parameters": "[" * 4000}, "bad_parameter", "parameters"),
        ({"state": "ready"}, "unknown_field", "state"),
    ],
)
def test_a_wrong_field_is_refused_by_its_path(
    door: Door, clip: bytes, fields: dict[str, str], code: str, path: str
) -> None:
    problem = check_problem(post(door, clip, **fields), 400, code)
    assert [(error["path"], error["code"]) for error in problem["errors"]] == [(path, code)]


@pytest.mark.usefixtures("nothing_left")
def test_several_wrong_fields_are_all_named(door: Door, clip: bytes) -> None:
    problem = check_problem(post(door, clip, client_id="?", preset="magic"), 400, "invalid")
    assert {error["path"] for error in problem["errors"]} == {"client_id", "preset"}


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (part("file", b"a", "a") + part("file", b"b", "b") + b"--test-boundary--\r\n", "two_files"),
        (part("client_id", b"me") + b"--test-boundary--\r\n", "no_file"),
        (b"--test-boundary--\r\n", "no_file"),
        (b"", "malformed_multipart"),
        (part("file", b"a", "a"), "malformed_multipart"),
        (b"no form at all", "malformed_multipart"),
        (b"".join(part(f"f{i}", b"x") for i in range(10_000)) + b"--test-boundary--\r\n", "malformed_multipart"),
        (part("client_id", b"x" * 5000) + b"--test-boundary--\r\n", "malformed_multipart"),
        (part("preset", b"auto") + part("preset", b"auto") + b"--test-boundary--\r\n", "malformed_multipart"),
        (b"--test-boundary\r\nX: " + b"y" * 20_000 + b"\r\n\r\n", "malformed_multipart"),
        (b"--test-boundary\r\nContent-Disposition: form-data\r\n\r\nx\r\n--test-boundary--\r\n", "malformed_multipart"),
    ],
    ids=[
        "two files", "no file", "no parts", "empty", "cut", "no form", "many parts", "long field", "field twice",
        "long header", "no name",
    ],
)  # fmt: skip
def test_a_broken_form_is_refused(door: Door, body: bytes, code: str) -> None:
    check_problem(post_form(door, body), 400, code)


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Content-Type": FORM, "Content-Length": str(10**12)}, 413, "too_large"),
        ({"Content-Type": "video/mp4", "Content-Length": "1000"}, 415, "unsupported_media_type"),
        ({"Content-Type": "multipart/form-data", "Content-Length": "1000"}, 415, "unsupported_media_type"),
        ({"Content-Length": "1000"}, 415, "unsupported_media_type"),
        ({"Content-Type": FORM, "Content-Length": "1000", "Authorization": "Token x"}, 401, "authentication_failed"),
        ({"Content-Type": FORM, "Content-Length": "1000", "Origin": "http://evil.test"}, 403, "cross_site"),
        ({"Content-Type": FORM, "Content-Length": "1000", "Sec-Fetch-Site": "cross-site"}, 403, "cross_site"),
    ],
)
def test_refused_before_the_first_byte_of_the_body(door: Door, headers: dict[str, str], status: int, code: str) -> None:
    with door.connect() as connection:
        connection.sendall(request_head("/upload", headers | {"Expect": "100-continue"}))
        got, response, problem = read_response(connection)
        assert (got, problem["code"]) == (status, code)
        assert response["content-type"] == "application/problem+json"
        assert response["connection"] == "close"
        assert connection.recv(1) == b""


@pytest.mark.usefixtures("nothing_left")
def test_who_sends_on_after_a_refusal_still_reads_it(door: Door) -> None:
    with door.connect() as connection:
        connection.sendall(request_head("/upload", {"Content-Type": "text/plain", "Content-Length": str(3 * 1024**2)}))
        for _ in range(3):
            connection.sendall(bytes(1024**2))
        status, _, problem = read_response(connection)
    assert (status, problem["code"]) == (415, "unsupported_media_type")


@pytest.mark.usefixtures("nothing_left")
def test_a_body_of_unknown_length_is_cut_off_at_the_limit(door: Door) -> None:
    def body() -> Iterator[bytes]:
        yield f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'.encode()
        for _ in range(81):
            yield bytes(1024**2)

    with door.connect() as connection:
        connection.sendall(request_head("/upload", {"Content-Type": FORM, "Transfer-Encoding": "chunked"}))
        for piece in body():
            connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        connection.sendall(b"0\r\n\r\n")
        status, _, problem = read_response(connection)
    assert (status, problem["code"]) == (413, "too_large")


@pytest.mark.usefixtures("nothing_left")
def test_nothing_is_left_of_a_client_that_leaves(door: Door, clip: bytes) -> None:
    before = door.folders()
    body = part("file", unlike(clip, 2 * 1024**2), "a.mp4")
    connection = door.connect()
    connection.sendall(request_head("/upload", {"Content-Type": FORM, "Content-Length": str(10 * 1024**2)}))
    connection.sendall(body)
    eventually(lambda: door.folders() != before)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes.fromhex("0100000000000000"))
    connection.close()
    eventually(lambda: door.folders() == before)


def test_uploads_at_once_do_not_wait_for_each_other(door: Door, clip: bytes) -> None:
    slow = door.connect()
    data = part("file", unlike(clip), "slow.mp4") + f"--{BOUNDARY}--\r\n".encode()
    slow.sendall(request_head("/upload", {"Content-Type": FORM, "Content-Length": str(len(data))}))
    slow.sendall(data[:1000])
    assert post(door, unlike(clip)).status_code == 201
    slow.sendall(data[1000:])
    status, _, answer = read_response(slow)
    slow.close()
    assert (status, answer["job"]["name"]) == (201, "slow.mp4")


def test_any_other_body_is_capped_too(door: Door) -> None:
    with door.connect() as connection:
        headers = {"Content-Type": "application/json", "Content-Length": str(10**12), "Expect": "100-continue"}
        connection.sendall(request_head("/api/v1/tokens", headers))
        status, _, problem = read_response(connection)
    assert (status, problem["code"]) == (413, "too_large")


def test_no_file_is_left_open(door: Door, clip: bytes) -> None:
    post(door, unlike(clip, 4 * 1024**2))
    descriptors = Path(f"/proc/{door.pid}/fd")
    eventually(lambda: not [fd for fd in descriptors.iterdir() if "sources" in str(fd.readlink())])
