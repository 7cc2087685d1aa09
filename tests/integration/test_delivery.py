"""Delivery of files: whole, in ranges, again; what headers say of them; and how they are read."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from pathlib import Path

import httpx
import pytest
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.test import RequestFactory
from pytest_django import Settings

from processing import storage
from processing.api.delivery import deliver
from processing.api.document import links
from processing.api.errors import NotAvailable
from processing.api.pictures import still_of, thumbnail_of
from processing.api.views import rendition_of, result_of
from tests import rows
from tests.clips import make_clip
from tests.door import Door, eventually, request_head


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A video of which only the first bytes are pictures."""
    data = make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", frames=15, width=160, height=90).read_bytes()
    filling = bytes(range(256)) * 40_000
    return data + (8 + len(filling)).to_bytes(4, "big") + b"free" + filling


@pytest.fixture(scope="module")
def url(door: Door, clip: bytes) -> str:
    """Where the uploaded file is fetched."""
    files = {"file": ('<b>"Süd";.mp4', clip, "text/html")}
    answer = httpx.post(f"{door.url}/upload", files=files, timeout=60).json()
    return f"{door.url}{answer['job']['links']['source']}"


def test_whole(url: str, clip: bytes) -> None:
    response = httpx.get(url)
    assert response.status_code == 200
    assert response.content == clip
    assert response.headers["Content-Length"] == str(len(clip))
    assert response.headers["Accept-Ranges"] == "bytes"
    assert response.headers["ETag"] == f'"{hashlib.sha256(clip).hexdigest()}"'


def test_a_foreign_file_is_only_an_attachment(url: str) -> None:
    headers = httpx.head(url).headers
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["X-Content-Type-Options"] == "nosniff"
    disposition = headers["Content-Disposition"]
    assert disposition.startswith("attachment; filename*=utf-8''")
    assert disposition.isascii()


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=1000-", 1000, None),
        ("bytes=-500", -500, None),
        ("bytes=524287-524289", 524287, 524290),
        ("bytes=0-99999999999", 0, None),
    ],
)
def test_a_range(url: str, clip: bytes, asked: str, start: int, stop: int | None) -> None:
    response = httpx.get(url, headers={"Range": asked})
    first, last, _ = slice(start, stop).indices(len(clip))
    assert response.status_code == 206
    assert response.content == clip[start:stop]
    assert response.headers["Content-Range"] == f"bytes {first}-{last - 1}/{len(clip)}"
    assert response.headers["Content-Length"] == str(last - first)


@pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=5-4", "bytes=-0", "bytes=0-1,5-6", "bytes=x"])
def test_a_range_that_cannot_be(url: str, clip: bytes, asked: str) -> None:
    response = httpx.get(url, headers={"Range": asked})
    assert (response.status_code, response.json()["code"]) == (416, "range_not_satisfiable")
    assert response.headers["Content-Range"] == f"bytes */{len(clip)}"
    assert response.headers["Content-Type"] == "application/problem+json"


def test_five_hundred_ranges_are_refused(url: str) -> None:
    assert httpx.get(url, headers={"Range": "bytes=" + ",".join(["0-"] * 500)}).status_code == 416


def test_head_has_the_headers_alone(url: str, clip: bytes) -> None:
    response = httpx.head(url)
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["Content-Length"] == str(len(clip))
    response = httpx.head(url, headers={"Range": "bytes=0-9"})
    assert (response.status_code, response.headers["Content-Length"]) == (206, "10")


def test_if_range(url: str, clip: bytes) -> None:
    etag = httpx.head(url).headers["ETag"]
    assert httpx.get(url, headers={"Range": "bytes=0-9", "If-Range": etag}).status_code == 206
    for other in ('"another"', f"W/{etag}", "Wed, 21 Oct 2015 07:28:00 GMT"):
        response = httpx.get(url, headers={"Range": "bytes=0-9", "If-Range": other})
        assert (response.status_code, len(response.content)) == (200, len(clip))


def test_what_is_known_is_not_sent_again(url: str) -> None:
    etag = httpx.head(url).headers["ETag"]
    for known in (etag, f"W/{etag}", f'"a", {etag}', "*"):
        response = httpx.get(url, headers={"If-None-Match": known})
        assert (response.status_code, response.content, response.headers["ETag"]) == (304, b"", etag)
    assert httpx.get(url, headers={"If-None-Match": '"a"'}).status_code == 200


@pytest.mark.parametrize("accept", ["video/mp4", "image/png", "text/html"])
def test_a_file_is_sent_whatever_is_accepted(url: str, accept: str) -> None:
    assert httpx.head(url, headers={"Accept": accept}).status_code == 200


def test_a_reader_that_leaves_leaves_no_file_open(door: Door, url: str) -> None:
    for _ in range(5):
        with httpx.stream("GET", url) as response:
            next(response.iter_raw())
    descriptors = Path(f"/proc/{door.pid}/fd")

    def none_open() -> bool:
        return not [fd for fd in descriptors.iterdir() if fd.is_symlink() and "/sources/" in str(fd.readlink())]

    eventually(none_open)


