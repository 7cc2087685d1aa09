"""What a pixel format's name says of its pictures: which colours they are in, and what 8 bits of 4:2:0 lose of them.

Invariant: the plan and whoever converts pictures ask the same functions, so the matrix that a result names is the one
its pictures were made with.
"""

from __future__ import annotations

from dataclasses import replace

import av

from processing.media.specs import Colour

RGB_MATRIX = 0
"""Code point of ISO/IEC 23091-2."""
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


def is_grey(pixel_format: str) -> bool:
    """Return whether pictures of a format have no colours; FFmpeg takes their code values for full range.

    >>> is_grey("gray10le"), is_grey("ya8"), is_grey("monob"), is_grey("pal8"), is_grey("yuvj420p")
    (True, True, True, False, False)
    """
    return pixel_format.startswith(("gray", "ya8", "ya16", "mono"))


def grey_colour(colour: Colour, matrix: int) -> Colour:
    """Return the colour description of grey pictures that keep their code values; `matrix` in place of that of RGB."""
    return replace(
        colour,
        range="full" if colour.range == "unspecified" else colour.range,
        matrix=matrix if colour.matrix == RGB_MATRIX else colour.matrix,
    )


def is_xyz(pixel_format: str) -> bool:
    """Return whether pictures of a format are in CIE XYZ."""
    return pixel_format.startswith(XYZ)


def is_coarse_rgb(pixel_format: str) -> bool:
    """Return whether pictures of a format are RGB of less than eight bits, whose white FFmpeg's converters lose.

    >>> is_coarse_rgb("rgb555le"), is_coarse_rgb("rgb24"), is_coarse_rgb("pal8")
    (True, False, False)
    """
    return is_rgb(pixel_format) and min(part.bits for part in av.VideoFormat(pixel_format).components) < 8


def loses_chroma(pixel_format: str) -> bool:
    """Return whether 4:2:0 holds less of a format's colours."""
    return is_rgb(pixel_format) or any(mark in pixel_format for mark in ("422", "444", "440", "nv16", "nv24"))


def has_alpha(pixel_format: str) -> bool:
    """Return whether pictures of a format say how transparent they are."""
    return pixel_format.startswith(("yuva", "rgba", "bgra", "argb", "abgr", "gbrap", "ya8", "ya16"))
