"""Passwords are guessed slowly, whatever address a client claims and wherever it asks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.cache import cache
from django.test import RequestFactory

from videoproc.guesses import GuessThrottle, SlowAdminSignInForm, SlowSignInForm


@pytest.fixture(autouse=True)
def tried_thirty_times() -> Iterator[None]:
    """Thirty tries from one connection under as many claimed addresses."""
    cache.clear()
    tries = [RequestFactory().post("/", headers={"X-Forwarded-For": f"10.0.0.{number}"}) for number in range(30)]
    assert all(GuessThrottle().allow_request(each, None) for each in tries)
    yield
    cache.clear()


@pytest.mark.parametrize("form", [SlowSignInForm, SlowAdminSignInForm])
def test_the_next_is_refused_before_the_password_is_looked_at(
    form: type[SlowSignInForm] | type[SlowAdminSignInForm],
) -> None:
    request = RequestFactory().post("/", headers={"X-Forwarded-For": "192.0.2.1"})
    filled = form(request, data={"username": "ada", "password": "right or wrong"})
    assert not filled.is_valid()
    assert [error.code for error in filled.non_field_errors().as_data()] == ["throttled"]
    assert filled.is_throttled


def test_another_connection_may_try() -> None:
    assert GuessThrottle().allow_request(RequestFactory().post("/", REMOTE_ADDR="192.0.2.1"), None)
