"""What is in work just now: which media process writes which segment, how far it is, and what came to nothing.

Invariant: it looks at rows and at the process table, and changes nothing but by an upload.
"""

from __future__ import annotations

from pathlib import Path

from tests.faults.campaign import Campaign
from tests.faults.system import Faulty, Waiting, media_processes


def working_on(system: Faulty, job_id: str, *, operation: str = "segment") -> tuple[int, str]:
    """Wait until a media process is at work on a job; its id and the key of what it writes."""
    waiting = Waiting(60, f"a media process on {job_id}")
    while (found := at_work(system, job_id, operation=operation)) is None:
        waiting.again(0.01)
    return found


def caught(run: Campaign, clip: Path, *, share: float) -> tuple[str, int, str]:
    """Upload a clip, again where all was done before it was seen, until a media process with `share` (0 to 1) of a
    segment's frames done is at work; the file id, the process's id and its key."""
    waiting = Waiting(120, f"a media process with {share:.0%} done")
    while True:
        file_id = run.upload(clip)
        job_id = run.system.rows.job_of(file_id)["id"]
        while run.state(file_id) in {"queued", "probing", "enhancing"}:
            found = at_work(run.system, job_id, share=share)
            if found is not None:
                return file_id, *found
            waiting.again(0.01)


def at_work(system: Faulty, job_id: str, *, operation: str = "segment", share: float = 0.0) -> tuple[int, str] | None:
    """Return a media process at work on a job with `share` (0 to 1) of its frames done, and its key; None for none."""
    far = {
        f"{step['kind']}-{step['number']:05d}-{step['attempt']}"
        for step in system.rows.steps(job_id)
        if step["state"] == "running" and step["frames_done"] >= share * (step["frames"] or 0)
    }
    for pid, key in media_processes(system, operation=operation).items() if far else []:
        if key.startswith(job_id) and Path(key).stem in far:
            return pid, key
    return None


def redone(system: Faulty, file_id: str) -> int:
    """Return how many attempts of segments came to nothing."""
    steps = system.rows.steps(system.rows.job_of(file_id)["id"])
    return sum(step["attempt"] - 1 for step in steps if step["kind"] == "segment")


def attempt_of(system: Faulty, key: str) -> int:
    """Return the newest attempt of the step that writes to a key `job/epoch/kind-index-attempt`."""
    job_id, _, name = key.split("/")
    kind, number, _ = Path(name).stem.split("-")
    return max(s["attempt"] for s in system.rows.steps(job_id) if (s["kind"], s["number"]) == (kind, int(number)))


def is_done(system: Faulty, key: str) -> bool:
    """Whether what was written to a key counts."""
    steps = system.rows.steps(key.split("/")[0])
    return any(step["output"] == f"jobs/{key}" and step["state"] == "done" for step in steps)
