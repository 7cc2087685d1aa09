"""The protocol between supervisor, zygote and media process: small, typed and bounded in every direction.

A call hands the zygote three descriptors: a memory file with the request, the write end of a pipe for the media process
and one end of a packet socket for the zygote's notices about it. The pipe carries frames: progress (droppable), then
one answer or one failure, and nothing after it. Whoever writes into the pipe may be hostile: the reader's memory is
bounded by `MAX_ANSWER_BYTES`, and whatever breaks the rules is a `ProtocolError`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

from processing.media.process.limits import Limits

MAX_ANSWER_BYTES = 8 << 20
MAX_FAILURE_BYTES = 64 << 10
MAX_CALL_BYTES = 16 << 10
DESCRIPTORS_PER_CALL = 3
READY = b"ready"

PROGRESS, ANSWER, FAILURE = b"P", b"A", b"F"
_HEADER = struct.Struct("!cI")
_PROGRESS = struct.Struct("!Q")
_MAX_BYTES = {PROGRESS: _PROGRESS.size, ANSWER: MAX_ANSWER_BYTES, FAILURE: MAX_FAILURE_BYTES}


class ProtocolError(Exception):
    """The other side broke the rules of the protocol."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """What the zygote is asked for; the request itself lies in the memory file."""

    operation: str
    limits: Limits
    directory: str
    """Working directory of the media process."""


@dataclass(frozen=True, kw_only=True)
class Notice:
    """What the zygote says about one media process: that it started, that it ended, or that it never will start."""

    event: Literal["started", "ended", "refused"]
    pid: int = 0
    status: int = 0
    """As waitpid(2) reports it."""
    cpu_seconds: float = 0.0
    peak_rss_bytes: int = 0
    detail: str = ""


def progress_frame(frames_done: int) -> bytes:
    """Return a progress frame; it is short enough for a pipe to take it whole or not at all."""
    return _HEADER.pack(PROGRESS, _PROGRESS.size) + _PROGRESS.pack(min(max(frames_done, 0), 2**63 - 1))


def final_frame(kind: bytes, payload: bytes) -> bytes:
    """Return the one answer or failure frame; ProtocolError where the payload is longer than its kind may be."""
    if len(payload) > _MAX_BYTES[kind]:
        raise ProtocolError(f"{len(payload)} bytes are more than the {_MAX_BYTES[kind]} an answer may have")
    return _HEADER.pack(kind, len(payload)) + payload


class FrameReader:
    """Takes bytes as they come and keeps the greatest progress and the final frame."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.progress: int | None = None
        self.final: tuple[bytes, bytes] | None = None

    def feed(self, data: bytes) -> None:
        """Take the next bytes; ProtocolError when they are not what a media process may write."""
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            if self.final is not None:
                raise ProtocolError("bytes after the final frame")
            kind, length = _HEADER.unpack_from(self._buffer)
            if kind not in _MAX_BYTES or length > _MAX_BYTES[kind] or (kind == PROGRESS and length != _PROGRESS.size):
                raise ProtocolError(f"no frame starts with {bytes(self._buffer[: _HEADER.size])!r}")
            end = _HEADER.size + length
            if len(self._buffer) < end:
                return
            payload = bytes(self._buffer[_HEADER.size : end])
            del self._buffer[:end]
            if kind == PROGRESS:
                self.progress = max(self.progress or 0, _PROGRESS.unpack(payload)[0])
            else:
                self.final = (kind, payload)
