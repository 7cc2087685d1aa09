"""Uploads in the admin: what was sent, by whom, and what became of it. Nothing here can be changed."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from processing.models import Job
from processing.readonly import NO_POSTER, ReadOnlyAdmin, badge
from uploads.models import Upload


@admin.register(Upload)
class UploadAdmin(ReadOnlyAdmin):
    """All uploads, newest first, each with the state of its newest job."""

    list_display = ("poster", "name", "state", "owner", "client_id", "size", "container", "repeats", "age")
    list_display_links = ("name",)
    list_filter = ("created_at",)
    list_select_related = ("owner",)
    search_fields = ("name", "client_id")
    search_help_text = "Upload or job id, file name, client id, or a SHA-256 digest"
    ordering = ("-created_at", "id")
    sortable_by = ("age",)
    fields = (
        *("id", "name", "owner", "client_id", "size", "container", "sha256", "source_key", "duplicate_of"),
        *("created_at", "jobs", "source"),
    )
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Upload]:
        """Return the uploads with what their newest job says."""
        newest = Job.objects.filter(upload=OuterRef("pk")).order_by("-created_at")
        return (
            super()
            .get_queryset(request)
            .annotate(
                job_id=Subquery(newest.values("pk")[:1]),
                job_state=Subquery(newest.values("state")[:1]),
                job_stills=Subquery(newest.values("stills_key")[:1]),
            )
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Upload], search_term: str
    ) -> tuple[QuerySet[Upload], bool]:
        """Find ids and digests exactly, anything else in names and client ids."""
        term = search_term.strip()
        if len(term) == 64 and set(term.lower()) <= set("0123456789abcdef"):
            return queryset.filter(sha256=term.lower()), False
        try:
            wanted = UUID(term)
        except ValueError:
            return super().get_search_results(request, queryset, search_term)
        of_job = Job.objects.filter(pk=wanted).values("upload_id")
        return queryset.filter(Q(pk=wanted) | Q(pk__in=of_job)), False

    @admin.display(description="")
    def poster(self, upload: Any) -> SafeString:
        """Return the newest job's poster, small."""
        if not upload.job_stills:
            return NO_POSTER
        link = reverse("admin:job-admin-file", args=[upload.job_id, "poster"])
        return format_html('<img class="poster" src="{}" alt="" loading="lazy" decoding="async">', link)

    @admin.display(description="newest job")
    def state(self, upload: Any) -> SafeString | str:
        """Return the newest job's state, with the way to it."""
        if upload.job_id is None:
            return "–"
        return format_html('<a href="{}">{}</a>', _job_page(upload.job_id), badge(upload.job_state))

    @admin.display(description="size", ordering="size_bytes")
    def size(self, upload: Upload) -> str:
        """Return the file's size."""
        return filesizeformat(upload.size_bytes)

    @admin.display(description="sent before", boolean=True)
    def repeats(self, upload: Upload) -> bool:
        """Return whether the same bytes had been sent before."""
        return upload.duplicate_of_id is not None

    @admin.display(description="sent", ordering="created_at")
    def age(self, upload: Upload) -> str:
        """Return how long ago it was sent."""
        return f"{timesince(upload.created_at, depth=1)} ago"

    @admin.display(description="jobs")
    def jobs(self, upload: Upload) -> SafeString | str:
        """Return the way to each job."""
        found = upload.jobs.order_by("-created_at").values_list("pk", "state")[:50]
        links = ((_job_page(job_id), job_id, badge(state)) for job_id, state in found)
        return format_html_join(SafeString("<br>"), '<a href="{}">{}</a> {}', links) or "–"

    @admin.display(description="source")
    def source(self, upload: Any) -> SafeString | str:
        """Return the way to the file itself."""
        if upload.job_id is None:
            return "–"
        return format_html('<a href="{}">Download</a>', reverse("admin:job-admin-file", args=[upload.job_id, "source"]))


def _job_page(job_id: UUID) -> str:
    return reverse("admin:processing_job_change", args=[job_id])
