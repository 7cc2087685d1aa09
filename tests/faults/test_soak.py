"""Row 24: many jobs, and what the processes hold afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.campaign import Campaign
from tests.faults.system import Faulty, FaultyServer

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200)]
AT_ONCE = 20


def test_row_24_many_jobs(
    server: FaultyServer,
    campaign: Callable[[Faulty], Campaign],
    short: Path,
    figures: Callable[..., None],
    full: bool,
) -> None:
    """Memory, handles and temporary files are flat between the first third and the end."""
    jobs = 2000 if full else 100
    enhance(server, campaign, short, jobs // 3)
    before = {name: held(server.pid(name)) for name in ("worker", "dispatch", "web")}
    enhance(server, campaign, short, jobs - jobs // 3)
    after = {name: held(server.pid(name)) for name in before}
    figures(jobs=jobs, **{name: f"{memory >> 20} MiB" for name, (memory, _) in after.items()})
    for name, (memory, handles) in after.items():
        assert memory <= before[name][0] * 1.05, f"{name}: {before[name][0] >> 10} KiB became {memory >> 10} KiB"
        assert handles <= before[name][1] * 1.05 + 1, f"{name}: {before[name][1]} handles became {handles}"


def enhance(system: FaultyServer, begin: Callable[[Faulty], Campaign], clip: Path, jobs: int) -> None:
    """Have so many jobs done, some at a time, each lot by a client of its own."""
    while jobs > 0:
        run = begin(system)
        lot = min(jobs, AT_ONCE)
        for _ in range(lot):
            run.upload(clip)
        run.finish(seconds=600)
        run.close()
        jobs -= lot


def held(pid: int) -> tuple[int, int]:
    """Return the resident bytes that are a process's own, and how many handles it has open."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["RssAnon"].split()[0]) * 1024, len(list(Path(f"/proc/{pid}/fd").iterdir()))
