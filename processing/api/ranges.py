"""Byte ranges of RFC 9110, pure: what a Range header asks of a file of a known size."""

from __future__ import annotations

import re

_ONE_RANGE = re.compile(r"bytes=\s*([0-9]{0,20})-([0-9]{0,20})\s*", re.ASCII | re.IGNORECASE)


class Unsatisfiable(Exception):
    """The header asks for nothing that can be given: several ranges, none of the file's bytes, or nonsense."""


def parse_range(header: str, size_bytes: int) -> range | None:
    """Return the positions asked for; None where the whole file is (no header, or a unit other than bytes).

    Several ranges are refused rather than merged: no player asks for them, and five hundred overlapping ones are an
    attack (RFC 9110 section 14.2 allows it).
    """
    if not header or not header.strip().lower().startswith("bytes"):
        return None
    match = _ONE_RANGE.fullmatch(header.strip())
    if match is None or match.group(1) == match.group(2) == "":
        raise Unsatisfiable(header[:80])
    first, last = match.groups()
    if first == "":
        start, stop = max(size_bytes - int(last), 0), size_bytes
    else:
        start, stop = int(first), min(int(last) + 1, size_bytes) if last else size_bytes
    if start >= stop:
        raise Unsatisfiable(header[:80])
    return range(start, stop)
