"""Guards the embedded mode, where whoever reaches the port is the owner: only this machine's own pages may talk to it.

The Host must be loopback (a foreign name that resolves here is an attack), and a page of another origin is refused.
Middleware for requests; `SocketAccess` in sockets.py asks the same questions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import urlsplit

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from videoproc import problems
from videoproc.safety import LOOPBACK

Handler = Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]
OWN_SITES = {"", "none", "same-origin"}


def is_loopback(host: str) -> bool:
    """Return whether a Host header names this machine: localhost, 127.0.0.1 or [::1], with any port."""
    try:
        return urlsplit(f"//{host}").hostname in LOOPBACK
    except ValueError:
        return False


def is_foreign(origin: str, host: str, trusted: tuple[str, ...] = ()) -> bool:
    """Return whether an Origin header names another origin than the Host header; an absent one does not."""
    if not origin or origin in trusted:
        return False
    try:
        return urlsplit(origin).netloc.lower() != host.lower()
    except ValueError:
        return True


class LocalOnlyMiddleware:
    """Refuses foreign hosts and foreign pages in the embedded mode; not there in server mode."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Handler) -> None:
        if not settings.EMBEDDED:
            raise MiddlewareNotUsed("server mode")
        self._get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Answer 403, or pass on."""
        refusal = _refusal(request)
        if refusal is None:
            return self._get_response(request)
        return _soon(refusal) if iscoroutinefunction(self) else refusal


async def _soon(response: HttpResponse) -> HttpResponse:
    return response


def _refusal(request: HttpRequest) -> HttpResponse | None:
    headers = request.headers
    host = headers.get("Host", "")
    if not is_loopback(host):
        return problems.response(HTTPStatus.FORBIDDEN, "foreign_host", "This service answers for this machine only.")
    site = headers.get("Sec-Fetch-Site", "").lower()
    foreign = is_foreign(headers.get("Origin", ""), host) or (site not in OWN_SITES and not _is_visit(request))
    if foreign:
        return problems.response(HTTPStatus.FORBIDDEN, "cross_site", "Pages of other sites may not use this service.")
    return None


def _is_visit(request: HttpRequest) -> bool:
    """Whether a person follows a link to a page: harmless, as the page that linked cannot read the answer."""
    headers = request.headers
    return (
        request.method == "GET"
        and headers.get("Sec-Fetch-Mode") == "navigate"
        and headers.get("Sec-Fetch-Dest") == "document"
        and not request.path.startswith(problems.API_PATHS)
    )
