"""Clients of the views over rows, signed in without a password: no server runs."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.test import Client

from tests import rows


def client_of(name: str, **rights: bool) -> Client:
    """Return a client signed in as a user, who is made if need be, with these rights."""
    user = rows.user(name)
    get_user_model().objects.filter(pk=user.pk).update(**rights)
    client = Client(headers={"Host": "localhost"})
    client.force_login(user)
    return client


def get(client: Client, path: str, status: int = 200, **query: str) -> Any:
    """Return the JSON at a path, which must answer with `status`."""
    response = client.get(path, query)
    assert response.status_code == status, response.content
    return response.json()
