"""What the OpenAPI document says beyond the views: how one signs in, and that every refusal is a problem document."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.views import SpectacularJSONAPIView

from videoproc.problems import CONTENT_TYPE

PROBLEM = {
    "type": "object",
    "description": "RFC 9457; `code` is stable.",
    "required": ["type", "title", "status", "detail", "code", "retryable"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "retryable": {"type": "boolean"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["path", "code", "detail"],
                "properties": {name: {"type": "string"} for name in ("path", "code", "detail")},
            },
        },
    },
}
REFUSAL = {
    "description": "A refusal",
    "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
SCHEMES = {
    "tokenAuth": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`Token …` (or `Bearer …`), from POST /api/v1/tokens.",
    },
    "cookieAuth": {"type": "apiKey", "in": "cookie", "name": "sessionid"},
    "basicAuth": {"type": "http", "scheme": "basic"},
}


class ApiAuthenticationScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Describes videoproc.access.ApiAuthentication."""

    target_class = "videoproc.access.ApiAuthentication"
    name = ["tokenAuth", "cookieAuth"]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, Any]]:
        """Return the token and the session."""
        return [SCHEMES[name] for name in self.name]


class SchemaView(SpectacularJSONAPIView):
    """The OpenAPI document as JSON."""


def add_problems(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Give every operation the problem document as its default response (a postprocessing hook)."""
    result["components"]["schemas"]["Problem"] = PROBLEM
    result["components"]["securitySchemes"] = SCHEMES
    for operations in result["paths"].values():
        for operation in operations.values():
            operation["responses"]["default"] = REFUSAL
    return result
