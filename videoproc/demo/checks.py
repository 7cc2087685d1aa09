"""Whether the result kept what the source was: both files are read and decoded here, nothing is taken on trust.

Invariant: a check that could not be made is not held; every check that failed has a sentence with the figures.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame

from processing.media.decode import DecodeTally, raw_frames
from processing.media.diagnosis import diagnose
from processing.media.measured import Diagnosis
from processing.media.probe import probe
from processing.media.sound import COPIED_CODECS, PayloadDigest, codec_of
from processing.media.sources import open_source
from processing.media.specs import Colour, MediaProbe, Timeline
from processing.media.timeline import read_timeline

UNSPECIFIED = 2
IDENTITY_MATRIX = 0
"""The picture is RGB; it has to become something else to be seen in a browser."""
NAMES = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 9: "bt2020", 16: "pq", 18: "hlg"}
TRANSCODED_OFFSET_SECONDS = Fraction(1, 10)
"""Encoders of sound put their own silence before the first sample, which players take off again."""


@dataclass(frozen=True, kw_only=True)
class Sound:
    """One audio track as its packets are."""

    codec: str
    channels: int
    rate_hz: int
    packets: int
    digest: str
    tick: Fraction
    first_seconds: Fraction | None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A file, read from its first packet to its last and decoded."""

    probe: MediaProbe
    timeline: Timeline
    diagnosis: Diagnosis
    stamps: tuple[Fraction | None, ...]
    """When each decoded frame is shown, in seconds, in the order the decoder gave them."""
    sounds: tuple[Sound, ...]
    luma: dict[int, np.ndarray]
    """The luma planes asked for, by the frame's number."""

    @property
    def duration_seconds(self) -> float:
        """From the first frame's beginning to the last one's end."""
        ticks = self.timeline.pts[-1] - self.timeline.pts[0] + self.timeline.last_duration
        return float(ticks * self.timeline.time_base)


@dataclass(frozen=True, kw_only=True)
class Check:
    """One promise: its name, whether it held, and in a few words how or why not."""

    name: str
    held: bool
    words: str


def read(path: Path, *, keep_luma: Collection[int] = ()) -> Reading:
    """Read and decode the whole file; keep the luma planes of the frames numbered in `keep_luma`."""
    facts = probe(path)
    timeline = read_timeline(path, facts)
    stamps: list[Fraction | None] = []
    luma: dict[int, np.ndarray] = {}
    for number, frame in enumerate(raw_frames(path, facts.video.index, DecodeTally(), threads=2)):
        stamps.append(frame.pts * facts.video.time_base if frame.pts is not None else None)
        if number in keep_luma:
            luma[number] = luma_plane(frame)
    return Reading(
        probe=facts,
        timeline=timeline,
        diagnosis=diagnose(path, facts, timeline),
        stamps=tuple(stamps),
        sounds=_sounds(path),
        luma=luma,
    )


def luma_plane(frame: VideoFrame) -> np.ndarray:
    """Return a copy of the luma of a frame with 8-bit planes: height x width, uint8, code values as they are."""
    plane = frame.planes[0]
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width].copy()


def compare(source: Reading, result: Reading, *, warnings: Sequence[str]) -> list[Check]:
    """Return every promise of fidelity and whether it held."""
    return [
        _frames(source, result),
        _times(source, result),
        *_sound_checks(source, result),
        _shape(source, result),
        _colour(source, result, is_tone_mapped=any(text.startswith("hdr_tone_mapped") for text in warnings)),
    ]


def _frames(source: Reading, result: Reading) -> Check:
    before, after = len(source.stamps), len(result.stamps)
    return Check(name="frames", held=0 < before == after, words=f"{after} of {before}")


def _times(source: Reading, result: Reading) -> Check:
    expected = _expected_stamps(source)
    mended = "" if expected == list(source.stamps) else f"; {source.timeline.repaired} in the source had to be mended"
    found = list(result.stamps)
    if len(expected) != len(found) or not expected:
        return Check(name="times", held=False, words=f"{len(found)} stamps for {len(expected)} frames")
    for number, (before, after) in enumerate(zip(_from_first(expected), _from_first(found), strict=True)):
        if before is None or before != after:
            return Check(name="times", held=False, words=f"frame {number} is shown at {_s(after)}, not {_s(before)}")
    return Check(name="times", held=True, words=f"every frame at its time{mended}")


def _expected_stamps(source: Reading) -> list[Fraction | None]:
    """Return the decoder's stamps where they increase strictly, else the timeline with the times mended."""
    known = [stamp for stamp in source.stamps if stamp is not None]
    if len(known) == len(source.stamps) and all(a < b for a, b in pairwise(known)):
        return list(source.stamps)
    return [pts * source.timeline.time_base for pts in source.timeline.pts]


