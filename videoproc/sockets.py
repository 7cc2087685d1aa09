"""Who opens a WebSocket: puts the acting user into scope["user"], or closes with 4401 or 4403.

Browsers send cookies with any site's WebSocket and know no CSRF token, so with an Origin only one's own is let in.
"""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from importlib import import_module
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import close_old_connections
from django.http import HttpRequest
from rest_framework.exceptions import AuthenticationFailed

from processing.state.errors import DATABASE_AWAY
from uploads.receiver import Receive, Scope, Send
from videoproc.access import anonymous_user, token_user
from videoproc.local import is_foreign, is_loopback

UNKNOWN, FOREIGN, AWAY = 4401, 4403, 1013


class SocketAccess:
    """Lets known users through to the application."""

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Find the user and pass on, or close."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if not _is_welcome(headers):
            await _close(receive, send, FOREIGN)
            return
        try:
            user = await sync_to_async(_user, thread_sensitive=False)(headers)
        except AuthenticationFailed:
            user = None
        except DATABASE_AWAY:
            await _close(receive, send, AWAY)
            return
        if user is None:
            await _close(receive, send, UNKNOWN)
            return
        await self._application({**scope, "user": user}, receive, send)


def _is_welcome(headers: dict[str, str]) -> bool:
    host = headers.get("host", "")
    if settings.EMBEDDED and not is_loopback(host):
        return False
    trusted = () if settings.EMBEDDED else tuple(settings.CSRF_TRUSTED_ORIGINS)
    return not is_foreign(headers.get("origin", ""), host, trusted)


def _user(headers: dict[str, str]) -> AbstractBaseUser | None:
    close_old_connections()
    try:
        found = token_user(headers.get("authorization", "").encode("latin-1"))
        if found is not None:
            return found[0]
        return _session_user(headers.get("cookie", "")) or (
            anonymous_user() if settings.VIDEOPROC_ANONYMOUS_CLIENTS else None
        )
    finally:
        close_old_connections()


def _session_user(cookies: str) -> AbstractBaseUser | None:
    try:
        cookie = SimpleCookie(cookies).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        return None
    if cookie is None:
        return None
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(cookie.value)
    user = get_user(request)
    return user if user.is_authenticated and user.is_active else None


async def _close(receive: Receive, send: Send, code: int) -> None:
    """Accept and close: a handshake that is refused tells a browser's script no code."""
    await receive()
    await send({"type": "websocket.accept", "subprotocol": None, "headers": []})
    await send({"type": "websocket.close", "code": code, "reason": ""})
