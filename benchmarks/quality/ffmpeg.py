"""Raw pictures through the ffmpeg program: filtered, written to files, read back; with the processor time it took.

Invariant: what goes in and comes out is raw or lossless 4:2:0, so only the filter asked for changes pictures.
"""

from __future__ import annotations

import resource
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from benchmarks.quality.clips import Pictures

RATE = 25
_RAW = ("-f", "rawvideo", "-pix_fmt", "yuv420p")


def filtered(pictures: Pictures, filters: str) -> tuple[Pictures, float]:
    """Return the pictures after a chain of filters on one thread, and the CPU seconds of the whole program."""
    height, width = pictures.shape[1] * 2 // 3, pictures.shape[2]
    command = ["-filter_threads", "1", "-filter_complex_threads", "1", "-threads", "1", *_RAW]
    command += ["-s", f"{width}x{height}", "-r", str(RATE), "-i", "-"]
    command += ["-filter_complex", f"[0:v]{filters}[out]", "-map", "[out]", "-fps_mode", "passthrough", *_RAW, "-"]
    before = _children_seconds()
    data = _run(command, pictures.tobytes())
    return _pictures(data, height, width), _children_seconds() - before


def written(pictures: Pictures, target: Path, *options: str) -> Path:
    """Write the pictures to a file; without `options` losslessly."""
    height, width = pictures.shape[1] * 2 // 3, pictures.shape[2]
    command = ["-y", *_RAW, "-s", f"{width}x{height}", "-r", str(RATE), "-i", "-"]
    _run([*command, *(options or ("-c:v", "ffv1", "-g", "12")), str(target)], pictures.tobytes())
    return target


def decoded(path: Path, height: int, width: int) -> Pictures:
    """Return the pictures of a file."""
    return _pictures(_run(["-i", str(path), "-fps_mode", "passthrough", *_RAW, "-"], b""), height, width)


def _run(arguments: list[str], data: bytes) -> bytes:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *([] if data else ["-nostdin"]), *arguments]
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True, timeout=1800).stdout


def _pictures(data: bytes, height: int, width: int) -> Pictures:
    return np.frombuffer(data, np.uint8).reshape(-1, height * 3 // 2, width)


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