def test_a_reader_in_no_hurry_keeps_no_database_connection(
    tmp_path: Path, fresh_postgresql_url: str, clip: bytes
) -> None:
    door = Door(tmp_path, VIDEOPROC_DATABASE_URL=fresh_postgresql_url, VIDEOPROC_DATABASE_CONNECTIONS="2")
    try:
        answer = httpx.post(f"{door.url}/upload", files={"file": ("a", clip)}, timeout=60).json()
        head = request_head(answer["job"]["links"]["source"], {}, method="GET")
        readers = [door.connect() for _ in range(4)]
        for reader in readers:
            reader.sendall(head)
            assert reader.recv(1000).startswith(b"HTTP/1.1 200")
        assert httpx.get(f"{door.url}/api/v1/jobs", timeout=5).status_code == 200
        for reader in readers:
            reader.close()
    finally:
        door.stop()


def test_a_result_is_a_video_to_be_played(tmp_path: Path, settings: Settings, rf: RequestFactory, db: None) -> None:
    settings.VIDEOPROC_STORAGE_DIR = tmp_path
    settings.VIDEOPROC_FREE_BYTES = 0
    job = rows.finished(rows.accepted(name="Ferien.mov"))
    for key in (job.result_key, f"{job.stills_key}/poster.jpg"):
        storage.stage(key).write_bytes(b"content")
    result = deliver(rf.head("/"), result_of(job))
    assert result.headers["Content-Type"] == "video/mp4"
    assert result.headers["Content-Disposition"] == 'inline; filename="Ferien-enhanced.mp4"'
    assert result.headers["ETag"] == f'"{job.receipt["sha256"]}"'
    still = deliver(rf.head("/"), still_of(job, "poster"))
    assert (still.headers["Content-Type"], still.headers["Content-Length"]) == ("image/jpeg", "7")


@pytest.mark.parametrize(
    ("at", "content", "moment"), [(0, b"0123", 0.5), (1.5, b"0123", 0.5), (1.6, b"456789", 2.5), (1e9, b"456789", 2.5)]
)
def test_a_thumbnail_is_the_part_of_the_nearest_moment(
    tmp_path: Path, settings: Settings, rf: RequestFactory, db: None, at: float, content: bytes, moment: float
) -> None:
    settings.VIDEOPROC_STORAGE_DIR = tmp_path
    settings.VIDEOPROC_FREE_BYTES = 0
    job = rows.finished(rows.accepted())
    storage.stage(f"{job.stills_key}/thumbnails.mjpeg").write_bytes(b"0123456789")
    answer = deliver(rf.get("/"), thumbnail_of(job, at))
    assert body(answer) == content
    assert (answer.headers["Content-Type"], answer.headers["Content-Length"]) == ("image/jpeg", str(len(content)))
    assert answer.headers["Content-Disposition"] == f'inline; filename="thumbnail-{moment:.3f}.jpg"'
    part = deliver(rf.get("/", headers={"Range": "bytes=1-2"}), thumbnail_of(job, at))
    assert (part.status_code, body(part)) == (206, content[1:3])
    assert part.headers["Content-Range"] == f"bytes 1-2/{len(content)}"
    known = rf.get("/", headers={"If-None-Match": answer.headers["ETag"]})
    assert deliver(known, thumbnail_of(job, at)).status_code == 304
    other = thumbnail_of(job, 0 if moment > 1 else 9)
    assert deliver(known, other).status_code == 200


def body(answer: HttpResponseBase) -> bytes:
    assert isinstance(answer, StreamingHttpResponse)

    async def read() -> bytes:
        return b"".join([piece async for piece in answer])

    data = asyncio.run(read())
    answer.close()
    return data


def test_each_rendition_is_a_file_of_its_own(tmp_path: Path, settings: Settings, rf: RequestFactory, db: None) -> None:
    settings.VIDEOPROC_STORAGE_DIR = tmp_path
    settings.VIDEOPROC_FREE_BYTES = 0
    hdr = dataclasses.replace(rows.receipt(), rendition="hdr", codec="hevc", hdr="pq", sha256="3" * 64, size_bytes=7)
    job = rows.finished(rows.accepted(name="Ferien.mov"), further=(hdr,))
    assert job.rendition_keys == {"web": "result.mp4", "hdr": "result.hdr.mp4"}
    storage.stage("result.hdr.mp4").write_bytes(b"content")
    answer = deliver(rf.head("/"), rendition_of(job, "hdr"))
    assert answer.headers["Content-Disposition"] == 'inline; filename="Ferien-enhanced.hdr.mp4"'
    assert (answer.headers["ETag"], answer.headers["Content-Length"]) == (f'"{hdr.sha256}"', "7")
    assert rendition_of(job, "web") == result_of(job)
    with pytest.raises(NotAvailable):
        rendition_of(job, "deep")
    web, listed = links(job)["renditions"]
    assert (web["name"], web["codec"], web["hdr"]) == ("web", "h264", "none")
    assert (listed["name"], listed["codec"], listed["hdr"]) == ("hdr", "hevc", "pq")
    assert listed["url"] == f"/api/v1/jobs/{job.pk}/renditions/hdr"
