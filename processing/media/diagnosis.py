"""Measures a video on a few short runs of frames spread over it: noise, exposure, colour, sharpness, interlacing, cuts.

What is measured is what the filters will see: pictures brought to the form of the encoding, HDR tone-mapped.
Runs start at keyframes, where decoding is cheapest; within a GOP that is all there is, they follow each other instead.
Invariant: what is measured depends on the file alone; figures are rounded, lest a machine's last digit enter a plan.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, fields, replace
from itertools import accumulate, chain, groupby, pairwise
from math import ceil, sqrt
from operator import itemgetter
from pathlib import Path
from typing import Literal

import numpy as np
from av.video.frame import VideoFrame

from processing.media.colour_measures import MEAN_PX
from processing.media.decode import DecodeTally, raw_frames
from processing.media.enhancement.harm import Sample
from processing.media.enhancement.planes import Planes, luma_bounds
from processing.media.errors import Damaged
from processing.media.exposure import exposure_track
from processing.media.field_measures import show_fields
from processing.media.findings import COMBED_SHARE, RunFindings, centre, measure_run
from processing.media.measured import Bars, Diagnosis, RunMeasure
from processing.media.measures import is_other_scene, percentile
from processing.media.parameters import NONE_GIVEN, Parameters
from processing.media.pictures import Normaliser
from processing.media.planning import INTERLACED_ORDERS, choose_encoding
from processing.media.quantiser import quantiser_step
from processing.media.renditions import deep_encoding
from processing.media.specs import Encoding, MediaProbe, Timeline

MOST_RUNS, LEAST_RUNS, SECONDS_PER_RUN = 8, 4, 2
"""A short video would else spend a good part of its time on being looked at."""
MOST_THREADS = 4
MOST_RUNS_HDR = 3
"""Mapping HDR to an ordinary screen takes longer than measuring."""
RUN_FRAMES = 3
RUN_STRIDE = 20
"""Frames from the start of one run to that of the next, where several lie in one GOP."""
MOST_MEASURED_PX = 1920
"""Wider or higher pictures are measured on their centre: noise is the same there, and time is not."""
FLAGGED_COMBED_SHARE = 0.0005
"""Share of combed pixels that proves interlacing where the stream says so too."""
MOST_HIDDEN = 1.3
"""How many times the noise of luma may be what is measured at full size: more would be texture."""
FLAGGED_FIELD_ORDER = 0.05
"""Order of the fields, as `measures.field_order` has it, that proves interlacing where the stream says so too."""
LEAST_FIELD_ORDER = 0.02
"""Less tells nothing of the order; then the stream's word counts."""
NOISE_IN_COLOURFULNESS = 2.45
"""95th percentile of the distance from grey that noise of deviation 1 on both chroma planes makes (Rayleigh)."""
BOTTOM_FIRST = frozenset({"bb", "tb"})
"""Field orders whose bottom field is shown first, whichever was coded first."""
HISTOGRAM_STEPS = 32
MOST_SAMPLES = 4
SAMPLE_PX = 512
"""Width and height of the samples' middle that an enhancement is tried on: enough to see harm, and quickly done."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was measured, and some of the pictures, to try an enhancement on."""

    diagnosis: Diagnosis
    samples: tuple[Sample, ...]


def diagnose(path: Path, probe: MediaProbe, timeline: Timeline, parameters: Parameters = NONE_GIVEN) -> Diagnosis:
    """Return what at most 8 runs of 3 frames tell of the video at `path`; raises what `look` raises."""
    return look(path, probe, timeline, parameters).diagnosis


