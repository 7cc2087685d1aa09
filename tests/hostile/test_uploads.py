"""Hostile files through the upload itself: refused with the documented code within ten seconds, and nothing is left."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest

from tests.clips import make_clip, with_external_reference, with_sample_entry
from tests.door import Door
from tests.hostile.files import also_html, also_zip, matroska, picture, tags, texts

NAMES = [
    "../../etc/cron.d/evil",
    "concat:a|b",
    "-y.mp4",
    "a" * 300 + ".mp4",
    "\u202egpj.mp4",
    "a\0b",
    "<img src=x>",
    "\ufeff",
    "..",
    "CON",
]


def post(door: Door, token: str, data: bytes, name: str = "x.mp4") -> httpx.Response:
    began = time.monotonic()
    headers = {"Authorization": f"Token {token}"}
    response = httpx.post(f"{door.url}/upload", files={"file": (name, data)}, headers=headers, timeout=30)
    assert response.status_code < 500, response.text[:300]
    assert time.monotonic() - began < 12
    return response


def test_what_is_no_video(door: Door, tokens: dict[str, str], nobody_calls: str) -> None:
    found = texts(f"http://{nobody_calls}/x.ts", "/etc/passwd")
    for name, data in found.items():
        response = post(door, tokens["ada"], data)
        assert (response.status_code, response.json()["code"]) == (415, "unsupported_container"), name


def test_videos_that_are_refused_by_their_header(door: Door, tokens: dict[str, str], tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=5, width=64, height=48)
    mov = make_clip(tmp_path / "clip.mov", frames=5, width=64, height=48)
    cases = {
        "foreign_reference": with_external_reference(mov, tmp_path / "a").read_bytes(),
        "unsupported_codec": with_sample_entry(clip, tmp_path / "b", b"encv").read_bytes(),
        "resource_streams": matroska(tracks=1000),
        "resource_pixels": matroska([picture()] * 3, width=65_535, height=1, codec=b"V_VP8"),
        "no_video_stream": matroska(tracks=0),
        "truncated": clip.read_bytes()[:400],
        "empty_file": b"",
    }
    for code, data in cases.items():
        response = post(door, tokens["ada"], data)
        assert (response.status_code, response.json()["code"]) == (422, code)


@pytest.mark.heavy
def test_a_file_that_takes_for_ever_to_open_is_given_up(door: Door, tokens: dict[str, str]) -> None:
    pairs = [(b"T%d" % number, b"v" * 80) for number in range(100_000)]
    response = post(door, tokens["ada"], matroska(parts=[tags(pairs)]))
    assert response.status_code == 422
    assert response.json()["code"] in {"resource_cpu", "process_stalled"}


def test_a_polyglot_comes_back_as_an_attachment_that_nobody_sniffs(
    door: Door, tokens: dict[str, str], job: str, tmp_path: Path
) -> None:
    options = [("movflags", "+frag_keyframe+empty_moov+default_base_moof")]
    clip = make_clip(tmp_path / "clip.mp4", frames=5, width=64, height=48, container_options=options).read_bytes()
    headers = {"Authorization": f"Token {tokens['ada']}"}
    for data in (also_html(clip), also_zip(clip)):
        answer = post(door, tokens["ada"], data, "page.html")
        assert answer.status_code == 201, answer.text
        source = httpx.get(door.url + answer.json()["job"]["links"]["source"], headers=headers)
        assert source.content == data
        assert source.headers["Content-Type"] == "application/octet-stream"
        assert source.headers["Content-Disposition"].startswith("attachment")
        assert source.headers["X-Content-Type-Options"] == "nosniff"


def test_names_are_text_and_nothing_else(door: Door, tokens: dict[str, str], job: str, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=5, width=64, height=48).read_bytes()
    before = door.log.stat().st_size
    for name in NAMES:
        answer = post(door, tokens["ada"], clip, name)
        assert answer.status_code == 201, answer.text
        shown = answer.json()["job"]["name"]
        assert shown.isprintable()
        assert 0 < len(shown) <= 255
        assert "/" not in shown
        headers = {"Authorization": f"Token {tokens['ada']}"}
        source = httpx.get(door.url + answer.json()["job"]["links"]["source"], headers=headers)
        assert source.headers["Content-Disposition"].startswith("attachment; filename")
    said = door.log.read_bytes()[before:].decode()
    assert all(line[:4].isdigit() for line in said.splitlines()), said
