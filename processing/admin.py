"""Jobs and workers in the admin: to watch, to understand, to steer. No row is written here but by control.py."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import BooleanField, Case, Q, QuerySet, Value, When
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.views.decorators.http import require_POST, require_safe

from processing import control, job_page, progress, steering
from processing.api.delivery import Delivery, deliver
from processing.api.document import STILLS
from processing.api.errors import NotAvailable, RangeNotSatisfiable
from processing.api.pictures import sheet_of, still_of
from processing.api.views import rendition_of, source_of
from processing.clock import after
from processing.media.requests import PRESET_NAMES
from processing.models import Job, Worker
from processing.readonly import NO_POSTER, ReadOnlyAdmin, badge

HEAVY = ("metadata", "chosen", "receipt", "warnings", "error_detail")


class PresetFilter(admin.SimpleListFilter):
    """By preset, without asking the table which there are."""

    title = "preset"
    parameter_name = "preset"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        """Return the presets."""
        return [(name, name) for name in PRESET_NAMES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        """Return the jobs with the chosen preset."""
        return queryset.filter(preset=self.value()) if self.value() else queryset


class OpenFilter(admin.SimpleListFilter):
    """What is still at work, and what has ended."""

    title = "progress"
    parameter_name = "open"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        """Return both."""
        return [("yes", "at work or waiting"), ("no", "ended")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        """Return the jobs that are open, or those that are not."""
        return queryset.filter(ended_at__isnull=self.value() == "yes") if self.value() else queryset


class JobChangeList(ChangeList):
    """A page of jobs with their progress, measured in one query."""

    def get_results(self, request: HttpRequest) -> None:
        """Fetch the page's jobs and measure them."""
        super().get_results(request)
        jobs = list(self.result_list)
        measured = progress.measure(jobs)
        for job in jobs:
            job.measured = measured[job.pk]
        self.result_list = jobs


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    """All jobs, newest first."""

    list_display = ("poster", "name", "state_badge", "bar", "preset", "owner", "age", "taken", "error_code")
    list_display_links = ("name",)
    list_filter = (OpenFilter, "state", PresetFilter, "created_at")
    list_select_related = ("owner",)
    search_fields = ("source_name", "client_id")
    search_help_text = "Job or upload id, file name, client id"
    ordering = ("-created_at", "id")
    sortable_by = ("age",)
    actions = steering.actions()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        """Return the jobs without the documents that only their own page shows."""
        return super().get_queryset(request).defer(*HEAVY)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the list that measures."""
        return JobChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Job], search_term: str
    ) -> tuple[QuerySet[Job], bool]:
        """Find an id by its index, anything else in names and client ids."""
        try:
            wanted = UUID(search_term.strip())
        except ValueError:
            return super().get_search_results(request, queryset, search_term)
        return queryset.filter(Q(pk=wanted) | Q(upload_id=wanted)), False

    def has_steer_permission(self, request: HttpRequest) -> bool:
        """Return whether this person may steer jobs: who may change them, were they changeable."""
        return request.user.has_perm("processing.change_job")

    def get_urls(self) -> list[URLPattern]:
        """Return the list's and the page's paths, those of a job's files and of its buttons first."""
        return [
            path("<uuid:job_id>/file/<str:thing>", self.admin_site.admin_view(self.file), name="job-admin-file"),
            path("<uuid:job_id>/do/<str:name>", self.admin_site.admin_view(self.do), name="job-admin-do"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show one job."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        job = self._job(unquote(object_id))
        context = {
            **self.admin_site.each_context(request),
            "title": job.source_name,
            "opts": self.opts,
            "media": self.media,
            "is_nav_sidebar_enabled": False,
            "page": job_page.gather(job),
            "acts": steering.offered(job) if self.has_steer_permission(request) else (),
        }
        return TemplateResponse(request, "admin/processing/job/page.html", context)

    def do(self, request: HttpRequest, job_id: UUID, name: str) -> HttpResponse:
        """Do one act to one job and show it again."""
        return require_POST(self._do)(request, job_id, name)

    def _do(self, request: HttpRequest, job_id: UUID, name: str) -> HttpResponse:
        if not self.has_steer_permission(request):
            raise PermissionDenied
        if name not in steering.ACTS:
            raise Http404("there is no such act")
        job = self._job(job_id)
        steering.steer(self, request, steering.ACTS[name], [job.pk])
        return HttpResponseRedirect(reverse("admin:processing_job_change", args=[job.pk]))

    def file(self, request: HttpRequest, job_id: UUID, thing: str) -> HttpResponseBase:
        """Deliver a job's source, result or still to staff; the API shows each owner their own alone."""
        return require_safe(self._file)(request, job_id, thing)

    def _file(self, request: HttpRequest, job_id: UUID, thing: str) -> HttpResponseBase:
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            return deliver(request, _delivery(self._job(job_id), thing))
        except NotAvailable as exc:
            raise Http404(str(exc)) from exc
        except RangeNotSatisfiable as exc:
            return HttpResponse(status=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers=exc.headers)

    def _job(self, job_id: UUID | str) -> Job:
        try:
            wanted = UUID(str(job_id))
        except ValueError as exc:
            raise Http404("no job has such an id") from exc
        return get_object_or_404(Job.objects.select_related("owner"), pk=wanted)

    @admin.display(description="")
    def poster(self, job: Job) -> SafeString:
        """Return the poster, small."""
        if job.stills is None:
            return NO_POSTER
        link = reverse("admin:job-admin-file", args=[job.pk, "poster"])
        return format_html('<img class="poster" src="{}" alt="" loading="lazy" decoding="async">', link)

    @admin.display(description="name")
    def name(self, job: Job) -> str:
        """Return the file's name."""
        return job.source_name

    @admin.display(description="state")
    def state_badge(self, job: Job) -> SafeString:
        """Return the state, coloured, and whether the job waits."""
        if not job.paused or job.terminal:
            return badge(job.state)
        return format_html("{} {}", badge(job.state), badge("paused"))

    @admin.display(description="progress")
    def bar(self, job: Job) -> SafeString:
        """Return a progress bar, and how many jobs go before one that waits."""
        at: progress.Progress = job.measured  # type: ignore[attr-defined]  # set by JobChangeList
        place = "" if at.place is None else f", {at.place} before it"
        bar = '<progress max="100" value="{}"></progress> <small>{} %{}</small>'
        return format_html(bar, at.percent, round(at.percent), place)

    @admin.display(description="accepted", ordering="created_at")
    def age(self, job: Job) -> str:
        """Return how long ago the job was accepted."""
        return f"{timesince(job.created_at, depth=1)} ago"

    @admin.display(description="took")
    def taken(self, job: Job) -> str:
        """Return how long the job took."""
        return job_page.taken(job)


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    """Workers as their heartbeats last said, the live ones first."""

    list_display = ("name", "is_live", "takes_work", "slots", "running", "sandbox", "started_at", "seen_at")
    list_display_links = None
    ordering = ("-seen_at", "name")
    sortable_by = ()
    actions = ("drain", "undo_drain")

    def has_steer_permission(self, request: HttpRequest) -> bool:
        """Return whether this person may drain workers: who may change them, were they changeable."""
        return request.user.has_perm("processing.change_worker")

    @admin.action(description="Drain: selected workers end what they have and take no more", permissions=["steer"])
    def drain(self, request: HttpRequest, queryset: QuerySet[Worker]) -> None:
        """Let workers take no more work."""
        self._drain(request, queryset, drained=True, told="end what they have and take no more work")

    @admin.action(description="Take work again: selected workers", permissions=["steer"])
    def undo_drain(self, request: HttpRequest, queryset: QuerySet[Worker]) -> None:
        """Let drained workers take work again."""
        self._drain(request, queryset, drained=False, told="take work again")

    def _drain(self, request: HttpRequest, queryset: QuerySet[Worker], *, drained: bool, told: str) -> None:
        names = list(queryset.values_list("pk", flat=True))
        for name in names:
            control.drain(name, drained=drained)
        self.message_user(request, f"Told to {told}: {', '.join(names)}.", messages.SUCCESS)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Worker]:
        """Return the workers, with what the database's clock says of them."""
        live = When(seen_at__gte=after(-settings.VIDEOPROC_SEEN_SECONDS), then=Value(True))
        is_live = Case(live, default=Value(False), output_field=BooleanField())
        return super().get_queryset(request).annotate(live=is_live)

    @admin.display(description="live", boolean=True)
    def is_live(self, worker: Worker) -> bool:
        """Return whether the worker was heard of lately."""
        return bool(worker.live)  # type: ignore[attr-defined]  # annotated above

    @admin.display(description="work")
    def takes_work(self, worker: Worker) -> str:
        """Return whether the worker was asked to take no more."""
        return "drained" if worker.drained else "takes it"

    @admin.display(description="sandbox layers")
    def sandbox(self, worker: Worker) -> str:
        """Return the layers around its media processes."""
        return ", ".join(worker.layers) or "–"


def _delivery(job: Job, thing: str) -> Delivery:
    if thing in job.rendition_keys:
        return rendition_of(job, thing)
    if thing == "storyboard":
        return sheet_of(job)
    if thing == "source":
        return source_of(job)
    if thing in STILLS:
        return still_of(job, thing)
    raise Http404("there is no such file")
