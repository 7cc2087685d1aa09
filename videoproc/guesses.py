"""How often one address may try a password, wherever one is asked for: tokens, the sign-in page, the admin."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from rest_framework.throttling import SimpleRateThrottle


class GuessThrottle(SimpleRateThrottle):
    """All tries of an address together."""

    rate = "30/min"

    def allow_request(self, request: Any, view: Any) -> bool:
        """Return whether this try may be made."""
        return bool(super().allow_request(request, view))

    def get_cache_key(self, request: Any, view: Any) -> str:
        """Return the address's key."""
        return f"throttle-guesses-{self.get_ident(request)}"


class _Slow:
    """Lets a form look at name and password only as often as the throttle allows."""

    request: HttpRequest | None
    is_throttled = False

    def clean(self) -> Any:
        """Check them; ValidationError (throttled) before that where there were too many tries."""
        asked: Any = self.request
        self.is_throttled = not GuessThrottle().allow_request(asked, None)
        if self.is_throttled:
            raise ValidationError("Too many tries; wait a minute.", code="throttled")
        return super().clean()  # type: ignore[misc]  # mixed into forms


class SlowSignInForm(_Slow, AuthenticationForm):
    """The page's form."""


class SlowAdminSignInForm(_Slow, AdminAuthenticationForm):
    """The admin's form."""
