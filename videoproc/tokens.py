"""Tokens for programs: made for a user name and a password, kept as digests, deleted by whoever holds one."""

from __future__ import annotations

import base64
import binascii
from http import HTTPStatus
from typing import Any

from django.contrib.auth import authenticate
from drf_spectacular.utils import extend_schema
from knox.models import get_token_model
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.permissions import AllowAny, BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from processing.api.errors import NotAvailable, Problem
from videoproc.guesses import GuessThrottle


class CredentialsSerializer(serializers.Serializer):
    """Who asks; or the same as HTTP Basic authentication."""

    username = serializers.CharField()
    password = serializers.CharField(trim_whitespace=False, style={"input_type": "password"})


class TokenSerializer(serializers.Serializer):
    """A new token, shown this once."""

    token = serializers.CharField()
    expiry = serializers.DateTimeField(allow_null=True)


class BadCredentials(Problem):
    """No such user, or another password."""

    status_code = HTTPStatus.UNAUTHORIZED
    default_code = "bad_credentials"
    default_detail = "There is no such user, or the password is another."


class Tokens(APIView):
    """The acting user's tokens."""

    def get_authenticators(self) -> list[BaseAuthentication]:
        """Return none for the making of a token: it brings its own credentials."""
        return [] if self._is_making() else super().get_authenticators()

    def get_permissions(self) -> list[BasePermission]:
        """Let anybody try to make one."""
        return [AllowAny()] if self._is_making() else [IsAuthenticated()]

    def get_throttles(self) -> list[Any]:
        """Slow down guessing."""
        return [GuessThrottle()] if self._is_making() else super().get_throttles()

    @extend_schema(
        operation_id="tokens_create",
        request=CredentialsSerializer,
        responses={HTTPStatus.CREATED: TokenSerializer},
        auth=[{"basicAuth": []}, {}],  # type: ignore[list-item]  # the stubs know only names
    )
    def post(self, request: Request) -> Response:
        """Make a token for a user name and a password; 401 `bad_credentials` where they do not fit."""
        user = authenticate(request._request, **_credentials(request))
        if user is None:
            raise BadCredentials
        instance, token = get_token_model().objects.create(user=user)
        return Response({"token": token, "expiry": instance.expiry}, status=HTTPStatus.CREATED)

    @extend_schema(operation_id="tokens_delete", responses={HTTPStatus.NO_CONTENT: None})
    def delete(self, request: Request) -> Response:
        """Delete the token that this request carries."""
        if request.auth is None:
            raise NotAvailable("This request carries no token.", retryable=False)
        request.auth.delete()
        return Response(status=HTTPStatus.NO_CONTENT)

    def _is_making(self) -> bool:
        return self.request is not None and self.request.method == "POST"


def _credentials(request: Request) -> dict[str, str]:
    words = get_authorization_header(request).split()
    if len(words) == 2 and words[0].lower() == b"basic":
        try:
            name, colon, password = base64.b64decode(words[1], validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as exc:
            raise BadCredentials from exc
        if colon:
            return _checked({"username": name, "password": password})
    return _checked(request.data)


def _checked(given: Any) -> dict[str, str]:
    serializer = CredentialsSerializer(data=given)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)
