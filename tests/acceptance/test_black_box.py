"""From upload to result as a client sees it, by the documented interface alone, in both modes."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import av
import cv2

from tests.acceptance.client import STATES, BlackBox, Followed
from tests.clips import make_clip, read_number, read_numbers


def test_a_video_goes_in_and_a_better_one_comes_out(client: BlackBox, small_clip: Path, tmp_path: Path) -> None:
    with client.listen() as socket:
        answer = client.upload(small_clip)
        file_id = answer["file_id"]
        followed = client.follow(socket, file_id, Followed(), seconds=90)
    assert followed.statuses[-1] == "ready"
    assert [state for state in STATES if state in followed.statuses] == followed.statuses, "states in their order"
    assert followed.statuses[0] == "queued"
    assert followed.events.count("published") == 1
    assert followed.percent == 100
    status = client.enhancement(file_id)
    assert (status["status"], status["progress"], status["error"]) == ("ready", 100, None)
    assert status["job_id"] == followed.job_id
    metadata = client.metadata(file_id)
    assert metadata["status"] == "ready"
    assert metadata["metadata"]["frames_from_scan"] == 90
    result = client.download(status["result_url"], tmp_path / "result.mp4")
    assert read_numbers(result) == list(range(90)), "every frame once, in order"
    poster = client.download(metadata["poster_url"], tmp_path / "poster.jpg").read_bytes()
    assert poster[:3] == b"\xff\xd8\xff"
    part = client.part(status["result_url"], 100, 199)
    assert (part.status_code, part.content) == (206, result.read_bytes()[100:200])


def test_what_is_asked_for_is_done_and_the_storyboard_leads_through_it(
    client: BlackBox, small_clip: Path, tmp_path: Path
) -> None:
    asked = {"denoise": 0.5, "sharpen": 0, "lift": 0, "max_height_px": 144, "max_bitrate_kbps": 2000}
    with client.listen() as socket:
        answer = client.upload(small_clip, preset="denoise", parameters=json.dumps(asked))
        assert answer["job"]["parameters"] == asked
        client.follow(socket, answer["file_id"], Followed(), seconds=90)
    job = client.get(answer["job"]["links"]["self"])
    assert {choice["operation"]: choice["strength"] for choice in job["chosen"]["operations"]} == {"denoise": 0.5}
    receipt = client.get(job["links"]["receipt"])["receipt"]
    assert (receipt["width_px"], receipt["height_px"], receipt["frames_out"]) == (256, 144, 90)
    assert read_numbers(client.download(job["links"]["result"], tmp_path / "result.mp4")) == list(range(90))
    cues = client.download(job["links"]["storyboard_cues"], tmp_path / "cues").read_text()
    assert cues.startswith("WEBVTT\n\n00:00:00.000 --> ")
    tiles = cues.count("storyboard#xywh=")
    assert tiles == 10
    sheet = cv2.imread(str(client.download(job["links"]["storyboard"], tmp_path / "sheet.jpg")))
    assert sheet.shape == (72, 128 * tiles, 3)
    numbers = []
    for at in (0, 2.9):
        thumbnail = client.download(f"{job['links']['thumbnail']}?at={at}", tmp_path / "thumbnail.jpg")
        numbers.append(read_number(cv2.imread(str(thumbnail), cv2.IMREAD_GRAYSCALE)))
    assert numbers == [4, 85]


def test_metadata_alone_ends_ready_without_a_result(client: BlackBox, small_clip: Path, tmp_path: Path) -> None:
    with client.listen() as socket:
        file_id = client.upload(small_clip, preset="metadata-only")["file_id"]
        followed = client.follow(socket, file_id, Followed(), seconds=60)
    assert followed.statuses == ["queued", "probing", "publishing", "ready"]
    assert client.enhancement(file_id)["result_url"] is None
    metadata = client.metadata(file_id)
    assert metadata["metadata"]["frames_from_scan"] == 90
    assert client.download(metadata["poster_url"], tmp_path / "poster.jpg").read_bytes()[:3] == b"\xff\xd8\xff"


def test_ten_bits_come_out_as_a_second_file(client: BlackBox, tmp_path: Path) -> None:
    options = {"codec": "hevc", "pixel_format": "yuv420p10le", "noise_sigma": 6.0}
    clip = make_clip(tmp_path / "deep.mp4", frames=30, width=96, height=64, **options)
    with client.listen() as socket:
        followed = client.follow(socket, client.upload(clip)["file_id"], Followed(), seconds=90)
    assert followed.statuses[-1] == "ready"
    job = client.get(f"/api/v1/jobs/{followed.job_id}")
    web, deep = job["links"]["renditions"]
    assert (web["name"], web["codec"], deep["name"], deep["codec"]) == ("web", "h264", "deep", "hevc")
    assert job["progress"]["frames_total"] == 60, "thirty of each"
    for rendition, codec in ((web, "h264"), (deep, "hevc")):
        path = client.download(rendition["url"], tmp_path / "result.mp4")
        assert path.stat().st_size == rendition["size_bytes"]
        with av.open(path) as file:
            assert file.streams.video[0].codec_context.name == codec
        assert read_numbers(path) == list(range(30))


def test_connecting_late_loses_nothing(client: BlackBox, small_clip: Path) -> None:
    file_id = client.upload(small_clip)["file_id"]
    with client.listen() as socket:
        first = client.follow(socket, file_id, Followed(), seconds=90)
    with client.listen() as socket:
        snapshot = json.loads(socket.recv(timeout=30))
        (job,) = snapshot["jobs"]
        assert (job["file_id"], job["state"], job["seq"]) == (file_id, "ready", first.seq)
        socket.send(json.dumps({"type": "resume", "jobs": {job["id"]: 0}}))
        replayed = [json.loads(socket.recv(timeout=30)) for _ in range(first.seq)]
    assert [message["seq"] for message in replayed] == list(range(1, first.seq + 1))
    assert replayed[0]["event"] == "accepted"
    assert replayed[-1]["status"] == "ready"


def test_the_same_bytes_again_are_a_duplicate_of_their_own(client: BlackBox, small_clip: Path) -> None:
    first, second = client.upload(small_clip), client.upload(small_clip)
    assert first["file_id"] != second["file_id"]
    assert second["duplicate_of"]
    assert client.enhancement(second["file_id"])["status"] in STATES


def test_bad_input_is_refused_with_a_stable_code(client: BlackBox, small_clip: Path) -> None:
    video = small_clip.read_bytes()
    text = b"just some words, whatever the name says\n" * 40
    cases = [
        ({"files": {"file": ("a.mp4", text)}}, "unsupported_container", 415),
        ({"files": {"file": ("a.mp4", b"")}}, "empty_file", 422),
        ({"files": {"file": ("a.mp4", video[: len(video) // 8])}}, "truncated", 422),
        ({"files": [("file", ("a.mp4", video)), ("file", ("b.mp4", video))]}, "two_files", 400),
        ({"files": {"client_id": (None, "x")}}, "no_file", 400),
        ({"files": {"file": ("a.mp4", video)}, "data": {"preset": "no-such-preset"}}, "unknown_preset", 400),
        ({"files": {"file": ("a.mp4", video)}, "data": {"client_id": "a b"}}, "bad_client_id", 400),
    ]
    found = [client.refused("/upload", **request) for request, _, _ in cases]
    assert [(problem["code"], problem["status"]) for problem in found] == [(code, status) for _, code, status in cases]


def test_unknown_ids_are_404(client: BlackBox) -> None:
    for kind in ("video-enhancement", "metadata-extraction"):
        for file_id in (uuid4(), "not-an-id"):
            problem = client.get(f"/internal/{kind}-status/{file_id}", status=404)
            assert problem["code"] == "not_found"
