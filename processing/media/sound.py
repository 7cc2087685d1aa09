"""Sound on its way from the source into the result: packets copied where MP4 carries them, else transcoded to AAC.

Invariant: a copied packet's payload is never changed, and its digest is taken on the way, so that what was written can
be compared with what was read. Stamps count samples from the origin shared with the picture.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from typing import Literal, cast

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream as AudioInput
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Disposition

from processing.media.specs import AudioStream

COPIED_CODECS = frozenset({"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"})
"""What MP4 has a registered form for and FFmpeg's muxer writes with its configuration (MP2 would be read as MP3)."""
BROWSER_CODECS = frozenset({"aac", "mp3", "opus", "flac"})
"""What browsers play in MP4; a copied track of another codec gets an AAC track beside it."""
AAC_RATES_HZ = frozenset({96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350})
AAC_LAYOUTS = frozenset({"mono", "stereo", "3.0", "4.0", "5.0", "5.1", "7.1"})
AAC_BIT_RATE_PER_CHANNEL_BPS = 80_000
RESYNC_SECONDS = Fraction(1, 10)
ADTS_HEADER_BYTES = 7
ADTS_CRC_BYTES = 2


@dataclass(frozen=True, kw_only=True)
class TrackRecord:
    """What was read of one audio track, to be compared with what was written."""

    index: int
    """The stream's index in the source."""
    output_index: int
    codec: str
    mode: Literal["copied", "transcoded"]
    packets: int
    payload_sha256: str | None
    """None where transcoded."""
    first_pts: int | None
    """Stamp of the first packet written, in samples from the common origin; None where there was none."""
    rate_hz: int
    undecoded_packets: int


class PayloadDigest:
    """SHA-256 over the payloads of a track's packets, one after the other.

    The header that MPEG-TS puts before each AAC frame (ADTS, ISO/IEC 13818-7) is the container's: MP4 has none.
    """

    def __init__(self, codec: str) -> None:
        self._digest = hashlib.sha256()
        self._may_have_adts = codec == "aac"
        self.packets = 0

    def update(self, packet: Packet) -> None:
        """Add one packet."""
        payload = bytes(packet)
        if (
            self._may_have_adts
            and len(payload) > ADTS_HEADER_BYTES
            and payload[0] == 0xFF
            and payload[1] & 0xF6 == 0xF0
        ):
            has_no_crc = payload[1] & 1
            payload = payload[ADTS_HEADER_BYTES + (0 if has_no_crc else ADTS_CRC_BYTES) :]
        self._digest.update(payload)
        self.packets += 1

    def hexdigest(self) -> str:
        """Return the digest of all packets so far."""
        return self._digest.hexdigest()


class SampleClock:
    """Stamps in samples for packets whose container counts in its own, often coarser, ticks.

    Consecutive packets follow each other without a gap while the source's stamps agree within one of its ticks, so
    a container of milliseconds leaves no jitter; a real gap is kept; time never runs backwards.
    """

    def __init__(self, time_base: Fraction, rate_hz: int, origin_seconds: Fraction) -> None:
        self._samples_per_tick = time_base * rate_hz
        self._origin_samples = origin_seconds * rate_hz
        self._tolerance = 0 if self._samples_per_tick == 1 else ceil(self._samples_per_tick)
        self._next: int | None = None

    def stamp(self, pts: int | None, duration: int) -> int:
        """Return the stamp of a packet, `pts` in source ticks (None: it follows at once), `duration` in samples."""
        follows = self._next
        exact = None if pts is None else round(pts * self._samples_per_tick - self._origin_samples)
        if exact is None:
            stamp = follows if follows is not None else 0
        elif follows is None:
            stamp = exact
        else:
            stamp = exact if exact - follows > self._tolerance else follows
        self._next = stamp + max(duration, 1)
        return stamp


class CopiedTrack:
    """One track whose packets go over as they are."""

    def __init__(self, output: OutputContainer, source: AudioInput, facts: AudioStream, origin: Fraction) -> None:
        self._facts = facts
        self._codec = codec_of(source)
        self._time_base = Fraction(source.time_base or Fraction(1, source.codec_context.sample_rate))
        self._rate_hz = source.codec_context.sample_rate
        self._frame_samples = source.codec_context.frame_size
        self._clock = SampleClock(self._time_base, self._rate_hz, origin)
        self._digest = PayloadDigest(self._codec)
        self._first_pts: int | None = None
        self._stream = output.add_stream_from_template(source)
        self._stream.time_base = Fraction(1, self._rate_hz)
        _describe(self._stream, source, facts)

    def take(self, packet: Packet) -> Iterator[Packet]:
        """Yield the packet, stamped for the output."""
        self._digest.update(packet)
        duration = round((packet.duration or 0) * self._time_base * self._rate_hz)
        if self._time_base * self._rate_hz != 1 and self._frame_samples:
            duration = self._frame_samples
        packet.pts = packet.dts = self._clock.stamp(packet.pts, duration)
        if self._first_pts is None:
            self._first_pts = packet.pts
        packet.duration = duration
        packet.stream = self._stream
        packet.time_base = Fraction(1, self._rate_hz)
        yield packet

    def finish(self) -> Iterator[Packet]:
        """Yield what is still held back: nothing."""
        return iter(())

    def record(self) -> TrackRecord:
        """Return what went over."""
        return TrackRecord(
            index=self._facts.index,
            output_index=self._stream.index,
            codec=self._codec,
            mode="copied",
            packets=self._digest.packets,
            payload_sha256=self._digest.hexdigest(),
            first_pts=self._first_pts,
            rate_hz=self._rate_hz,
            undecoded_packets=0,
        )


