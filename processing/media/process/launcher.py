"""Runs operations in media processes, for the threads of a web server or a worker; one `MediaProcesses` each.

Invariant: no process outlives its owner. The zygote ends when its control socket closes or its owner's process is gone,
however that came about, and takes its children along. A zygote that died is replaced at the next call. The environment
of the zygote is made here from nothing, so no secret of the owner reaches a process that reads foreign files.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from processing.media import wire
from processing.media.errors import ProcessRefused, ProcessStopped
from processing.media.process.limits import Limits, limits_for
from processing.media.process.protocol import MAX_CALL_BYTES, READY, Call
from processing.media.process.supervision import Supervision, Usage, ZygoteLost
from processing.media.requests import LayersRequest

T = TypeVar("T")
log = logging.getLogger(__name__)

OPERATIONS = "processing.media.operations:OPERATIONS"
_STARTS_PER_CALL = 3
_LOAD_SECONDS = 60.0
_SEND_SECONDS = 10.0
_CLOSE_SECONDS = 5.0

ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/nonexistent",
    # One thread in the zygote, and no pool in a child but those an operation asks for.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # The same bytes on every maker's processor; measured, it costs nothing on the planes' operations.
    "OPENCV_IPP": "disabled",
    "OPENCV_LOG_LEVEL": "ERROR",
}
"""All that a media process sees of an environment."""

# Without site (-S) and without PYTHON variables (-I): the import path is the owner's own, handed over as arguments.
_BOOT = (
    "import sys; sys.path[:] = sys.argv[4:]; from processing.media.process.zygote import main; "
    "main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])"
)


class MediaProcesses:
    """A zygote and the media processes forked from it. Safe to use from any thread, and after a fork of the owner."""

    def __init__(self, *, operations: str = OPERATIONS, address_space_bytes: int | None = None) -> None:
        """`operations` names the table as "module:dict"; `address_space_bytes` is the memory budget of each process."""
        self._operations = operations
        self._address_space_bytes = address_space_bytes
        self._lock = threading.Lock()
        self._zygote: _Zygote | None = None
        self._is_closed = False

    def __enter__(self) -> MediaProcesses:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Load the zygote now (about half a second), so that the first call need not; ProcessRefused where it fails."""
        self._ready_zygote()

    def close(self) -> None:
        """End every media process and the zygote; calls in progress raise ProcessStopped."""
        self._is_closed = True
        with self._lock:
            zygote, self._zygote = self._zygote, None
        if zygote is not None:
            zygote.close()

    @property
    def zygote_pid(self) -> int | None:
        """The process that media processes are forked from; None before the first call and after `close`."""
        zygote = self._zygote
        return None if zygote is None else zygote.pid

    def run(
        self,
        operation: str,
        request: object,
        answer_type: type[T],
        *,
        limits: Limits | None = None,
        directory: str | Path | None = None,
        stop: threading.Event | None = None,
        on_progress: Callable[[int], None] | None = None,
        on_started: Callable[[int], None] | None = None,
        on_ended: Callable[[Usage], None] | None = None,
    ) -> T:
        """Run one operation in a process of its own and return its answer; blocks the calling thread.

        `directory` is where the process works: without one, the folder that the request's `output` lies in. `stop`,
        once set, ends it within 0.2 s. The callbacks run in the calling thread: `on_progress` with frames done, ever
        more; `on_started` with the process id; `on_ended` with what was used, after success and failure alike.

        Raises what the operation raised where that is a MediaError, and else ResourceExceeded, StorageFull,
        ProcessCrashed, ProcessRefused, ProcessStalled or ProcessStopped. An exception of a callback ends the process
        and passes on.
        """
        call = Call(
            operation=operation,
            limits=limits or limits_for(operation, address_space_bytes=self._address_space_bytes),
            directory=str(directory or _directory(request)),
        )
        data = wire.to_json(request)
        for _ in range(_STARTS_PER_CALL):
            if self._is_closed or (stop is not None and stop.is_set()):
                raise ProcessStopped("stopped before it started")
            zygote = self._ready_zygote()
            try:
                with _Link(zygote, call, data) as link:
                    supervision = Supervision(
                        link.pipe,
                        link.channel,
                        limits=call.limits,
                        stop=stop,
                        is_closing=lambda: self._is_closed,
                        on_progress=on_progress,
                        on_started=on_started,
                    )
                    usage = supervision.watch()
            except ZygoteLost as error:
                log.warning("zygote %d lost: %s", zygote.pid, error)
                self._discard(zygote)
                continue
            if on_ended is not None:
                on_ended(usage)
            return supervision.answer(answer_type)
        raise ProcessRefused(f"no zygote lived long enough to start a media process in {_STARTS_PER_CALL} tries")

    def active_layers(self) -> tuple[str, ...]:
        """Return the layers of the sandbox that hold in a media process, asked of one: see sandbox.LAYERS."""
        return self.run("layers", LayersRequest(), tuple[str, ...])

    def _ready_zygote(self) -> _Zygote:
        with self._lock:
            if self._is_closed:
                raise ProcessStopped("the media processes are closed")
            if self._zygote is not None and self._zygote.owner_pid != os.getpid():
                self._zygote.forget()
                self._zygote = None
            if self._zygote is None:
                self._zygote = _Zygote(self._operations)
            return self._zygote

    def _discard(self, zygote: _Zygote) -> None:
        with self._lock:
            if self._zygote is zygote:
                self._zygote = None
        zygote.close()


