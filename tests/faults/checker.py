"""The invariants I1 to I8, judged from the rows, the storage, what clients heard, and the process table.

Invariant: it reads only; each violation names its invariant, the job and the facts. It knows nothing of which fault was
inflicted: the same questions are asked after every one.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from processing.media.requests import file_name
from processing.state.job import EDGES
from tests.faults import campaign as campaigns
from tests.faults.system import ABANDONED_SECONDS, Faulty, FaultyServer, Waiting, media_processes, open_files

if TYPE_CHECKING:
    from tests.faults.campaign import Campaign

CRASHES, LOSSES = 3, 10
"""The most strikes of each kind, as the settings have them by default."""
QUIET_SECONDS = 10.0
"""How long a system whose work is done may take to let go of everything."""


def violations(campaign: Campaign) -> list[str]:
    """Return every violation found among the uploads of a campaign that has settled."""
    system = campaign.system
    jobs = {job["upload_id"]: job for job in system.rows.jobs()}
    found = [*campaign.watcher.violations]
    found = [f"I4 {violation}" for violation in found]
    for file_id, accepted in campaign.accepted.items():
        job = jobs.get(file_id)
        if job is None:
            found.append(f"I1 upload {file_id} has no job")
            continue
        events = system.rows.events(job["id"])
        found += _ended(job, accepted.ends)
        found += _published_once(job, events)
        found += _same_bytes(system, job, accepted.clip)
        found += _heard(job, events, campaign)
        found += _along_the_edges(job, events)
        found += _at_rest(system, job)
        found += _strikes(system, job)
        found += _written_by_holders(system, job)
    found += _files(system, jobs)
    found += _let_go(system)
    return found


def _ended(job: dict[str, Any], ends: frozenset[str]) -> Iterator[str]:
    if job["state"] not in ends:
        yield f"I1 job {job['id']} is {job['state']} ({job['error_code']}: {job['error_detail']}), not {sorted(ends)}"
    if job["state"] == "failed" and not job["error_code"]:
        yield f"I1 job {job['id']} failed without a reason"


def _published_once(job: dict[str, Any], events: list[dict[str, Any]]) -> Iterator[str]:
    published = sum(event["name"] == "published" for event in events)
    if published != (job["state"] == "ready"):
        yield f"I2 job {job['id']} is {job['state']} and was published {published} times"
    finished: Counter[tuple[int, str]] = Counter()
    epoch = 1
    for event in events:
        epoch += event["name"] in REOPENED
        if event["name"] in ONCE:
            finished[epoch, f"{event['name']} {(event['data'] or {}).get('segment', '')}"] += 1
    for (number, what), times in finished.items():
        if times > 1:
            yield f"I2 job {job['id']}: {what} happened {times} times in epoch {number}"


REOPENED = {"segment_damaged", "output_lost", "times_doubted", "retried"}
ONCE = {"metadata_extracted", "diagnosed", "planned", "segment_enhanced", "joining_started", "joined", "stills_made"}
"""What one epoch can do only once."""


def _same_bytes(system: Faulty, job: dict[str, Any], clip: str) -> Iterator[str]:
    if job["state"] != "ready":
        return
    path = system.storage / job["result_key"]
    if not path.is_file():
        yield f"I5 job {job['id']}: its result {job['result_key']} is not there"
        return
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != job["receipt"]["sha256"]:
        yield f"I3 job {job['id']}: its file is {digest[:12]}, its receipt says {job['receipt']['sha256'][:12]}"
    expected = campaigns.DIGESTS.setdefault(clip, digest)
    if digest != expected:
        yield f"I3 job {job['id']}: {digest[:12]}, the undisturbed run of {clip} gave {expected[:12]}"


def _heard(job: dict[str, Any], events: list[dict[str, Any]], campaign: Campaign) -> Iterator[str]:
    seqs = [event["seq"] for event in events]
    if seqs != list(range(1, job["seq"] + 1)):
        yield f"I4 job {job['id']}: its events are {seqs}"
    heard = campaign.watcher.followed.get(job["upload_id"])
    names = [event["name"] for event in events]
    if heard is None or heard.events != names:
        yield f"I4 job {job['id']}: its client heard {heard and heard.events} of {names}"


def _along_the_edges(job: dict[str, Any], events: list[dict[str, Any]]) -> Iterator[str]:
    state = "queued"
    for event in events:
        moved = event["state"] != state
        if event["name"] not in REOPENED and moved and event["state"] not in EDGES.get(state, frozenset()):
            yield f"I6 job {job['id']}: event {event['seq']} moved it from {state} to {event['state']}"
        elif event["name"] not in REOPENED and not moved and state in campaigns.TERMINAL:
            yield f"I6 job {job['id']}: event {event['seq']} ({event['name']}) came after its end"
        state = event["state"]
    if state != job["state"]:
        yield f"I6 job {job['id']} is {job['state']}, its last event says {state}"


def _at_rest(system: Faulty, job: dict[str, Any]) -> Iterator[str]:
    for step in system.rows.steps(job["id"]):
        if job["state"] in campaigns.TERMINAL and step["state"] in {"queued", "running"}:
            yield f"I6 job {job['id']} is {job['state']}, its {step['kind']} {step['number']} is {step['state']}"


def _strikes(system: Faulty, job: dict[str, Any]) -> Iterator[str]:
    for step in system.rows.steps(job["id"]):
        if step["crashes"] > CRASHES or step["losses"] > LOSSES:
            yield f"I7 job {job['id']}: {step['kind']} {step['number']} has {step['crashes']}, {step['losses']} strikes"


def _written_by_holders(system: Faulty, job: dict[str, Any]) -> Iterator[str]:
    for step in system.rows.steps(job["id"]):
        if step["state"] == "done" and step["output"]:
            attempt = int(Path(step["output"]).stem.rsplit("-", 1)[1])
            if attempt != step["attempt"]:
                yield (
                    f"I2 job {job['id']}: {step['kind']} {step['number']} was written by attempt {attempt}, "
                    f"though attempt {step['attempt']} held it"
                )


def _files(system: Faulty, jobs: dict[str, dict[str, Any]]) -> Iterator[str]:
    """No file without a row, no row without a file; jobs that are not settled yet may still have working files."""
    uploads = {row["id"]: row for row in system.rows.ask("SELECT id, source_key FROM uploads_upload")}
    for folder in _entries(system.storage / "sources"):
        if folder.name not in uploads and _age_seconds(folder) > 2 * ABANDONED_SECONDS:
            yield f"I5 source {folder.name} has no upload"
    for upload in uploads.values():
        if not (system.storage / upload["source_key"]).is_file():
            yield f"I5 upload {upload['id']} has no file"
    by_id = {job["id"]: job for job in jobs.values()}
    for job in jobs.values():
        for key in _told(job) if job["state"] == "ready" else ():
            if not (system.storage / key).is_file():
                yield f"I5 job {job['id']}: {key} is not there"
    for folder in _entries(system.storage / "jobs"):
        job = by_id.get(folder.name)
        if job is None:
            yield f"I5 folder of job {folder.name}, which is not there"
        elif job["cleaned_at"] is not None:
            kept = {job["stills_key"], *_told(job)} if job["state"] == "ready" else set()
            for path in (path for epoch in folder.iterdir() for path in epoch.iterdir()):
                if str(path.relative_to(system.storage)) not in kept:
                    yield f"I5 {path.relative_to(system.storage)} has no row (job is {job['state']})"


def _told(job: dict[str, Any]) -> set[str]:
    """Return the keys of all files that the row of a ready job speaks of."""
    receipts = [job["receipt"], *job["receipt"].get("further", ())] if job["result_key"] else []
    keys = {file_name(job["result_key"], receipt.get("rendition", "web")) for receipt in receipts}
    board = job["stills"].get("storyboard") or {}
    stills = [job["stills"].get(name) for name in ("poster", "before", "after")] + [board.get("sheet")]
    names = [still["name"] for still in stills if still] + [board[name] for name in ("cues", "thumbnails") if board]
    return keys | {f"{job['stills_key']}/{name}" for name in names} | ({job["plan_key"]} - {""})


def _let_go(system: Faulty) -> Iterator[str]:
    """No media process, no open file of the storage, no temporary file once nothing is in work."""
    if system.rows.ask("SELECT id FROM processing_step WHERE state = 'running'"):
        return
    waiting = Waiting(QUIET_SECONDS, "quiet")
    while held := _held(system):
        if waiting.passed_seconds > QUIET_SECONDS - 1:
            yield from held
            return
        waiting.again(0.2)


def _held(system: Faulty) -> list[str]:
    found = [f"I8 media process {pid} is left" for pid in media_processes(system)]
    for pid in system.pids():
        try:
            found += [f"I8 process {pid} holds {name}" for name in open_files(pid, below=system.storage)]
        except OSError:
            continue  # it has ended
    if isinstance(system, FaultyServer):
        found += [f"I8 temporary file {path}" for path in system.scratch.rglob("*") if path.is_file()]
    return found


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _age_seconds(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
