"""The operations a media process can be asked for: which function answers which request.

The only list of what runs in the sandbox. An operation reads the files its request names and writes at its `output`,
nothing else. `report` is called with frames done so far and must be cheap.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from processing.media import wire
from processing.media.companions import without_tags
from processing.media.diagnosis import look
from processing.media.durable import full_disk_is_typed, make_durable, sha256_of
from processing.media.enhance import enhance_segment
from processing.media.enhancement.gate import harmless
from processing.media.enhancement.presets import choose
from processing.media.errors import ResourceExceeded
from processing.media.facts import known_facts, read_facts, write_facts
from processing.media.join import join_segments
from processing.media.planning import choose_encoding, make_plan
from processing.media.probe import probe
from processing.media.process import sandbox
from processing.media.process.child import Operation, Report
from processing.media.requests import (
    Chosen,
    DiagnoseRequest,
    JoinRequest,
    LayersRequest,
    Metadata,
    MetadataRequest,
    Planned,
    PlanRequest,
    ProbeRequest,
    SegmentRequest,
    SourceStillsRequest,
    StillsRequest,
)
from processing.media.soundness import sound_frames
from processing.media.specs import MediaProbe, Plan, Receipt, SegmentResult, Stills
from processing.media.stills import make_source_stills, make_stills
from processing.media.timeline import read_timeline

MAX_SEGMENTS = 20_000
"""A day and a half in segments of full length; a few frames spread over years would ask for more."""


def _layers(request: LayersRequest, report: Report) -> tuple[str, ...]:
    return sandbox.active_layers()


def _probe(request: ProbeRequest, report: Report) -> MediaProbe:
    return probe(Path(request.source))


def _metadata(request: MetadataRequest, report: Report) -> Metadata:
    facts = read_facts(Path(request.source))
    if request.output is not None:
        write_facts(facts, Path(request.output))
    timeline = facts.timeline
    ticks = timeline.pts[-1] + timeline.last_duration - timeline.pts[0]
    return Metadata(
        probe=facts.probe,
        duration_seconds=float(ticks * timeline.time_base),
        frames_from_header=timeline.frames_from_header,
        frames_from_scan=timeline.frames_from_scan,
        frames_from_decode=timeline.frames_from_decode,
        packets_from_scan=timeline.packets_from_scan,
        discarded_from_scan=timeline.discarded_from_scan,
        is_variable_rate=timeline.is_variable_rate,
        keyframes=len(timeline.keyframes),
        keyframe_spacing_seconds=timeline.keyframe_spacing_seconds,
        times_repaired=timeline.repaired,
        warnings=timeline.warnings,
    )


def _diagnose(request: DiagnoseRequest, report: Report) -> Chosen:
    source = Path(request.source)
    facts = known_facts(source, request.facts)
    seen = look(source, facts.probe, facts.timeline, request.parameters)
    wanted = choose(request.preset, seen.diagnosis, facts.probe, request.parameters)
    enhancement = harmless(wanted, seen.samples, choose_encoding(facts.probe.video).colour.range)
    return Chosen(diagnosis=seen.diagnosis, enhancement=enhancement)


def _plan(request: PlanRequest, report: Report) -> Planned:
    source, output = Path(request.source), Path(request.output)
    facts = known_facts(source, request.facts)
    header = without_tags(facts.probe) if request.strip_tags else facts.probe
    timeline = read_timeline(source, header, by_decoding=True) if request.by_decoding else facts.timeline
    chosen = request.chosen
    plan = make_plan(
        request.source_digest,
        header,
        timeline,
        chosen.diagnosis,
        chosen.enhancement,
        parameters=request.parameters,
    )
    if plan.video == "copy":
        frames = sound_frames(source, header, timeline, report)
        plan = make_plan(
            request.source_digest,
            header,
            replace(timeline, frames_from_decode=frames),
            chosen.diagnosis,
            chosen.enhancement,
            parameters=request.parameters,
            is_damaged=frames is None,
        )
    if len(plan.segments) > MAX_SEGMENTS:
        raise ResourceExceeded(f"{len(plan.segments)} segments, at most {MAX_SEGMENTS}", code="resource_packets")
    with full_disk_is_typed(output):
        output.write_bytes(wire.to_json(plan))
    make_durable(output)
    borders = (*timeline.pts, timeline.pts[-1] + 1)
    return Planned(
        video=plan.video,
        frames_total=len(timeline.pts),
        segments=tuple((borders[segment.start], borders[segment.stop]) for segment in plan.segments),
        segment_frames=tuple(segment.stop - segment.start for segment in plan.segments),
        warnings=plan.warnings,
        sha256=sha256_of(output),
    )


def _segment(request: SegmentRequest, report: Report) -> SegmentResult:
    plan = _read_plan(request.plan)
    return enhance_segment(Path(request.source), plan, request.index, Path(request.output), report)


def _join(request: JoinRequest, report: Report) -> Receipt:
    segments = tuple(Path(segment) for segment in request.segments)
    plan = _read_plan(request.plan)
    return join_segments(Path(request.source), plan, segments, request.results, Path(request.output), report)


def _stills(request: StillsRequest, report: Report) -> Stills:
    plan, folder = _read_plan(request.plan), Path(request.output)
    with full_disk_is_typed(folder):
        folder.mkdir(exist_ok=True)
    comparison = Path(request.comparison) if request.comparison else None
    return make_stills(Path(request.source), plan, Path(request.result), folder, comparison=comparison)


def _source_stills(request: SourceStillsRequest, report: Report) -> Stills:
    source, folder = Path(request.source), Path(request.output)
    with full_disk_is_typed(folder):
        folder.mkdir(exist_ok=True)
    return make_source_stills(source, known_facts(source, request.facts), folder)


def _read_plan(path: str) -> Plan:
    return wire.from_json(Path(path).read_bytes(), Plan)


OPERATIONS = {
    "layers": Operation(request=LayersRequest, function=_layers),
    "probe": Operation(request=ProbeRequest, function=_probe),
    "metadata": Operation(request=MetadataRequest, function=_metadata),
    "diagnose": Operation(request=DiagnoseRequest, function=_diagnose),
    "plan": Operation(request=PlanRequest, function=_plan),
    "segment": Operation(request=SegmentRequest, function=_segment),
    "join": Operation(request=JoinRequest, function=_join),
    "stills": Operation(request=StillsRequest, function=_stills),
    "source_stills": Operation(request=SourceStillsRequest, function=_source_stills),
}
"""By the name that a call gives."""
