"""What is set in a media process before it sees the first byte of anybody's file, and the report of what holds.

Invariant: `confine` runs in a freshly forked process with one thread and either sets every one of `REQUIRED_LAYERS` or
raises; nothing it sets can be undone by the process. A zygote started as root stays root, since the folders it must
reach belong to whoever runs the service, but keeps no other power of root's than to reach them. RLIMIT_NPROC is left
alone: it does not bind root, and counts all other processes of the same user.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

from processing.media.process.limits import Limits

_PR_SET_PDEATHSIG, _PR_GET_PDEATHSIG = 1, 2
_PR_GET_DUMPABLE, _PR_SET_DUMPABLE = 3, 4
_PR_SET_NAME = 15
_PR_SET_NO_NEW_PRIVS, _PR_GET_NO_NEW_PRIVS = 38, 39
_OOM_SCORE_ADJ = 800
_CPU_GRACE_SECONDS = 2

_CAPABILITY_HEADER = (ctypes.c_uint32 * 2)(0x20080522, 0)
"""Version 3 of the interface, the calling thread."""
_KEPT_CAPABILITIES = 1 << 1 | 1 << 2
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH."""

_libc = ctypes.CDLL(None, use_errno=True)


def confine(*, parent_pid: int, keep: frozenset[int], limits: Limits, directory: str) -> None:
    """Confine the calling process for good.

    `parent_pid` is the process it must not outlive, `keep` the descriptors it may hold, `directory` where it works.
    Raises OSError where the kernel refuses a required layer; exits at once where the parent is already gone.
    """
    os.setsid()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(1)  # the parent died before the signal was asked for
    _close_descriptors(keep)
    os.chdir(directory)
    # Root owns /proc/self of an undumpable process, so this write comes before that.
    Path("/proc/self/oom_score_adj").write_text(f"{max(_OOM_SCORE_ADJ, _oom_score_adj())}\n")
    for which, (soft, hard) in _resource_limits(limits).items():
        resource.setrlimit(which, (soft, hard))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_DUMPABLE, 0)
    _drop_capabilities()


def name_process(name: str) -> None:
    """Give the calling process the name that ps and top show, at most 15 bytes."""
    text = ctypes.create_string_buffer(name.encode()[:15])
    _prctl(_PR_SET_NAME, ctypes.addressof(text))


def active_layers() -> tuple[str, ...]:
    """Return the names of the layers that hold in the calling process, as the kernel tells it."""
    return tuple(name for name, holds in LAYERS.items() if holds())


LAYERS: dict[str, Callable[[], bool]] = {
    "own_session": lambda: os.getsid(0) == os.getpid(),
    "dies_with_parent": lambda: _parent_death_signal() == signal.SIGKILL,
    "no_new_privileges": lambda: _prctl(_PR_GET_NO_NEW_PRIVS) == 1,
    "not_dumpable": lambda: _prctl(_PR_GET_DUMPABLE) == 0,
    "capabilities_dropped": lambda: _capabilities() == [held & _KEPT_CAPABILITIES for held in _capabilities()],
    "resource_limits": lambda: _is_limited(),
    "first_out_of_memory": lambda: _oom_score_adj() >= _OOM_SCORE_ADJ,
    "seccomp": lambda: False,
    "landlock": lambda: False,
}
"""Each layer and the question to the kernel whether it holds. The last two have their place here and are not set yet:
a filter that a container's runtime may have installed is not counted as this project's."""

REQUIRED_LAYERS = frozenset(LAYERS) - {"seccomp", "landlock"}
"""Without one of these a media process is not confined as promised."""


def _is_limited() -> bool:
    limited = (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE)
    return all(resource.getrlimit(which)[1] != resource.RLIM_INFINITY for which in limited)


def _resource_limits(limits: Limits) -> dict[int, tuple[int, int]]:
    """Return soft and hard limits; none above a hard limit already in force, which only root could raise."""
    wanted = {
        resource.RLIMIT_AS: (limits.address_space_bytes,) * 2,
        # SIGXCPU comes at the soft limit and says why; SIGKILL at the hard one.
        resource.RLIMIT_CPU: (limits.cpu_seconds, limits.cpu_seconds + _CPU_GRACE_SECONDS),
        resource.RLIMIT_FSIZE: (limits.output_bytes,) * 2,
        resource.RLIMIT_NOFILE: (limits.open_files,) * 2,
        resource.RLIMIT_CORE: (0, 0),
    }
    capped = {}
    for which, (soft, hard) in wanted.items():
        ceiling = resource.getrlimit(which)[1]
        if ceiling != resource.RLIM_INFINITY:
            soft, hard = min(soft, ceiling), min(hard, ceiling)
        capped[which] = (soft, hard)
    return capped


def _close_descriptors(keep: frozenset[int]) -> None:
    """Close every descriptor but `keep`, and put /dev/null in place of the standard streams."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    for descriptor in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        if descriptor > 2 and descriptor not in keep:
            try:
                os.close(descriptor)
            except OSError:
                continue  # the descriptor the listing itself was read through


def _oom_score_adj() -> int:
    return int(Path("/proc/self/oom_score_adj").read_text())


def _capabilities() -> list[int]:
    """Return the process's effective, permitted and inheritable capabilities, one bit each."""
    data = (ctypes.c_uint32 * 6)()
    _checked("capget", _libc.capget(_CAPABILITY_HEADER, data))
    return [low | high << 32 for low, high in zip(data[:3], data[3:], strict=True)]


def _drop_capabilities() -> None:
    """Keep of root's powers only the way to files of other users, so that no limit set here can be raised again."""
    effective, permitted, *_ = (held & _KEPT_CAPABILITIES for held in _capabilities())
    data = (ctypes.c_uint32 * 6)(effective, permitted, 0, 0, 0, 0)
    _checked("capset", _libc.capset(_CAPABILITY_HEADER, data))


def _parent_death_signal() -> int:
    value = ctypes.c_int()
    _prctl(_PR_GET_PDEATHSIG, ctypes.addressof(value))
    return value.value


def _prctl(option: int, value: int = 0) -> int:
    """Call prctl(2); OSError where the kernel refuses."""
    return _checked(f"prctl {option}", _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0))


def _checked(call: str, result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
    return result
