"""Several machines over one bucket: web server, dispatcher and two workers, each seeing only its own folders."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from processing.storage.backend import Backend
from processing.storage.s3 import S3
from processing.storage.scratch import Scratch
from tests.acceptance.client import BlackBox, Followed
from tests.acceptance.system import ROOT, ServerSystem
from tests.clips import make_clip, read_numbers
from tests.door import eventually
from tests.servers import Servers
from videoproc.servers.process import Command, start
from videoproc.servers.s3 import BUCKET, REGION, Swift

FRAMES = 240
WORKERS = ("worker", "worker-2")


class BucketSystem(ServerSystem):
    """The system in server mode with S3; each process has a data folder of its own, as on a machine of its own."""

    def __init__(self, folder: Path, servers: Servers, swift: Swift) -> None:
        super().__init__(
            folder,
            servers,
            VIDEOPROC_STORAGE_URL=f"s3://{BUCKET}/{folder.name}?endpoint={swift.url}&region={REGION}",
            VIDEOPROC_S3_ACCESS_KEY=swift.access_key,
            VIDEOPROC_S3_SECRET_KEY=swift.password,
            VIDEOPROC_STATIC_DIR=str(folder / "static"),
            VIDEOPROC_WORKER_SLOTS="1",
        )
        self.folder = folder

    def start(self) -> None:
        super().start()
        self._start("worker-2")
        eventually(lambda: httpx.get(f"{self.url}/health/ready").json()["slots"] == len(WORKERS), seconds=60)

    def stop(self) -> None:
        super().stop()
        if "worker-2" in self._processes:
            self._processes["worker-2"].stop()

    def log(self, name: str) -> str:
        """Return what a process logged so far."""
        return (self.folder / f"{name}.log").read_text()

    def local_files(self) -> list[str]:
        """Return the local files of all processes, below their data folders."""
        return [str(path) for path in self.folder.glob("*/scratch/**/*") if path.is_file() and path.name != "lock"]

    def _start(self, name: str) -> None:
        self._processes[name] = start(
            Command(
                words=self._words(name.removesuffix("-2")),
                environment=self._environment | {"VIDEOPROC_DATA_DIR": str(self.folder / name)},
                folder=ROOT,
                log=self.folder / f"{name}.log",
                grace_seconds=15,
            )
        )


@pytest.fixture(scope="module")
def bucket_system(tmp_path_factory: pytest.TempPathFactory, servers: Servers, swift: Swift) -> Iterator[BucketSystem]:
    system = BucketSystem(tmp_path_factory.mktemp("bucket"), servers, swift)
    try:
        system.start()
        yield system
    finally:
        system.stop()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return make_clip(path, frames=FRAMES, width=320, height=180, audio=["aac"], noise_sigma=5, gain=0.5, gop=15)


def test_two_workers_that_share_nothing_but_a_bucket_make_the_same_bytes(
    bucket_system: BucketSystem,
    server_system: ServerSystem,
    swift: Swift,
    clip: Path,
    new_client: Callable[..., BlackBox],
    tmp_path: Path,
) -> None:
    digests = []
    for system in (bucket_system, server_system):
        client = new_client(system)
        with client.listen() as socket:
            file_id = client.upload(clip)["file_id"]
            followed = client.follow(socket, file_id, Followed(), seconds=120)
        assert followed.statuses[-1] == "ready"
        url = client.enhancement(file_id)["result_url"]
        result = client.download(url, tmp_path / f"{system.mode}.mp4")
        assert read_numbers(result) == list(range(FRAMES)), "every frame once, in order"
        part = client.part(url, 1000, 1999)
        assert (part.status_code, part.content) == (206, result.read_bytes()[1000:2000])
        digests.append(hashlib.sha256(result.read_bytes()).hexdigest())
        if system is bucket_system:
            job_id = followed.job_id
    assert digests[0] == digests[1], "with a bucket and two workers as with a folder and one"
    shares = [len(re.findall(r"step done.*step=segment", bucket_system.log(name))) for name in WORKERS]
    assert min(shares) >= 1, "both worked"
    assert not list(bucket_system.folder.glob("*/media")), "nobody wrote to a folder that others were to see"

    def cleaned() -> bool:
        names = {key.rpartition("/")[2].split("-")[0] for key in store.keys(f"jobs/{job_id}")}
        stills = {"after.jpg", "before.jpg", "poster.jpg", "storyboard.jpg", "storyboard.vtt", "thumbnails.mjpeg"}
        return names == {"join", "plan", *stills}

    options = swift.options() | {"location": bucket_system.folder.name}
    store = S3(Backend(**options), Scratch(tmp_path / "scratch", cap_bytes=0))
    eventually(cleaned, seconds=30)


def test_what_is_refused_leaves_nothing(
    bucket_system: BucketSystem, swift: Swift, new_client: Callable[..., BlackBox], tmp_path: Path
) -> None:
    client = new_client(bucket_system)
    text = tmp_path / "text.mp4"
    text.write_text("no video " * 1000)
    with text.open("rb") as file:
        problem = client.refused("/upload", files={"file": ("text.mp4", file)})
    assert problem["code"] == "unsupported_container"
    options = swift.options() | {"location": bucket_system.folder.name}
    store = S3(Backend(**options), Scratch(tmp_path / "scratch", cap_bytes=0))
    sources = list(store.keys("sources"))
    assert len(sources) == 1, "the video of the other test"
    assert [path for path in bucket_system.local_files() if "/web/" in path] == []


def test_what_was_local_goes_with_its_process(bucket_system: BucketSystem) -> None:
    staged = [path for path in bucket_system.local_files() if "/copies/" not in path]
    assert staged == [], "only copies stay, to be used again"
    bucket_system.stop()
    assert bucket_system.local_files() == []
