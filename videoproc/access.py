"""Who is acting, and whose rows they see: tokens, sessions, the local user, the owner filter, the sign-in link.

Every API view filters its rows by `OwnerFilter`, so what is another user's does not exist (404), for staff too.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth.models import User
from knox.auth import TokenAuthentication
from rest_framework.authentication import BaseAuthentication, SessionAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.filters import BaseFilterBackend
from rest_framework.request import Request

if TYPE_CHECKING:
    from rest_framework.views import APIView  # it imports this module, by way of the settings

LOCAL_USER = "local"
ANONYMOUS_USER = "anonymous"
TOKEN_SCHEMES = (b"token", b"bearer")


def anonymous_user() -> User:
    """Return the user that requests without credentials act as: the local one, or in server mode one without rights."""
    return local_user() if settings.EMBEDDED else _passwordless(ANONYMOUS_USER)


def local_user() -> User:
    """Return the one user of the embedded mode, who may do everything, the admin included."""
    return _passwordless(LOCAL_USER, is_staff=True, is_superuser=True)


def _passwordless(name: str, **rights: bool) -> User:
    # A password that begins with "!" is one that nothing matches.
    user, _ = User.objects.get_or_create(username=name, defaults={"password": "!", **rights})
    return user


def token_user(header: bytes) -> tuple[User, Any] | None:
    """Return user and token of an Authorization header; None without one; AuthenticationFailed for a bad one."""
    words = header.split()
    if not words:
        return None
    if len(words) != 2 or words[0].lower() not in TOKEN_SCHEMES:
        raise AuthenticationFailed("The Authorization header must be 'Token' or 'Bearer' and one token.")
    try:
        words[1].decode("ascii")
    except UnicodeDecodeError as exc:
        raise AuthenticationFailed("Invalid token.") from exc
    return TokenAuthentication().authenticate_credentials(words[1])


class ApiAuthentication(BaseAuthentication):
    """A token, else the session (with its CSRF token for unsafe methods), else the anonymous user where allowed."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        """Return (user, token or None); None where nobody is signed in."""
        found = token_user(get_authorization_header(request)) or SessionAuthentication().authenticate(request)
        if found is None and settings.VIDEOPROC_ANONYMOUS_CLIENTS:
            return anonymous_user(), None
        return found

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge that makes a refusal 401 rather than 403."""
        return "Token"


class OwnerFilter(BaseFilterBackend):
    """Shows each user their own rows; the view's `owner_field` leads from a row to its owner."""

    def filter_queryset(self, request: Request, queryset: Any, view: APIView) -> Any:
        """Return the rows of the acting user."""
        return queryset.filter(**{getattr(view, "owner_field", "owner"): request.user.pk})


def new_sign_in_path() -> str:
    """Return the path of a new sign-in link, void once used or once another is made."""
    token = secrets.token_urlsafe(32)
    path = settings.VIDEOPROC_DATA_DIR / "sign-in"
    draft = path.with_suffix(f".{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(_digest(token))
    draft.replace(path)
    return f"/sign-in/{token}"


def use_sign_in_token(token: str) -> bool:
    """Void the token and return whether it was the one that is valid now."""
    path = settings.VIDEOPROC_DATA_DIR / "sign-in"
    try:
        if not hmac.compare_digest(path.read_text(), _digest(token)):
            return False
        path.unlink()  # of two that come at once, one finds the file gone
    except FileNotFoundError:
        return False
    return True


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
