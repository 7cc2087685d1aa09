"""One contract for both storages, a folder and a bucket on a real S3 server, and what only the second can do wrong."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from uuid import uuid4

import pytest
from pytest_django import Settings

from processing.media.errors import Damaged, ProcessStopped, StorageFull
from processing.storage.backend import Backend
from processing.storage.directory import Directory
from processing.storage.interface import StorageUnreachable, Store
from processing.storage.s3 import S3
from processing.storage.scratch import Scratch
from processing.storage.sending import PART_BYTES
from videoproc.servers.s3 import Swift

CONTENT = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
LONG_AGO = -60
"""An age that everything has: a minute in the future."""


@pytest.fixture(autouse=True)
def no_reserve(settings: Settings) -> None:
    settings.VIDEOPROC_FREE_BYTES = 0


@pytest.fixture
def bucket(swift: Swift) -> dict[str, str]:
    """The options of django-storages for a folder of its own in a bucket."""
    return swift.options() | {"location": f"tests/{uuid4().hex}"}


@pytest.fixture
def s3(bucket: dict[str, str], tmp_path: Path) -> S3:
    return S3(Backend(**bucket), Scratch(tmp_path / "scratch", cap_bytes=2**30))


@pytest.fixture(params=["directory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "directory":
        return Directory(tmp_path / "media")
    found: S3 = request.getfixturevalue("s3")
    return found


def put(store: Store, key: str, content: bytes = CONTENT) -> None:
    store.stage(key).write_bytes(content)
    store.store(key)
    store.unstage(key)


def test_what_is_stored_is_read_again(store: Store) -> None:
    put(store, "jobs/a/1/segment.mp4")
    with store.reading("jobs/a/1/segment.mp4", sha256=DIGEST) as path:
        assert path.read_bytes() == CONTENT
        assert path.suffix == ".mp4"
    assert store.exists("jobs/a/1/segment.mp4")


def test_what_is_staged_is_read_before_it_is_stored(store: Store) -> None:
    store.stage("sources/a/source").write_bytes(CONTENT)
    with store.reading("sources/a/source") as path:
        assert path.read_bytes() == CONTENT
        assert [entry.name for entry in path.parent.iterdir()] == ["source"], "a playlist finds no sibling"


def test_a_folder_is_stored_with_all_its_files(store: Store) -> None:
    folder = store.stage("jobs/a/1/stills")
    folder.mkdir()
    for name in ("poster.jpg", "before.jpg"):
        (folder / name).write_bytes(name.encode())
    store.store("jobs/a/1/stills")
    store.unstage("jobs/a/1/stills")
    with store.reading("jobs/a/1/stills/poster.jpg") as path:
        assert path.read_bytes() == b"poster.jpg"
    assert sorted(store.keys("jobs/a")) == ["jobs/a/1/stills/before.jpg", "jobs/a/1/stills/poster.jpg"]


def test_what_is_not_there_is_not_found(store: Store) -> None:
    with pytest.raises(FileNotFoundError), store.reading("sources/none/source"):
        pass
    with pytest.raises(FileNotFoundError):
        store.open("sources/none/source")
    assert not store.exists("sources/none/source")
    assert list(store.keys("sources/none")) == []
    assert list(store.folders("nothing", older_than_seconds=LONG_AGO)) == []
    store.delete("sources/none")


def test_nothing_is_stored_where_nothing_was_written(store: Store) -> None:
    store.stage("jobs/a/1/never.mp4")
    with pytest.raises(FileNotFoundError):
        store.store("jobs/a/1/never.mp4")


PARTS = [range(len(CONTENT)), range(1), range(1000, 70_000), range(len(CONTENT) - 1, len(CONTENT))]


@pytest.mark.parametrize("positions", PARTS)
def test_a_part_is_streamed(store: Store, positions: range) -> None:
    put(store, "jobs/a/1/join.mp4")
    opened = store.open("jobs/a/1/join.mp4")
    assert opened.size_bytes == len(CONTENT)
    pieces = list(opened.pieces(positions, 30_000))
    opened.close()
    opened.close()
    assert b"".join(pieces) == CONTENT[positions.start : positions.stop]
    assert max(map(len, pieces)) <= 30_000


def test_two_readers_at_once_do_not_disturb_each_other(store: Store) -> None:
    put(store, "jobs/a/1/join.mp4")
    opened = [store.open("jobs/a/1/join.mp4") for _ in range(2)]
    streams = [file.pieces(range(len(CONTENT)), 100_000) for file in opened]
    for first, second in zip(*streams, strict=True):
        assert first == second
    for file in opened:
        file.close()


def test_deleting_takes_a_file_or_a_folder(store: Store) -> None:
    for name in ("1/a.mp4", "1/b.mp4", "2/a.mp4", "10/a.mp4"):
        put(store, f"jobs/x/{name}", b"bytes")
    store.delete("jobs/x/1/b.mp4")
    assert sorted(store.keys("jobs/x")) == ["jobs/x/1/a.mp4", "jobs/x/10/a.mp4", "jobs/x/2/a.mp4"]
    store.delete("jobs/x/1")
    store.remove(["jobs/x/2/a.mp4"])
    assert list(store.keys("jobs/x")) == ["jobs/x/10/a.mp4"]
    store.remove(["jobs/x/10/a.mp4", "jobs/x/10/never.mp4"])
    assert list(store.keys("jobs")) == []


def test_folders_are_told_by_their_age(store: Store) -> None:
    for name in ("a", "b"):
        put(store, f"sources/{name}/source", b"bytes")
    assert sorted(store.folders("sources", older_than_seconds=LONG_AGO)) == ["a", "b"]
    assert list(store.folders("sources", older_than_seconds=3600)) == []


def test_a_reserve_is_kept(store: Store, settings: Settings) -> None:
    settings.VIDEOPROC_FREE_BYTES = store.free_bytes() // 2
    store.stage("jobs/a/1/small.mp4", more_bytes=1000)
    with pytest.raises(StorageFull):
        store.stage("jobs/a/1/large.mp4", more_bytes=store.free_bytes())


@pytest.mark.parametrize("key", ["../outside", "sources/../../outside", "/etc/passwd"])
def test_no_key_leads_out(store: Store, key: str) -> None:
    with pytest.raises(ValueError, match="leads out"):
        store.stage(key)


def test_it_says_where_it_is_and_that_it_serves(store: Store) -> None:
    store.free_bytes()
    store.check()
    assert str(store.describe())


def test_a_large_file_goes_in_parts_with_its_digest(s3: S3) -> None:
    content = CONTENT * (PART_BYTES * 2 // len(CONTENT) + 1)
    put(s3, "sources/large/source", content)
    head = s3._client.head_object(**s3._where("sources/large/source"))
    # Names of metadata have no case.
    assert {name.lower(): value for name, value in head["Metadata"].items()} == {
        "sha256": hashlib.sha256(content).hexdigest()
    }
    assert "-3" in head["ETag"], "three parts"
    with s3.reading("sources/large/source", sha256=hashlib.sha256(content).hexdigest()) as path:
        assert path.stat().st_size == len(content)


def test_a_copy_with_another_digest_is_refused(s3: S3) -> None:
    put(s3, "sources/a/source")
    with pytest.raises(Damaged), s3.reading("sources/a/source", sha256="0" * 64):
        pass
    with s3.reading("sources/a/source", sha256=DIGEST) as path:
        assert path.read_bytes() == CONTENT


def test_a_wrong_secret_is_refused_by_the_server(bucket: dict[str, str], tmp_path: Path) -> None:
    stranger = S3(Backend(**bucket | {"secret_key": "guessed"}), Scratch(tmp_path / "other", cap_bytes=0))
    with pytest.raises(StorageUnreachable):
        stranger.check()
    stranger.stage("sources/a/source").write_bytes(b"bytes")
    with pytest.raises(StorageUnreachable, match="SignatureDoesNotMatch"):
        stranger.store("sources/a/source")


def test_a_server_that_is_away_is_unreachable(bucket: dict[str, str], tmp_path: Path) -> None:
    away = S3(Backend(**bucket | {"endpoint_url": "http://127.0.0.1:9"}), Scratch(tmp_path / "other", cap_bytes=0))
    with pytest.raises(StorageUnreachable):
        away.check()


def test_an_upload_that_was_broken_off_is_swept(s3: S3) -> None:
    where = s3._where("jobs/a/1/broken.mp4")
    begun = s3._client.create_multipart_upload(**where)
    s3._client.upload_part(**where, UploadId=begun["UploadId"], PartNumber=1, Body=b"part")
    assert s3.sweep(older_than_seconds=3600) == 0
    assert s3.sweep(older_than_seconds=LONG_AGO) == 1
    assert s3.sweep(older_than_seconds=LONG_AGO) == 0


def test_a_stop_ends_sending_and_fetching(s3: S3) -> None:
    stop = threading.Event()
    stop.set()
    s3.stage("sources/a/source").write_bytes(CONTENT)
    with pytest.raises(ProcessStopped):
        s3.store("sources/a/source", stop=stop)
    s3.store("sources/a/source")
    s3.unstage("sources/a/source")
    with pytest.raises(ProcessStopped), s3.reading("sources/a/source", stop=stop):
        pass
