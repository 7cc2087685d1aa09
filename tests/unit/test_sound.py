"""Sound in the result: the source's own packets where MP4 carries them, and always where it was."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from processing.media.sound import SampleClock
from tests.clips import make_clip
from tests.plans import DENOISE, Job, run_job

RATE_HZ = 48_000


def samples_of(path: Path, track: int) -> tuple[np.ndarray, Fraction]:
    """Return a track's samples (mono) and when the first of them is heard, in seconds after the first picture."""
    with av.open(path) as container:
        stream = container.streams.audio[track]
        frames = list(container.decode(stream))
        start = frames[0].pts * frames[0].time_base
        resampler = av.AudioResampler("fltp", "mono", RATE_HZ)
        blocks = [piece.to_ndarray()[0] for frame in [*frames, None] for piece in resampler.resample(frame)]
    with av.open(path) as container:
        first = next(container.decode(video=0))
        return np.concatenate(blocks), start - first.pts * first.time_base


def delay_of(job: Job, track: int) -> float:
    """Return how much later a sound is heard in the result than in the source, in samples, beside the pictures."""
    before, starts = samples_of(job.source, 0)
    after, starts_after = samples_of(job.output, track)
    length = 1 << math.ceil(math.log2(len(before) + len(after)))
    product = np.fft.rfft(after, length) * np.conj(np.fft.rfft(before, length))
    lag = int(np.argmax(np.fft.irfft(product, length)))
    lag = lag - length if lag > length // 2 else lag
    return lag + float(starts_after - starts) * RATE_HZ


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [
        ("aac", "mp4"),
        ("aac", "mkv"),
        ("aac", "ts"),
        ("mp3", "mp4"),
        ("opus", "webm"),
        ("flac", "mkv"),
    ],
)
def test_packets_are_copied_where_browsers_play_them(codec: str, suffix: str, tmp_path: Path) -> None:
    picture = "vp9" if suffix == "webm" else "h264"
    source = make_clip(tmp_path / f"a.{suffix}", frames=45, width=160, height=96, codec=picture, audio=[codec])
    job = run_job(source, tmp_path / "job", DENOISE)
    (sound,) = job.receipt.audio
    assert (sound.codec, sound.mode, sound.payload_equal) == (codec, "copied", True)
    assert sound.packets > 10
    assert abs(delay_of(job, 0)) <= RATE_HZ / 1000 + 1


@pytest.mark.parametrize(("codec", "suffix"), [("ac3", "mp4"), ("eac3", "ts"), ("alac", "mp4")])
def test_what_browsers_do_not_play_is_copied_and_has_aac_beside_it(codec: str, suffix: str, tmp_path: Path) -> None:
    source = make_clip(tmp_path / f"a.{suffix}", frames=45, width=160, height=96, audio=[codec])
    job = run_job(source, tmp_path / "job", DENOISE)
    copied, beside = job.receipt.audio
    assert (copied.codec, copied.mode, copied.payload_equal) == (codec, "copied", True)
    assert (beside.codec, beside.mode, beside.payload_equal) == (codec, "transcoded", None)
    assert copied.index == beside.index
    assert "audio_aac_added" in job.receipt.warnings
    assert "audio_transcoded" not in job.receipt.warnings
    assert abs(delay_of(job, 0)) <= 1
    assert abs(delay_of(job, 1)) <= 2
    with av.open(job.output) as container:
        assert [stream.codec_context.name for stream in container.streams.audio] == [codec, "aac"]


@pytest.mark.parametrize(("codec", "suffix"), [("pcm", "mkv"), ("mp2", "ts")])
def test_what_mp4_does_not_carry_becomes_aac_in_its_place(codec: str, suffix: str, tmp_path: Path) -> None:
    source = make_clip(tmp_path / f"a.{suffix}", frames=45, width=160, height=96, audio=[codec])
    job = run_job(source, tmp_path / "job", DENOISE)
    (sound,) = job.receipt.audio
    assert sound.mode == "transcoded"
    assert "audio_transcoded" in job.receipt.warnings
    assert abs(delay_of(job, 0)) <= RATE_HZ / 1000 + 1
    tone, _ = samples_of(job.output, 0)
    spectrum = np.abs(np.fft.rfft(tone[:RATE_HZ]))
    assert abs(int(np.argmax(spectrum)) - 440) <= 1
    assert 0.15 < float(np.sqrt(np.mean(tone[RATE_HZ // 2 : RATE_HZ] ** 2))) < 0.2


def test_every_track_keeps_its_language_and_the_default_its_mark(tmp_path: Path) -> None:
    plain = make_clip(tmp_path / "plain.mkv", frames=30, width=160, height=96, audio=["aac", "opus"])
    source = tmp_path / "a.mkv"
    with av.open(plain) as reader, av.open(source, "w") as writer:
        copies = {stream.index: writer.add_stream_from_template(stream) for stream in reader.streams}
        for index, language in ((1, "deu"), (2, "fra")):
            copies[index].metadata["language"] = language
            copies[index].disposition = int(index == 2)
        for packet in reader.demux():
            if packet.size:
                packet.stream = copies[packet.stream_index]
                writer.mux(packet)
    job = run_job(source, tmp_path / "job", DENOISE)
    with av.open(job.output) as container:
        described = [(stream.language, int(stream.disposition) & 1) for stream in container.streams.audio]
    assert described == [("deu", 0), ("fra", 1)]


def test_coarse_stamps_become_even_samples_and_gaps_stay() -> None:
    clock = SampleClock(Fraction(1, 1000), 48_000, Fraction(0))
    assert [clock.stamp(pts, 1024) for pts in (0, 21, 43, 64)] == [0, 1024, 2048, 3072]
    assert clock.stamp(500, 1024) == 24_000
    assert clock.stamp(None, 1024) == 25_024
    assert clock.stamp(400, 1024) == 26_048


def test_the_origin_is_taken_off() -> None:
    clock = SampleClock(Fraction(1, 90_000), 48_000, Fraction(3600))
    assert clock.stamp(3600 * 90_000 + 45_000, 960) == 24_000
