"""Which engine wrote a file: the versions and the vector units its bytes may depend on.

Two machines with equal fingerprints give equal bytes for equal input; a receipt names the fingerprint of each segment.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import cache
from typing import Literal, cast

import av
import cv2
import numpy as np
from av.video.codeccontext import VideoCodecContext


@cache
def fingerprint(codec: Literal["h264", "hevc"] = "h264") -> str:
    """Return one line of names and versions: PyAV, FFmpeg's libraries, encoder, OpenCV, numpy and the vector units."""
    libraries = av.library_versions
    parts = {
        "av": av.__version__,
        "avcodec": ".".join(map(str, libraries["libavcodec"])),
        "avformat": ".".join(map(str, libraries["libavformat"])),
        "swscale": ".".join(map(str, libraries["libswscale"])),
        **({"x264": _x264_build()} if codec == "h264" else {"x265": _x265_version()}),
        "opencv": cv2.__version__,
        "numpy": np.__version__,
        "simd": _vector_units(),
    }
    return " ".join(f"{name}/{version}" for name, version in parts.items())


def _vector_units() -> str:
    # OpenCV lists the units it has code for, best last: "*" marks those chosen at run time, "?" those this CPU lacks.
    present = [unit.strip("*") for unit in cv2.getCPUFeaturesLine().split() if not unit.endswith("?")]
    return str(present[-1]).lower() if present else "none"


def _x264_build() -> str:
    match = re.search(rb"x264 - core (\d+)(?: r(\w+))?", _encoded("libx264", 16, {}))
    return match[0].decode().removeprefix("x264 - core ").replace(" ", "") if match else "unknown"


def _x265_version() -> str:
    options = {"preset": "ultrafast", "x265-params": "log-level=none:pools=none:frame-threads=1"}
    match = re.search(rb"x265 \(build \d+\) - ([\w.+-]+)", _encoded("libx265", 64, options))
    return match[1].decode() if match else "unknown"


def _encoded(encoder: str, side: int, options: dict[str, str]) -> bytes:
    """Return what an encoder makes of one picture: only inside it, as user data, does a library tell its version."""
    context = cast(VideoCodecContext, av.CodecContext.create(encoder, "w"))
    context.width, context.height, context.pix_fmt, context.thread_count = side, side, "yuv420p", 1
    context.time_base, context.options = Fraction(1, 25), options
    frame = av.VideoFrame(side, side, "yuv420p")
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])
