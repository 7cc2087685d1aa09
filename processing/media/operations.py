"""The operations a media process can be asked for: which function answers which request.

The only list of what runs in the sandbox. An operation reads the files its request names and writes at its `output`,
nothing else. `report` is called with frames done so far and must be cheap.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
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
from processing.media.receipts import Receipt, SegmentResult, Stills
from processing.media.renditions import in_own_values, own_colour, renditions_of, segment_at, segments_of
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
from processing.media.soundness import has_headers_apart, sound_frames
from processing.media.specs import MediaProbe, Plan
from processing.media.stills import make_source_stills, make_stills
from processing.media.timeline import read_timeline

MAX_SEGMENTS = 20_000
"""A day and a half in segments of full length; a few frames spread over years would ask for more."""


def _layers(request: LayersRequest, report: Report) -> tuple[str, ...]:
    return sandbox.active_layers()


def _probe(request: ProbeRequest, report: Report) -> MediaProbe:
    return probe(Path(request.source))


def _metadata(request: MetadataRequest, report: Report) -> Metadata:
    facts = read_facts(Path(request.source), with_table=request.output is not None)
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
    video, colour = facts.probe.video, choose_encoding(facts.probe.video).colour
    seen = look(source, facts.probe, facts.timeline, request.parameters, hdr_table=facts.hdr_table)
    wanted = choose(request.preset, seen.diagnosis, facts.probe, request.parameters)
    enhancement = harmless(wanted, seen.samples, colour.range)
    if video.hdr == "none":
        return Chosen(diagnosis=seen.diagnosis, enhancement=enhancement)
    own = look(source, facts.probe, facts.timeline, request.parameters, in_own_values=True)
    wanted = in_own_values(choose(request.preset, own.diagnosis, facts.probe, request.parameters))
    kept = harmless(wanted, own.samples, own_colour(video).range)
    return Chosen(diagnosis=seen.diagnosis, enhancement=enhancement, hdr_enhancement=kept)


def _plan(request: PlanRequest, report: Report) -> Planned:
    source, output = Path(request.source), Path(request.output)
    facts = known_facts(source, request.facts)
    header = without_tags(facts.probe) if request.strip_tags else facts.probe
    timeline = read_timeline(source, header, by_decoding=True) if request.by_decoding else facts.timeline
    planning = partial(
        make_plan,
        request.source_digest,
        header,
        diagnosis=request.chosen.diagnosis,
        enhancement=request.chosen.enhancement,
        hdr_enhancement=request.chosen.hdr_enhancement,
        hdr_table=facts.hdr_table,
        parameters=request.parameters,
        with_deep=request.with_deep,
    )
    plan = planning(timeline)
    if any(rendition.video == "copy" for rendition in renditions_of(plan)):
        is_carried = has_headers_apart(source, header)
        frames = sound_frames(source, header, timeline, report) if is_carried else None
        plan = planning(replace(timeline, frames_from_decode=frames), is_damaged=frames is None)
    segments = [segment for rendition in renditions_of(plan) for segment in rendition.segments]
    if len(segments) > MAX_SEGMENTS:
        raise ResourceExceeded(f"{len(segments)} segments, at most {MAX_SEGMENTS}", code="resource_packets")
    with full_disk_is_typed(output):
        output.write_bytes(wire.to_json(plan))
    make_durable(output)
    borders = (*timeline.pts, timeline.pts[-1] + 1)
    return Planned(
        video=plan.video,
        frames_total=len(timeline.pts),
        segments=tuple((borders[segment.start], borders[segment.stop]) for segment in segments),
        segment_frames=tuple(segment.stop - segment.start for segment in segments),
        warnings=plan.warnings,
        sha256=sha256_of(output),
        further=tuple(rendition.name for rendition in plan.further),
    )


def _segment(request: SegmentRequest, report: Report) -> SegmentResult:
    rendition, segment = segment_at(_read_plan(request.plan), request.index)
    result = enhance_segment(Path(request.source), rendition, segment, Path(request.output), report)
    return replace(result, index=request.index)


def _join(request: JoinRequest, report: Report) -> Receipt:
    plan = _read_plan(request.plan)
    done = 0
    receipts = []
    for (rendition, numbers), output in zip(segments_of(plan), (request.output, *request.further), strict=True):
        own = slice(numbers.start, numbers.stop)
        receipt = join_segments(
            Path(request.source),
            rendition,
            [Path(segment) for segment in request.segments[own]],
            request.results[own],
            Path(output),
            partial(_report_after, report, done),
        )
        done += receipt.frames_out
        receipts.append(receipt)
    return replace(receipts[0], further=tuple(receipts[1:]))


def _report_after(report: Report, done: int, frames: int) -> None:
    report(done + frames)


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
