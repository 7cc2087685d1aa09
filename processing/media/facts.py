"""What was read of a source, handed from step to step: its header and the timeline that was proved on decoder output.

Invariant: facts read back are those that reading the source again would give, so a step that lacks the file reads the
source itself and comes to the same answer, only later.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from processing.media import wire
from processing.media.durable import full_disk_is_typed, make_durable
from processing.media.probe import probe
from processing.media.specs import SourceFacts
from processing.media.timeline import read_timeline


def read_facts(source: Path) -> SourceFacts:
    """Return the header and the timeline of a source. Raises what `probe` and `read_timeline` raise."""
    header = probe(source)
    return SourceFacts(probe=header, timeline=read_timeline(source, header))


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
