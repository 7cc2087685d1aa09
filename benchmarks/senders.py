"""People who send videos to an installation over HTTP, and what the rows say became of them.

Invariant: all times are of one clock. Sender, web server, workers and database share a machine, and a job's begin and
end are the database's own stamps, so nothing is measured by asking again and again.
"""

from __future__ import annotations

import secrets
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from processing.models import Job

POLL_SECONDS = 0.25
ASK_SECONDS = 5.0
ASKED_AT_ONCE = 4
READY_SECONDS = 90.0
UPLOAD_SECONDS = 600.0


@dataclass(frozen=True, kw_only=True)
class Sent:
    """An accepted upload: when its first byte was sent, when the 201 was there, and its job."""

    began: datetime
    answered: datetime
    job_id: str


@dataclass(frozen=True, kw_only=True)
class Guess:
    """What a job's document said of the seconds until it is ready."""

    job_id: str
    asked: datetime
    low: float
    high: float

    def holds(self, ready: datetime) -> bool:
        """Return whether the job was ready within it."""
        return self.low <= (ready - self.asked).total_seconds() <= self.high


class Door:
    """The upload of an installation at `url`, for a user of its own; to be used by any number of threads."""

    def __init__(self, url: str, client: httpx.Client) -> None:
        from django.contrib.auth import get_user_model

        name, password = f"user-{secrets.token_hex(4)}", secrets.token_hex(16)
        get_user_model().objects.create_user(name, password=password)
        credentials = b64encode(f"{name}:{password}".encode()).decode()
        answer = client.post(f"{url}/api/v1/tokens", headers={"Authorization": f"Basic {credentials}"})
        _expect(answer, HTTPStatus.CREATED)
        self._headers = {"Authorization": f"Token {answer.json()['token']}"}
        self._url, self._client = url, client

    def send(self, name: str, video: Path | bytes) -> Sent:
        """Send a video as a form does; SystemExit where it is not accepted."""
        began = datetime.now(UTC)
        if isinstance(video, bytes):
            answer = self._post((name, video))
        else:
            with video.open("rb") as file:
                answer = self._post((name, file))
        answered = datetime.now(UTC)
        _expect(answer, HTTPStatus.CREATED)
        return Sent(began=began, answered=answered, job_id=answer.json()["job"]["id"])

    def guess(self, job_id: str) -> Guess | None:
        """Ask for a job's document; None where it makes no guess at when the job is ready."""
        answer = self._client.get(f"{self._url}/api/v1/jobs/{job_id}", headers=self._headers)
        asked = datetime.now(UTC)
        _expect(answer, HTTPStatus.OK)
        left = answer.json()["progress"]["seconds_left"]
        return None if left is None else Guess(job_id=job_id, asked=asked, low=left[0], high=left[1])

    def _post(self, file: tuple[str, object]) -> httpx.Response:
        return self._client.post(f"{self._url}/upload", headers=self._headers, files={"file": file})  # type: ignore[dict-item]


@contextmanager
def door(url: str, *, slots: int, check: Callable[[], None]) -> Iterator[Door]:
    """Yield the door of an installation once it answers and its workers have so many slots."""
    with httpx.Client(timeout=UPLOAD_SECONDS, limits=httpx.Limits(max_connections=None)) as client:
        give_up = time.monotonic() + READY_SECONDS
        while True:
            check()
            try:
                health = client.get(f"{url}/health/ready").json()
                if health["status"] == "ready" and health["slots"] == slots:
                    break
            except httpx.TransportError:
                health = {"status": "does not listen"}
            if time.monotonic() > give_up:
                raise SystemExit(f"not ready after {READY_SECONDS:g} s: {health}")
            time.sleep(POLL_SECONDS)
        yield Door(url, client)


def send_all(
    entrance: Door, videos: Iterator[tuple[str, bytes]], *, clients: int, a_second: float | None = None
) -> list[Sent]:
    """Send videos by so many clients at a time: as fast as they are accepted, or so many a second."""
    sending: list[Future[Sent]] = []
    with ThreadPoolExecutor(clients, thread_name_prefix="client") as pool:
        began = time.monotonic()
        for number, (name, video) in enumerate(videos):
            if a_second is not None:
                time.sleep(max(began + number / a_second - time.monotonic(), 0.0))
            sending.append(pool.submit(entrance.send, name, video))
        return [future.result() for future in sending]


@contextmanager
def asking(entrance: Door) -> Iterator[list[Guess]]:
    """Ask now and then when some of the jobs that wait will be ready; the list is whole when the block has ended."""
    from django.db import close_old_connections

    from processing.models import Job

    guesses: list[Guess] = []
    is_over = threading.Event()

    def ask() -> None:
        while not is_over.wait(ASK_SECONDS):
            waiting = Job.objects.filter(state=Job.State.QUEUED).order_by("?").values_list("pk", flat=True)
            told = [entrance.guess(str(job_id)) for job_id in waiting[:ASKED_AT_ONCE]]
            guesses.extend(guess for guess in told if guess is not None)
        close_old_connections()

    with ThreadPoolExecutor(1, thread_name_prefix="asking") as pool:
        done = pool.submit(ask)
        try:
            yield guesses
        finally:
            is_over.set()
        done.result()


def ended(sent: Sequence[Sent], check: Callable[[], None]) -> list[Job]:
    """Return the rows of the jobs, in order, once all are ready; SystemExit where one is not."""
    from processing.models import Job

    ids = [one.job_id for one in sent]
    while Job.objects.filter(ended_at__isnull=True).exists():
        check()
        time.sleep(POLL_SECONDS)
    rows = {str(job.pk): job for job in Job.objects.filter(pk__in=ids).defer("metadata")}
    for job in rows.values():
        if job.state != Job.State.READY:
            raise SystemExit(f"job {job.pk} is {job.state}: {job.error_code} {job.error_detail}")
    return [rows[job_id] for job_id in ids]


def seconds_to_ready(job: Job) -> float:
    """Return how long a job took from its acceptance on, by the database's clock."""
    if job.ended_at is None:
        raise AssertionError(f"job {job.pk} has not ended")
    return (job.ended_at - job.created_at).total_seconds()


def _expect(answer: httpx.Response, status: HTTPStatus) -> None:
    if answer.status_code != status:
        raise SystemExit(f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:500]}")
