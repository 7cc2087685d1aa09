"""The demo's own parts: the clip and its truth, the checks that must notice every loss, the progress line and table."""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from processing.media.errors import UnsupportedContainer
from processing.media.specs import Choice
from tests.clips import make_clip
from videoproc.demo import clip
from videoproc.demo.checks import Check, Reading, compare, luma_plane, read
from videoproc.demo.report import Chosen, Progress, Timing, table, write_pair
from videoproc.demo.run import folder_name


@pytest.fixture(scope="module")
def sound_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "a.mp4"
    return make_clip(path, frames=30, b_frames=2, audio=["aac"], rotation_degrees=90, colour_matrix=1)


@pytest.fixture(scope="module")
def reading(sound_clip: Path) -> Reading:
    return read(sound_clip)


def remux(source: Path, target: Path, *, drop: int | None = None, shift_sound: int = 0, cut_sound: int = 0) -> Path:
    """Copy a clip; leave out video packet `drop`, move its sound by samples, or leave out the last audio packets."""
    with av.open(source) as reader, av.open(target, "w") as writer:
        streams = {stream.index: writer.add_stream_from_template(stream) for stream in reader.streams}
        packets = [packet for packet in reader.demux() if packet.size]
        video = [packet for packet in packets if packet.stream.type == "video"]
        sound = [packet for packet in packets if packet.stream.type == "audio"]
        left_out = {id(video[drop])} if drop is not None else set()
        left_out |= {id(packet) for packet in sound[len(sound) - cut_sound :]}
        for packet in packets:
            if id(packet) in left_out:
                continue
            if packet.stream.type == "audio":
                packet.pts, packet.dts = packet.pts + shift_sound, packet.dts + shift_sound
            packet.stream = streams[packet.stream_index]
            writer.mux(packet)
    return target


def held(checks: list[Check]) -> dict[str, bool]:
    return {check.name: check.held for check in checks}


def test_a_file_keeps_everything_against_itself(reading: Reading) -> None:
    checks = compare(reading, reading, warnings=())
    assert held(checks) == dict.fromkeys(("frames", "times", "sound", "shape", "colour"), True)


def test_another_container_and_other_stamps_are_the_same_file(
    reading: Reading, sound_clip: Path, tmp_path: Path
) -> None:
    moved = read(remux(sound_clip, tmp_path / "moved.mkv"))
    checks = {check.name: check for check in compare(reading, moved, warnings=())}
    assert checks["frames"].held
    assert checks["sound"].held
    # Matroska counts in milliseconds, so thirtieths of a second are not what they were.
    assert not checks["times"].held


def test_a_lost_frame_is_noticed(reading: Reading, sound_clip: Path, tmp_path: Path) -> None:
    lost = read(remux(sound_clip, tmp_path / "lost.mp4", drop=29))
    assert held(compare(reading, lost, warnings=())) == {
        "frames": False,
        "times": False,
        "sound": True,
        "shape": True,
        "colour": True,
    }


def test_sound_that_moved_or_lost_packets_is_noticed(reading: Reading, sound_clip: Path, tmp_path: Path) -> None:
    drifted = read(remux(sound_clip, tmp_path / "drifted.mp4", shift_sound=4800))
    shortened = read(remux(sound_clip, tmp_path / "shortened.mp4", cut_sound=2))
    (drift,) = [check for check in compare(reading, drifted, warnings=()) if not check.held]
    # MP4's edit list counts in milliseconds, so the tenth of a second is not exact.
    assert drift.words.startswith(("every packet untouched, but +0.099", "every packet untouched, but +0.100"))
    assert [check.name for check in compare(reading, shortened, warnings=()) if not check.held] == ["sound"]


def test_turn_aspect_and_colour_are_compared(reading: Reading) -> None:
    video = reading.probe.video
    changed = replace(video, rotation_degrees=0, sample_aspect=Fraction(4, 3), colour=replace(video.colour, matrix=6))
    other = replace(reading, probe=replace(reading.probe, video=changed))
    failed = {check.name: check.words for check in compare(reading, other, warnings=()) if not check.held}
    assert failed.keys() == {"shape", "colour"}
    assert failed["shape"] == "turned by 0 instead of 90 degrees; pixel aspect 4/3 instead of 1"


def test_a_silent_video_gains_no_sound(tmp_path: Path) -> None:
    silent = read(make_clip(tmp_path / "silent.mp4", frames=6))
    assert held(compare(silent, silent, warnings=()))["sound"]


