"""One line of a terminal that says how far a job on this machine is; nothing is written where nobody watches.

Invariant: the line is cleared before anything else is printed, and drawn at most ten times a second.
"""

from __future__ import annotations

import shutil
import time
from typing import TextIO

from processing.media.local_job import Progress

BAR_CHARACTERS = 20
LEAST_INTERVAL_SECONDS = 0.1
SETTLED_SECONDS = 0.5
"""Before that a speed says more about the start than about the work."""
WORDS = {
    "metadata": "reading packets",
    "diagnose": "measuring",
    "plan": "planning",
    "enhance": "enhancing",
    "join": "joining",
    "stills": "making stills",
}


class ProgressBar:
    """A progress bar on `stream`, silent where that is no terminal, or where there is none (None: it was closed)."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream if stream is not None and stream.isatty() else None
        self._stage = ""
        self._began = self._drawn = 0.0

    def show(self, progress: Progress) -> None:
        """Draw the line for where the job is."""
        now = time.monotonic()
        is_new = progress.stage != self._stage
        if is_new:
            self._stage, self._began = progress.stage, now
        if self._stream is None or (now - self._drawn < LEAST_INTERVAL_SECONDS and not is_new):
            return
        self._drawn = now
        width = shutil.get_terminal_size().columns - 1
        self._stream.write("\r\x1b[K" + line(progress, now - self._began)[:width])
        self._stream.flush()

    def clear(self) -> None:
        """Leave the terminal as it was."""
        if self._stream is not None and self._stage:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def line(progress: Progress, seconds: float) -> str:
    """Return the line for a progress that a stage has made in so many seconds; a narrow terminal cuts the bar first.

    >>> line(Progress(stage="enhance", frames_done=50, frames_total=200), 2.0)
    'enhancing  25 %  50/200 frames  25.0 frames/s  0:06 left  [#####...............]'
    """
    words = WORDS.get(progress.stage, progress.stage)
    done, total = progress.frames_done, progress.frames_total
    if not total:
        return f"{words}  {done} frames" if done else words
    share = min(done / total, 1.0)
    text = f"{words} {round(100 * share):3} %  {done}/{total} frames"
    if seconds >= SETTLED_SECONDS and done:
        speed = done / seconds
        left = round((total - done) / speed)
        text += f"  {speed:.1f} frames/s  {left // 60}:{left % 60:02d} left"
    filled = round(share * BAR_CHARACTERS)
    return f"{text}  [{'#' * filled}{'.' * (BAR_CHARACTERS - filled)}]"
