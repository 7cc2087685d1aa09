"""The admin as staff use it: everything to see, nothing to break, a fixed number of queries however many rows."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.db.models.functions import Now
from django.http import StreamingHttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from processing import control, storage
from processing.failures import step_failed
from processing.media.errors import ProcessCrashed, UnsupportedCodec
from processing.models import Job, Step, Worker
from processing.readonly import short
from processing.state import step as steps
from tests import rows
from uploads.models import Upload

JOBS, UPLOADS, WORKERS = (
    reverse(f"admin:{name}_changelist") for name in ("processing_job", "uploads_upload", "processing_worker")
)
pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def staff() -> Client:
    """A browser signed in as a superuser who owns no job."""
    client = Client(headers={"host": "localhost"})
    client.force_login(get_user_model().objects.create_superuser("boss"))
    return client


def page_of(job: Job) -> str:
    return reverse("admin:processing_job_change", args=[job.pk])


def queries(client: Client, path: str) -> int:
    """Return how many queries a page takes; one fetch before, for what is cached once."""
    client.get(path)
    with CaptureQueriesContext(connection) as captured:
        assert client.get(path).status_code == 200
    return len(captured)


def test_the_list_shows_jobs_with_state_progress_and_error(staff: Client) -> None:
    rows.finished(rows.accepted(name="harbour.mp4"))
    failed = rows.accepted(name="broken.mkv")
    step_failed(rows.claimed(failed, "metadata"), UnsupportedCodec("vc9 has no decoder here"))
    half = rows.planned(rows.accepted(name="long.mov"), segments=2)
    steps.advance(rows.claimed(half, "segment", 0), 5)
    text = staff.get(JOBS).content.decode()
    assert text.index("long.mov") < text.index("broken.mkv") < text.index("harbour.mp4")
    for words in ("badge-ready", "badge-failed", "unsupported_codec", 'value="28.0"', 'value="100.0"'):
        assert words in text
    assert "Add job" not in text


def test_search_and_filters_find_what_they_say(staff: Client) -> None:
    ready = rows.finished(rows.accepted(name="harbour.mp4", client_id="phone"))
    queued = rows.accepted(name="street.mp4", preset="denoise")

    def found(query: str) -> set[str]:
        shown = staff.get(f"{JOBS}?{query}").content.decode()
        return {str(job.pk) for job in (ready, queued) if page_of(job) in shown}

    assert found(f"q={ready.pk}") == found(f"q={ready.upload_id}") == {str(ready.pk)}
    assert found("q=street") == found("preset=denoise") == found("open=yes") == {str(queued.pk)}
    assert found("q=phone") == found("state__exact=ready") == found("open=no") == {str(ready.pk)}


def test_a_job_page_tells_the_whole_story(staff: Client) -> None:
    job = rows.accepted(name="<script>alert(1)</script>.mp4")
    rows.planned(job, segments=2)
    step_failed(rows.claimed(job, "segment", 0, worker="worker-7"), ProcessCrashed("died by signal 11"))
    text = staff.get(page_of(job)).content.decode()
    for words in ("segment_enhanced", "Left alone", "clean", "worker-7", "process_crashed", "died by signal 11"):
        assert (words in text) == (words != "segment_enhanced")
    assert "step_failed" in text
    assert "<script>alert(1)" not in text
    assert ">Cancel</button>" in text
    rows.enhance(job, 1)
    assert "segment_enhanced" in staff.get(page_of(job)).content.decode()


def test_the_cancel_button_ends_a_job_once(staff: Client) -> None:
    job = rows.planned(rows.accepted())
    path = reverse("admin:job-admin-do", args=[job.pk, "cancel"])
    assert staff.get(path).status_code == 405
    assert "1 job cancelled" in staff.post(path, follow=True).content.decode()
    job.refresh_from_db()
    assert job.state == Job.State.CANCELLED
    assert job.events.get(name="cancelled").data == {"by": "staff"}
    assert "had already ended" in staff.post(path, follow=True).content.decode()
    assert not Step.objects.filter(job=job, state__in=("queued", "running")).exists()


def test_the_action_cancels_what_is_open_and_says_what_had_ended(staff: Client) -> None:
    ended, one, two = rows.finished(rows.accepted()), rows.accepted(), rows.planned(rows.accepted())
    form = {"action": "cancel_selected", "_selected_action": [str(job.pk) for job in (ended, one, two)]}
    text = staff.post(JOBS, form, follow=True).content.decode()
    assert "2 jobs cancelled" in text
    assert "1 job had already ended" in text
    states = {job.pk: job.state for job in Job.objects.all()}
    assert states == {ended.pk: "ready", one.pk: "cancelled", two.pk: "cancelled"}


@pytest.mark.parametrize(
    ("name", "words", "change"),
    [
        ("pause", "paused", {"paused": True}),
        ("resume", "resumed", {"paused": False}),
        ("retry", "taken up again", {"state": "queued"}),
        ("first", "put before", {"priority": 100}),
        ("last", "put behind", {"priority": -100}),
        ("in_turn", "put where they began", {"priority": 0}),
    ],
)
def test_each_act_is_a_button_and_an_action(staff: Client, name: str, words: str, change: dict[str, object]) -> None:
    one, two, ready = rows.accepted(), rows.accepted(), rows.finished(rows.accepted())
    for job in (one, two):
        if name == "retry":
            control.cancel(job.pk)
        elif name == "resume":
            control.pause(job.pk)
        elif name == "in_turn":
            control.prioritise(job.pk, 7)
    assert ("badge-paused" in staff.get(JOBS).content.decode()) == (name == "resume")
    button = reverse("admin:job-admin-do", args=[one.pk, name])
    assert button in staff.get(page_of(one)).content.decode()
    assert button not in staff.get(page_of(ready)).content.decode()
    assert f"1 job {words}" in staff.post(button, follow=True).content.decode()
    form = {"action": f"{name}_selected", "_selected_action": [str(job.pk) for job in (two, ready)]}
    text = staff.post(JOBS, form, follow=True).content.decode()
    assert f"1 job {words}" in text
    assert "1 job had already ended" in text or "1 job stayed as they were: at work or ready" in text
    for job in (one, two):
        job.refresh_from_db()
        assert {field: getattr(job, field) for field in change} == change
        assert job.events.last().data["by"] == "staff"
    assert staff.post(reverse("admin:job-admin-do", args=[one.pk, "polish"])).status_code == 404


def test_nothing_can_be_added_changed_or_deleted(staff: Client) -> None:
    job = rows.accepted()
    before = Job.objects.values().get()
    for path in (JOBS, UPLOADS, WORKERS):
        assert staff.get(f"{path}add/").status_code == 403
    for path in (page_of(job), reverse("admin:uploads_upload_change", args=[job.upload_id])):
        staff.post(path, {"state": "ready", "name": "other"})
        assert staff.post(path.replace("change", "delete"), {"post": "yes"}).status_code == 403
    staff.post(JOBS, {"action": "delete_selected", "_selected_action": [str(job.pk)], "post": "yes"})
    assert Job.objects.values().get() == before
    assert Upload.objects.get().name == "clip.mp4"


async def body_of(answer: StreamingHttpResponse) -> bytes:
    return b"".join([piece async for piece in answer])


def test_files_are_for_staff_alone_and_ranges_work(staff: Client) -> None:
    job = rows.finished(rows.accepted())
    path = storage.stage(job.result_key)
    path.write_bytes(bytes(range(100)))
    link = reverse("admin:job-admin-file", args=[job.pk, "web"])
    answer = staff.get(link, headers={"range": "bytes=10-19"})
    assert answer.status_code == 206
    assert async_to_sync(body_of)(answer) == bytes(range(10, 20))
    assert staff.get(link, headers={"range": "bytes=200-"}).status_code == 416
    assert staff.get(reverse("admin:job-admin-file", args=[job.pk, "nothing"])).status_code == 404
    assert staff.get(reverse("admin:job-admin-file", args=[uuid.uuid4(), "web"])).status_code == 404
    owner = Client(headers={"host": "localhost"})
    owner.force_login(rows.user("ada"))
    assert owner.get(link).status_code == 302
    clerk = get_user_model().objects.create_user("clerk", is_staff=True)
    owner.force_login(clerk)
    assert owner.get(link).status_code == 403
    assert owner.post(reverse("admin:job-admin-do", args=[job.pk, "cancel"])).status_code == 403
    assert owner.get(page_of(job)).status_code == 403


def test_uploads_show_their_newest_job_and_lead_to_it(staff: Client) -> None:
    job = rows.finished(rows.accepted(name="harbour.mp4"))
    upload = Upload.objects.get()
    for query in ("", f"?q={upload.pk}", f"?q={job.pk}", f"?q={upload.sha256}", "?q=harbour"):
        text = staff.get(UPLOADS + query).content.decode()
        assert page_of(job) in text
        assert "badge-ready" in text
    text = staff.get(reverse("admin:uploads_upload_change", args=[upload.pk])).content.decode()
    assert page_of(job) in text
    assert upload.sha256 in text


def test_workers_are_live_by_the_databases_clock(staff: Client) -> None:
    for name, age in (("alive", 0), ("gone", 3600)):
        Worker.objects.create(
            name=name, slots=2, seen_at=Now() - timedelta(seconds=age), started_at=Now(), layers=["seccomp"]
        )
    text = staff.get(WORKERS).content.decode()
    assert text.index("alive") < text.index("icon-yes") < text.index("gone") < text.index("icon-no")
    assert "seccomp" in text


def test_workers_are_drained_and_take_work_again(staff: Client) -> None:
    for name in ("one", "two"):
        Worker.objects.create(name=name, slots=2, seen_at=Now(), started_at=Now())
    form = {"action": "drain", "_selected_action": ["one"]}
    text = staff.post(WORKERS, form, follow=True).content.decode()
    assert "take no more work: one." in text
    assert text.count(">drained<") == text.count(">takes it<") == 1
    assert list(Worker.objects.filter(drained=True).values_list("name", flat=True)) == ["one"]
    staff.post(WORKERS, form | {"action": "undo_drain"})
    assert not Worker.objects.filter(drained=True).exists()


def test_pages_take_as_many_queries_for_many_rows_as_for_few(staff: Client) -> None:
    def some(count: int) -> Job:
        with transaction.atomic():
            return [rows.planned(rows.accepted(), segments=count) for _ in range(count)][-1]

    few = {path: queries(staff, path) for path in (page_of(some(1)), JOBS, UPLOADS)}
    many = {path: queries(staff, path) for path in (page_of(some(12)), JOBS, UPLOADS)}
    assert list(many.values()) == list(few.values())
    assert max(few.values()) <= 11  # two of them, for line and pace, mostly come from memory


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.26, "0.3 s"), (61, "1 min 1 s"), (7260, "2 h 1 min"), (3 * 86400, "3 d 0 h"), (-1, "0.0 s")],
)
def test_a_length_of_time_is_told_in_two_units(seconds: float, words: str) -> None:
    assert short(timedelta(seconds=seconds)) == words
