"""Pictures as they are seen: planes in colour, upright, with square pixels, and as JPEG files without any metadata.

Invariant: pure but for the file written, and the same bytes on every CPU: scaling is FFmpeg's exact one or by area.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from processing.media.durable import full_disk_is_typed, make_durable
from processing.media.encode import frame_of
from processing.media.enhancement.planes import Planes
from processing.media.errors import Damaged
from processing.media.pictures import EXACT
from processing.media.receipts import Still
from processing.media.sizes import HD_HEIGHT_PX
from processing.media.specs import Encoding

LONGEST_SIDE_PX = 1280
JPEG_QUALITY = 90
ITU709, ITU601 = 1, 5
"""FFmpeg's names for the matrices; SD without a tag is BT.601 to every player, larger pictures BT.709."""
MATRICES = {1: ITU709, 4: 4, 5: ITU601, 6: ITU601, 7: 7, 9: 9, 10: 9}
LIMITED, FULL = 1, 2

Picture = NDArray[np.uint8]
"""Height x width x 3, blue first."""


def shown(planes: Planes, encoding: Encoding) -> Picture:
    """Return planes of an encoding as a picture as it is to be seen."""
    return upright(to_bgr(planes, encoding), encoding.sample_aspect, encoding.rotation_degrees)


def small(planes: Planes, encoding: Encoding, longest_px: int) -> Picture:
    """Return planes of an encoding as a small picture as it is to be seen, no side longer than `longest_px`."""
    height, width = planes.y.shape
    size = _square_size(width, height, encoding.sample_aspect, longest_px)
    return _turned(to_bgr(planes, encoding, size), encoding.rotation_degrees)


def upright(picture: Picture, sample_aspect: Fraction, rotation_degrees: int) -> Picture:
    """Return a picture as it is to be seen: square pixels, turned counter-clockwise by the nearest quarter turn.

    No side is longer than LONGEST_SIDE_PX; nothing is enlarged but the narrower side of oblong pixels.
    """
    height, width = picture.shape[:2]
    size = _square_size(width, height, sample_aspect, LONGEST_SIDE_PX)
    if size != (width, height):
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return _turned(picture, rotation_degrees)


def to_bgr(planes: Planes, encoding: Encoding, size: tuple[int, int] | None = None) -> Picture:
    """Return planes as a colour picture, by the encoding's matrix and range; scaled to `size` (width, height)."""
    untagged = ITU709 if encoding.height_px >= HD_HEIGHT_PX else ITU601
    width, height = size or (None, None)
    frame = frame_of(planes).reformat(
        width=width,
        height=height,
        format="bgr24",
        src_colorspace=MATRICES.get(encoding.colour.matrix, untagged),
        src_color_range=FULL if encoding.colour.range == "full" else LIMITED,
        dst_color_range=FULL,
        interpolation=EXACT,
    )
    return np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)


def jpeg(picture: Picture, quality: int = JPEG_QUALITY) -> bytes:
    """Return a picture as JPEG, nothing in it but the picture."""
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise Damaged("no JPEG could be made of a picture")
    return data.tobytes()


def write(path: Path, data: bytes) -> None:
    """Write a file, flushed to the disk; StorageFull where there is no room."""
    with full_disk_is_typed(path):
        path.write_bytes(data)
    make_durable(path)


def write_still(path: Path, picture: Picture, quality: int = JPEG_QUALITY) -> Still:
    """Write a picture as JPEG and return what was written."""
    write(path, jpeg(picture, quality))
    return Still(name=path.name, width_px=picture.shape[1], height_px=picture.shape[0])


def _square_size(width: int, height: int, sample_aspect: Fraction, longest_px: int) -> tuple[int, int]:
    aspect = sample_aspect if sample_aspect > 0 else Fraction(1)
    shown_width, shown_height = (
        (width * aspect, Fraction(height)) if aspect >= 1 else (Fraction(width), height / aspect)
    )
    scale = min(Fraction(1), Fraction(longest_px) / max(shown_width, shown_height))
    return max(round(shown_width * scale), 1), max(round(shown_height * scale), 1)


def _turned(picture: Picture, rotation_degrees: int) -> Picture:
    return np.ascontiguousarray(np.rot90(picture, k=round(rotation_degrees / 90) % 4))
