"""The operations a media process can be asked for: one frozen request and one frozen answer each.

The only list of what runs in the sandbox. A request names files by path (the process may read the source's folder and
write the output's folder, nothing else); an answer is small. `report` is called with frames done so far and must be cheap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processing.media import wire
from processing.media.diagnosis import diagnose
from processing.media.enhance import enhance_segment
from processing.media.enhancement.presets import choose
from processing.media.join import join_segments
from processing.media.planning import make_plan
from processing.media.probe import probe
from processing.media.specs import Diagnosis, Enhancement, MediaProbe, Receipt, SegmentResult
from processing.media.stills import Stills, make_stills
from processing.media.timeline import read_timeline

Report = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class ProbeRequest:
    """Read the header only."""

    source: str


@dataclass(frozen=True, kw_only=True)
class MetadataRequest:
    """Read the header and scan every packet."""

    source: str


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """The header and the counts of a scan."""

    probe: MediaProbe
    duration_seconds: float
    frames_from_header: int | None
    frames_from_scan: int
    packets_from_scan: int
    discarded_from_scan: int
    is_variable_rate: bool
    keyframes: int
    keyframe_spacing_seconds: tuple[float, float, float]
    times_repaired: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class DiagnoseRequest:
    """Measure the picture and choose what to do about it."""

    source: str
    preset: str


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What was measured and what follows from it."""

    diagnosis: Diagnosis
    enhancement: Enhancement


@dataclass(frozen=True, kw_only=True)
class PlanRequest:
    """Cut the timeline and freeze everything; the plan is written to `output` as JSON."""

    source: str
    source_digest: str
    chosen: Chosen
    output: str


@dataclass(frozen=True, kw_only=True)
class Planned:
    """The part of a plan that becomes rows."""

    video: str
    frames_total: int
    segments: tuple[tuple[int, int], ...]
    """(start_pts, stop_pts) of each segment; the last one's stop is its last pts + 1."""
    segment_frames: tuple[int, ...]
    warnings: tuple[str, ...]
    sha256: str


@dataclass(frozen=True, kw_only=True)
class SegmentRequest:
    """Decode, enhance and encode one segment of a plan."""

    source: str
    plan: str
    index: int
    output: str


@dataclass(frozen=True, kw_only=True)
class JoinRequest:
    """Check the segments, put them together with the source's sound and tags."""

    source: str
    plan: str
    segments: tuple[str, ...]
    results: tuple[SegmentResult, ...]
    output: str


@dataclass(frozen=True, kw_only=True)
class StillsRequest:
    """Write the poster and the pair of stills before and after into the folder `output`."""

    source: str
    plan: str
    result: str
    output: str
