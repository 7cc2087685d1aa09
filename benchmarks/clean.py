"""Whether `auto` does harm: clean footage goes through it and is compared with itself by VMAF.

Invariant: every 8-bit, undamaged, progressive, ordinary clip of the folder VIDEOPROC_SAMPLES is a row (without the
folder, one film), with what was chosen and why; left alone counts as the best there is. Run by `make bench-clean`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg

from benchmarks.footage import footage
from processing.media.errors import MediaError
from processing.media.local_job import LocalJob, LocalResult
from processing.media.process.launcher import MediaProcesses

TARGET = 95.0
SUBSAMPLE = 3
"""Every third frame is judged."""
HARMLESS_WARNINGS = frozenset({"data_dropped", "audio_transcoded", "audio_aac_added", "cover_art_dropped"})
PLAIN_FORMATS = frozenset({"yuv420p", "yuvj420p"})


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """One clip: what was chosen, and how near the result is to the source."""

    name: str
    operations: tuple[str, ...]
    reasons: tuple[str, ...]
    vmaf: float | None
    """Mean over the frames judged; None where left alone."""
    lowest: float | None

    @property
    def is_good(self) -> bool:
        """Whether the promise held."""
        return self.vmaf is None or self.vmaf >= TARGET


def judge(processes: MediaProcesses, source: Path, name: str) -> Judgement | None:
    """Return how `auto` treats a clip; None where it is not of the kind this is about."""
    with tempfile.TemporaryDirectory(prefix="clean-") as folder:
        try:
            result = LocalJob(processes, source, Path(folder), slots=os.cpu_count() or 1).run()
        except MediaError:
            return None
        if not _is_plain(result):
            return None
        scores = None if result.planned.video == "copy" else vmaf(source, result.path, Path(folder) / "vmaf.json")
    enhancement = result.chosen.enhancement
    return Judgement(
        name=name,
        operations=tuple(f"{choice.operation} {choice.strength:g}" for choice in enhancement.choices),
        reasons=enhancement.reasons,
        vmaf=None if scores is None else scores[0],
        lowest=None if scores is None else scores[1],
    )


def vmaf(reference: Path, picture: Path, log: Path) -> tuple[float, float]:
    """Return mean and minimum of VMAF (v0.6.1) of a file against another, frame by frame whatever their times say."""
    graph = (
        "[0:v]settb=1/25,setpts=N,format=yuv420p[a];[1:v]settb=1/25,setpts=N,format=yuv420p[b];"
        f"[a][b]libvmaf=n_threads=2:n_subsample={SUBSAMPLE}:log_fmt=json:log_path={log}"
    )
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-noautorotate", "-i", str(picture)]
    command += ["-noautorotate", "-i", str(reference), "-lavfi", graph, "-f", "null", "-"]
    subprocess.run(command, check=True, timeout=1800)
    pooled = json.loads(log.read_text())["pooled_metrics"]["vmaf"]
    return float(pooled["mean"]), float(pooled["min"])


def main(say: Callable[[str], None] = print) -> int:
    """Judge every clip; return 1 where one came out below the target."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="clean-film-") as folder, MediaProcesses() as processes:
        say("| clip | done | VMAF mean | lowest | why |\n|---|---|---|---|---|")
        for root, path in _clips(Path(folder)):
            judged = judge(processes, path, str(path.relative_to(root)))
            if judged is not None:
                rows.append(judged)
                say(_row(judged))
    bad = [row for row in rows if not row.is_good]
    alone = sum(row.vmaf is None for row in rows)
    near = len(rows) - alone - len(bad)
    say(f"\n{len(rows)} clips: {alone} left alone, {near} at {TARGET:g} or more, {len(bad)} below")
    return 1 if bad else 0


def _clips(folder: Path) -> Iterator[tuple[Path, Path]]:
    named = os.environ.get("VIDEOPROC_SAMPLES")
    if named is None:
        film = footage(folder)
        yield film.parent, film
        return
    for path in sorted(Path(named).rglob("*")):
        if path.is_file() and (len(sys.argv) < 2 or any(part in str(path) for part in sys.argv[1:])):
            yield Path(named), path


def _is_plain(result: LocalResult) -> bool:
    video, diagnosis = result.metadata.probe.video, result.chosen.diagnosis
    warnings = {*result.planned.warnings, *result.receipt.warnings} - HARMLESS_WARNINGS
    return video.pixel_format in PLAIN_FORMATS and video.hdr == "none" and not diagnosis.is_interlaced and not warnings


def _row(row: Judgement) -> str:
    done = ", ".join(row.operations) or ("left alone" if row.vmaf is None else "encoded anew")
    figures = [f"{value:.1f}" if value is not None else "" for value in (row.vmaf, row.lowest)]
    return "| " + " | ".join((row.name, done, *figures, "; ".join(row.reasons))) + " |"


if __name__ == "__main__":
    sys.exit(main())
