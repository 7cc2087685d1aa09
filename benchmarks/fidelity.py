"""What is kept of a file: every file of a folder goes through `auto`, one row each, judged by an independent decoder.

Invariant: a verdict is "kept" only where the receipt holds, the ffmpeg program decodes the same number of frames from
the result without complaint, and everything the result lacks is named in the receipt. Run by `make fidelity`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg

from processing.media.errors import MediaError, ProcessError, SourceError
from processing.media.local_job import LocalJob, LocalResult
from processing.media.process.launcher import MediaProcesses
from processing.media.receipts import Receipt
from processing.media.specs import MediaProbe, VideoStream
from tests.clips import Clip, damaged, make_clip, truncated, without_composition_offsets

COLUMNS = (
    "file", "frames header/scan/decode/out", "pts", "seconds", "turn", "aspect", "colour", "bits", "sound",
    "subtitles", "chapters", "video", "warnings", "verdict",
)  # fmt: skip
DECODER_SECONDS = 600.0
HARMLESS = frozenset({"UDTA parsing failed retrying raw"})
"""FFmpeg's reader says so of the track titles that its writer writes."""
KEPT, REFUSED = "kept", "refused"


@dataclass(frozen=True, kw_only=True)
class Row:
    """What became of one file."""

    file: str
    cells: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    verdict: str
    seconds: float

    @property
    def is_good(self) -> bool:
        """Whether all was kept, or the file was refused with a reason."""
        return self.verdict == KEPT or self.verdict.startswith(REFUSED)


def examine(processes: MediaProcesses, source: Path, *, name: str = "", slots: int = 2) -> Row:
    """Run one file through `auto` and return its row; a failure is a row too."""
    began = time.monotonic()
    name = name or source.name
    with tempfile.TemporaryDirectory(prefix="fidelity-") as folder:
        try:
            result = LocalJob(processes, source, Path(folder), slots=slots).run()
        except (SourceError, ProcessError, MediaError) as error:
            is_refusal = isinstance(error, SourceError)
            verdict = f"{REFUSED}: {error.code}" if is_refusal else f"FAILED: {error.code}: {error.detail}"
            return Row(file=name, cells=("",) * 11, verdict=verdict, seconds=time.monotonic() - began)
        wrong = faults(source, result)
        return Row(
            file=name,
            cells=_cells(result),
            warnings=tuple(sorted({*result.planned.warnings, *result.receipt.warnings})),
            verdict=f"LOST: {'; '.join(wrong)}" if wrong else KEPT,
            seconds=time.monotonic() - began,
        )


def faults(source: Path, result: LocalResult) -> list[str]:
    """Return everything that is not as promised, or was left out without a word."""
    wrong = _file_faults(source, result, result.path, result.receipt)
    for receipt in result.receipt.further:
        found = _file_faults(source, result, result.further[receipt.rendition], receipt)
        wrong += [f"{receipt.rendition}: {fault}" for fault in found + _depth_faults(result.metadata.probe, receipt)]
    return wrong


def _depth_faults(probe: MediaProbe, receipt: Receipt) -> list[str]:
    """Return what a rendition of ten bits has lost of what it is there for."""
    video, wrong = probe.video, []
    if (receipt.bit_depth, receipt.codec) != (10, "hevc"):
        wrong.append(f"{receipt.codec} in {receipt.bit_depth} bits")
    if receipt.hdr != video.hdr:
        wrong.append(f"{video.hdr} became {receipt.hdr}")
    if video.hdr != "none":
        before, after = ((facts.mastering_display, facts.light_level) for facts in (video, receipt))
        wrong += [f"{old} became {new}" for old, new in zip(before, after, strict=True) if old not in (None, new)]
    return wrong


def _file_faults(source: Path, result: LocalResult, path: Path, receipt: Receipt) -> list[str]:
    probe = result.metadata.probe
    frames, complaints = decoded_by_ffmpeg(path)
    if complaints:
        # What is copied keeps the source's own faults.
        complaints -= decoded_by_ffmpeg(source, stream=f"0:{probe.video.index}")[1] | HARMLESS
    warnings = {*result.planned.warnings, *receipt.warnings}
    wrong = []
    if frames != receipt.frames_out:
        wrong.append(f"ffmpeg decodes {frames} frames, the receipt says {receipt.frames_out}")
    if complaints:
        wrong.append(f"ffmpeg complains: {min(complaints)}")
    if not receipt.pts_equal:
        wrong.append("times differ")
    if receipt.frames_out < result.planned.frames_total and "frames_missing" not in warnings:
        wrong.append(f"{receipt.frames_out} of {result.planned.frames_total} frames without a warning")
    if result.planned.frames_total < result.metadata.frames_from_scan and "packets_without_frame" not in warnings:
        wrong.append("packets gave no frame, without a warning")
    if any(track.payload_equal is False for track in receipt.audio):
        wrong.append("sound differs")
    if {track.index for track in receipt.audio} != {track.index for track in probe.audio}:
        wrong.append("a track of sound has no line in the receipt")
    unnamed = _unnamed(probe, receipt)
    if unnamed:
        wrong.append(f"streams {unnamed} have no line in the receipt")
    return wrong


