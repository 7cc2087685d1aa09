"""Takes a file the whole way through the engine, each operation in a media process of its own, as a worker does."""

from __future__ import annotations

from pathlib import Path

from processing.media.process.launcher import MediaProcesses
from processing.media.receipts import Receipt, SegmentResult, Stills
from processing.media.requests import (
    Chosen,
    DiagnoseRequest,
    JoinRequest,
    Planned,
    PlanRequest,
    ProbeRequest,
    SegmentRequest,
    StillsRequest,
)
from processing.media.specs import MediaProbe


def probe(processes: MediaProcesses, source: Path) -> MediaProbe:
    """Read the header alone, as the upload does."""
    return processes.run("probe", ProbeRequest(source=str(source)), MediaProbe)


def enhance(processes: MediaProcesses, source: Path, preset: str = "denoise") -> Receipt:
    """Take a file the whole way from its header to the stills, each step in a process of its own."""
    name, folder = str(source), source.parent
    chosen = processes.run("diagnose", DiagnoseRequest(source=name, preset=preset), Chosen)
    plan = str(folder / "plan.json")
    planned = processes.run(
        "plan", PlanRequest(source=name, source_digest="0" * 64, chosen=chosen, output=plan), Planned
    )
    segments = tuple(str(folder / f"{index}.mp4") for index in range(len(planned.segments)))
    results = tuple(
        processes.run("segment", SegmentRequest(source=name, plan=plan, index=index, output=output), SegmentResult)
        for index, output in enumerate(segments)
    )
    result = str(folder / "result.mp4")
    request = JoinRequest(source=name, plan=plan, segments=segments, results=results, output=result)
    receipt = processes.run("join", request, Receipt)
    request_stills = StillsRequest(source=name, plan=plan, result=result, output=str(folder / "stills"))
    stills = processes.run("stills", request_stills, Stills)
    assert all(
        (folder / "stills" / still.name).stat().st_size for still in (stills.poster, stills.before, stills.after)
    )
    return receipt
