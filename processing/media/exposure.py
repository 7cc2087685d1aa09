"""When the exposure of a video changes: at a cut, to the frame, or by and by between places that were looked at.

Looked for only where it matters: in dark videos whose runs differ, for which one tone curve would be too much or too
little. More keyframes are looked at, one frame each; where two neighbours differ, the place of the change is found by
halving the way and by decoding the last GOP.
Invariant: either every change is known, or there is no track at all; a wrong place would be seen as pumping.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from processing.media.decode import DecodeTally, raw_frames
from processing.media.enhancement.planes import Planes, luma_bounds
from processing.media.findings import RunFindings
from processing.media.measured import ExposureMark
from processing.media.measures import is_other_scene, percentile, picture_area, signature
from processing.media.pictures import Normaliser
from processing.media.specs import Encoding, MediaProbe, Timeline

DARK_BELOW = 0.42
"""Median of the runs, between black (0) and white (1), under which a curve may be wanted at all."""
DARKEST_BELOW = 0.3
LEAST_SPREAD = 0.12
"""Difference of the runs' medians from which one curve may not suit all."""
LEAST_CHANGE = 0.08
"""Difference of two neighbours' medians between which a change is looked for; less is the picture's own life."""
EVEN_WITHIN = 0.06
"""Difference of medians between two cuts up to which they count as one exposure."""
BLACK_LEVEL = 0.04
"""Median of a black picture; exposure that comes from it or goes to it by and by is a fade, and meant."""
MOST_KEYFRAMES = 48
MOST_SPACING_SECONDS = 10
"""Between keyframes looked at: in more, a scene could come and go unseen."""
LEAST_PLACES = 4
MOST_CHANGES = 6
MOST_DECODED_PX = 200_000_000
"""Of luma, while changes are located: about a second's work."""
CUT_SHARE = 0.6
"""Share of a change that one step between frames makes where it is a cut."""


class _TooMuch(Exception):
    """More would have to be looked at than the matter is worth, or it cannot be reached, or is better left."""


@dataclass(frozen=True, kw_only=True)
class _Place:
    """One frame that was looked at: its index, and its luma in code values."""

    index: int
    median: float
    black: float
    white: float
    signature: NDArray[np.float64]


def exposure_track(
    path: Path, probe: MediaProbe, timeline: Timeline, encoding: Encoding, runs: list[RunFindings]
) -> tuple[ExposureMark, ...]:
    """Return how exposure goes through a dark video, by pts; nothing where it does not change or cannot be followed."""
    black, white = luma_bounds(encoding.colour.range)
    levels = [(run.median_luma - black) / (white - black) for run in runs]
    needs_track = (
        timeline.identity == "pts"
        and probe.video.hdr == "none"
        and float(np.median(levels)) < DARK_BELOW
        and min(levels) < DARKEST_BELOW
        and max(levels) - min(levels) > LEAST_SPREAD
    )
    if not needs_track:
        return ()
    try:
        return _Search(path, probe, timeline, encoding).track()
    except _TooMuch:
        return ()