def test_times_that_run_backwards_are_compared_with_the_mended_ones(reading: Reading) -> None:
    backwards = replace(reading, stamps=tuple(reversed(reading.stamps)))
    times = next(check for check in compare(backwards, reading, warnings=()) if check.name == "times")
    assert times.held
    assert times.words.endswith("had to be mended")


def test_a_text_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("this is a text\n" * 20)
    with pytest.raises(UnsupportedContainer):
        read(path)


def test_noise_is_measured_against_the_truth_whatever_the_tone_curve() -> None:
    town = clip.Town()
    clean = town.clean_luma(60)
    random = np.random.default_rng(1)
    noisy = clean + random.normal(0, 8, clean.shape)
    less_noisy = clean + random.normal(0, 4, clean.shape)
    brightened = 255 * (less_noisy.clip(0, 255) / 255) ** 0.8
    assert clip.signal_to_noise_db(less_noisy, clean) - clip.signal_to_noise_db(noisy, clean) == pytest.approx(
        6.0, abs=0.2
    )
    assert clip.signal_to_noise_db(brightened, clean) == pytest.approx(
        clip.signal_to_noise_db(less_noisy, clean), abs=0.5
    )


def test_the_made_clip_is_dark_noisy_and_moves() -> None:
    town = clip.Town()
    frame = next(town.frames())
    luma = luma_plane(frame).astype(np.float64)
    assert (frame.width, frame.height) == (clip.WIDTH_PX, clip.HEIGHT_PX)
    assert luma.mean() < 80
    assert np.std(luma - (24 + (town.clean_luma(0) - 16) * clip.EXPOSURE)) == pytest.approx(
        clip.NOISE_SIGMA_LUMA, rel=0.05
    )
    assert np.abs(town.clean_luma(0) - town.clean_luma(1)).mean() > 1


def test_the_pair_shows_both_stills_with_labels(tmp_path: Path) -> None:
    for name, level in (("before", 40), ("after", 160)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((180, 320, 3), level, np.uint8))
    write_pair(tmp_path / "before.png", tmp_path / "after.png", tmp_path / "pair.jpg")
    pair = cv2.imread(str(tmp_path / "pair.jpg"), cv2.IMREAD_GRAYSCALE)
    height, width = pair.shape
    assert width > 2 * height * 1.7
    assert abs(int(pair[height - 9, 9]) - 40) < 4
    assert abs(int(pair[height - 9, width - 9]) - 160) < 4
    assert pair[:40, :100].max() > 200, "the label on the left is white on dark"


def test_progress_is_a_moving_line_on_a_terminal_and_plain_lines_elsewhere() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal, plain = Terminal(), io.StringIO()
    for out in (terminal, plain):
        progress = Progress(out)
        progress.show("uploading", 0)
        progress.show("uploading", 4)
        progress.show("uploading", 12)
        progress.show("ready", 100)
        progress.end()
    assert terminal.getvalue().count("\r") >= 2
    assert terminal.getvalue().endswith("\n")
    assert plain.getvalue() == "uploading     0.0 %\nuploading    12.0 %\nready       100.0 %\n"


def test_the_table_says_what_failed_and_why_each_choice(reading: Reading) -> None:
    chosen = Chosen(
        preset="auto",
        choices=(Choice(operation="denoise", strength=0.8, reason="noise sigma 5.1"),),
        reasons=("Noise of sigma 5.1 is above 1.5: denoise at 0.80.", "Contrast is good: left alone."),
    )
    text = table(
        source=reading,
        result=reading,
        checks=[Check(name="frames", held=False, words="29 of 30")],
        gains=[],
        chosen=chosen,
        warnings=("hdr_tone_mapped",),
        timing=Timing(upload_seconds=0.5, processing_seconds=2.0, source_seconds=1.0),
        files=[("video", Path("demo-output/a/enhanced.mp4"))],
    )
    assert "NOT KEPT: 29 of 30" in text
    assert "denoise 0.80" in text
    assert text.count("because") == 2
    assert "0.50 times real time" in text
    assert max(map(len, text.splitlines())) <= 110


@pytest.mark.parametrize(
    ("video", "name"),
    [(None, "made-clip"), (Path("a b/My clip (1).mov"), "My-clip-1"), (Path("..mp4"), "video"), (Path("é.mp4"), "é")],
)
def test_the_folder_is_named_for_the_video(video: Path | None, name: str) -> None:
    assert folder_name(video) == name
