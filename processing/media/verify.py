"""What was written, read again: every figure of a receipt is measured on the finished file, none is assumed.

Only here is a joined file compared with what was promised; whatever differs is an OutputMismatch that names all of it,
but for HDR's brightness facts: pictures are right without them, so there a warning will do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from processing.media.companions import Companions, dropped_tags, is_carried_cover, kept_tags, missing, read_companions
from processing.media.durable import sha256_of
from processing.media.encoders import HEVC_TAG, written_aspect
from processing.media.enhancement.gate import MOST
from processing.media.errors import OutputMismatch
from processing.media.fingerprint import fingerprint
from processing.media.probe import probe
from processing.media.receipts import AudioReceipt, Receipt, SegmentResult, SubtitleReceipt
from processing.media.sound import PayloadDigest, TrackRecord, codec_of
from processing.media.sources import open_source, read_only
from processing.media.specs import AudioStream, Colour, OtherStream, Plan, VideoStream
from processing.media.subtitles import TEXT_CODECS, CueDigest, SubtitleRecord, written_cues


@dataclass(frozen=True, kw_only=True)
class Promise:
    """What a joined file must hold, beside what its plan says."""

    shown: Sequence[int]
    """Stamps of the frames, in ticks of the encoding from the video's first frame, strictly increasing."""
    start: int
    """Where the first frame stands after the common origin, in ticks of the encoding."""
    tracks: tuple[TrackRecord, ...]
    subtitles: tuple[SubtitleRecord, ...]
    companions: Companions


@dataclass(frozen=True, kw_only=True)
class _Measured:
    video: VideoStream
    shown: list[int]
    time_base: Fraction
    sound: dict[int, tuple[PayloadDigest, Fraction | None]]
    """By the stream's index in the output: its payload and when its first packet is heard, in seconds."""
    subtitles: dict[int, CueDigest]
    companions: Companions
    duration_seconds: float


def verify(output: Path, plan: Plan, promise: Promise, results: Sequence[SegmentResult]) -> Receipt:
    """Read the joined file and return its receipt; OutputMismatch with every difference where it is not as promised."""
    measured = _measure(output)
    audio = tuple(_audio_receipt(record, measured) for record in promise.tracks)
    found = {record.index for record in promise.tracks}
    lost = [stream for stream in plan.probe.audio if stream.index not in found]
    pts_equal = _pts_equal(measured, promise, plan.encoding.time_base)
    differences = [
        *_picture_differences(measured.video, plan),
        *([] if pts_equal else [_pts_difference(measured, promise)]),
        *_sound_differences(audio, measured, promise, plan.encoding.time_base),
        *_subtitle_differences(measured, promise),
        *missing(promise.companions, measured.companions),
    ]
    if differences:
        raise OutputMismatch("; ".join(differences))
    return Receipt(
        frames_from_scan=plan.timeline.frames_from_scan,
        frames_from_decode=sum(result.frames_from_decode for result in results)
        if results
        else plan.timeline.frames_from_decode,
        frames_out=len(measured.shown),
        pts_equal=pts_equal,
        pts_repaired=plan.timeline.repaired,
        audio=audio
        + tuple(
            AudioReceipt(index=stream.index, codec=stream.codec, mode="dropped", packets=0, payload_equal=None)
            for stream in lost
        ),
        rotation_degrees=measured.video.rotation_degrees,
        sample_aspect=measured.video.sample_aspect,
        colour=measured.video.colour,
        width_px=measured.video.width_px,
        height_px=measured.video.height_px,
        duration_seconds=measured.duration_seconds,
        size_bytes=output.stat().st_size,
        sha256=sha256_of(output),
        fingerprints=tuple(sorted({result.fingerprint for result in results} | {fingerprint(plan.encoding.codec)})),
        corrupt_frames=sum(result.corrupt_frames for result in results),
        dropped_streams=tuple(
            f"{other.kind} stream {other.index} ({other.codec})" for other in _left_behind(plan.probe.other, promise)
        )
        + tuple(f"audio stream {stream.index} ({stream.codec})" for stream in lost),
        warnings=plan.warnings + _warnings(plan, promise, results, lost, measured.video),
        subtitles=_subtitle_receipts(plan, promise),
        chapters=len(measured.companions.chapters),
        cover_pictures=len(measured.companions.covers),
        tags=kept_tags(measured.companions.tags),
        dropped_tags=dropped_tags(plan.probe.tags),
        rendition=plan.rendition,
        codec=measured.video.codec,
        bit_depth=measured.video.bit_depth,
        hdr=measured.video.hdr,
        mastering_display=measured.video.mastering_display,
        light_level=measured.video.light_level,
        clipped_share=_clipped_share(results),
    )


