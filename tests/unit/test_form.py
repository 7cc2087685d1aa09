"""Reading a multipart form piece by piece: whatever the pieces, the same file; whatever the form, nothing unbounded."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from processing.api.errors import MediaProblem
from uploads.form import FormReader
from uploads.validators import Declared, MalformedForm, NoFile, NotMultipart, TooLarge, TwoFiles, admit, clean_name

BOUNDARY = b"edge"


def part(name: str, value: bytes, filename: str | None = None) -> bytes:
    file = f'; filename="{filename}"' if filename is not None else ""
    return f'--edge\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + value + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--edge--\r\n"


def read(path: Path, body: bytes, piece_bytes: int = 1 << 20) -> FormReader:
    path.unlink(missing_ok=True)
    reader = FormReader(BOUNDARY, path)
    try:
        for start in range(0, len(body), piece_bytes):
            reader.feed(body[start : start + piece_bytes])
        reader.finish()
    finally:
        reader.close()
    return reader


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    data=st.binary(min_size=1, max_size=300)
    | st.sampled_from([b"\r\n--edg", b"\r\n--edgf\r\n", b"--edge--", b"\r" * 9]),
    piece_bytes=st.integers(1, 64),
)
def test_the_file_is_the_same_however_the_body_is_cut(tmp_path: Path, data: bytes, piece_bytes: int) -> None:
    path = tmp_path / "source"
    body = form(part("client_id", b"me"), part("file", data, "a.mp4"), part("preset", b"auto"))
    reader = read(path, body, piece_bytes)
    assert path.read_bytes() == data
    assert reader.sha256 == hashlib.sha256(data).hexdigest()
    assert (reader.size_bytes, reader.name) == (len(data), "a.mp4")
    assert reader.fields == {"client_id": "me", "preset": "auto"}


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    read(tmp_path / "source", form(part("file", b"x", "a")))
    assert (tmp_path / "source").stat().st_mode & 0o777 == 0o600


def test_never_writes_over_a_file_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        FormReader(BOUNDARY, tmp_path / "source")
    assert (tmp_path / "source").read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (form(part("file", b"a", "a"), part("file", b"b", "b")), TwoFiles),
        (form(part("file", b"a"), part("file", b"b", "b")), TwoFiles),
        (form(part("client_id", b"me")), NoFile),
        (form(), NoFile),
        (form(part("file", b"a", "a"))[:-12], MalformedForm),
        (part("file", b"a" * 1000, "a")[:-500], MalformedForm),
        (b"junk", MalformedForm),
        (form(*(part(f"field-{number}", b"") for number in range(17))), MalformedForm),
        (form(part("note", b"x" * 4097)), MalformedForm),
        (form(part("note", b"x"), part("note", b"y")), MalformedForm),
        (b'--edge\r\nContent-Disposition: attachment; name="file"\r\n\r\nx\r\n--edge--\r\n', MalformedForm),
        (b"--edge\r\n" + b"A: b\r\n" * 9 + b"\r\nx\r\n--edge--\r\n", MalformedForm),
    ],
)
def test_refuses_a_broken_form(tmp_path: Path, body: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        read(tmp_path / "source", body)


def test_refuses_an_empty_file(tmp_path: Path) -> None:
    with pytest.raises(MediaProblem) as caught:
        read(tmp_path / "source", form(part("file", b"", "a")))
    assert (caught.value.default_code, caught.value.status_code) == ("empty_file", 422)


def test_refuses_an_overlong_boundary(tmp_path: Path) -> None:
    with pytest.raises(MalformedForm):
        FormReader(b"x" * 500, tmp_path / "source")


def test_refuses_more_bytes_than_a_file_may_have(tmp_path: Path, settings: Settings) -> None:
    settings.VIDEOPROC_UPLOAD_MAX_BYTES = 1000
    assert read(tmp_path / "source", form(part("file", b"x" * 1000, "a"))).size_bytes == 1000
    with pytest.raises(TooLarge):
        read(tmp_path / "source", form(part("file", b"x" * 1001, "a")))


def test_a_full_disk_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(MediaProblem) as caught:
        read(tmp_path / "source", form(part("file", b"x", "a")))
    assert (caught.value.default_code, caught.value.status_code, caught.value.retryable) == ("storage_full", 507, True)


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("holiday.mp4", "holiday.mp4"),
        ("Ferien – Süd 1.mp4", "Ferien – Süd 1.mp4"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\film.avi", "film.avi"),
        ("a\x00b\r\nc\x1b[31m.mp4", "abc[31m.mp4"),
        ("gpj.\u202e4pm.exe\u2066", "gpj.4pm.exe"),
        ("-y.mp4", "-y.mp4"),
        ("concat:a|b", "concat:a|b"),
        ("<img src=x>.mp4", "<img src=x>.mp4"),
        ("x" * 300 + ".mp4", "x" * 255),
        ("", "unnamed"),
        ("..", "unnamed"),
        ("/", "unnamed"),
        (" \t\u200b", "unnamed"),
    ],
)
def test_cleans_names(name: str, clean: str) -> None:
    assert clean_name(name) == clean


@pytest.mark.parametrize("kind", ["", "video/mp4", "multipart/form-data", "multipart/mixed; boundary=x", "text/plain"])
def test_admits_only_forms(kind: str) -> None:
    with pytest.raises(NotMultipart):
        admit(Declared(content_type=kind, length_bytes=10))


def test_admits_by_declared_size_and_free_space(settings: Settings, tmp_path: Path) -> None:
    settings.VIDEOPROC_STORAGE_DIR = tmp_path
    settings.VIDEOPROC_UPLOAD_MAX_BYTES = 10**6
    kind = 'multipart/form-data; boundary="edge"'
    admit(Declared(content_type=kind, length_bytes=10**6))
    admit(Declared(content_type=kind, length_bytes=None))
    with pytest.raises(TooLarge):
        admit(Declared(content_type=kind, length_bytes=2 * 10**6))
    settings.VIDEOPROC_FREE_BYTES = 10**18
    with pytest.raises(MediaProblem) as caught:
        admit(Declared(content_type=kind, length_bytes=10))
    assert caught.value.default_code == "storage_full"