def _from_first(stamps: Sequence[Fraction | None]) -> Iterator[Fraction | None]:
    first = stamps[0]
    for stamp in stamps:
        yield stamp - first if stamp is not None and first is not None else None


def _sound_checks(source: Reading, result: Reading) -> Iterator[Check]:
    if not source.sounds and not result.sounds:
        yield Check(name="sound", held=True, words="none, none added")
    left = list(result.sounds)
    for number, before in enumerate(source.sounds):
        name = "sound" if len(source.sounds) == 1 else f"sound {number + 1}"
        copied = [sound for sound in left if sound.digest == before.digest]
        if before.codec in COPIED_CODECS:
            after, words, slack = copied[0] if copied else None, "every packet untouched", before.tick
        else:
            after = next((sound for sound in left if sound.codec == "aac"), None)
            words, slack = f"{before.codec} made AAC, since MP4 cannot carry it", TRANSCODED_OFFSET_SECONDS
        if after is None:
            yield Check(name=name, held=False, words=f"the {before.codec} track is not in the result as it was")
            continue
        left.remove(after)
        slack = max(slack, source.probe.video.time_base, after.tick)
        drift = _offset(after, result) - _offset(before, source)
        held = abs(drift) <= slack
        yield Check(
            name=name, held=held, words=words if held else f"{words}, but {float(drift):+.4f} s from the picture"
        )


def _offset(sound: Sound, reading: Reading) -> Fraction:
    """Return when a track begins after the first frame, in seconds."""
    first = reading.timeline.pts[0] * reading.timeline.time_base
    return (sound.first_seconds or Fraction(0)) - first


def _shape(source: Reading, result: Reading) -> Check:
    before, after = source.probe.video, result.probe.video
    size = before.width_px + before.width_px % 2, before.height_px + before.height_px % 2
    exact = before.width_px, before.height_px
    wrong = []
    if (after.width_px, after.height_px) not in {size, exact}:
        wrong.append(f"{after.width_px}x{after.height_px} instead of {size[0]}x{size[1]}")
    if (after.rotation_degrees - before.rotation_degrees) % 360:
        wrong.append(f"turned by {after.rotation_degrees} instead of {before.rotation_degrees} degrees")
    if after.sample_aspect != before.sample_aspect:
        wrong.append(f"pixel aspect {after.sample_aspect} instead of {before.sample_aspect}")
    words = f"{after.width_px}x{after.height_px}, turn {after.rotation_degrees}°, pixel aspect {after.sample_aspect}"
    return Check(name="shape", held=not wrong, words="; ".join(wrong) or words)


def _colour(source: Reading, result: Reading, *, is_tone_mapped: bool) -> Check:
    before, after = source.probe.video.colour, result.probe.video.colour
    if is_tone_mapped:
        held = result.probe.video.hdr == "none"
        return Check(name="colour", held=held, words=f"{source.probe.video.hdr} tone-mapped for ordinary screens")
    matrix = after.matrix if before.matrix == IDENTITY_MATRIX else before.matrix
    kept = (
        before.range in ("unspecified", after.range)
        and before.primaries in (UNSPECIFIED, after.primaries)
        and before.transfer in (UNSPECIFIED, after.transfer)
        and matrix in (UNSPECIFIED, after.matrix)
    )
    return Check(
        name="colour", held=kept, words=f"kept: {_told(before)}" if kept else f"{_told(after)}, not {_told(before)}"
    )


def _told(colour: Colour) -> str:
    """Return what is said of a colour space; the numbers are those of ISO/IEC 23091-2."""
    points = {"primaries": colour.primaries, "transfer": colour.transfer, "matrix": colour.matrix}
    told = [f"{name} {NAMES.get(point, point)}" for name, point in points.items() if point != UNSPECIFIED]
    if colour.range != "unspecified":
        told.insert(0, f"{colour.range} range")
    return ", ".join(told) or "nothing is said of it"


def _sounds(path: Path) -> tuple[Sound, ...]:
    with open_source(path) as container:
        streams = [stream for stream in container.streams.audio if stream.codec_context is not None]
        digests = {stream.index: PayloadDigest(codec_of(stream)) for stream in streams}
        first: dict[int, Fraction] = {}
        for packet in container.demux(streams) if streams else ():
            if not packet.size:
                continue
            digests[packet.stream_index].update(packet)
            if packet.pts is not None and packet.time_base:
                first.setdefault(packet.stream_index, packet.pts * packet.time_base)
        return tuple(
            Sound(
                codec=codec_of(stream),
                channels=stream.codec_context.channels,
                rate_hz=stream.codec_context.sample_rate,
                packets=digests[stream.index].packets,
                digest=digests[stream.index].hexdigest(),
                tick=Fraction(stream.time_base or 0),
                first_seconds=first.get(stream.index),
            )
            for stream in streams
        )


def _s(stamp: Fraction | None) -> str:
    return "no time" if stamp is None else f"{float(stamp):.6f} s"
