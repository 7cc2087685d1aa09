"""The program that media processes are forked from: everything loaded, nothing opened, one thread.

It is executed afresh with a clean environment (see launcher.py), listens on one inherited socket and forks a process
for each call: in a few milliseconds instead of the third of a second that loading the libraries takes. Invariants: it
never touches anybody's file; it holds one thread, so a fork cannot inherit a lock held by another; when its owner is
gone it kills every process it started and ends; when it is gone itself, the kernel kills them.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import signal
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from processing.media import wire
from processing.media.process import sandbox
from processing.media.process.child import Operation, run_child
from processing.media.process.protocol import DESCRIPTORS_PER_CALL, MAX_CALL_BYTES, READY, Call, Notice

_READABLE = select.POLLIN | select.POLLHUP | select.POLLERR


@dataclass(kw_only=True)
class _Child:
    pid: int
    pid_descriptor: int
    """Readable once the process has ended."""
    channel: socket.socket
    """To the supervisor: notices go out; its end of sending means "kill"."""


def main(control_descriptor: int, owner_pid: int, table_name: str) -> None:
    """Serve calls until the control socket or its owner is gone. `table_name` is "module:dict of operations"."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Stop signals are for the owner, who knows what to do with work in hand; process groups get them whole.
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the thread that started this may have blocked any
    sandbox.name_process("media-zygote")
    module, _, name = table_name.partition(":")
    table: dict[str, Operation] = getattr(importlib.import_module(module), name)
    gc.collect()
    gc.freeze()  # pages of what is loaded stay shared with the children
    threads = sum(1 for _ in Path("/proc/self/task").iterdir())
    if threads != 1:
        raise SystemExit(f"the zygote has {threads} threads after loading {table_name}: a fork may hang")
    with socket.socket(fileno=control_descriptor) as control:
        _Zygote(control, table).serve(owner_pid)


class _Zygote:
    def __init__(self, control: socket.socket, table: dict[str, Operation]) -> None:
        self._control = control
        self._table = table
        self._poll = select.poll()
        self._children: dict[int, _Child] = {}
        """By each descriptor that is waited on: a child is here twice until it is told to die."""

    def serve(self, owner_pid: int) -> None:
        owner = os.pidfd_open(owner_pid)
        if os.getppid() != owner_pid:
            return
        self._poll.register(owner, _READABLE)
        self._poll.register(self._control, _READABLE)
        with suppress(BrokenPipeError):  # an owner that gave up meanwhile; the loop below sees it gone
            self._control.send(READY)
        while True:
            ready = {descriptor for descriptor, _ in self._poll.poll()}
            if owner in ready or (self._control.fileno() in ready and not self._take_call()):
                break
            for descriptor in ready & self._children.keys():
                self._attend(descriptor)
        self._kill_all()

    def _take_call(self) -> bool:
        """Fork a media process for the next call; False when the owner has gone."""
        data, descriptors, _, _ = socket.recv_fds(self._control, MAX_CALL_BYTES, DESCRIPTORS_PER_CALL)
        if not data:
            return False
        if len(descriptors) != DESCRIPTORS_PER_CALL:  # too many open files here: the caller sees its channel close
            for descriptor in descriptors:
                os.close(descriptor)
            return True
        request, pipe, channel_descriptor = descriptors
        channel = socket.socket(fileno=channel_descriptor)
        call = wire.from_json(data, Call)
        zygote_pid = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            _notify(channel, Notice(event="refused", detail=f"fork: {error.strerror}"))
            channel.close()
        else:
            if pid == 0:
                run_child(call, self._table, parent_pid=zygote_pid, request_descriptor=request, pipe_descriptor=pipe)
            self._watch(_Child(pid=pid, pid_descriptor=os.pidfd_open(pid), channel=channel))
        finally:
            os.close(request)
            os.close(pipe)
        return True

    def _watch(self, child: _Child) -> None:
        for descriptor in (child.pid_descriptor, child.channel.fileno()):
            self._children[descriptor] = child
            self._poll.register(descriptor, _READABLE)
        _notify(child.channel, Notice(event="started", pid=child.pid))

    def _attend(self, descriptor: int) -> None:
        """Bury a child that has ended, or kill one whose supervisor has hung up."""
        child = self._children.get(descriptor)
        if child is None:
            return  # buried a moment ago, in the same round
        if descriptor != child.pid_descriptor:
            self._unwatch(descriptor)
            _kill_session(child.pid)
            return
        # Before it is reaped its number cannot be reused, so this reaches nobody but what it left behind.
        _kill_session(child.pid)
        _, status, usage = os.wait4(child.pid, 0)
        for watched in (child.pid_descriptor, child.channel.fileno()):
            self._unwatch(watched)
        _notify(
            child.channel,
            Notice(
                event="ended",
                pid=child.pid,
                status=status,
                cpu_seconds=usage.ru_utime + usage.ru_stime,
                peak_rss_bytes=usage.ru_maxrss * 1024,
            ),
        )
        os.close(child.pid_descriptor)
        child.channel.close()

    def _unwatch(self, descriptor: int) -> None:
        if self._children.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def _kill_all(self) -> None:
        pids = {child.pid for child in self._children.values()}
        for pid in pids:
            _kill_session(pid)
        for pid in pids:
            os.waitpid(pid, 0)


def _kill_session(pid: int) -> None:
    """Kill a child and its process group; the group does not exist before the child has made its own session."""
    for kill in (os.kill, os.killpg):
        with suppress(ProcessLookupError):
            kill(pid, signal.SIGKILL)


def _notify(channel: socket.socket, notice: Notice) -> None:
    with suppress(
        BrokenPipeError, ConnectionResetError, BlockingIOError
    ):  # a supervisor that hung up wants to know nothing
        channel.send(wire.to_json(notice), socket.MSG_DONTWAIT)
