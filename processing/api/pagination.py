"""Pages of jobs by cursor: newest first, none twice and none left out while new ones arrive."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from rest_framework.exceptions import ValidationError
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.views import APIView

from processing.api.errors import refuse_unknown

LIMIT, MAX_LIMIT = 20, 100


class JobPagination(CursorPagination):
    """Twenty jobs a page unless asked otherwise by `limit`, a hundred at most."""

    ordering = ("-created_at", "-id")
    page_size = LIMIT
    page_size_query_param = "limit"
    max_page_size = MAX_LIMIT

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any] | None:
        """Return one page; ValidationError for a query parameter that does not exist."""
        known = set(getattr(view, "filterset_fields", ())) | {self.cursor_query_param, self.page_size_query_param}
        refuse_unknown(request.query_params, known)
        return super().paginate_queryset(queryset, request, view)

    def decode_cursor(self, request: Request) -> Any:
        """Return where a cursor points; ValidationError where it is none that was given out here."""
        cursor = super().decode_cursor(request)
        # Those given out carry a row's moment, or else how many rows of one moment come before.
        if cursor is not None and not (_is_moment(str(cursor.position)) or (cursor.position is None and cursor.offset)):
            raise ValidationError({self.cursor_query_param: ["This cursor was not given out here."]})
        return cursor

    def get_page_size(self, request: Request) -> int:
        """Return the limit asked for; ValidationError outside 1 to 100."""
        asked = request.query_params.get(self.page_size_query_param)
        if asked is None:
            return LIMIT
        if not (asked.isascii() and asked.isdigit() and 1 <= int(asked[:4]) <= MAX_LIMIT):
            raise ValidationError({self.page_size_query_param: [f"A whole number from 1 to {MAX_LIMIT}."]})
        return int(asked)


def _is_moment(text: str) -> bool:
    try:
        moment = datetime.fromisoformat(text)
        moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return False
    return moment.tzinfo is not None
