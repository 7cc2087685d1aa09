"""Which engine wrote a file: the versions and the vector units its bytes may depend on.

Two machines with equal fingerprints give equal bytes for equal input; a receipt names the fingerprint of each segment.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import cache

import av
import cv2
import numpy as np


@cache
def fingerprint() -> str:
    """Return one line of names and versions: PyAV, FFmpeg's libraries, x264, OpenCV, numpy and the vector units."""
    libraries = av.library_versions
    parts = {
        "av": av.__version__,
        "avcodec": ".".join(map(str, libraries["libavcodec"])),
        "avformat": ".".join(map(str, libraries["libavformat"])),
        "swscale": ".".join(map(str, libraries["libswscale"])),
        "x264": _x264_build(),
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
    # The library tells its build only inside what it encodes (user data of the first picture).
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt, context.thread_count = 16, 16, "yuv420p", 1
    context.time_base = Fraction(1, 25)
    frame = av.VideoFrame(16, 16, "yuv420p")
    frame.pts = 0
    data = b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])
    match = re.search(rb"x264 - core (\d+)(?: r(\w+))?", data)
    return match[0].decode().removeprefix("x264 - core ").replace(" ", "") if match else "unknown"