def look(
    path: Path,
    probe: MediaProbe,
    timeline: Timeline,
    parameters: Parameters = NONE_GIVEN,
    *,
    hdr_table: str | None = None,
    in_own_values: bool = False,
) -> Look:
    """Return what at most 8 runs of 3 frames tell of the video at `path`, at the size that it will have, and samples.

    HDR is measured as it looks on an ordinary screen, by `hdr_table`, or in its own code values. Fields, blocks and
    bars are looked at in the source's own size: scaling mixes them.

    Raises Damaged when not one frame could be decoded, and what open_source raises.
    """
    encoding = choose_encoding(probe.video, parameters, hdr_table)
    if in_own_values:
        encoding = deep_encoding(encoding, probe.video)
    # Stamps that were mended are no guide for a seek.
    most_runs = _most_runs(probe, timeline)
    places = run_starts(timeline, most_runs) if timeline.identity == "pts" else []
    with ThreadPoolExecutor(_threads()) as pool:
        looks = pool.map(lambda place: _look(path, probe, encoding, timeline, *place), places)
        seen = [run for found in looks for run in found]
    if not seen:
        # Seeking leads nowhere here.
        seen = _look(path, probe, encoding, None, 0, most_runs)
    if not seen:
        raise Damaged("not one frame could be decoded")
    kept = seen[:: ceil(len(seen) / MOST_SAMPLES)]
    runs = [run for run, _ in seen]
    return Look(
        diagnosis=replace(
            summarised(runs, probe, *luma_bounds(encoding.colour.range)),
            exposure=exposure_track(path, probe, timeline, encoding, runs),
        ),
        samples=tuple(sample for _, sample in kept),
    )


def summarised(runs: list[RunFindings], probe: MediaProbe, black: int, white: int) -> Diagnosis:
    """Return what all runs, in order of time, say together."""
    frames = sum(run.frames for run in runs)
    histogram = np.sum([run.histogram for run in runs], axis=0)
    dark, bright = (percentile(histogram, percent) for percent in (1.0, 99.0))
    comb = float(np.median([run.combing for run in runs]))
    pairs = [pair for run in runs for pair in run.fields]
    order = float(np.median([pair.order for pair in pairs])) if pairs else 0.0
    flagged = sum(run.flagged_interlaced for run in runs)
    is_flagged = 2 * flagged > frames or probe.video.field_order in INTERLACED_ORDERS
    noise_luma, noise_chroma = _noise(runs)
    scenes = _scenes(runs)
    told = [run.colour for run in runs if run.colour.share]
    return Diagnosis(
        frames_sampled=frames,
        noise_sigma_luma=noise_luma,
        noise_sigma_chroma=noise_chroma,
        mean_luma=round(float(histogram @ np.arange(256) / histogram.sum()), 1),
        black_luma=dark,
        white_luma=bright,
        contrast=round((bright - dark) / (white - black), 3),
        sharpness=_middle([run.sharpness for run in runs]),
        is_interlaced=comb > COMBED_SHARE
        or show_fields(pairs)
        or (is_flagged and (comb > FLAGGED_COMBED_SHARE or abs(order) > FLAGGED_FIELD_ORDER)),
        combing=round(comb, 5),
        first_field=_first_field(order, probe),
        field_evidence=round(abs(order), 3),
        histogram=tuple(np.round(histogram.reshape(HISTOGRAM_STEPS, -1).sum(axis=1) / histogram.sum(), 4).tolist()),
        cast_u=_middle([colour.cast_u for colour in told]),
        cast_v=_middle([colour.cast_v for colour in told]),
        cast_share=_middle([colour.share for colour in told]),
        colourfulness=_colourfulness(runs, noise_chroma),
        blocking=_middle([run.blocking for run in runs]),
        flicker=_middle([run.flicker for run in runs if run.flicker is not None]),
        quantiser_step=_middle([run.quantiser_step for run in runs if run.quantiser_step is not None]),
        exposure_drift=max(
            (
                abs(b.median_luma - a.median_luma)
                for (a, b), (scene, later) in zip(pairwise(runs), pairwise(scenes), strict=True)
                if scene == later
            ),
            default=0.0,
        ),
        scene_changes=scenes[-1] + sum(run.cuts for run in runs),
        bars=_bars(runs),
        runs=tuple(_run_measure(run, scene) for run, scene in zip(runs, scenes, strict=True)),
    )


