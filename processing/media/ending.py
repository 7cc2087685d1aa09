"""Whether a file ends before what its own header promises: a copy that broke off, whose packets look sound to the last.

Invariant: only what a header says for itself counts as a promise; what FFmpeg estimates from the packets is none.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from processing.media.boxes import inspect_boxes, looks_like_boxes
from processing.media.sources import HEAD_BYTES, all_packets, open_source
from processing.media.specs import MediaProbe

DECLARING = frozenset({"matroska,webm", "flv"})
"""Containers whose header says how long they are. MP4 and AVI count frames; the others say nothing."""
LEAST_SECONDS = 1.0
LEAST_SHARE = 0.02
"""By so much a promise may be wrong: headers round, and count silence."""


def ends_early(path: Path, probe: MediaProbe, picture_stop: Fraction) -> bool:
    """Return whether the file is cut; `picture_stop` is when its last picture ends, in seconds on its own clock."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if looks_like_boxes(head):
        return inspect_boxes(path).is_cut
    declared = probe.duration_seconds_from_header
    if declared is None or probe.container not in DECLARING:
        return False
    least = declared - max(LEAST_SECONDS, LEAST_SHARE * declared)
    return picture_stop < least and _last_stop(path) < least


def _last_stop(path: Path) -> Fraction:
    """Return when the last packet of any stream ends, in seconds."""
    last = Fraction(0)
    with open_source(path) as container:
        for packet in all_packets(container):
            if packet.pts is not None and packet.time_base:
                last = max(last, (packet.pts + (packet.duration or 0)) * packet.time_base)
    return last
