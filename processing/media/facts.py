"""What was read of a source, handed from step to step: header, timeline proved on decoder output, table of HDR colours.

Invariant: facts read back are those that reading the source again would give, so a step that lacks the file reads the
source itself and comes to the same answer, only later.
"""

from __future__ import annotations

from contextlib import closing
from itertools import islice
from pathlib import Path

import msgspec

from processing.media import wire
from processing.media.decode import DecodeTally, raw_frames
from processing.media.durable import full_disk_is_typed, make_durable
from processing.media.errors import UnsupportedCodec
from processing.media.hdr_table import HDR_TRANSFERS, make_table
from processing.media.probe import probe
from processing.media.specs import MediaProbe, SourceFacts
from processing.media.timeline import read_timeline

FRAMES_LOOKED_AT = 200


def read_facts(source: Path, *, with_table: bool = True) -> SourceFacts:
    """Return what there is to know of a source; the table of HDR's colours takes seconds, and may be left out.

    Raises what `probe` and `read_timeline` raise.
    """
    header = probe(source)
    timeline = read_timeline(source, header)
    return SourceFacts(probe=header, timeline=timeline, hdr_table=read_table(source, header) if with_table else None)


def read_table(source: Path, probe: MediaProbe) -> str | None:
    """Return the table of an HDR source's colours, by its first frame; None for others, or where no frame says HDR.

    None too where the colours cannot be mapped: whoever needs them mapped asks again and is refused.
    """
    if probe.video.hdr == "none":
        return None
    with closing(raw_frames(source, probe.video.index, DecodeTally())) as frames:
        for frame in islice(frames, FRAMES_LOOKED_AT):
            if frame.color_trc in HDR_TRANSFERS:
                try:
                    return make_table(frame)
                except UnsupportedCodec:
                    return None
    return None


def write_facts(facts: SourceFacts, output: Path) -> None:
    """Write facts as JSON, flushed to the disk; StorageFull where there is no room."""
    with full_disk_is_typed(output):
        output.write_bytes(wire.to_json(facts))
    make_durable(output)


def known_facts(source: Path, written: str | None) -> SourceFacts:
    """Return the facts `written` at a path; read from the source where there is none, or one of another version."""
    if written is None:
        return read_facts(source)
    try:
        return wire.from_json(Path(written).read_bytes(), SourceFacts)
    except msgspec.DecodeError:
        return read_facts(source)
