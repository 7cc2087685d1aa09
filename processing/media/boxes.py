"""The boxes of an ISO base media file (MP4, MOV), as far as they tell why a file cannot be read; FFmpeg reads the rest.

Invariant: reads headers only, a bounded number, and trusts no size beyond the end of the file (ISO/IEC 14496-12).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

FIRST_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"moof", b"uuid"})
CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"dinf", b"stbl"})
MAX_BOXES = 100_000
MAX_ENTRIES = 64
SELF_CONTAINED = 1


@dataclass(frozen=True, kw_only=True)
class BoxReport:
    """What the boxes of a file say."""

    has_index: bool
    """Whether there is a movie box (`moov`) that lies wholly within the file."""
    is_cut: bool
    """Whether a top-level box ends beyond the file."""
    foreign_references: int
    """Tracks whose data is said to lie in another file."""
    encrypted_pictures: int
    """Picture tracks under common encryption (`encv`)."""


def looks_like_boxes(head: bytes) -> bool:
    """Return whether the first bytes of a file are those of an ISO base media file."""
    return len(head) >= 8 and head[4:8] in FIRST_BOXES


def inspect_boxes(path: Path) -> BoxReport:
    """Walk the boxes of the file at `path`; OSError when it cannot be read."""
    has_index = is_cut = False
    foreign = encrypted = 0
    with path.open("rb") as file:
        end = file.seek(0, 2)
        for kind, start, stop, wanted in _walk(file, 0, end):
            if wanted > stop:
                # Behind the last box there may be anything, which is no box that is cut.
                is_cut = is_cut or kind in FIRST_BOXES
            elif kind == b"moov":
                has_index = True
            if kind == b"dref":
                foreign += any(_is_foreign(file, entry) for entry in _entries(file, start, stop))
            elif kind == b"stsd":
                encrypted += any(entry[0] == b"encv" for entry in _entries(file, start, stop))
    return BoxReport(has_index=has_index, is_cut=is_cut, foreign_references=foreign, encrypted_pictures=encrypted)


def _walk(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int, int]]:
    """Yield (type, content start, content stop within `end`, stop as claimed) depth first, through the containers."""
    spans = [(start, end)]
    for _ in range(MAX_BOXES):
        while spans and spans[-1][1] - spans[-1][0] < 8:
            spans.pop()
        if not spans:
            return
        position, limit = spans.pop()
        file.seek(position)
        header = file.read(16)
        if len(header) < 8:
            return
        size, kind = struct.unpack(">I4s", header[:8])
        content = position + 8
        if size == 1 and len(header) == 16:
            (size,) = struct.unpack(">Q", header[8:])
            content = position + 16
        wanted = position + size if size else limit
        if wanted < content:
            return
        stop = min(wanted, limit)
        spans.append((stop, limit))
        if kind in CONTAINERS:
            spans.append((content, stop))
        yield kind, content, stop, wanted


def _entries(file: BinaryIO, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield (type, content start, content stop) of the entries of a full box that holds a counted list."""
    position = start + 8
    for _ in range(MAX_ENTRIES):
        if position + 8 > stop:
            return
        file.seek(position)
        size, kind = struct.unpack(">I4s", file.read(8))
        if size < 8 or position + size > stop:
            return
        yield kind, position + 8, position + size
        position += size


def _is_foreign(file: BinaryIO, entry: tuple[bytes, int, int]) -> bool:
    """Return whether a data reference names another place; some writers clear the flag and name none."""
    _, start, stop = entry
    file.seek(start)
    flags = file.read(4)
    return len(flags) == 4 and not flags[3] & SELF_CONTAINED and stop - start > 5
