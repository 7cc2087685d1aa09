"""What a pixel format's name says of its pictures: which colours they are in, and what 8 bits of 4:2:0 lose of them.

Invariant: the plan and whoever converts pictures ask the same functions, so the matrix that a result names is the one
its pictures were made with.
"""

from __future__ import annotations

import av

XYZ = "xyz12"
"""CIE XYZ of digital cinema; FFmpeg turns it into RGB of BT.709's primaries, gamma 2.2, before anything else."""
PALETTED = frozenset({"pal8"})
"""Their colours are RGB, which FFmpeg's own mark of RGB does not say."""


def is_rgb(pixel_format: str) -> bool:
    """Return whether pictures of a format get a YUV matrix when they are converted, whatever matrix their file names.

    >>> is_rgb("gbrp10le"), is_rgb("pal8"), is_rgb("xyz12le"), is_rgb("yuv444p"), is_rgb("unknown")
    (True, True, True, False, False)
    """
    if pixel_format in PALETTED or is_xyz(pixel_format):
        return True
    try:
        return bool(av.VideoFormat(pixel_format).is_rgb)
    except ValueError:
        return False


def is_xyz(pixel_format: str) -> bool:
    """Return whether pictures of a format are in CIE XYZ."""
    return pixel_format.startswith(XYZ)


def loses_chroma(pixel_format: str) -> bool:
    """Return whether 4:2:0 holds less of a format's colours."""
    return is_rgb(pixel_format) or any(mark in pixel_format for mark in ("422", "444", "440", "nv16", "nv24"))


def has_alpha(pixel_format: str) -> bool:
    """Return whether pictures of a format say how transparent they are."""
    return pixel_format.startswith(("yuva", "rgba", "bgra", "argb", "abgr", "gbrap", "ya8", "ya16"))