def decoded_by_ffmpeg(path: Path, *, stream: str = "0:v:0") -> tuple[int, set[str]]:
    """Return how many frames of a file the ffmpeg program decodes, and the kinds of its complaints."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "warning", "-nostdin", "-noautorotate", "-i", str(path)]
    command += ["-map", stream, "-fps_mode", "passthrough", "-enc_time_base", "demux", "-f", "framecrc", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=DECODER_SECONDS)
    frames = sum(not line.startswith("#") for line in done.stdout.splitlines())
    return frames, {_kind(line) for line in done.stderr.splitlines() if "Last message repeated" not in line}


def _kind(complaint: str) -> str:
    """Return a complaint without its address and figures."""
    return re.sub(r"\d+", "N", re.sub(r"^\[[^]]*\] ", "", complaint))


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    for row in rows:
        lines.append("| " + " | ".join((row.file, *row.cells, ", ".join(row.warnings), row.verdict)) + " |")
    return "\n".join(lines)


def made_clips(folder: Path) -> list[Path]:
    """Write a clip of each kind that is easily lost, and some that are broken."""
    small = {"width": 160, "height": 96, "frames": 30, "gop": 15}

    def clip(name: str, **options: object) -> Path:
        return make_clip(folder / name, Clip(**{**small, **options}))  # type: ignore[arg-type]

    whole = clip("whole.mp4", b_frames=2, frames=60, container_options=[("movflags", "faststart")])
    (folder / "text.mp4").write_text("not a video")
    return [
        whole,
        clip("noisy_two_tracks.mkv", noise_sigma=6.0, audio=["aac", "opus"]),
        clip("turned.mov", rotation_degrees=90, noise_sigma=6.0, audio=["aac"]),
        clip("late.ts", b_frames=2, start_seconds=3600, audio=["aac"]),
        clip("odd.mkv", width=161, height=97, codec="vp9", audio=["opus"]),
        clip("deep.mp4", codec="hevc", pixel_format="yuv420p10le"),
        clip("interlaced.ts", codec="mpeg2video", interlaced=True, rate=25, audio=["mp2"]),
        without_composition_offsets(whole, folder / "backwards.mp4"),
        truncated(whole, folder / "cut.mp4", 0.6),
        damaged(whole, folder / "flipped.mp4", every=499),
        folder / "text.mp4",
    ]


def main(say: Callable[[str], None] = print) -> int:
    """Examine every file of the folder in VIDEOPROC_SAMPLES, or made clips; return 1 where anything was lost."""
    named = os.environ.get("VIDEOPROC_SAMPLES")
    scratch = Path(tempfile.mkdtemp(prefix="fidelity-clips-"))
    try:
        root = Path(named) if named else scratch
        paths = sorted(path for path in root.rglob("*") if path.is_file()) if named else made_clips(scratch)
        wanted = sys.argv[1:]
        rows = list(_rows(root, [path for path in paths if not wanted or any(part in str(path) for part in wanted)]))
    finally:
        shutil.rmtree(scratch)
    say("")
    say(table(rows))
    bad = [row for row in rows if not row.is_good]
    kept = sum(row.verdict == KEPT for row in rows)
    say(f"\n{len(rows)} files: {kept} kept, {len(rows) - kept - len(bad)} refused, {len(bad)} not as promised")
    return 1 if bad else 0


def _rows(root: Path, paths: Iterable[Path]) -> Iterable[Row]:
    with MediaProcesses() as processes:
        for path in paths:
            row = examine(processes, path, name=str(path.relative_to(root)), slots=os.cpu_count() or 1)
            sys.stderr.write(f"{row.seconds:6.1f} s  {row.file}: {row.verdict}\n")
            yield row


def _cells(result: LocalResult) -> tuple[str, ...]:
    metadata, receipt = result.metadata, result.receipt
    video = metadata.probe.video
    counts = (metadata.frames_from_header, metadata.frames_from_scan, receipt.frames_from_decode, receipt.frames_out)
    mended = f", {receipt.pts_repaired} mended" if receipt.pts_repaired else ""
    return (
        "/".join("-" if count is None else str(count) for count in counts),
        ("equal" if receipt.pts_equal else "DIFFER") + mended,
        f"{metadata.duration_seconds:.2f} > {receipt.duration_seconds:.2f}",
        f"{video.rotation_degrees} > {receipt.rotation_degrees}",
        f"{video.sample_aspect} > {receipt.sample_aspect}",
        _colour(video, receipt),
        f"{video.bit_depth} > {' and '.join(str(one.bit_depth) for one in (receipt, *receipt.further))}",
        ", ".join(f"{track.codec} {track.mode}" for track in receipt.audio) or "none",
        ", ".join(f"{track.codec} {track.mode} {track.cues}" for track in receipt.subtitles) or "none",
        f"{len(metadata.probe.chapters)} > {receipt.chapters}",
        ", ".join((result.planned.video, *(f"{one.rendition} {one.codec}" for one in receipt.further))),
    )


def _colour(video: VideoStream, receipt: Receipt) -> str:
    before, after = (
        f"{colour.range[:4]} {colour.primaries}/{colour.transfer}/{colour.matrix}"
        for colour in (video.colour, receipt.colour)
    )
    return "same" if before == after else f"{before} > {after}"


def _unnamed(probe: MediaProbe, receipt: Receipt) -> list[int]:
    """Return the streams that are neither in the result nor in the receipt's list of those left out."""
    named = {track.index for track in receipt.subtitles}
    unnamed = [
        stream
        for stream in probe.other
        if stream.index not in named and not any(f" {stream.index} " in line for line in receipt.dropped_streams)
    ]
    covers = [stream.index for stream in unnamed if stream.is_cover_art]
    others = [stream.index for stream in unnamed if not stream.is_cover_art]
    return others + covers[receipt.cover_pictures :]


if __name__ == "__main__":
    sys.exit(main())
