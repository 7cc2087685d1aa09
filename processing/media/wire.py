"""Frozen specs as JSON, at the border of the media process and in stored documents; the only place that does it.

Fractions travel as "num/den", so no time is rounded.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any, TypeVar

import msgspec

# Strict, for what is read may be hostile: Fraction("1e999999999") would compute for ever.
_FRACTION = re.compile(r"(-?[0-9]{1,20})/([0-9]{1,20})")

T = TypeVar("T")


def to_json(value: object) -> bytes:
    """Return a frozen spec as JSON bytes."""
    return msgspec.json.encode(value, enc_hook=_encode)


def from_json(data: bytes, kind: type[T]) -> T:
    """Return the spec of type `kind` held in JSON bytes; msgspec.ValidationError when it is not one."""
    return msgspec.json.decode(data, type=kind, dec_hook=_decode)


def to_builtins(value: object) -> Any:
    """Return a frozen spec as dicts, lists, strings and numbers, for a JSON column."""
    return msgspec.to_builtins(value, enc_hook=_encode)


def from_builtins(data: Any, kind: type[T]) -> T:
    """Return the spec of type `kind` held in a JSON column."""
    return msgspec.convert(data, type=kind, dec_hook=_decode)


def _encode(value: Any) -> Any:
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    raise NotImplementedError(f"no wire form for {type(value).__name__}")


def _decode(kind: type, value: Any) -> Any:
    if kind is Fraction:
        match = _FRACTION.fullmatch(value) if isinstance(value, str) else None
        if match is None or int(match[2]) == 0:
            raise ValueError(f"no fraction: {str(value)[:40]!r}")
        return Fraction(int(match[1]), int(match[2]))
    raise NotImplementedError(f"no wire form for {kind.__name__}")
