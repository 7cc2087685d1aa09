"""Whether a stream may go on as it is: decoded once from end to end, because packets tell nothing of damage inside.

Invariant: a stream is called sound only where every frame of its timeline came out, at its time, without an error.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from processing.media.decode import decode_all
from processing.media.errors import TimelineMismatch
from processing.media.specs import MediaProbe, Timeline


def sound_frames(path: Path, probe: MediaProbe, timeline: Timeline, report: Callable[[int], None]) -> int | None:
    """Return how many frames the picture stream decodes to where all is well with it, else None.

    `report` is told the frames so far. Raises a SourceError where the file cannot be opened, ResourceExceeded where
    memory ends.
    """
    reader = decode_all(path, probe, timeline)
    try:
        for decoded in reader:
            report(decoded.index + 1)
            if decoded.frame.is_corrupt:
                return None
    except TimelineMismatch:
        return None
    return None if reader.missing_frames or reader.decode_errors else reader.frames_from_decode
