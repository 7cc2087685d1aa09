"""How large the result's picture is: the source's size made even, or scaled down to a height that a person asked for.

Invariant: nothing is ever enlarged, both sides are even, and the ratio of the sides is the source's as nearly as even
numbers allow; the sample aspect stays as it is.
"""

from __future__ import annotations

from fractions import Fraction

from processing.media.specs import VideoStream

HD_HEIGHT_PX = 720
"""From here on players take pictures that name no matrix for BT.709, below for BT.601."""


def even(size_px: int) -> int:
    """Return a size that 4:2:0 can hold: the next even number.

    >>> even(641), even(640)
    (642, 640)
    """
    return size_px + size_px % 2


def planned_size(video: VideoStream, max_height_px: int | None) -> tuple[int, int]:
    """Return width and height of the coded picture whose height, once it is turned upright, is at most that.

    `max_height_px` is even; None for no limit.
    """
    if not is_scaled(video, max_height_px):
        return even(video.width_px), even(video.height_px)
    assert max_height_px is not None  # noqa: S101  is_scaled says so
    scale = Fraction(max_height_px, upright_height(video))
    sides = (video.width_px, video.height_px)
    width, height = (max(2 * round(side * scale / 2), 2) for side in sides)
    return width, height


def is_scaled(video: VideoStream, max_height_px: int | None) -> bool:
    """Return whether the upright picture is higher than that."""
    return max_height_px is not None and upright_height(video) > max_height_px


def upright_height(video: VideoStream) -> int:
    """Return how many lines the picture has as it is seen: turned by a quarter, its columns are the lines."""
    is_turned = round(video.rotation_degrees / 90) % 2 == 1
    return video.width_px if is_turned else video.height_px