def _run_measure(run: RunFindings, scene: int) -> RunMeasure:
    colour = run.colour
    return RunMeasure(
        pts=run.pts,
        scene=scene,
        black_luma=percentile(run.histogram, 1.0),
        median_luma=run.median_luma,
        white_luma=percentile(run.histogram, 99.0),
        cast_u=round(colour.cast_u, 1),
        cast_v=round(colour.cast_v, 1),
        cast_share=round(colour.share, 3),
        neutral_share=round(colour.neutral_share, 3),
        follows_light=colour.follows_light,
    )


def _scenes(runs: list[RunFindings]) -> list[int]:
    """Return the number of each run's scene, counted from 0."""
    changes = (is_other_scene(a.signature, b.signature) for a, b in pairwise(runs))
    return list(accumulate(changes, initial=0))


def _bars(runs: list[RunFindings]) -> Bars:
    """Return the bars that all runs with a picture have: what is dark in one may not be in the next."""
    seen = [run.bars for run in runs if run.bars is not None]
    if not seen:
        return Bars()
    return Bars(**{entry.name: min(getattr(bars, entry.name) for bars in seen) for entry in fields(Bars)})


def _colourfulness(runs: list[RunFindings], noise_chroma: float) -> float:
    """Return the median of the runs' colourfulness without what noise adds, which alone makes a grey picture pale."""
    measured = _middle([run.colour.colourfulness for run in runs if run.colour.colourfulness is not None])
    return round(sqrt(max(measured**2 - (NOISE_IN_COLOURFULNESS * noise_chroma / MEAN_PX) ** 2, 0.0)), 2)


def _first_field(order: float, probe: MediaProbe) -> Literal["top", "bottom"]:
    if abs(order) >= LEAST_FIELD_ORDER:
        return "top" if order > 0 else "bottom"
    return "bottom" if probe.video.field_order in BOTTOM_FIRST else "top"


def run_starts(timeline: Timeline, most_runs: int = MOST_RUNS) -> list[tuple[int, int]]:
    """Return for each keyframe to decode from its index in the timeline and how many runs to take after it.

    At most `most_runs` runs in all; the keyframes nearest to the middles of equal parts of the video, wherever the
    encoder put more of them, all of them where few.
    """
    keyframes, frames = timeline.keyframes or (0,), len(timeline.pts)
    count = min(len(keyframes), most_runs)
    picked: list[int] = []
    for part in range(count):
        middle = (2 * part + 1) * frames // (2 * count)
        # Each once, and enough left for the parts to come.
        free = range(picked[-1] + 1 if picked else 0, len(keyframes) - count + part + 1)
        picked.append(min(free, key=lambda number: (abs(keyframes[number] - middle), -number)))
    ends = dict(pairwise((*keyframes, frames)))
    share = most_runs // count
    starts = [keyframes[number] for number in picked]
    return [(start, min(share, max(1, ceil((ends[start] - start) / RUN_STRIDE)))) for start in starts]


def _most_runs(probe: MediaProbe, timeline: Timeline) -> int:
    if probe.video.hdr != "none":
        return MOST_RUNS_HDR
    seconds = (timeline.pts[-1] - timeline.pts[0]) * timeline.time_base
    return min(max(ceil(seconds / SECONDS_PER_RUN), LEAST_RUNS), MOST_RUNS)


def _threads() -> int:
    """Return how many places are looked at together."""
    return min(len(os.sched_getaffinity(0)), MOST_THREADS)


def _look(
    path: Path, probe: MediaProbe, encoding: Encoding, timeline: Timeline | None, start: int, count: int
) -> list[tuple[RunFindings, Sample]]:
    """Return what up to `count` runs of consecutive frames from a place on show; nothing where none can be decoded."""
    normaliser, own = Normaliser(encoding), choose_encoding(probe.video)
    # HDR is not interlaced, and mapping it takes longer than measuring.
    is_scaled = own.height_px != encoding.height_px and probe.video.hdr == "none"
    unscaled = Normaliser(own) if is_scaled else None
    bounds = luma_bounds(encoding.colour.range)
    found = []
    for run in _runs_from(path, probe, timeline, start, count):
        pictures = [normaliser.planes(frame) for frame in run]
        findings = measure_run(
            pictures,
            *bounds,
            pts=run[0].pts or 0,
            flagged_interlaced=sum(frame.interlaced_frame for frame in run),
            most_px=MOST_MEASURED_PX,
            unscaled=[unscaled.planes(frame) for frame in run] if unscaled else None,
            quantiser_step=_quantiser_step(run),
        )
        found.append((findings, _sample(findings.pts, pictures)))
    return found


