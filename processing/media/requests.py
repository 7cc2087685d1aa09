"""What a media process can be asked for and what it answers: one frozen request and answer for each operation.

A request names files by path; an answer is small. Importing this loads no codec: the web server and the dispatcher do.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

from processing.media.measured import Diagnosis
from processing.media.parameters import NONE_GIVEN, Parameters
from processing.media.receipts import SegmentResult
from processing.media.specs import Enhancement, MediaProbe

METADATA_ONLY = "metadata-only"
"""The preset that works on no picture: metadata, poster and storyboard, no result."""
PRESET_NAMES = ("auto", "gentle", "low-light", "denoise", "fine", "restore", METADATA_ONLY)
"""What can be asked for; enhancement/presets.py says what each of the others means."""


FURTHER_RENDITIONS = ("deep", "hdr")
"""Files that a job may write beside the main one; renditions.py says when."""


def file_name(main: str, rendition: str) -> str:
    """Return what a rendition's file is called, by the main one's path or key.

    >>> file_name("film.mp4", "hdr"), file_name("a/b.mp4", "web")
    ('film.hdr.mp4', 'a/b.mp4')
    """
    if rendition not in FURTHER_RENDITIONS:
        return main
    path = PurePath(main)
    return str(path.with_name(f"{path.stem}.{rendition}{path.suffix}"))


@dataclass(frozen=True, kw_only=True)
class LayersRequest:
    """Name the layers of the sandbox that are active in a media process; the answer is a tuple of names."""


@dataclass(frozen=True, kw_only=True)
class ProbeRequest:
    """Read the header only."""

    source: str


@dataclass(frozen=True, kw_only=True)
class MetadataRequest:
    """Read the header and scan every packet."""

    source: str
    output: str | None = None
    """Where to write the facts read, for the diagnosis and the plan."""


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """The header and the counts of a scan."""

    probe: MediaProbe
    duration_seconds: float
    frames_from_header: int | None
    frames_from_scan: int
    frames_from_decode: int | None = None
    """None where the packets could be trusted, so that not everything was decoded."""
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
    facts: str | None = None
    """The facts that the metadata operation wrote; without them the source is read again."""
    parameters: Parameters = NONE_GIVEN


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What was measured and what follows from it."""

    diagnosis: Diagnosis
    enhancement: Enhancement
    hdr_enhancement: Enhancement | None = None
    """What is done to HDR where it stays HDR, by a measurement in its own code values; None for other sources."""


@dataclass(frozen=True, kw_only=True)
class PlanRequest:
    """Cut the timeline and freeze everything; the plan is written to `output` as JSON."""

    source: str
    source_digest: str
    chosen: Chosen
    output: str
    facts: str | None = None
    """As for the diagnosis."""
    parameters: Parameters = NONE_GIVEN
    strip_tags: bool = False
    """Leave out what the file says of where, when and by whom it was made; languages stay."""
    with_deep: bool = True
    """Make a rendition of ten bits beside the main one, where the source holds more than eight or is HDR."""
    by_decoding: bool = False
    """Read the timeline from a decode of everything: how to plan again after a TimelineMismatch."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """The part of a plan that becomes rows."""

    video: str
    frames_total: int
    """Frames of the video; each rendition has them all."""
    segments: tuple[tuple[int, int], ...]
    """(start_pts, stop_pts) of each segment, those of the first encoded rendition, then those of the next; the last
    one's stop is its last pts + 1."""
    segment_frames: tuple[int, ...]
    warnings: tuple[str, ...]
    sha256: str
    further: tuple[str, ...] = ()
    """Names of the renditions beside the main one."""


@dataclass(frozen=True, kw_only=True)
class SegmentRequest:
    """Decode, enhance and encode one segment of one rendition of a plan; `index` counts as in the answer to it."""

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
    further: tuple[str, ...] = ()
    """Where the other renditions are written, in the plan's order."""


@dataclass(frozen=True, kw_only=True)
class StillsRequest:
    """Write the poster, the storyboard and the stills before and after into the folder `output`."""

    source: str
    plan: str
    result: str
    output: str
    comparison: str | None = None
    """Where to write the pair beside each other as one PNG."""


@dataclass(frozen=True, kw_only=True)
class SourceStillsRequest:
    """Write poster and storyboard of a source that is not worked on into the folder `output`."""

    source: str
    output: str
    facts: str | None = None
    """Where the metadata operation wrote what it read; None to read the source again."""