def _measure(path: Path) -> _Measured:
    facts = probe(path)
    stamps: list[int] = []
    first: dict[int, Fraction | None] = {}
    with open_source(path, packets_only=True) as container:
        picture = container.streams[facts.video.index]
        sound = {stream.index: PayloadDigest(codec_of(stream)) for stream in container.streams.audio}
        for packet in container.demux([picture, *container.streams.audio]):
            if not packet.size:
                continue
            if packet.stream_index == picture.index:
                # A frame hidden by an edit list is a frame lost.
                if packet.pts is not None and not packet.is_discard:
                    stamps.append(packet.pts)
                continue
            sound[packet.stream_index].update(packet)
            if packet.stream_index not in first and packet.pts is not None and packet.time_base:
                first[packet.stream_index] = packet.pts * packet.time_base
        duration_seconds = float(container.duration or 0) / 1_000_000
        companions = read_companions(container)
        subtitles = [stream.index for stream in container.streams.subtitles]
    return _Measured(
        video=facts.video,
        shown=sorted(stamps),
        time_base=facts.video.time_base,
        sound={index: (digest, first.get(index)) for index, digest in sound.items()},
        subtitles={index: _cues(path, index) for index in subtitles},
        companions=companions,
        duration_seconds=duration_seconds,
    )


def _cues(path: Path, index: int) -> CueDigest:
    with open_source(path, packets_only=True) as container:
        stream = container.streams[index]
        read_only(container, [stream])
        return written_cues(container.demux(stream))


def _pts_equal(measured: _Measured, promise: Promise, tick: Fraction) -> bool:
    scale = measured.time_base / tick
    promised = (stamp + promise.start for stamp in promise.shown)
    return len(measured.shown) == len(promise.shown) and all(
        found * scale.numerator == wanted * scale.denominator
        for found, wanted in zip(measured.shown, promised, strict=True)
    )


def _pts_difference(measured: _Measured, promise: Promise) -> str:
    return (
        f"{len(measured.shown)} frames from {measured.shown[:3]} (time base {measured.time_base}) instead of "
        f"{len(promise.shown)} from {[stamp + promise.start for stamp in promise.shown[:3]]}"
    )


def _picture_differences(video: VideoStream, plan: Plan) -> list[str]:
    encoding, source = plan.encoding, plan.probe.video
    copied = plan.video == "copy"
    wanted_size = (source.width_px, source.height_px) if copied else (encoding.width_px, encoding.height_px)
    wanted_turn = source.rotation_degrees if copied else encoding.rotation_degrees
    wanted_aspect = source.sample_aspect if copied else written_aspect(encoding.sample_aspect)
    wanted_colour = source.colour if copied else encoding.colour
    wanted_form = (source.codec, source.bit_depth) if copied else (encoding.codec, encoding.bit_depth)
    differences = []
    if video.codec == "hevc" and video.codec_tag != HEVC_TAG:
        differences.append(f"tag {video.codec_tag} instead of {HEVC_TAG}")
    if (video.codec, video.bit_depth) != wanted_form:
        differences.append(f"{video.codec} in {video.bit_depth} bits instead of {wanted_form[0]} in {wanted_form[1]}")
    if (video.width_px, video.height_px) != wanted_size:
        differences.append(f"size {video.width_px}x{video.height_px} instead of {wanted_size[0]}x{wanted_size[1]}")
    if (video.rotation_degrees - wanted_turn) % 360:
        differences.append(f"rotation {video.rotation_degrees} instead of {wanted_turn}")
    if video.sample_aspect != wanted_aspect:
        differences.append(f"sample aspect {video.sample_aspect} instead of {wanted_aspect}")
    if not _is_colour_kept(video.colour, wanted_colour):
        differences.append(f"{video.colour} instead of {wanted_colour}")
    return differences


def _is_colour_kept(found: Colour, wanted: Colour) -> bool:
    """Return whether everything specified is there; what was left open may be named by the encoder.

    Limited range needs no mention: H.264 means it where nothing is said (ITU-T H.264, E.2.1).
    """
    return (
        (wanted.range in ("unspecified", found.range) or (wanted.range, found.range) == ("limited", "unspecified"))
        and wanted.primaries in (2, found.primaries)
        and wanted.transfer in (2, found.transfer)
        and wanted.matrix in (2, found.matrix)
    )


