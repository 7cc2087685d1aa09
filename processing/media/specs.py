"""The frozen specs that cross the engine's seams: what a file is, when frames are shown, how it is cut, what is done.

Times are integer pts with a Fraction time base, ranges are half open, indices start at zero.
Counts carry their provenance: `_from_header`, `_from_scan` (packets not flagged discard), `_from_decode` (the truth).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from processing.media.measured import Diagnosis


@dataclass(frozen=True, kw_only=True)
class Colour:
    """Colour description by the code points of ISO/IEC 23091-2 (2 is unspecified)."""

    range: Literal["limited", "full", "unspecified"] = "unspecified"
    primaries: int = 2
    transfer: int = 2
    matrix: int = 2


@dataclass(frozen=True, kw_only=True)
class MasteringDisplay:
    """The screen an HDR video was graded on, in the units of its message in H.264, HEVC and AV1 (SMPTE ST 2086).

    Colours are CIE 1931 (x, y) in 1/50,000, luminances in 1/10,000 candela per square metre.
    """

    red: tuple[int, int]
    green: tuple[int, int]
    blue: tuple[int, int]
    white: tuple[int, int]
    least_luminance: int
    most_luminance: int


@dataclass(frozen=True, kw_only=True)
class LightLevel:
    """How bright an HDR video gets, in candela per square metre: brightest sample, highest average of a frame."""

    most: int
    most_average: int


@dataclass(frozen=True, kw_only=True)
class VideoStream:
    """The picture stream that is enhanced, as its header describes it."""

    index: int
    codec: str
    profile: str | None
    pixel_format: str
    bit_depth: int
    width_px: int
    height_px: int
    time_base: Fraction
    average_frame_rate: Fraction | None
    nominal_frame_rate: Fraction | None
    sample_aspect: Fraction
    rotation_degrees: int
    colour: Colour
    hdr: Literal["none", "pq", "hlg"]
    has_dolby_vision: bool
    field_order: str
    frames_from_header: int | None
    duration_seconds_from_header: float | None
    language: str | None
    tags: dict[str, str]
    has_captions: bool = False
    """Whether the first frame carries closed captions (CEA-608 or 708)."""
    has_alpha_beside: bool = False
    """Whether the container keeps how transparent pictures are beside them, as WebM does; decoding does not show it."""
    codec_tag: str = ""
    """The container's own name for the form the codec is in, such as hvc1 or hev1; empty where it has none."""
    mastering_display: MasteringDisplay | None = None
    light_level: LightLevel | None = None


@dataclass(frozen=True, kw_only=True)
class AudioStream:
    """One audio track, as its header describes it."""

    index: int
    codec: str
    profile: str | None
    sample_rate_hz: int
    channels: int
    layout: str
    bit_rate_bps_from_header: int | None
    language: str | None
    is_default: bool
    tags: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class OtherStream:
    """A stream that is neither the picture nor sound: subtitles, data, cover art, further pictures."""

    index: int
    kind: Literal["video", "subtitle", "data", "attachment", "unknown"]
    codec: str | None
    language: str | None
    is_cover_art: bool
    is_default: bool = False
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """A named part of the video, [start, stop) in ticks of `time_base` on the source's clock."""

    start: int
    stop: int
    time_base: Fraction
    title: str


@dataclass(frozen=True, kw_only=True)
class MediaProbe:
    """What a file says of itself, read without decoding a frame."""

    container: str
    duration_seconds_from_header: float | None
    bit_rate_bps_from_header: int | None
    video: VideoStream
    audio: tuple[AudioStream, ...]
    other: tuple[OtherStream, ...]
    chapters: tuple[Chapter, ...]
    tags: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """When each frame of the picture stream is shown, from a scan of its packets.

    `pts` holds one strictly increasing stamp for each frame expected, in ticks of `time_base`; frame i in decoder
    output is shown at pts[i]. `keyframes` holds the indices into `pts` of the frames a decoder can start at.
    `identity` says how a decoded frame is recognised: by its own "pts", or by its "index" in decoder output where
    stamps run backwards, are missing or repeat.
    """

    time_base: Fraction
    pts: tuple[int, ...]
    keyframes: tuple[int, ...]
    identity: Literal["pts", "index"]
    last_duration: int
    frames_from_header: int | None
    packets_from_scan: int
    frames_from_scan: int
    discarded_from_scan: int
    repaired: int
    is_variable_rate: bool
    keyframe_spacing_seconds: tuple[float, float, float]
    """Least, median and greatest distance between keyframes."""
    warnings: tuple[str, ...] = ()
    frames_from_decode: int | None = None
    """How many frames came out where the whole stream had to be decoded to know; None where a short check sufficed."""
    keyframe_bytes: tuple[int, ...] = ()
    """Size of each keyframe's packet: after a seek it tells whether the container found the place it named."""
    stamps: tuple[int, ...] = ()
    """Identity "index" only: the stamp the decoder itself gives frame i, to find it again after a seek. Unique, in no
    order; empty where the decoder's stamps are missing or repeat."""


