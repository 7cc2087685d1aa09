"""What a media process does: confine itself, read one request, run one operation, say one last word, end.

Invariant: `run_child` never returns and never raises; whatever ends the operation becomes the one final frame of its
pipe or an exit status. It is called deep in the zygote's stack on purpose: the zygote's own socket objects stay
referenced there, so no collected object can close a descriptor number that the operation has come to use.
"""

from __future__ import annotations

import errno
import os
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import av
import cv2

from processing.media import wire
from processing.media.durable import FULL
from processing.media.errors import Damaged, MediaError, ProcessCrashed, ResourceExceeded, StorageFull, to_wire
from processing.media.process import sandbox
from processing.media.process.protocol import ANSWER, FAILURE, Call, ProtocolError, final_frame, progress_frame

Report = Callable[[int], None]
_REPORT_INTERVAL_SECONDS = 0.05
_MAX_TRACEBACK_CHARACTERS = 8000
_REFUSALS = (av.error.InvalidDataError, av.error.ArgumentError, av.error.PatchWelcomeError)
"""What FFmpeg says of data it will not read or write: another try would end the same way."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One thing a media process can do: the type of its request, and the function that answers it."""

    request: type
    function: Callable[[Any, Report], object]


def _failure_frame(error: MediaError, trace: str = "") -> bytes:
    return final_frame(FAILURE, wire.to_json(to_wire(error, trace=trace)))


# Made beforehand: once memory is gone there is none left to make it with.
_OUT_OF_MEMORY = _failure_frame(ResourceExceeded("the media process reached its memory limit"))


def run_child(
    call: Call, table: dict[str, Operation], *, parent_pid: int, request_descriptor: int, pipe_descriptor: int
) -> None:
    """Be the media process of one call, in a process just forked; ends the process."""
    last_word = _LastWord(pipe_descriptor)
    try:
        with last_word:
            sandbox.name_process(f"media-{call.operation}")
            sandbox.confine(
                parent_pid=parent_pid,
                keep=frozenset((request_descriptor, pipe_descriptor)),
                limits=call.limits,
                directory=call.directory,
            )
            cv2.setNumThreads(1)
            operation = table[call.operation]
            with os.fdopen(request_descriptor, "rb") as file:
                request: Any = wire.from_json(file.read(), operation.request)
            answer = operation.function(request, last_word.report)
            last_word.answer(wire.to_json(answer))
    finally:
        os._exit(0 if last_word.spoken else 1)


class _LastWord:
    """The media process's side of the pipe: progress while it works, then one answer or one failure."""

    def __init__(self, pipe_descriptor: int) -> None:
        self._pipe = pipe_descriptor
        self._frames_done = 0
        self._next_report = 0.0
        self.spoken = False

    def __enter__(self) -> _LastWord:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is not None and not self.spoken:
            self._say(_OUT_OF_MEMORY if _is_out_of_memory(error) else _failure_frame(*_as_failure(error)))
        return True

    def report(self, frames_done: int) -> None:
        """Say how many frames are done. Dropped when said too often or when the reader is slow; never blocks."""
        self._frames_done = max(self._frames_done, frames_done)
        now = time.monotonic()
        if now >= self._next_report:
            self._next_report = now + _REPORT_INTERVAL_SECONDS
            self._write_progress()

    def answer(self, payload: bytes) -> None:
        """Say the last progress and the answer."""
        if self._frames_done:
            self._write_progress()
        try:
            frame = final_frame(ANSWER, payload)
        except ProtocolError as error:  # what an answer holds comes from the file
            raise ResourceExceeded(str(error), code="resource_output") from error
        self._say(frame)

    def _write_progress(self) -> None:
        os.set_blocking(self._pipe, False)
        try:
            os.write(self._pipe, progress_frame(self._frames_done))
        except BlockingIOError:
            return  # the reader is behind; the next report carries more

    def _say(self, frame: bytes) -> None:
        os.set_blocking(self._pipe, True)
        rest = memoryview(frame)
        while rest:
            rest = rest[os.write(self._pipe, rest) :]
        self.spoken = True


def _is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an allocation failed: Python, NumPy and FFmpeg say MemoryError, the kernel ENOMEM, OpenCV -4."""
    if isinstance(error, cv2.error):
        return error.code == cv2.Error.StsNoMem
    return isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM


def _as_failure(error: BaseException) -> tuple[MediaError, str]:
    """Return the typed failure that an exception stands for, and the traceback of one that nobody foresaw."""
    if isinstance(error, MediaError):
        return error, ""
    number = getattr(error, "errno", None)  # OSError and FFmpegError have it
    if number in FULL:
        return StorageFull(f"no space is left for the output: {os.strerror(number)}"), ""
    if number == errno.EFBIG:
        return ResourceExceeded("the output outgrew its limit", code="resource_output"), ""
    trace = "".join(traceback.format_exception(error))[-_MAX_TRACEBACK_CHARACTERS:]
    if isinstance(error, _REFUSALS):
        return Damaged(f"FFmpeg refuses what the file led to: {error.strerror}"), trace
    return ProcessCrashed(f"{type(error).__name__}: {error}"), trace
