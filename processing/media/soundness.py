"""Whether a stream may go on as it is: decoded once from end to end, because packets tell nothing of damage inside;
and, for HEVC, in the one form that all players of MP4 take.

Invariant: a stream is called sound only where every frame of its timeline came out, at its time, without an error.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from processing.media.decode import decode_all
from processing.media.encoders import HEVC_TAG
from processing.media.errors import TimelineMismatch
from processing.media.sources import open_source, packets_of, stream_at
from processing.media.specs import MediaProbe, Timeline

CONFIGURATION_VERSION = 1
LEAST_CONFIGURATION_BYTES = 23
"""Of HEVCDecoderConfigurationRecord, which begins with its version; a stream of start codes begins with zeros."""
PARAMETER_SETS = frozenset({32, 33, 34})
"""Types of units: VPS, SPS, PPS (ITU-T H.265, table 7-1)."""


def has_headers_apart(path: Path, probe: MediaProbe) -> bool:
    """Return whether an HEVC stream has its parameter sets before its pictures only, as `hvc1` says; others have.

    A file that says so itself is believed; the other forms may hold sets between pictures (ISO/IEC 14496-15, 8.4.1).
    Raises a SourceError where the file cannot be opened.
    """
    if probe.video.codec != "hevc" or probe.video.codec_tag == HEVC_TAG:
        return True
    with open_source(path) as container:
        stream = stream_at(container, probe.video.index)
        header = bytes(stream.codec_context.extradata or b"")
        if len(header) < LEAST_CONFIGURATION_BYTES or header[0] != CONFIGURATION_VERSION:
            return False
        prefix_bytes = (header[21] & 3) + 1
        return not any(_holds_parameter_set(bytes(packet), prefix_bytes) for packet in packets_of(container, stream))


def _holds_parameter_set(packet: bytes, prefix_bytes: int) -> bool:
    """Return whether one of a packet's units, each behind its length, is a parameter set, or the packet is no such."""
    place = 0
    while place + prefix_bytes < len(packet):
        start = place + prefix_bytes
        if (packet[start] >> 1) & 0x3F in PARAMETER_SETS:
            return True
        place = start + int.from_bytes(packet[place:start])
    return place != len(packet)


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
