"""The jobs whose logs some reader was not told to their end yet.

Invariant: a job leaves only when no open reader is behind it, so whoever put it in may forget it. What is taken at once
is bounded for each audience: one that has ten thousand jobs to hear of delays no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

from processing.live.events import PAGE
from processing.live.messages import Head
from processing.live.reader import Reader

JOBS_AT_ONCE = 200
"""How many jobs of the backlog are read in one tick, shared by the audiences that wait; each gets one at least."""
FAR_READERS = 8
"""How many readers that are more than a page behind are served in one tick."""


class Backlog:
    """Heads by audience, the one that waits longest first."""

    def __init__(self) -> None:
        self._heads: dict[str, dict[str, Head]] = {}

    def __bool__(self) -> bool:
        return bool(self._heads)

    def forget(self, audience: str) -> None:
        """Drop what waits for an audience that nobody reads for any more."""
        self._heads.pop(audience, None)

    def settle(self, heads: Iterable[Head], readers: Mapping[str, Iterable[Reader]]) -> None:
        """Keep those of the heads that an open reader is behind, at the end of their audience's row, and no other."""
        for head in heads:
            row = self._heads.setdefault(head.audience, {})
            row.pop(head.job_id, None)
            if _behind(head, readers):
                row[head.job_id] = head
            elif not row:
                del self._heads[head.audience]

    def take(self, first: Iterable[str]) -> list[Head]:
        """Return the jobs `first`, where they wait, and each audience's share of the others; all stay until settled."""
        share = max(1, JOBS_AT_ONCE // max(1, len(self._heads)))
        named = set(first)
        taken = {job_id: head for row in self._heads.values() for job_id, head in islice(row.items(), share)}
        taken |= {job_id: row[job_id] for row in self._heads.values() for job_id in named & row.keys()}
        return list(taken.values())


def wanted(heads: Iterable[Head], readers: Mapping[str, Iterable[Reader]]) -> list[tuple[Head, int]]:
    """Return behind which seq to read each job: a page for those near its end, and for each far one."""
    near: list[tuple[Head, int]] = []
    far: list[tuple[Head, int]] = []
    for head in heads:
        seqs = _behind(head, readers)
        far += [(head, seq) for seq in seqs if head.seq - seq > PAGE]
        near += [(head, seq) for seq in seqs if head.seq - seq <= PAGE][:1]
    return near + far[:FAR_READERS]


def _behind(head: Head, readers: Mapping[str, Iterable[Reader]]) -> list[int]:
    """Return the places before a head's seq that open readers have, each once, in order."""
    places = {reader.seq(head.job_id) for reader in readers.get(head.audience, ()) if reader.open}
    return sorted(seq for seq in places if seq < head.seq)