def _directory(request: object) -> str:
    output = getattr(request, "output", None)
    return "/" if output is None else str(Path(output).parent)


class _Zygote:
    """The owner's end of one zygote."""

    def __init__(self, operations: str) -> None:
        self.owner_pid = os.getpid()
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        path = [str(Path(entry).absolute()) for entry in sys.path]
        arguments = [str(theirs.fileno()), str(self.owner_pid), operations, *path]
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _BOOT, *arguments],
                    env=ENVIRONMENT,
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,  # signals of the terminal are for the owner
                )
        except OSError as error:
            self.control.close()
            raise ProcessRefused(f"no zygote could be started: {error}") from error
        self.pid = self._process.pid
        try:
            self._await_ready(operations)
        except KeyboardInterrupt:
            self.close()
            raise

    def _await_ready(self, operations: str) -> None:
        self.control.settimeout(_LOAD_SECONDS)
        try:
            greeting = self.control.recv(len(READY))
        except OSError:
            greeting = b""
        if greeting != READY:
            self.close()
            raise ProcessRefused(f"the zygote did not load {operations} (exit code {self._process.returncode})")
        self.control.settimeout(_SEND_SECONDS)

    def send(self, call: bytes, descriptors: list[int]) -> None:
        """Hand over one call; ZygoteLost where nobody takes it."""
        try:
            socket.send_fds(self.control, [call], descriptors)
        except OSError as error:
            raise ZygoteLost(f"the zygote takes no call: {error}") from error

    def close(self) -> None:
        """Hang up, wait for the end, and do not wait for ever."""
        self.control.close()
        try:
            self._process.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def forget(self) -> None:
        """Let go of a zygote inherited over a fork: it belongs to the parent process."""
        self.control.close()
        self._process.returncode = 0  # not this process's child, so there is nothing to wait for


class _Link:
    """The descriptors of one call: made, handed over, and closed here whatever happens."""

    def __init__(self, zygote: _Zygote, call: Call, request: bytes) -> None:
        header = wire.to_json(call)
        if len(header) > MAX_CALL_BYTES:
            raise ValueError(f"a call of {len(header)} bytes")
        memory = os.memfd_create("request")
        self.pipe, their_pipe = os.pipe()
        self.channel, their_channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with os.fdopen(os.dup(memory), "wb") as file:
                file.write(request)
            os.lseek(memory, 0, os.SEEK_SET)
            zygote.send(header, [memory, their_pipe, their_channel.fileno()])
        except BaseException:
            self.close()
            raise
        finally:
            os.close(memory)
            os.close(their_pipe)
            their_channel.close()

    def __enter__(self) -> _Link:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close this side; the zygote kills a process whose channel is closed."""
        os.close(self.pipe)
        self.channel.close()
