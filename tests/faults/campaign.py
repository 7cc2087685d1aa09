"""One run of uploads against a system that is being broken, with all that is needed to judge it afterwards.

Invariant: `verdict` holds everything that was accepted here against the invariants (checker.py); nothing is forgotten
because a connection broke.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import httpx

from tests.acceptance.client import BlackBox
from tests.faults import checker
from tests.faults.system import Faulty, Waiting
from tests.faults.watcher import Watcher

DIGESTS: dict[str, str] = {}
"""The digest of the undisturbed result by clip, alike in both modes; filled by the first quiet run of each."""
TERMINAL = {"ready", "failed", "cancelled"}


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """One upload that was answered with 201."""

    file_id: str
    clip: str
    ends: frozenset[str]
    """The states it may end in."""
    at: float


@dataclass(kw_only=True)
class Campaign:
    """Uploads of one client and what was heard of them."""

    system: Faulty
    client_id: str = field(default_factory=lambda: f"faults-{uuid4().hex[:12]}")
    accepted: dict[str, Accepted] = field(default_factory=dict)
    begun: float = field(default_factory=time.monotonic)
    watcher: Watcher = field(init=False)

    def __post_init__(self) -> None:
        self.watcher = Watcher(self.system, self.client_id)

    def box(self) -> BlackBox:
        """Return a client; the address of an embedded system changes at each start."""
        return BlackBox(self.system.url, self.client_id, token=self.system.token)

    def upload(self, clip: Path, *, ends: frozenset[str] | None = None) -> str:
        """Upload a clip, which must be answered with 201; return its file id."""
        box = self.box()
        try:
            file_id = str(box.upload(clip)["file_id"])
        finally:
            box.close()
        self.note(file_id, clip, ends=ends)
        return file_id

    def try_upload(self, clip: Path) -> httpx.Response:
        """Upload a clip and return the answer, whatever it is; a 201 counts as accepted."""
        token = self.system.token
        headers = {"Authorization": f"Token {token}"} if token else {}
        with clip.open("rb") as file:
            response = httpx.post(
                f"{self.system.url}/upload",
                files={"file": (clip.name, file)},
                data={"client_id": self.client_id},
                headers=headers,
                timeout=60,
            )
        if response.status_code == 201:
            self.note(response.json()["file_id"], clip)
        return response

    def note(self, file_id: str, clip: Path, *, ends: frozenset[str] | None = None) -> None:
        """Count an upload as accepted."""
        self.accepted[file_id] = Accepted(
            file_id=file_id, clip=clip.stem, ends=ends or frozenset({"ready"}), at=time.monotonic()
        )

    def may_end(self, file_id: str, *states: str) -> None:
        """Say how an upload may end, because of what the test did to it."""
        known = self.accepted[file_id]
        self.accepted[file_id] = Accepted(file_id=file_id, clip=known.clip, ends=frozenset(states), at=known.at)

    def state(self, file_id: str) -> str:
        """Return the state of an upload's job."""
        return str(self.system.rows.job_of(file_id)["state"])

    def wait(self, file_id: str, *states: str, seconds: float = 60.0) -> float:
        """Wait until an upload's job is in one of these states; return how long it took."""
        waiting = Waiting(seconds, f"{file_id} in {states}")
        while self.state(file_id) not in states:
            waiting.again()
        return waiting.passed_seconds

    def settle(self, *, seconds: float = 120.0) -> None:
        """Wait until every accepted upload has ended, its watcher knows, and what is working for it is cleaned."""
        waiting = Waiting(seconds, "every upload at its end")
        while open_ones := self._open():
            if waiting.passed_seconds > seconds - 1:
                raise AssertionError(f"I1: not ended after {seconds:g} s: {open_ones}")
            waiting.again(0.1)

    def _open(self) -> list[str]:
        by_upload = {job["upload_id"]: job for job in self.system.rows.jobs()}
        found = []
        for file_id in self.accepted:
            job = by_upload.get(file_id)
            if job is None:
                found.append(f"{file_id} has no job")
            elif job["state"] not in TERMINAL or job["cleaned_at"] is None:
                found.append(f"{file_id} is {job['state']}, cleaned at {job['cleaned_at']}")
            elif self.watcher.seq(file_id) < job["seq"]:
                found.append(f"{file_id}: heard {self.watcher.seq(file_id)} of {job['seq']} events")
        return found

    def verdict(self) -> list[str]:
        """Return all violations of the invariants; the uploads must have settled."""
        return checker.violations(self)

    def finish(self, *, seconds: float = 120.0) -> None:
        """Settle, and assert that no invariant was violated."""
        self.settle(seconds=seconds)
        found = self.verdict()
        assert not found, "\n".join(found)

    def close(self) -> None:
        """Stop watching."""
        self.watcher.close()
