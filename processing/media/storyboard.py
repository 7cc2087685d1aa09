"""The storyboard: moments spread evenly over a video, as one sheet of tiles with WebVTT cues and as thumbnails.

The thumbnails stand one after the other in one file (which is Motion JPEG), so a job brings three files more, however
long it is. Invariant: sheet, cues and thumbnails show the same moments in the same order, and each moment has one tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path

import cv2
import numpy as np

from processing.media.errors import Damaged
from processing.media.receipts import Storyboard
from processing.media.shown import Picture, jpeg, write, write_still

MOST_MOMENTS = 100
COLUMNS = 10
THUMBNAIL_PX = 320
"""The longest side of a thumbnail; a tile's is half of it."""
QUALITY = 80
SHEET, CUES, THUMBNAILS = "storyboard.jpg", "storyboard.vtt", "thumbnails.mjpeg"


def write_storyboard(moments: Sequence[tuple[int, Picture]], duration_ms: int, directory: Path) -> Storyboard:
    """Write the storyboard of `moments`: (ms from the start, strictly increasing, and the thumbnail), at least one.

    Raises Damaged without any moment, StorageFull.
    """
    if not moments:
        raise Damaged("no moment for a storyboard could be decoded")
    times = tuple(ms for ms, _ in moments)
    tiles = [_tile(picture) for _, picture in moments]
    height, width = max(tile.shape[0] for tile in tiles), max(tile.shape[1] for tile in tiles)
    columns = min(COLUMNS, len(tiles))
    sheet = np.zeros((height * -(-len(tiles) // columns), width * columns, 3), np.uint8)
    places = [(width * (index % columns), height * (index // columns)) for index in range(len(tiles))]
    for (left, top), tile in zip(places, tiles, strict=True):
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    files = [jpeg(picture, QUALITY) for _, picture in moments]
    write(directory / THUMBNAILS, b"".join(files))
    boxes = [(*place, tile.shape[1], tile.shape[0]) for place, tile in zip(places, tiles, strict=True)]
    write(directory / CUES, cues(times, boxes, duration_ms).encode())
    return Storyboard(
        sheet=write_still(directory / SHEET, sheet, QUALITY),
        cues=CUES,
        thumbnails=THUMBNAILS,
        moments_ms=times,
        stops_bytes=tuple(accumulate(len(data) for data in files)),
    )


def cues(times_ms: Sequence[int], boxes: Sequence[tuple[int, int, int, int]], duration_ms: int) -> str:
    """Return WebVTT that leads from each stretch of time to the box (x, y, w, h) of the moment nearest to it.

    >>> print(cues([500, 2500], [(0, 0, 160, 90), (160, 0, 160, 90)], 4000))
    WEBVTT
    <BLANKLINE>
    00:00:00.000 --> 00:00:01.500
    storyboard#xywh=0,0,160,90
    <BLANKLINE>
    00:00:01.500 --> 00:00:04.000
    storyboard#xywh=160,0,160,90
    <BLANKLINE>
    """
    middles = [(earlier + later) // 2 for earlier, later in pairwise(times_ms)]
    borders = [0, *middles, max(duration_ms, times_ms[-1] + 1)]
    lines = ["WEBVTT", ""]
    for (start, stop), box in zip(pairwise(borders), boxes, strict=True):
        lines += [f"{_time(start)} --> {_time(stop)}", f"storyboard#xywh={','.join(map(str, box))}", ""]
    return "\n".join(lines)


def _time(ms: int) -> str:
    seconds, rest = divmod(ms, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:03}"


def _tile(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    size = (max(width // 2, 1), max(height // 2, 1))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
