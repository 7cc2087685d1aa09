"""How much one media process may use. The only table of limits; the kernel or the supervisor enforces each of them.

Address space is not memory: a process that has loaded the libraries owns about 0.6 GB of it before the first frame, and
encoding 2160p peaks at 1.3 GB of address space with 0.75 GB resident.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

_MIB = 1 << 20
_GIB = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of one media process.

    Address space, CPU time, size of a written file and open files are the kernel's to enforce. The supervisor ends the
    process after `wall_seconds`, or after `stall_seconds` in which it neither reported progress nor used the CPU.
    """

    address_space_bytes: int = 4 * _GIB
    cpu_seconds: int = 3600
    output_bytes: int = 4 * _GIB
    """The greatest size of any one file written; 0 forbids writing files."""
    open_files: int = 64
    wall_seconds: float = 1800.0
    stall_seconds: float = 60.0


LIMITS: dict[str, Limits] = {
    "layers": Limits(cpu_seconds=5, output_bytes=0, wall_seconds=10, stall_seconds=10),
    "probe": Limits(cpu_seconds=8, output_bytes=0, wall_seconds=10, stall_seconds=10),
    "metadata": Limits(cpu_seconds=3600, output_bytes=_GIB, wall_seconds=3600),
    "diagnose": Limits(cpu_seconds=3600, output_bytes=0, wall_seconds=3600),
    "plan": Limits(cpu_seconds=3600, output_bytes=_GIB, wall_seconds=3600),
    "segment": Limits(cpu_seconds=7200, output_bytes=8 * _GIB, wall_seconds=3600),
    "join": Limits(cpu_seconds=7200, output_bytes=512 * _GIB, open_files=256, wall_seconds=7200, stall_seconds=120),
    "stills": Limits(cpu_seconds=300, output_bytes=64 * _MIB, wall_seconds=600),
    "source_stills": Limits(cpu_seconds=3600, output_bytes=64 * _MIB, wall_seconds=3600),
}
"""The limits of each operation, where the caller names none. Metadata, diagnosis, plan and the
stills of a source may have to decode all of a video whose packets cannot be trusted."""


def limits_for(
    operation: str,
    *,
    address_space_bytes: int | None = None,
    wall_seconds: float | None = None,
    stall_seconds: float | None = None,
) -> Limits:
    """Return the limits of an operation, with those replaced that the caller names."""
    named = {
        "address_space_bytes": address_space_bytes,
        "wall_seconds": wall_seconds,
        "stall_seconds": stall_seconds,
    }
    changes: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    return replace(LIMITS.get(operation, Limits()), **changes)