@dataclass(frozen=True, kw_only=True)
class SourceFacts:
    """All that was read of a source: its header, and when its frames are shown. What every later step starts from."""

    probe: MediaProbe
    timeline: Timeline
    hdr_table: str | None = None
    """For HDR: how its colours look on an ordinary screen, as hdr_table.py writes it."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Frames [start, stop) of a timeline, the work of one task; [warmup, start) are decoded for the filters only.

    `seek` is the index of the keyframe that decoding starts at, at or before `warmup`.
    """

    index: int
    seek: int
    warmup: int
    start: int
    stop: int


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One operation of the enhancement: what, how strongly (0 is identity, below 0 takes away) and why."""

    operation: Literal["deinterlace", "denoise", "white_balance", "saturation", "tone", "local_contrast", "sharpen"]
    strength: float
    reason: str
    method: Literal["quick", "fine"] = "quick"
    """How a denoise is done."""


@dataclass(frozen=True, kw_only=True)
class ToneCurve:
    """The luma table that holds from a frame on (256 values, 0 to 255); part of the analysis track."""

    pts: int
    table: tuple[int, ...]
    is_blended: bool = False
    """Whether the table before turns into this one by and by, on the way from its pts to this one."""


@dataclass(frozen=True, kw_only=True)
class SteppedDown:
    """One operation that would have done harm, and became weaker before the plan was made."""

    operation: str
    harm: str
    """"clipping", "colour_clipping", "ringing", "lost_detail" (shares) or "flicker" (code values)."""
    measured: float
    """On the worst sample, at the strength before."""
    most: float
    """What may be at most."""
    strength_before: float
    strength: float
    """0 where it is left out."""


@dataclass(frozen=True, kw_only=True)
class Enhancement:
    """What is done to the pixels, frozen before the first segment starts; no operation means "left alone"."""

    preset: str
    choices: tuple[Choice, ...]
    reasons: tuple[str, ...]
    """One sentence for each thing looked at, those left alone too."""
    noise_sigma_luma: float
    noise_sigma_chroma: float
    tone: tuple[ToneCurve, ...] = ()
    cast_u: float = 0.0
    cast_v: float = 0.0
    """For the white balance operation: the measured cast."""
    first_field: Literal["top", "bottom"] = "top"
    """For the deinterlace operation."""
    stepped_down: tuple[SteppedDown, ...] = ()
    """What the no-harm gate made weaker."""


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How pictures are written: one encoder thread and the same arithmetic everywhere, so equal input, equal bytes."""

    codec: Literal["h264", "hevc"] = "h264"
    bit_depth: Literal[8, 10] = 8
    crf: float = 20.0
    """Each encoder's own scale: x265 reaches at 21 what x264 does at 20."""
    max_bitrate_kbps: int | None = None
    """Cap of the rate over any second or so (kilobits a second), beside the quality; None for none."""
    x264_preset: str = "veryfast"
    x265_preset: str = "superfast"
    """As good as x264's veryfast at a tenth less size, for four times its CPU; veryfast takes half as long again for
    nothing seen."""
    width_px: int = 0
    height_px: int = 0
    sample_aspect: Fraction = Fraction(1)
    rotation_degrees: int = 0
    colour: Colour = field(default_factory=Colour)
    mastering_display: MasteringDisplay | None = None
    light_level: LightLevel | None = None
    hdr_table: str | None = None
    """How the source's HDR becomes `colour`; where it is not given it is made anew, which takes seconds."""
    time_base: Fraction = Fraction(1, 90_000)
    """1/n: the output's ticks. Every source pts is a whole number of them."""


@dataclass(frozen=True, kw_only=True)
class Rendition:
    """One more file of a video beside the main one, from the same frames at the same times."""

    name: Literal["deep", "hdr"]
    """"hdr" is PQ or HLG as the source is, "deep" has ten bits and the source's colours."""
    video: Literal["encode", "copy"]
    encoding: Encoding
    enhancement: Enhancement
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything a segment needs beside the source, the same whoever computes it.

    It speaks of the rendition that every browser plays; renditions.py shows it as each further one sees it.
    """

    source_digest: str
    probe: MediaProbe
    timeline: Timeline
    diagnosis: Diagnosis
    enhancement: Enhancement
    video: Literal["encode", "copy"]
    """"copy" where nothing is to be enhanced and browsers play the video packets as they are; then no segments."""
    encoding: Encoding
    segments: tuple[Segment, ...]
    warnings: tuple[str, ...]
    rendition: Literal["web", "deep", "hdr"] = "web"
    further: tuple[Rendition, ...] = ()
