"""What the metadata operation read is what the others start from, and its lack costs time, never another answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from processing.media import facts as facts_module
from processing.media import wire
from processing.media.errors import UnsupportedCodec
from processing.media.facts import known_facts, read_facts, write_facts
from processing.media.operations import OPERATIONS
from processing.media.requests import DiagnoseRequest, MetadataRequest, PlanRequest, SourceStillsRequest
from processing.media.specs import Plan
from tests.clips import make_clip
from tests.unit.test_encode import HDR, write


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "a.mp4", frames=60, gop=12, noise_sigma=6.0, audio=["aac"])


def _planned(source: Path, folder: Path, facts: str | None) -> bytes:
    request = DiagnoseRequest(source=str(source), preset="auto", facts=facts)
    chosen = OPERATIONS["diagnose"].function(request, lambda frames: None)
    output = folder / f"plan-{facts is None}.json"
    plan = PlanRequest(source=str(source), source_digest="", chosen=chosen, output=str(output), facts=facts)
    OPERATIONS["plan"].function(plan, lambda frames: None)
    return output.read_bytes()


def test_a_plan_is_the_same_with_facts_and_without(source: Path, tmp_path: Path) -> None:
    written = str(tmp_path / "facts.json")
    OPERATIONS["metadata"].function(MetadataRequest(source=str(source), output=written), lambda frames: None)
    assert known_facts(source, written) == read_facts(source)
    assert _planned(source, tmp_path, written) == _planned(source, tmp_path, None)


def test_a_timeline_is_proved_once(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = tmp_path / "facts.json"
    facts = read_facts(source)
    write_facts(replace(facts, timeline=replace(facts.timeline, repaired=7)), written)
    monkeypatch.setattr(facts_module, "read_timeline", pytest.fail)
    assert wire.from_json(_planned(source, tmp_path, str(written)), Plan).timeline.repaired == 7


@pytest.mark.parametrize(("transfer", "matrix"), [(16, 14), (18, 10)], ids=["ICtCp", "constant luminance"])
def test_hdr_that_cannot_be_mapped_has_metadata_and_stills_but_no_plan(
    transfer: int, matrix: int, tmp_path: Path
) -> None:
    source = tmp_path / "a.mp4"
    write(source, range(8), replace(HDR, colour=replace(HDR.colour, transfer=transfer, matrix=matrix)))
    written = str(tmp_path / "facts.json")
    found = OPERATIONS["metadata"].function(MetadataRequest(source=str(source), output=written), lambda frames: None)
    assert found.probe.video.colour.matrix == matrix
    stills = SourceStillsRequest(source=str(source), output=str(tmp_path / "stills"), facts=written)
    poster = OPERATIONS["source_stills"].function(stills, lambda frames: None).poster
    assert (poster.width_px, poster.height_px) == (96, 160)
    with pytest.raises(UnsupportedCodec, match=f"HDR of matrix {matrix}.* cannot be mapped"):
        _planned(source, tmp_path, written)


def test_who_only_asks_what_a_file_is_waits_for_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.mp4", range(8), HDR)
    monkeypatch.setattr(facts_module, "make_table", pytest.fail)
    found = OPERATIONS["metadata"].function(MetadataRequest(source=str(tmp_path / "a.mp4")), lambda frames: None)
    assert (found.probe.video.hdr, found.frames_from_scan) == ("pq", 8)


def test_facts_of_another_version_are_read_again(source: Path, tmp_path: Path) -> None:
    written = tmp_path / "facts.json"
    written.write_text('{"probe": {}}')
    assert known_facts(source, str(written)) == read_facts(source)
