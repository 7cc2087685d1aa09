"""What goes over a client's socket, both ways: the only place where its messages are built and read.

A message out is a JSON text made once and shared by its readers. A message in is refused with a code, never guessed at.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

MAX_CHARACTERS = 16 * 1024
MAX_RESUMED_JOBS = 200
MAX_SEQ = 2**63 - 1


class BadMessage(Exception):
    """What a client sent cannot be understood; `code` is stable."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, kw_only=True)
class Measured:
    """How far a job is; `seconds_left` is a low and a high guess, `place` how many jobs go before it."""

    percent: float
    frames_done: int
    frames_total: int | None
    speed_x: float | None
    seconds_left: tuple[float, float] | None
    place: int | None

    @property
    def outlook(self) -> tuple[int | None, tuple[float, float] | None]:
        """What changes of a job before its first frame is enhanced."""
        return self.place, self.seconds_left if not self.frames_done else None


@dataclass(frozen=True, kw_only=True)
class Head:
    """Where a job's log ends as the database last told; `measured` may be None once the job has ended."""

    job_id: str
    file_id: str
    audience: str
    seq: int
    status: str
    ended: bool
    measured: Measured | None


@dataclass(frozen=True, kw_only=True)
class Happened:
    """One row of a job's log. Its text depends on the percent alone, which never goes back for a reader."""

    job_id: str
    file_id: str
    seq: int
    event: str
    status: str
    ended: bool
    percent: float
    at: str
    data: dict[str, Any]
    _texts: dict[float, str] = field(default_factory=dict, repr=False, compare=False)

    def text(self, percent: float) -> str:
        """Return the message with that percent."""
        if percent not in self._texts:
            self._texts[percent] = _json(
                type="event",
                event=self.event,
                file_id=self.file_id,
                job_id=self.job_id,
                seq=self.seq,
                at=self.at,
                status=self.status,
                progress={"percent": percent},
                data=self.data,
            )
        return self._texts[percent]


def progress(head: Head) -> str:
    """Return the message that says how far a job at work is, after its event `seq`."""
    return _json(
        type="progress",
        file_id=head.file_id,
        job_id=head.job_id,
        seq=head.seq,
        status=head.status,
        progress=asdict(head.measured) if head.measured else None,
    )


def snapshot(documents: Iterable[Mapping[str, Any]]) -> str:
    """Return the message that begins a connection, and begins it anew after a resync."""
    return _json(type="snapshot", jobs=list(documents))


def error(code: str, detail: str, **facts: str) -> str:
    """Return the answer to a message that could not be followed."""
    return _json(type="error", code=code, detail=detail, **facts)


def read_resume(text: str) -> dict[str, int]:
    """Return the seq that a client has seen of each job by its id; BadMessage for anything else than a resume."""
    try:
        message = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as exc:
        raise BadMessage("not_json", "A message must be a JSON object.") from exc
    if not isinstance(message, dict):
        raise BadMessage("not_json", "A message must be a JSON object.")
    if message.get("type") != "resume":
        raise BadMessage("unknown_type", 'The one message understood here has the type "resume".')
    jobs = message.get("jobs")
    if not isinstance(jobs, dict) or message.keys() != {"type", "jobs"}:
        raise BadMessage("bad_resume", '"jobs" must be an object of job ids and the seq last seen of each.')
    if len(jobs) > MAX_RESUMED_JOBS:
        raise BadMessage("too_many_jobs", f"A resume names at most {MAX_RESUMED_JOBS} jobs.")
    return {_job_id(name): _seq(seq) for name, seq in jobs.items()}


def _job_id(name: str) -> str:
    try:
        return str(UUID(name))
    except ValueError as exc:
        raise BadMessage("bad_job_id", 'A job id in "jobs" is not one.') from exc


def _seq(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MAX_SEQ:
        raise BadMessage("bad_seq", "A seq is a whole number from 0.")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _json(**message: Any) -> str:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))
