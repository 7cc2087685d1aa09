"""Small clips made for the tests: frame i carries the number i in its pixels, so completeness is an equality.

The number is drawn as sixteen big blocks at the top (a white and a black reference, then fourteen bits), which survive
x264 at crf 20, noise, darkening and the filters of the engine. Equal options give equal bytes on one machine.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
from av.audio.resampler import AudioResampler

BITS = 14
COLUMNS = 8
SAMPLE_RATE_HZ = 48_000
CODECS = {
    "h264": "libx264",
    "hevc": "libx265",
    "vp9": "libvpx-vp9",
    "av1": "libsvtav1",
    "opus": "libopus",
    "mp3": "libmp3lame",
    "pcm": "pcm_s16le",
    "vorbis": "libvorbis",
}
ENCODER_OPTIONS = {
    "libx264": {"preset": "ultrafast", "crf": "16", "threads": "1"},
    "libx265": {"preset": "ultrafast", "crf": "16", "x265-params": "log-level=none:pools=1:frame-threads=1"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "20", "b": "0"},
    "libsvtav1": {"preset": "12", "crf": "25"},
}


@dataclass(frozen=True, kw_only=True)
class Clip:
    """What a clip shall be; every field has a plain default."""

    frames: int = 60
    width: int = 320
    height: int = 180
    rate: Fraction = Fraction(30)
    codec: str = "h264"
    pixel_format: str = "yuv420p"
    pts: Sequence[int] | None = None
    """Stamps of the frames in ticks of `time_base`, for a variable rate; None for an even `rate`."""
    time_base: Fraction | None = None
    """Ticks of the encoder; 1/rate where None."""
    gop: int = 30
    b_frames: int = 0
    open_gop: bool = False
    intra_refresh: bool = False
    """H.264 only: keyframes but the first are recovery points, from which pictures become whole by and by."""
    interlaced: bool = False
    first_field: Literal["top", "bottom"] | None = None
    """Which field of each frame shows the earlier of two moments; None where a frame is one moment."""
    speed: float = 1.0
    """How fast things move."""
    noise_sigma: float = 0.0
    """Standard deviation of Gaussian luma noise, in 8-bit code values; chroma gets half of it."""
    gain: float = 1.0
    gamma: float = 1.0
    """Luma is black + gain * (luma - black) ** gamma, normalised; gain 0.3 is a dark clip."""
    audio: Sequence[str] = ()
    """Codecs of the sound tracks, each an audible sine, track k at 440 * (k + 1) Hz."""
    sample_aspect: Fraction = Fraction(1)
    rotation_degrees: int = 0
    """Counter-clockwise turn written to the display matrix (MP4 and MOV)."""
    colour_primaries: int = 2
    colour_transfer: int = 2
    colour_matrix: int = 2
    full_range: bool = False
    start_seconds: int = 0
    """Where the first frame stands; 3600 is a recording cut from the middle of a broadcast."""
    tags: Sequence[tuple[str, str]] = ()
    container: str | None = None
    """Muxer; guessed from the file's suffix where None."""
    container_options: Sequence[tuple[str, str]] = ()


def make_clip(path: Path, clip: Clip | None = None, **options: object) -> Path:
    """Write a clip to `path` and return it: `make_clip(tmp_path / "a.mp4", frames=90, b_frames=2, audio=["aac"])`."""
    clip = clip if clip is not None else Clip(**options)  # type: ignore[arg-type]
    with av.open(path, "w", format=clip.container, options=dict(clip.container_options)) as output:
        output.metadata.update(dict(clip.tags))
        video = _add_video(output, clip)
        tracks = [output.add_stream(CODECS.get(name, name), rate=SAMPLE_RATE_HZ, layout="mono") for name in clip.audio]
        seconds = _write_video(output, video, clip)
        for number, track in enumerate(tracks):
            _write_tone(output, track, hertz=440 * (number + 1), seconds=seconds, start_seconds=clip.start_seconds)
    return path


def read_number(luma: np.ndarray) -> int:
    """Return the number drawn in a frame from its luma plane (height x width); ValueError if unreadable."""
    height, width = luma.shape
    block_width, block_height = width // COLUMNS, height // COLUMNS
    means = []
    for cell in range(BITS + 2):
        row, column = divmod(cell, COLUMNS)
        top, left = row * block_height, column * block_width
        inner = luma[
            top + block_height // 4 : top + block_height - block_height // 4,
            left + block_width // 4 : left + block_width - block_width // 4,
        ]
        means.append(float(inner.mean()))
    white, black = means[:2]
    if white - black < 6:
        raise ValueError(f"no frame number: white reference {white:.1f}, black reference {black:.1f}")
    return sum(1 << bit for bit, mean in enumerate(means[2:]) if mean > (white + black) / 2)


