"""What the engine is measured against and how it is run itself: each contender takes a clip and says what it used.

Invariant: all of them write H.264 by libx264 with one preset and CRF, or say why not.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

import cv2
import imageio_ffmpeg

from processing.media.process.launcher import MediaProcesses
from processing.media.process.supervision import Usage
from processing.media.receipts import Receipt, SegmentResult
from processing.media.requests import (
    Chosen,
    DiagnoseRequest,
    JoinRequest,
    Metadata,
    MetadataRequest,
    Planned,
    PlanRequest,
    SegmentRequest,
)

FILTERS = "hqdn3d,eq=gamma=1.05,unsharp"


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one run took."""

    wall_seconds: float
    cpu_seconds: float
    peak_rss_bytes: int
    """Of the largest process."""
    size_bytes: int


def ffmpeg(clip: Path, output: Path, filters: str | None = None) -> Run:
    """Transcode with the ffmpeg program and its default threads, sound left out."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", "-i", str(clip), "-an"]
    command += ["-vf", filters] if filters else []
    command += ["-c:v", "libx264", "-preset", "veryfast", "-crf", "20", str(output)]
    started = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Run(
        wall_seconds=time.perf_counter() - started,
        cpu_seconds=used.ru_utime + used.ru_stime,
        peak_rss_bytes=used.ru_maxrss * 1024,
        size_bytes=output.stat().st_size,
    )


@dataclass(frozen=True, kw_only=True)
class Planning:
    """A clip's plan on the disk."""

    path: Path
    chosen: Chosen
    planned: Planned


def plan(processes: MediaProcesses, clip: Path, folder: Path, usages: list[Usage]) -> Planning:
    """Read, diagnose and plan a clip with `auto`, as the service's first chain does."""
    request = MetadataRequest(source=str(clip), output=str(folder / "facts.json"))
    processes.run("metadata", request, Metadata, directory=folder, on_ended=usages.append)
    diagnose = DiagnoseRequest(source=str(clip), preset="auto", facts=request.output)
    chosen = processes.run("diagnose", diagnose, Chosen, directory=folder, on_ended=usages.append)
    path = folder / "plan.json"
    asked = PlanRequest(source=str(clip), source_digest="", chosen=chosen, output=str(path), facts=request.output)
    planned = processes.run("plan", asked, Planned, on_ended=usages.append)
    return Planning(path=path, chosen=chosen, planned=planned)


def segments(
    processes: MediaProcesses,
    clip: Path,
    planning: Planning,
    indices: list[int],
    cores: list[int | None],
    usages: list[Usage],
) -> dict[int, SegmentResult]:
    """Enhance segments by as many media processes at a time as there are `cores`, each held to its core if named.

    An index may come up several times; its outputs are told apart by their place in `indices`.
    """
    waiting: SimpleQueue[tuple[int, int]] = SimpleQueue()
    for place, index in enumerate(indices):
        waiting.put((place, index))
    results: dict[int, SegmentResult] = {}
    failures: list[BaseException] = []

    def work(core: int | None) -> None:
        while not failures:
            try:
                place, index = waiting.get_nowait()
            except Empty:
                return
            output = planning.path.parent / f"{place}.mp4"
            request = SegmentRequest(source=str(clip), plan=str(planning.path), index=index, output=str(output))
            try:
                results[place] = processes.run(
                    "segment",
                    request,
                    SegmentResult,
                    on_started=None if core is None else lambda pid: os.sched_setaffinity(pid, {core}),
                    on_ended=usages.append,
                )
            except Exception as error:  # noqa: BLE001  raised again by the caller's thread
                failures.append(error)

    threads = [threading.Thread(target=work, args=(core,)) for core in cores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return results


def engine(processes: MediaProcesses, clip: Path, folder: Path, workers: int) -> tuple[Run, Planning]:
    """Run the whole of a job as a worker does: read, diagnose, plan, `workers` segments at a time, join."""
    folder.mkdir(exist_ok=True)
    usages: list[Usage] = []
    started = time.perf_counter()
    planning = plan(processes, clip, folder, usages)
    order = list(range(len(planning.planned.segments)))
    results = segments(processes, clip, planning, order, [None] * workers, usages)
    output = folder / "result.mp4"
    request = JoinRequest(
        source=str(clip),
        plan=str(planning.path),
        segments=tuple(str(folder / f"{index}.mp4") for index in order),
        results=tuple(results[index] for index in order),
        output=str(output),
    )
    processes.run("join", request, Receipt, on_ended=usages.append)
    run = Run(
        wall_seconds=time.perf_counter() - started,
        cpu_seconds=sum(usage.cpu_seconds for usage in usages),
        peak_rss_bytes=max(usage.peak_rss_bytes for usage in usages),
        size_bytes=output.stat().st_size,
    )
    return run, planning


def opencv_seconds_per_frame(clip: Path, output: Path, frames: int) -> float:
    """Enhance a few frames the way tutorials do; MPEG-4, for OpenCV's wheel cannot write H.264."""
    source = cv2.VideoCapture(str(clip))
    ok, frame = source.read()
    sink = cv2.VideoWriter(str(output), cv2.VideoWriter.fourcc(*"mp4v"), 25, (frame.shape[1], frame.shape[0]))
    stretch = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8))
    started = time.perf_counter()
    done = 0
    while ok and done < frames:
        frame = cv2.fastNlMeansDenoisingColored(frame, None, 5, 5, 7, 21)
        lightness, a, b = cv2.split(cv2.cvtColor(frame, cv2.COLOR_BGR2LAB))
        frame = cv2.cvtColor(cv2.merge((stretch.apply(lightness), a, b)), cv2.COLOR_LAB2BGR)
        frame = cv2.addWeighted(frame, 1.5, cv2.GaussianBlur(frame, (0, 0), 2), -0.5, 0)
        sink.write(frame)
        done += 1
        ok, frame = source.read()
    sink.release()
    source.release()
    return (time.perf_counter() - started) / done
