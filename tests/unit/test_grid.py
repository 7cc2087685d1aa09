"""The grid does not show: however a video is cut, the pictures that reach the encoder are the same."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from processing.media import enhance
from processing.media.diagnosis import diagnose
from processing.media.encode import WrittenSegment
from processing.media.enhancement.presets import choose
from processing.media.planning import make_plan
from processing.media.probe import probe
from processing.media.renditions import renditions_of
from processing.media.specs import Plan
from processing.media.timeline import read_timeline
from tests.clips import Clip, make_clip
from tests.plans import DENOISE, cut, run_job

FRAMES = 72
GRIDS = (1, 2, 5, 16)
SMALL = {"frames": FRAMES, "width": 160, "height": 96, "noise_sigma": 6.0}
CLIPS: dict[str, Clip] = {
    "dark.mp4": Clip(**SMALL, gain=0.4, gop=25, b_frames=2),  # type: ignore[arg-type]
    "fields.ts": Clip(**SMALL, codec="mpeg2video", interlaced=True, first_field="bottom", speed=4.0, gop=12),  # type: ignore[arg-type]
    "deep.mkv": Clip(**SMALL, codec="hevc", pixel_format="yuv420p10le", gop=250),  # type: ignore[arg-type]
}


IN_TEN_BITS = "deep.mkv in ten bits"


@pytest.fixture(scope="module", params=[*CLIPS, IN_TEN_BITS])
def planned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Plan]:
    name = request.param.split()[0]
    source = make_clip(tmp_path_factory.mktemp("grid") / name, CLIPS[name])
    facts = probe(source)
    timeline = read_timeline(source, facts)
    found = diagnose(source, facts, timeline)
    chosen = choose("low-light", found, facts)
    others = tuple(choice for choice in chosen.choices if choice.operation != "denoise")
    chosen = replace(chosen, choices=(*others, DENOISE), noise_sigma_luma=4.0, noise_sigma_chroma=2.0)
    renditions = renditions_of(make_plan("", facts, timeline, found, chosen))
    return source, renditions[request.param == IN_TEN_BITS]


class Recorder:
    """Stands where the encoder does and keeps the pictures."""

    def __init__(self, pictures: list[np.ndarray]) -> None:
        self._pictures = pictures
        self._frames = 0

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *failure: object) -> None:
        return None

    def encode(self, frame: av.VideoFrame, pts: int) -> None:
        self._frames += 1
        self._pictures.append(frame.to_ndarray())

    def close(self) -> WrittenSegment:
        return WrittenSegment(frames=self._frames, size_bytes=0, sha256="")


def pictures_of(source: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    pictures: list[np.ndarray] = []
    monkeypatch.setattr(enhance, "SegmentEncoder", lambda *arguments: Recorder(pictures))
    for segment in plan.segments:
        enhance.enhance_segment(source, plan, segment.index, Path("unwritten.mp4"), lambda frames: None)
    return pictures


def test_pictures_before_the_encoder_do_not_depend_on_the_grid(
    planned: tuple[Path, Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, plan = planned
    operations = {choice.operation for choice in plan.enhancement.choices}
    assert operations >= {"deinterlace", "denoise"} if source.name == "fields.ts" else {"denoise"}
    whole = pictures_of(source, cut(plan, 1), monkeypatch)
    assert len(whole) == FRAMES
    for count in GRIDS[1:]:
        parts = pictures_of(source, cut(plan, count), monkeypatch)
        # Whole code values: within half of one is equal, from the first frame after each warm-up on.
        assert len(parts) == FRAMES
        differing = [index for index, (a, b) in enumerate(zip(whole, parts, strict=True)) if not np.array_equal(a, b)]
        assert differing == []


def test_without_a_warm_up_the_borders_show(planned: tuple[Path, Plan], monkeypatch: pytest.MonkeyPatch) -> None:
    """So the test above can fail."""
    source, plan = planned
    cold = tuple(replace(segment, warmup=segment.start) for segment in cut(plan, 5).segments)
    whole = pictures_of(source, cut(plan, 1), monkeypatch)
    parts = pictures_of(source, replace(plan, segments=cold), monkeypatch)
    assert any(not np.array_equal(a, b) for a, b in zip(whole, parts, strict=True))


def test_seams_are_no_step_in_the_result(planned: tuple[Path, Plan], tmp_path: Path) -> None:
    """After the encoder: pictures at a border differ from the other grid's no more than those inside a segment do."""
    source, plan = planned
    results = []
    for count in (1, 5):
        job = run_job(source, tmp_path / str(count), plan=cut(plan, count))
        with av.open(job.output) as container:
            results.append([frame.to_ndarray(format="gray").astype(np.int16) for frame in container.decode(video=0)])
    error = [float(np.abs(a - b).mean()) for a, b in zip(*results, strict=True)]
    borders = [segment.start for segment in cut(plan, 5).segments[1:]]
    assert max(error[border] for border in borders) < 3 * float(np.median(error)) + 0.5


def test_the_same_plan_gives_the_same_bytes(planned: tuple[Path, Plan], tmp_path: Path) -> None:
    source, plan = planned
    jobs = [run_job(source, tmp_path / name, plan=cut(plan, 5)) for name in ("first", "second")]
    assert jobs[0].receipt == jobs[1].receipt
    assert jobs[0].output.read_bytes() == jobs[1].output.read_bytes()
    assert plan.encoding.time_base < Fraction(1, 9_999)
