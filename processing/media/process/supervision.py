"""Watches one media process from its start to its end and says how it ended: an answer, or a typed failure.

Invariant: `watch` returns or raises only when the process is gone (or the kernel failed to end it within seconds of
SIGKILL), takes bounded memory whatever the process writes, and needs no signal handler and no particular thread. All
killing is done by the zygote, which alone can do it without hitting a reused process number: hanging up is the request.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import TypeVar

import msgspec

from processing.media import wire
from processing.media.errors import (
    Failure,
    MediaError,
    ProcessCrashed,
    ProcessRefused,
    ProcessStalled,
    ProcessStopped,
    ResourceExceeded,
    from_wire,
)
from processing.media.process.limits import Limits
from processing.media.process.protocol import ANSWER, FrameReader, Notice, ProtocolError

T = TypeVar("T")
log = logging.getLogger(__name__)

_TICK_SECONDS = 0.05
_GAP_SECONDS = 2.0
_START_SECONDS = 30.0
_DEATH_SECONDS = 5.0
_READ_BYTES = 1 << 16
_NOTICE_BYTES = 1 << 12
_BUSY_SHARE = 0.02
_READABLE = select.POLLIN | select.POLLHUP | select.POLLERR


class ZygoteLost(Exception):
    """The zygote ended, or never answered, before this process started: nothing has happened yet."""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What one media process used, for logs."""

    pid: int
    wall_seconds: float
    cpu_seconds: float
    peak_rss_bytes: int


