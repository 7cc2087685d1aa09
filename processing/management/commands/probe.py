"""`manage.py probe file`: what a video file is, read in a media process: the facts that an upload's metadata has."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from processing.media import wire
from processing.media.errors import MediaError
from processing.media.process.launcher import MediaProcesses
from processing.media.requests import Metadata, MetadataRequest
from processing.media.specs import MediaProbe, VideoStream
from processing.outputs import Unusable, check_source, say, told

FIELDS = {
    "progressive": "progressive",
    "tt": "interlaced, top field first",
    "bb": "interlaced, bottom field first",
    "tb": "interlaced, top field coded first and bottom field shown first",
    "bt": "interlaced, bottom field coded first and top field shown first",
}
"""What the stream itself says; the diagnosis looks at the pictures."""
FAILED, UNUSABLE, INTERRUPTED = 1, 2, 130


class Command(BaseCommand):
    """Exit code 0: told. 1: the file is no video that can be worked on. 2: there is no such file."""

    help = "Say what a video file is: container, streams, counts by provenance, times, colour, tags."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the file."""
        parser.add_argument("file", type=Path)
        parser.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        """Probe and scan the file."""
        file: Path = options["file"]
        try:
            check_source(file)
            with MediaProcesses() as processes:
                metadata = processes.run("metadata", MetadataRequest(source=str(file.absolute())), Metadata)
        except Unusable as error:
            raise CommandError(str(error), returncode=UNUSABLE) from error
        except MediaError as error:
            raise CommandError(f"{told(file)}: {error.detail} ({error.code})", returncode=FAILED) from error
        except KeyboardInterrupt:
            raise CommandError("interrupted", returncode=INTERRUPTED) from None
        if options["json"]:
            say(self.stdout, json.dumps(wire.to_builtins(metadata), indent=2))
        else:
            say(self.stdout, "\n".join(f"{name:<11} {words}" for name, words in _lines(metadata)))


def _lines(metadata: Metadata) -> Iterator[tuple[str, str]]:
    probe = metadata.probe
    yield "container", f"{probe.container}, {metadata.duration_seconds:.3f} s"
    yield from _picture(probe.video, metadata)
    for track in probe.audio:
        default = ", default" if track.is_default else ""
        language = f", {track.language}" if track.language else ""
        yield "sound", f"#{track.index} {track.codec} {track.sample_rate_hz} Hz {track.layout}{language}{default}"
    yield from _others(probe)
    for name, value in probe.tags.items():
        yield "tag", f"{name}: {value}"
    for warning in metadata.warnings:
        yield "warning", warning


def _picture(video: VideoStream, metadata: Metadata) -> Iterator[tuple[str, str]]:
    profile = f" {video.profile}" if video.profile else ""
    yield "picture", f"#{video.index} {video.codec}{profile} {video.pixel_format} {video.width_px}x{video.height_px}"
    kind = "variable" if metadata.is_variable_rate else "constant"
    yield "rate", f"{kind}, on average {video.average_frame_rate or 'unknown'} frames/s"
    header = "none" if metadata.frames_from_header is None else metadata.frames_from_header
    decoded = "" if metadata.frames_from_decode is None else f", {metadata.frames_from_decode} from decoding"
    yield "frames", f"{metadata.frames_from_scan} from the scan, {header} from the header{decoded}"
    least, middle, most = metadata.keyframe_spacing_seconds
    yield "keyframes", f"{metadata.keyframes}, every {least:g} to {most:g} s, {middle:g} s as a rule"
    colour = video.colour
    hdr = "" if video.hdr == "none" else f", HDR ({video.hdr})"
    yield "colour", f"{colour.range} range, {colour.primaries}/{colour.transfer}/{colour.matrix}{hdr}"
    fields = FIELDS.get(video.field_order, "field order unknown")
    yield "shape", f"turn {video.rotation_degrees} degrees, pixel aspect {video.sample_aspect}, {fields}"


def _others(probe: MediaProbe) -> Iterator[tuple[str, str]]:
    for stream in probe.other:
        art = " (cover art)" if stream.is_cover_art else ""
        language = f", {stream.language}" if stream.language else ""
        yield "also", f"#{stream.index} {stream.kind} {stream.codec or 'of unknown codec'}{art}{language}"
    if probe.chapters:
        yield "chapters", ", ".join(chapter.title or "untitled" for chapter in probe.chapters)
