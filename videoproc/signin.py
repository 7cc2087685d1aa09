"""The one-time link that signs a browser in as the local user, admin included; only in the embedded mode."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth import login
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseGone, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from videoproc.access import LOCAL_USER, local_user, use_sign_in_token

BACKEND = "django.contrib.auth.backends.ModelBackend"


@require_safe
@never_cache
def sign_in(request: HttpRequest, token: str) -> HttpResponse:
    """Sign in and go on to `next`; HEAD, as sent by what only looks at links, uses nothing up."""
    if not settings.EMBEDDED:
        raise Http404
    if request.method == "HEAD":
        return HttpResponse()
    if request.user.get_username() != LOCAL_USER:
        if not use_sign_in_token(token):
            return HttpResponseGone(
                "This link was used before or is not valid. Start the service again for a new one.\n",
                content_type="text/plain; charset=utf-8",
            )
        login(request, local_user(), backend=BACKEND)
    target = request.GET.get("next", "/")
    if not url_has_allowed_host_and_scheme(target, allowed_hosts={request.get_host()}, require_https=False):
        target = "/"
    return HttpResponseRedirect(target)
