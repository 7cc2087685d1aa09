"""The engine's parameters at the HTTP border: a JSON object, checked by the engine's own table, described from it."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

from processing.media.parameters import BAD, PARAMETERS, BadParameters, Parameter, checked

OBJECT = 'Must be a JSON object such as {"denoise": 0.8}, each name once.'


def _schema(parameter: Parameter) -> dict[str, Any]:
    described: dict[str, Any] = {"type": parameter.kind, "description": parameter.sentence, "nullable": True}
    if parameter.kind == "boolean":
        return described
    if parameter.kind == "choice":
        return described | {"type": "string", "enum": [*parameter.choices, None]}
    return described | {
        "minimum": parameter.lowest,
        "maximum": parameter.highest,
        "description": f"{parameter.sentence} {parameter.range.capitalize()}.",
        **({"multipleOf": parameter.multiple_of} if parameter.kind == "integer" else {}),
    }


@extend_schema_field(
    {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _schema(parameter) for name, parameter in PARAMETERS.items()},
    }
)
class ParametersField(serializers.Field):
    """Parameters by name, as JSON text or as the object itself; what is not given is the preset's matter."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Return what was given; refused with `unknown_parameter` or `bad_parameter`, each by its path."""
        if isinstance(data, str):
            try:
                data = json.loads(data, object_pairs_hook=_once, parse_constant=_no_constant)
            except (ValueError, RecursionError) as exc:
                raise ValidationError(OBJECT, code=BAD) from exc
        if not isinstance(data, dict):
            raise ValidationError(OBJECT, code=BAD)
        try:
            return checked(data).given
        except BadParameters as exc:
            raise ValidationError(
                {fault.name: [ErrorDetail(fault.sentence, code=fault.code)] for fault in exc.faults}
            ) from exc

    def to_representation(self, value: dict[str, Any]) -> dict[str, Any]:
        """Return the parameters as they are stored."""
        return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name stands there twice")
    return dict(pairs)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