def checksum(frame: av.VideoFrame) -> int:
    """Return a checksum of the picture in all planes of a frame, without the padding of their lines."""
    bits = max(component.bits for component in frame.format.components)
    result = 0
    for plane in frame.planes:
        row_bytes = plane.width * (2 if bits > 8 else 1)
        rows = np.frombuffer(plane, np.uint8)[: plane.height * plane.line_size].reshape(plane.height, plane.line_size)
        result = zlib.crc32(np.ascontiguousarray(rows[:, :row_bytes]), result)
    return result


def read_numbers(path: Path) -> list[int]:
    """Return the numbers of all frames of a file in decoder output order."""
    with av.open(path) as source:
        return [read_number(frame.to_ndarray(format="gray")) for frame in source.decode(video=0)]


def draw(number: int, clip: Clip, moment: float | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the Y, U and V planes (height x width, uint8, 4:4:4) of frame `number`, noise and gain applied.

    What moves stands where it is at `moment`, counted in frames; without one, at the frame's own.
    """
    height, width = clip.height, clip.width
    moment = clip.speed * (number if moment is None else moment)
    rows, columns = np.mgrid[0:height, 0:width]
    luma = 60 + 100 * columns / width + 24 * np.sin(rows / 5.0) + 8 * np.sin((columns + 2 * moment) / 3.0)
    top = height // 2 + int(height / 8 * np.sin(moment / 6))
    left = int(moment * 3) % max(width - width // 6, 1)
    luma[top : top + height // 6, left : left + width // 6] = 200
    u = 128 + 40 * np.sin(columns / width * 3 + number / 20)
    v = 128 + 40 * np.cos(rows / height * 3 + number / 20)
    block_width, block_height = width // COLUMNS, height // COLUMNS
    for cell in range(BITS + 2):
        row, column = divmod(cell, COLUMNS)
        lit = cell == 0 or (cell > 1 and number >> (cell - 2) & 1)
        area = np.s_[row * block_height : (row + 1) * block_height, column * block_width : (column + 1) * block_width]
        luma[area], u[area], v[area] = (220 if lit else 24), 128, 128
    luma = 16 + 219 * clip.gain * np.clip((luma - 16) / 219, 0, 1) ** clip.gamma
    if clip.noise_sigma:
        random = np.random.default_rng(number)
        luma = luma + random.normal(0, clip.noise_sigma, luma.shape)
        u = u + random.normal(0, clip.noise_sigma / 2, u.shape)
        v = v + random.normal(0, clip.noise_sigma / 2, v.shape)
    return tuple(np.clip(np.rint(plane), 0, 255).astype(np.uint8) for plane in (luma, u, v))  # type: ignore[return-value]


def truncated(source: Path, target: Path, share: float) -> Path:
    """Write the first `share` (0 to 1) of the bytes of `source` to `target`."""
    data = source.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])
    return target


def damaged(source: Path, target: Path, *, every: int = 997, start: int = 4096) -> Path:
    """Write `source` with one bit flipped in every `every`-th byte from `start` on."""
    data = bytearray(source.read_bytes())
    for position in range(start, len(data), every):
        data[position] ^= 0x10
    target.write_bytes(data)
    return target


def without_composition_offsets(source: Path, target: Path) -> Path:
    """Remux B-frames as some cameras do: each packet's pts is its dts, so the pts of decoder output run backwards."""
    with av.open(source) as reader, av.open(target, "w") as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        for packet in reader.demux(stream):
            if packet.size:
                packet.pts = packet.dts
                packet.stream = copy
                writer.mux(packet)
    return target


def tagged_rotation(path: Path) -> int:
    """Return the rotation a decoder reports for the first frame of a file, in degrees counter-clockwise."""
    with av.open(path) as source:
        return next(source.decode(video=0)).rotation


def with_external_reference(source: Path, target: Path) -> Path:
    """Write a MOV or MP4, its index at the end, whose first track is said to lie in another file."""
    data = bytearray(source.read_bytes())
    entry = data.index(b"\0\0\0\x0curl \0\0\0\x01")
    name = b"elsewhere.mov\0"
    data[entry + 11] = 0
    data[entry + 12 : entry + 12] = name
    around = [match.start() - 4 for match in re.finditer(b"moov|trak|mdia|minf|dinf|dref", data[:entry])]
    for start in [*(box for box in around if box + int.from_bytes(data[box : box + 4]) > entry), entry]:
        data[start : start + 4] = (int.from_bytes(data[start : start + 4]) + len(name)).to_bytes(4)
    target.write_bytes(data)
    return target


def with_sample_entry(source: Path, target: Path, kind: bytes) -> Path:
    """Write an H.264 MP4 whose sample entry has another type: `encv` is encrypted, `zzzz` is nobody's codec."""
    data = source.read_bytes()
    entry = data.index(b"avc1", data.index(b"stsd"))
    target.write_bytes(data[:entry] + kind + data[entry + 4 :])
    return target


def _add_video(output: av.container.OutputContainer, clip: Clip) -> av.VideoStream:
    codec = CODECS.get(clip.codec, clip.codec)
    options = dict(ENCODER_OPTIONS.get(codec, {"qscale": "3"}))
    if clip.interlaced:
        options["flags"] = "+ildct+ilme"
    if codec == "libx264":
        options["x264-params"] = (
            f"open-gop={int(clip.open_gop)}:scenecut=0:b-adapt=0:intra-refresh={int(clip.intra_refresh)}"
        )
    elif clip.open_gop is False and codec in {"mpeg2video", "mpeg1video", "mpeg4"}:
        options["flags"] = options.get("flags", "") + "+cgop"
        options["sc_threshold"] = "1000000000"
    video = output.add_stream(codec, rate=clip.rate, options=options)
    context = video.codec_context
    context.width, context.height, context.pix_fmt = clip.width, clip.height, clip.pixel_format
    context.time_base = clip.time_base or 1 / Fraction(clip.rate)
    context.gop_size, context.max_b_frames, context.thread_count = clip.gop, clip.b_frames, 1
    context.sample_aspect_ratio = clip.sample_aspect
    context.color_primaries, context.color_trc = clip.colour_primaries, clip.colour_transfer
    context.colorspace, context.color_range = clip.colour_matrix, 2 if clip.full_range else 1
    if clip.rotation_degrees:
        video.set_display_rotation(clip.rotation_degrees)
    return video


def _write_video(output: av.container.OutputContainer, video: av.VideoStream, clip: Clip) -> float:
    time_base = clip.time_base or 1 / Fraction(clip.rate)
    stamps = clip.pts
    if stamps is None:
        stamps = [int(Fraction(number) / clip.rate / time_base) for number in range(clip.frames)]
    origin = int(clip.start_seconds / time_base)
    for number, stamp in enumerate(stamps):
        array = np.stack(draw(number, clip))
        if clip.first_field is not None:
            later = int(clip.first_field == "top")
            array[:, later::2] = np.stack(draw(number, clip, number + 0.5))[:, later::2]
        frame = av.VideoFrame.from_ndarray(array, format="yuv444p").reformat(format=clip.pixel_format)
        frame.pts, frame.time_base = stamp + origin, time_base
        output.mux(video.encode(frame))
    output.mux(video.encode(None))
    return float(stamps[-1] * time_base + 1 / Fraction(clip.rate))


def _write_tone(
    output: av.container.OutputContainer, track: av.AudioStream, *, hertz: int, seconds: float, start_seconds: int
) -> None:
    context = track.codec_context
    count = int(seconds * SAMPLE_RATE_HZ)
    wave = 0.25 * np.sin(2 * np.pi * hertz * np.arange(count) / SAMPLE_RATE_HZ)
    if not context.is_open:
        context.open()
    resampler = AudioResampler(context.format, "mono", SAMPLE_RATE_HZ, frame_size=context.frame_size or 1024)
    whole = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None, :], format="fltp", layout="mono")
    whole.sample_rate, whole.pts, whole.time_base = SAMPLE_RATE_HZ, 0, Fraction(1, SAMPLE_RATE_HZ)
    for frame in [*resampler.resample(whole), *resampler.resample(None)]:
        if frame is not None:
            frame.pts += start_seconds * SAMPLE_RATE_HZ
            output.mux(track.encode(frame))
    output.mux(track.encode(None))
