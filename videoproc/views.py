"""The page for people at `/`, and how they sign in and out. All data comes over the API and the socket.

Its Content-Security-Policy allows nothing inline and nothing from elsewhere: no file's name or tag can become code.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.auth.views import LoginView, LogoutView, redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from processing.media.parameters import PARAMETERS
from processing.media.requests import PRESET_NAMES
from videoproc.guesses import SlowSignInForm

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "media-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
PRESET_WORDS = {
    "auto": ("Auto", "Measures the picture and does what it needs, or leaves it alone."),
    "gentle": ("Gentle", "Like auto, with a lighter hand."),
    "low-light": ("Low light", "For evenings and rooms: more light, less noise."),
    "denoise": ("Denoise", "Removes noise and changes nothing else."),
    "fine": ("Fine", "Like auto, with a slow and thorough denoise, for those who wait."),
    "restore": ("Restore", "For old recordings: whole pictures from fields, less noise, crisper edges."),
    "metadata-only": ("Metadata", "Changes nothing: tells what is in the file, with a poster and a storyboard."),
}


def with_policy(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Give a view's responses the page's Content-Security-Policy."""

    @wraps(view)
    def answer(*args: Any, **kwargs: Any) -> HttpResponseBase:
        response = view(*args, **kwargs)
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        return response

    return answer


@require_safe
@never_cache
@ensure_csrf_cookie
@with_policy
def page(request: HttpRequest) -> HttpResponse:
    """Return the page, or the way to sign in where nobody may come without."""
    if not (request.user.is_authenticated or settings.VIDEOPROC_ANONYMOUS_CLIENTS):
        return redirect_to_login(request.get_full_path(), "sign-in")
    presets = [(name, *PRESET_WORDS[name]) for name in PRESET_NAMES]
    return render(request, "videoproc/page.html", {"presets": presets, "parameters": PARAMETERS.values()})


@method_decorator(with_policy, name="dispatch")
class SignIn(LoginView):
    """Signs a person in with name and password."""

    template_name = "videoproc/sign_in.html"
    authentication_form = SlowSignInForm
    redirect_authenticated_user = True
    next_page = "/"


@method_decorator(with_policy, name="dispatch")
class SignOut(LogoutView):
    """Signs the person out and goes back to the page."""

    next_page = "/"
