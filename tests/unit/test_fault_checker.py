"""The checker of the fault campaigns sees what it is there to see, on rows and files made by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.faults import checker


def events(*pairs: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"seq": seq, "name": name, "state": state, "data": {}} for seq, (name, state) in enumerate(pairs, 1)]


@pytest.mark.parametrize(
    ("after_the_end", "seen"),
    [
        ([], []),
        ([("retried", "enhancing"), ("segment_enhanced", "enhancing")], []),
        ([("segment_enhanced", "cancelled")], ["I6 job 1: event 3 (segment_enhanced) came after its end"]),
        ([("joined", "publishing")], ["I6 job 1: event 3 moved it from cancelled to publishing"]),
    ],
)
def test_nothing_happens_after_the_end_of_an_epoch(after_the_end: list[tuple[str, str]], seen: list[str]) -> None:
    happened = events(("accepted", "queued"), ("cancelled", "cancelled"), *after_the_end)
    assert list(checker._along_the_edges({"id": 1, "state": happened[-1]["state"]}, happened)) == seen


@pytest.mark.parametrize("gone", ["", "result.mp4", "result.deep.mp4", "plan.json", "stills/poster.jpg", "spare.mp4"])
def test_a_row_without_a_file_is_seen_and_a_file_without_a_row(tmp_path: Path, gone: str) -> None:
    folder = tmp_path / "jobs" / "j" / "1"
    for name in ("result.mp4", "result.deep.mp4", "plan.json", "stills/poster.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    if gone == "spare.mp4":
        (folder / gone).touch()
    elif gone:
        (folder / gone).unlink()
    job = {
        "id": "j",
        "state": "ready",
        "cleaned_at": "now",
        "result_key": "jobs/j/1/result.mp4",
        "stills_key": "jobs/j/1/stills",
        "plan_key": "jobs/j/1/plan.json",
        "receipt": {"rendition": "web", "further": [{"rendition": "deep"}]},
        "stills": {"poster": {"name": "poster.jpg"}},
    }
    system: Any = SimpleNamespace(storage=tmp_path, rows=SimpleNamespace(ask=lambda _: []))
    found = list(checker._files(system, {"u": job}))
    assert len(found) == (1 if gone else 0)
    assert all(text.startswith("I5 ") for text in found)