class _Search:
    """One look for changes; counts the pixels decoded."""

    def __init__(self, path: Path, probe: MediaProbe, timeline: Timeline, encoding: Encoding) -> None:
        self._path, self._probe, self._timeline = path, probe, timeline
        self._normaliser = Normaliser(encoding)
        self._black, self._white = luma_bounds(encoding.colour.range)
        self._decoded_px = 0
        self._known: dict[int, _Place] = {}

    def track(self) -> tuple[ExposureMark, ...]:
        """Return the marks; _TooMuch where they cannot be had."""
        keyframes, pts = self._timeline.keyframes, self._timeline.pts
        count = min(len(keyframes), MOST_KEYFRAMES)
        if count < LEAST_PLACES:
            raise _TooMuch
        places = [self._at(keyframes[part * (len(keyframes) - 1) // (count - 1)]) for part in range(count)]
        ends = [*(pts[place.index] for place in places), pts[-1]]
        if max(b - a for a, b in pairwise(ends)) * self._timeline.time_base > MOST_SPACING_SECONDS:
            raise _TooMuch
        changes = [(a, b) for a, b in pairwise(places) if self._differ(a, b)]
        if len(changes) > MOST_CHANGES:
            raise _TooMuch
        cuts = sorted({cut for a, b in changes if (cut := self._cut_between(a, b)) is not None})
        known = sorted(self._known.values(), key=lambda place: place.index)
        borders = [0, *cuts, len(self._timeline.pts)]
        marks: list[ExposureMark] = []
        for start, stop in pairwise(borders):
            marks += self._marks(start, [place for place in known if start <= place.index < stop])
        return tuple(marks) if len(marks) > 1 else ()

    def _at(self, keyframe: int) -> _Place:
        if keyframe not in self._known:
            with closing(self._places(keyframe, keyframe + 1)) as places:
                self._known[keyframe] = next(places)
        return self._known[keyframe]

    def _places(self, keyframe: int, stop: int) -> Generator[_Place, None, None]:
        """Yield what frames from a keyframe on, before `stop`, look like; _TooMuch where they cannot be reached."""
        pts = self._timeline.pts
        # Where a packet is half a picture, what is asked for by its packet would be that half.
        is_one_each = self._timeline.frames_from_decode is None
        stream, wanted = self._probe.video.index, pts[keyframe:stop] if is_one_each else ()
        seek = pts[keyframe] if keyframe else None
        seen = 0
        with closing(raw_frames(self._path, stream, DecodeTally(), seek_pts=seek, wanted=wanted)) as frames:
            for frame in frames:
                self._decoded_px += frame.width * frame.height
                if self._decoded_px > MOST_DECODED_PX:
                    raise _TooMuch
                index = bisect_left(pts, frame.pts) if frame.pts is not None else -1
                if index != keyframe + seen:
                    raise _TooMuch
                yield self._look(index, self._normaliser.planes(frame))
                seen += 1
                if keyframe + seen == stop:
                    return
        raise _TooMuch

    def _look(self, index: int, planes: Planes) -> _Place:
        quarter = planes.y[::2, ::2]
        histogram = np.bincount(quarter[picture_area(quarter, self._black)].ravel(), minlength=256)
        return _Place(
            index=index,
            median=percentile(histogram, 50.0),
            black=percentile(histogram, 1.0),
            white=percentile(histogram, 99.0),
            signature=signature(planes.y),
        )

    def _differ(self, a: _Place, b: _Place) -> bool:
        return abs(b.median - a.median) >= LEAST_CHANGE * (self._white - self._black)

    def _cut_between(self, a: _Place, b: _Place) -> int | None:
        """Return the first frame after the cut between two places, None where exposure changes by and by."""
        keyframes = self._timeline.keyframes
        low, high = (bisect_left(keyframes, place.index) for place in (a, b))
        while high - low > 1:
            middle = self._at(keyframes[(low + high) // 2])
            if abs(middle.median - a.median) <= abs(middle.median - b.median):
                low = bisect_left(keyframes, middle.index)
            else:
                high = bisect_left(keyframes, middle.index)
        frames = list(self._places(keyframes[low], keyframes[high] + 1))
        steps = [abs(after.median - before.median) for before, after in pairwise(frames)]
        greatest = int(np.argmax(steps))
        before, after = frames[greatest], frames[greatest + 1]
        is_cut = steps[greatest] >= CUT_SHARE * abs(b.median - a.median) or is_other_scene(
            before.signature, after.signature
        )
        return after.index if is_cut else None

    def _marks(self, start: int, places: list[_Place]) -> list[ExposureMark]:
        """Return the marks of one stretch without a cut: one where exposure is even, else one for each place."""
        if not places:
            # A stretch between two cuts that no keyframe lies in: what it looks like is not known.
            raise _TooMuch
        medians = [place.median for place in places]
        if max(medians) - min(medians) < EVEN_WITHIN * (self._white - self._black):
            return [self._mark(start, places, is_blended=False)]
        if min(medians) < self._black + BLACK_LEVEL * (self._white - self._black):
            raise _TooMuch
        smooth = [places[max(number - 1, 0) : number + 2] for number in range(len(places))]
        return [
            self._mark(places[number].index if number else start, near, is_blended=number > 0)
            for number, near in enumerate(smooth)
        ]

    def _mark(self, index: int, places: list[_Place], *, is_blended: bool) -> ExposureMark:
        return ExposureMark(
            pts=self._timeline.pts[index],
            median_luma=float(np.median([place.median for place in places])),
            brightest_luma=max(place.median for place in places),
            black_luma=min(place.black for place in places),
            white_luma=float(np.median([place.white for place in places])),
            is_blended=is_blended,
        )