class Supervision:
    """The watch over one media process. `is_closing` tells whether the owner is ending all of them."""

    def __init__(
        self,
        pipe_descriptor: int,
        channel: socket.socket,
        *,
        limits: Limits,
        stop: Event | None,
        is_closing: Callable[[], bool],
        on_progress: Callable[[int], None] | None,
        on_started: Callable[[int], None] | None,
    ) -> None:
        self._pipe = pipe_descriptor
        self._channel = channel
        self._limits = limits
        self._stop = stop
        self._is_closing = is_closing
        self._on_progress = on_progress
        self._on_started = on_started
        self._frames = FrameReader()
        self._frames_done = -1
        self._is_pipe_at_end = False
        self._pid = 0
        self._ended: Notice | None = None
        self._verdict: MediaError | None = None
        """Why the process is being killed; the first reason counts."""
        now = time.monotonic()
        self._begin = self._last_tick = self._last_sign = now
        self._deadline = now + limits.wall_seconds
        self._hung_up_at = 0.0
        self._cpu_at_last_sign = 0.0
        os.set_blocking(pipe_descriptor, False)

    def watch(self) -> Usage:
        """Wait for the end of the process and return what it used; `answer` then tells how it ended.

        Raises ZygoteLost where the process never started, and whatever the callbacks raise.
        """
        poll = select.poll()
        poll.register(self._channel, _READABLE)
        while self._ended is None:
            for descriptor, _ in poll.poll(_TICK_SECONDS * 1000):
                if descriptor == self._pipe:
                    self._read_pipe()
                    if self._is_pipe_at_end:
                        poll.unregister(self._pipe)
                elif self._read_channel() == "started":
                    # Not before: the process may write sooner than the zygote can say that there is one.
                    poll.register(self._pipe, _READABLE)
            self._check()
        for _ in range(64):  # what is left in the pipe; bounded, for a descendant may still be writing
            if self._verdict is not None or not self._read_pipe():
                break
        return Usage(
            pid=self._pid,
            wall_seconds=time.monotonic() - self._begin,
            cpu_seconds=self._ended.cpu_seconds,
            peak_rss_bytes=self._ended.peak_rss_bytes,
        )

    def answer(self, answer_type: type[T]) -> T:
        """Return the answer of a process that has ended, or raise what became of it."""
        if self._verdict is not None:
            raise self._verdict
        if self._ended is None:
            raise RuntimeError("watch() comes first")
        if os.WIFSIGNALED(self._ended.status):
            raise self._death(os.WTERMSIG(self._ended.status), self._ended.cpu_seconds)
        if self._frames.final is None:
            code = os.waitstatus_to_exitcode(self._ended.status)
            raise ProcessCrashed(f"the media process ended with exit code {code} and without an answer")
        kind, payload = self._frames.final
        if kind == ANSWER:
            return _decode(payload, answer_type)
        failure = _decode(payload, Failure)
        if failure.trace:
            log.error("media process %d failed unforeseen: %s", self._pid, failure.trace)
        raise from_wire(failure)

    def _death(self, number: int, cpu_seconds: float) -> MediaError:
        # SIGKILL follows SIGXCPU at the hard limit, should something have swallowed the first.
        if number == signal.SIGXCPU or (number == signal.SIGKILL and cpu_seconds >= self._limits.cpu_seconds):
            return ResourceExceeded(f"more than {self._limits.cpu_seconds} s of CPU time", code="resource_cpu")
        if number == signal.SIGXFSZ:
            return ResourceExceeded("the output outgrew its limit", code="resource_output")
        hint = " (not by its supervisor: out of memory?)" if number == signal.SIGKILL else ""
        return ProcessCrashed(f"the media process died by signal {number} ({_name(number)}){hint}")

    def _read_pipe(self) -> bool:
        """Take what the process has written; False when there is nothing, now or any more."""
        try:
            data = os.read(self._pipe, _READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._is_pipe_at_end = True
            return False
        if self._verdict is not None:
            return True  # already being killed: drained, not believed
        try:
            self._frames.feed(data)
        except ProtocolError as error:
            self._kill(ProcessCrashed(f"the media process wrote garbage: {error}"))
            return True
        done = self._frames.progress
        if done is not None and done > self._frames_done:
            self._frames_done = done
            self._mark_sign_of_life()
            if self._on_progress is not None:
                self._on_progress(done)
        return True

    def _read_channel(self) -> str:
        """Take the zygote's next notice and return what it is about."""
        data = self._channel.recv(_NOTICE_BYTES)
        if not data:
            if not self._pid:
                raise ZygoteLost("the zygote closed the call")
            lost = ProcessCrashed("the media process was lost with its zygote")
            self._end(ProcessStopped("the service is shutting down") if self._is_closing() else lost)
            return "lost"
        notice = wire.from_json(data, Notice)
        if notice.event == "started":
            self._pid = notice.pid
            if self._on_started is not None:
                self._on_started(notice.pid)
        elif notice.event == "refused":
            self._end(ProcessRefused(f"no media process could be started: {notice.detail}"))
        else:
            self._ended = notice
        return notice.event

    def _check(self) -> None:
        """Kill the process where one of the limits that the supervisor keeps is reached."""
        now = time.monotonic()
        gap = now - self._last_tick
        self._last_tick = now
        if gap > _GAP_SECONDS:  # this process stood still (stopped, frozen): that time is nobody's fault
            self._deadline += gap
            self._last_sign += gap
        if self._ended is not None:
            return
        if self._hung_up_at:
            if now - self._hung_up_at > _DEATH_SECONDS:
                log.error("media process %d outlives SIGKILL", self._pid)
                self._end(None)
            return
        if not self._pid:
            if now - self._begin > _START_SECONDS:
                raise ZygoteLost("the zygote does not answer")
            return
        if self._stop is not None and self._stop.is_set():
            self._kill(ProcessStopped("stopped by its supervisor"))
        elif self._is_closing():
            self._kill(ProcessStopped("the service is shutting down"))
        elif now > self._deadline:
            self._kill(ProcessStalled(f"not done after {self._limits.wall_seconds:g} s"))
        elif now - self._last_sign > self._limits.stall_seconds:
            self._check_cpu()

    def _check_cpu(self) -> None:
        """Tell a stall from work without progress: a process that used the CPU since its last sign gets more time."""
        used = _cpu_seconds(self._pid)
        if used is None:
            return  # it has just ended
        if used - self._cpu_at_last_sign >= _BUSY_SHARE * self._limits.stall_seconds:
            self._mark_sign_of_life(used)
        else:
            self._kill(ProcessStalled(f"no progress and no CPU time used in {self._limits.stall_seconds:g} s"))

    def _mark_sign_of_life(self, cpu_seconds: float | None = None) -> None:
        self._last_sign = time.monotonic()
        used = _cpu_seconds(self._pid) if cpu_seconds is None else cpu_seconds
        self._cpu_at_last_sign = self._cpu_at_last_sign if used is None else used

    def _kill(self, verdict: MediaError) -> None:
        """Hang up, at which the zygote kills the process and still says how it ended."""
        if self._verdict is None:
            self._verdict = verdict
            self._hung_up_at = time.monotonic()
            self._channel.shutdown(socket.SHUT_WR)

    def _end(self, verdict: MediaError | None) -> None:
        self._verdict = self._verdict or verdict
        self._ended = Notice(event="ended", pid=self._pid)


def _decode(payload: bytes, kind: type[T]) -> T:
    try:
        return wire.from_json(payload, kind)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise ProcessCrashed(f"the media process answered what is no {kind.__name__}: {error}") from error


def _cpu_seconds(pid: int) -> float | None:
    """Return the CPU time of another process, all threads together; None when it has ended.

    The number is what clock_getcpuclockid(3) returns on Linux; unlike /proc/<pid>/stat it needs no mount and no right.
    """
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return None


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unnamed"