def _audio_receipt(record: TrackRecord, measured: _Measured) -> AudioReceipt:
    if record.output_index not in measured.sound:  # a track without a packet is not written
        equal = None if not record.packets else False
        return AudioReceipt(index=record.index, codec=record.codec, mode="dropped", packets=0, payload_equal=equal)
    digest, _ = measured.sound[record.output_index]
    equal = digest.hexdigest() == record.payload_sha256 if record.payload_sha256 is not None else None
    return AudioReceipt(
        index=record.index, codec=record.codec, mode=record.mode, packets=digest.packets, payload_equal=equal
    )


def _sound_differences(
    audio: Sequence[AudioReceipt], measured: _Measured, promise: Promise, tick: Fraction
) -> list[str]:
    differences = []
    for receipt, record in zip(audio, promise.tracks, strict=True):
        if receipt.payload_equal is False:
            differences.append(f"audio stream {record.index}: payload differs from the source's")
        _, heard = measured.sound.get(record.output_index, (None, None))
        if record.first_pts is None or heard is None:
            continue
        wanted = Fraction(record.first_pts, record.rate_hz)
        # An edit list counts in the movie's ticks, the track in samples: each may be rounded.
        if abs(heard - wanted) > tick + Fraction(1, record.rate_hz):
            differences.append(f"audio stream {record.index}: starts at {float(heard)} instead of {float(wanted)} s")
    return differences


def _subtitle_differences(measured: _Measured, promise: Promise) -> list[str]:
    return [
        f"subtitle stream {record.index}: {record.cues} cues differ from those read"
        for record in promise.subtitles
        if measured.subtitles[record.output_index].hexdigest() != record.digest
    ]


def _subtitle_receipts(plan: Plan, promise: Promise) -> tuple[SubtitleReceipt, ...]:
    kept = {record.index: record for record in promise.subtitles}
    receipts = []
    for stream in plan.probe.other:
        record = kept.get(stream.index)
        if record is not None:
            receipts.append(SubtitleReceipt(index=stream.index, codec=record.codec, mode=record.mode, cues=record.cues))
        elif stream.kind == "subtitle":
            codec = stream.codec or "unknown"
            receipts.append(SubtitleReceipt(index=stream.index, codec=codec, mode="dropped", cues=0))
    return tuple(receipts)


def _left_behind(others: Sequence[OtherStream], promise: Promise) -> list[OtherStream]:
    kept = {record.index for record in promise.subtitles} | promise.companions.cover_streams
    return [stream for stream in others if stream.index not in kept]


def _is_brightness_kept(video: VideoStream, plan: Plan) -> bool:
    wanted = plan.probe.video if plan.video == "copy" else plan.encoding
    return wanted.mastering_display in (None, video.mastering_display) and wanted.light_level in (
        None,
        video.light_level,
    )


def _clipped_share(results: Sequence[SegmentResult]) -> float:
    return max((result.clipped_share for result in results), default=0.0)


def _warnings(
    plan: Plan,
    promise: Promise,
    results: Sequence[SegmentResult],
    lost: Sequence[AudioStream],
    video: VideoStream,
) -> tuple[str, ...]:
    copied = {record.index for record in promise.tracks if record.mode == "copied"}
    transcoded = {record.index for record in promise.tracks if record.mode == "transcoded"}
    left = _left_behind(plan.probe.other, promise)
    found = {
        "frames_missing": len(promise.shown) < len(plan.timeline.pts),
        "frames_corrupt": any(result.corrupt_frames for result in results),
        "enhancement_clips": _clipped_share(results) > MOST.clipping,
        "hdr_brightness_changed": not _is_brightness_kept(video, plan),
        "audio_transcoded": bool(transcoded - copied),
        "audio_aac_added": bool(transcoded & copied),
        "audio_damaged": any(record.undecoded_packets for record in promise.tracks),
        "audio_dropped": bool(lost),
        "subtitles_dropped": any(stream.kind == "subtitle" and stream.codec in TEXT_CODECS for stream in left),
        "chapters_dropped": promise.companions.dropped_chapters > 0,
        "cover_art_dropped": any(is_carried_cover(stream) for stream in left),
    }
    return tuple(code for code, holds in found.items() if holds)