def _quantiser_step(frames: list[VideoFrame]) -> float | None:
    """Return the mean of what the decoder tells of frames; they differ, as those that others refer to are finer."""
    told = [step for frame in frames if (step := quantiser_step(frame)) is not None]
    return float(np.exp2(np.mean(np.log2(told)))) if told else None


def _sample(pts: int, pictures: list[Planes]) -> Sample:
    """Return copies of the middle of pictures, for these are views of the decoder's memory."""
    middles = (centre(picture, SAMPLE_PX) for picture in pictures)
    return Sample(pts=pts, pictures=tuple(Planes(*(plane.copy() for plane in middle)) for middle in middles))


def _runs_from(
    path: Path, probe: MediaProbe, timeline: Timeline | None, start: int, count: int
) -> Iterator[list[VideoFrame]]:
    """Yield up to `count` runs from keyframe `start` on, none where the container cannot seek there.

    Without a timeline they are looked for from the start of the file.
    """
    for _, run in groupby(_run_frames(path, probe, timeline, start, count), key=itemgetter(0)):
        yield [frame for _, frame in run]


def _run_frames(
    path: Path, probe: MediaProbe, timeline: Timeline | None, start: int, count: int
) -> Iterator[tuple[int, VideoFrame]]:
    """Yield the frames of all runs, each with the number of its run.

    Where each packet is known to be one frame, no more are decoded than the runs need; where the container leads
    elsewhere, what is there is taken.
    """
    seek_pts = timeline.pts[start] if timeline and start else None
    number_of: dict[int, int] = {}
    if timeline is not None and timeline.frames_from_decode is None:
        stop = min(start + count * RUN_STRIDE, len(timeline.pts))
        for number, first in enumerate(range(start, stop, RUN_STRIDE)):
            number_of |= dict.fromkeys(timeline.pts[first : first + RUN_FRAMES], number)
    tally = DecodeTally()
    stream, wanted = probe.video.index, number_of
    with closing(raw_frames(path, stream, tally, seek_pts=seek_pts, wanted=wanted, tells_quantiser=True)) as frames:
        for offset, frame in enumerate(frames):
            if number_of and (seek_pts is None or (tally.landing and tally.landing[0] == seek_pts)):
                if frame.pts in number_of:
                    yield number_of[frame.pts], frame
            elif offset % RUN_STRIDE < RUN_FRAMES:
                yield offset // RUN_STRIDE, frame
                if offset == (count - 1) * RUN_STRIDE + RUN_FRAMES - 1:
                    return


def _noise(runs: list[RunFindings]) -> tuple[float, float]:
    """Return the deviations of luma and chroma noise, with what a codec hid of them.

    Of noise behind a codec mostly the coarse part is left, and its deviation in a flat block is still near that of the
    noise before. Chroma has little texture, so half and quarter size tell its noise well, as long as luma is noisy too.
    """
    luma = _middle(_all(run.noise.luma for run in runs))
    chroma = _middle(_all(run.noise.chroma for run in runs))
    luma = max(luma, min(_middle(_all(run.noise.coarse_luma for run in runs)), round(MOST_HIDDEN * luma, 2)))
    return luma, max(chroma, min(_middle(_all(run.noise.coarse_chroma for run in runs)), luma))


def _all(lists: Iterable[list[float]]) -> list[float]:
    return list(chain.from_iterable(lists))


def _middle(values: list[float]) -> float:
    return round(float(np.median(values)), 2) if values else 0.0
