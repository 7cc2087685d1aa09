"""What every list of the admin has in common: nothing can be added, changed or deleted, and no page counts all rows.

States move by state/ alone, and a deleted row would leave its files without one.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString

COUNTED = 10_000
NO_POSTER = SafeString('<span class="no-poster"></span>')


class CappedPaginator(Paginator):
    """Counts up to a bound, so that a page costs the same on a thousand and on ten million rows."""

    @cached_property
    def count(self) -> int:
        """Return the number of rows, or the bound and one where there are more."""
        rows: QuerySet = self.object_list  # type: ignore[assignment]  # the admin gives no list
        return rows.order_by()[: COUNTED + 1].count()


class ReadOnlyAdmin(admin.ModelAdmin):
    """A list and a page to look at."""

    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    list_max_show_all = 0

    class Media:
        """The admin's own colours and widths."""

        css = {"all": ("processing/admin.css",)}

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list across the whole width, under its own name."""
        title = str(self.opts.verbose_name_plural).capitalize()
        context = {"title": title, "is_nav_sidebar_enabled": False} | (extra_context or {})
        return super().changelist_view(request, context)

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Return False: rows are made by uploads alone."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Return False: states move by the pipeline alone."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: a row is what its files hang on."""
        return False


def badge(state: str) -> SafeString:
    """Return a state as a coloured word."""
    return format_html('<span class="badge badge-{}">{}</span>', state, state)


def short(span: timedelta | None) -> str:
    """Return a length of time in one or two units; a dash for none."""
    if span is None:
        return "–"
    seconds = max(span.total_seconds(), 0.0)
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