class TranscodedTrack:
    """One track decoded and written as AAC; what cannot be decoded becomes a gap, counted."""

    def __init__(self, output: OutputContainer, source: AudioInput, facts: AudioStream, origin: Fraction) -> None:
        self._facts = facts
        self._source = source
        self._codec = codec_of(source)
        self._origin = origin
        context = source.codec_context
        self._rate_hz = context.sample_rate if context.sample_rate in AAC_RATES_HZ else 48_000
        self._layout = context.layout.name if context.layout.name in AAC_LAYOUTS else "stereo"
        self._stream = output.add_stream("aac", rate=self._rate_hz, layout=self._layout, options={"flags": "+bitexact"})
        encoder = self._stream.codec_context
        encoder.bit_rate = AAC_BIT_RATE_PER_CHANNEL_BPS * encoder.layout.nb_channels
        encoder.thread_count = 1
        self._stream.time_base = Fraction(1, self._rate_hz)
        _describe(self._stream, source, facts)
        self._resampler: AudioResampler | None = None
        self._input: tuple[str, str, int] | None = None
        self._samples = 0
        self._shift: int | None = None
        self._packets = 0
        self._first_pts: int | None = None
        self._undecoded_packets = 0

    def take(self, packet: Packet) -> Iterator[Packet]:
        """Yield the packets of AAC that a packet of the source completes."""
        try:
            frames = cast(list[AudioFrame], packet.decode())
        except av.FFmpegError:
            self._undecoded_packets += 1
            return
        for frame in frames:
            yield from self._take_frame(frame)

    def finish(self) -> Iterator[Packet]:
        """Yield what decoder, resampler and encoder still hold back."""
        for frame in self._source.codec_context.decode(None):
            yield from self._take_frame(frame)
        if self._resampler is not None:
            yield from self._encode(self._resampler.resample(None))
            yield from self._stamp(self._stream.encode(None))

    def record(self) -> TrackRecord:
        """Return what became of the track."""
        return TrackRecord(
            index=self._facts.index,
            output_index=self._stream.index,
            codec=self._codec,
            mode="transcoded",
            packets=self._packets,
            payload_sha256=None,
            first_pts=self._first_pts,
            rate_hz=self._rate_hz,
            undecoded_packets=self._undecoded_packets,
        )

    def _take_frame(self, frame: AudioFrame) -> Iterator[Packet]:
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind != self._input:
            if self._resampler is not None:
                yield from self._encode(self._resampler.resample(None))
            self._resampler, self._input = AudioResampler("fltp", self._layout, self._rate_hz), kind
        if frame.pts is not None and frame.time_base:
            self._follow(round((frame.pts * frame.time_base - self._origin) * self._rate_hz) - self._samples)
        frame.pts = None
        assert self._resampler is not None  # noqa: S101  (set with the first frame)
        yield from self._encode(self._resampler.resample(frame))

    def _follow(self, shift: int) -> None:
        # The encoder counts samples without a gap; this is how far the source's clock is ahead of that count.
        if self._shift is None or shift - self._shift > RESYNC_SECONDS * self._rate_hz:
            self._shift = shift

    def _encode(self, frames: list[AudioFrame]) -> Iterator[Packet]:
        for frame in frames:
            frame.pts, frame.time_base = self._samples, Fraction(1, self._rate_hz)
            self._samples += frame.samples
            yield from self._stamp(self._stream.encode(frame))

    def _stamp(self, packets: list[Packet]) -> Iterator[Packet]:
        for packet in packets:
            packet.pts = packet.dts = (packet.pts or 0) + (self._shift or 0)
            if self._first_pts is None:
                self._first_pts = packet.pts
            self._packets += 1
            yield packet


Track = CopiedTrack | TranscodedTrack


def open_tracks(
    output: OutputContainer, source: AudioInput, facts: AudioStream, origin_seconds: Fraction
) -> tuple[Track, ...]:
    """Return the tracks that carry `source` on: none where nothing here can read it, two where browsers cannot.

    A packet is to be given to them in this order: the last one may change its stamps.
    """
    if source.codec_context is None or not source.codec_context.sample_rate:
        return ()
    codec = codec_of(source)
    if codec not in COPIED_CODECS:
        return (TranscodedTrack(output, source, facts, origin_seconds),)
    copied = CopiedTrack(output, source, facts, origin_seconds)
    if codec in BROWSER_CODECS:
        return (copied,)
    return (TranscodedTrack(output, source, replace(facts, is_default=False), origin_seconds), copied)


def codec_of(stream: AudioInput) -> str:
    """Return the name of a stream's codec, not of a decoder for it ("mp3", not "mp3float")."""
    return stream.codec_context.codec.canonical_name


def _describe(stream: AudioInput, source: AudioInput, facts: AudioStream) -> None:
    if facts.language:
        stream.metadata["language"] = facts.language
    for key in ("handler_name", "title"):
        if key in facts.tags:
            stream.metadata[key] = facts.tags[key]
    kept = source.disposition & ~Disposition.default
    stream.disposition = kept | Disposition.default if facts.is_default else kept
