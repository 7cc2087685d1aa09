"""What finished work proves of itself: a segment, the joined file with all it carries, the stills beside it.

Invariant: every figure was measured on what was written, none is carried over from a plan.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from processing.media.specs import Colour, LightLevel, MasteringDisplay


@dataclass(frozen=True, kw_only=True)
class SegmentResult:
    """What one segment became."""

    index: int
    """Counted over all renditions that are encoded: those of the first, then those of the next."""
    frames_from_decode: int
    frames_out: int
    corrupt_frames: int
    size_bytes: int
    sha256: str
    fingerprint: str
    """The engine's versions and SIMD class: equal fingerprints give equal bytes."""
    clipped_share: float = 0.0
    """Share of pixels that the enhancement made black, white or as colourful as can be, in the worst scene."""


@dataclass(frozen=True, kw_only=True)
class AudioReceipt:
    """What became of one audio track."""

    index: int
    codec: str
    mode: Literal["copied", "transcoded", "dropped"]
    packets: int
    payload_equal: bool | None
    """Whether the packets' payload digest is the source's; None when transcoded or dropped."""


@dataclass(frozen=True, kw_only=True)
class SubtitleReceipt:
    """What became of one subtitle stream."""

    index: int
    codec: str
    mode: Literal["copied", "converted", "dropped"]
    cues: int
    """How many stand in the result; cues shown at once became one more cue where they overlap."""


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What a finished job proves of itself, measured on the written file."""

    frames_from_scan: int
    frames_from_decode: int | None
    """None where the video packets were copied without decoding them."""
    frames_out: int
    pts_equal: bool
    pts_repaired: int
    audio: tuple[AudioReceipt, ...]
    rotation_degrees: int
    sample_aspect: Fraction
    colour: Colour
    width_px: int
    height_px: int
    duration_seconds: float
    size_bytes: int
    sha256: str
    fingerprints: tuple[str, ...]
    corrupt_frames: int
    dropped_streams: tuple[str, ...]
    warnings: tuple[str, ...]
    subtitles: tuple[SubtitleReceipt, ...] = ()
    chapters: int = 0
    cover_pictures: int = 0
    tags: dict[str, str] = field(default_factory=dict)
    """What the result says of itself, as it was read back."""
    dropped_tags: tuple[str, ...] = ()
    """Names of the source's tags that MP4 has no place for."""
    rendition: Literal["web", "deep", "hdr"] = "web"
    codec: str = "h264"
    bit_depth: int = 8
    hdr: Literal["none", "pq", "hlg"] = "none"
    mastering_display: MasteringDisplay | None = None
    light_level: LightLevel | None = None
    clipped_share: float = 0.0
    """The worst of all segments."""
    further: tuple[Receipt, ...] = ()
    """The receipts of the other renditions; they have none of their own."""


@dataclass(frozen=True, kw_only=True)
class Still:
    """One JPEG beside the result: its file name within the stills' folder and its size."""

    name: str
    width_px: int
    height_px: int


@dataclass(frozen=True, kw_only=True)
class Storyboard:
    """Moments spread evenly over a video: one sheet of tiles, WebVTT cues that lead to them, a thumbnail of each."""

    sheet: Still
    cues: str
    """File name; the cues name the sheet "storyboard"."""
    thumbnails: str
    """File name; JPEGs one after the other, one for each moment."""
    moments_ms: tuple[int, ...]
    """Increasing, as a result's player counts from the start of picture or sound; a source's from its first picture."""
    stops_bytes: tuple[int, ...]
    """Where each thumbnail ends in their file; the next one begins there."""


@dataclass(frozen=True, kw_only=True)
class Stills:
    """The poster, the storyboard, and one moment before and after enhancement; upright, with square pixels."""

    poster: Still
    poster_seconds: float
    before: Still | None = None
    """None where nothing was enhanced because nothing was to be; so is `after`."""
    after: Still | None = None
    pair_seconds: float | None = None
    storyboard: Storyboard | None = None
