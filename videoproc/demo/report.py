"""What the demo shows: the progress line while it runs, the picture of before and after, and the table at its end."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import cv2
import numpy as np

from processing.media.specs import Choice
from videoproc.demo.checks import Check, Reading

BAR_CELLS = 28
LINE_SECONDS = 0.1
PLAIN_STEP_PERCENT = 10.0
TABLE_COLUMNS = 110
LABEL_COLUMNS = 14
PICTURE_HEIGHT_PX = 720
PANE_WIDTH_PX = 1280
JPEG_QUALITY = 92


class Progress:
    """One line that moves on a terminal; elsewhere a line for each tenth and each new state."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._live = out.isatty()
        self._shown_at = 0.0
        self._last: tuple[str, float] = ("", -PLAIN_STEP_PERCENT)

    def show(self, what: str, percent: float, note: str = "") -> None:
        """Say that `what` is `percent` done."""
        now = time.monotonic()
        state_changed = what != self._last[0]
        if self._live:
            if not state_changed and percent < 100 and now - self._shown_at < LINE_SECONDS:
                return
            filled = round(BAR_CELLS * percent / 100)
            bar = "█" * filled + "░" * (BAR_CELLS - filled)
            self._out.write(f"\r\x1b[K{what:<11} {bar} {percent:5.1f} % {note}")
        elif state_changed or percent - self._last[1] >= PLAIN_STEP_PERCENT:
            self._out.write(f"{what:<11} {percent:5.1f} % {note}".rstrip() + "\n")
        else:
            return
        self._shown_at, self._last = now, (what, percent)
        self._out.flush()

    def end(self) -> None:
        """Leave the line, so that what follows begins a new one."""
        if self._live and self._last[0]:
            self._out.write("\n")
            self._out.flush()


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What was done to the picture and why; no choice means that it was left alone."""

    preset: str
    choices: tuple[Choice, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long it took, in seconds."""

    upload_seconds: float
    processing_seconds: float
    source_seconds: float

    @property
    def speed_x(self) -> float:
        """Processing speed against real time."""
        return self.source_seconds / max(self.processing_seconds, 1e-3)


def table(
    *,
    source: Reading,
    result: Reading,
    checks: Sequence[Check],
    gains: Sequence[Check],
    chosen: Chosen,
    warnings: Sequence[str],
    timing: Timing,
    files: Sequence[tuple[str, Path]],
) -> str:
    """Return the table that ends the demo."""
    rows: list[tuple[str, str]] = []
    before, after = source.diagnosis, result.diagnosis
    rows.append(("duration", f"{source.duration_seconds:.2f} s  ->  {result.duration_seconds:.2f} s"))
    rows += [(check.name, ("" if check.held else "NOT KEPT: ") + check.words) for check in checks]
    rows.append(("noise", f"sigma {before.noise_sigma_luma:.2f}  ->  {after.noise_sigma_luma:.2f} code values"))
    rows.append(("brightness", f"mean luma {before.mean_luma:.1f}  ->  {after.mean_luma:.1f} of 255"))
    rows += [(check.name, ("" if check.held else "NOT REACHED: ") + check.words) for check in gains]
    operations = ", ".join(f"{choice.operation} {choice.strength:.2f}" for choice in chosen.choices)
    rows.append((f"chosen by {chosen.preset}", operations or "nothing: it is left alone"))
    rows += [("because", reason) for reason in chosen.reasons]
    rows += [("warning", warning) for warning in warnings]
    rows.append(
        (
            "time",
            f"upload {timing.upload_seconds:.1f} s, processing {timing.processing_seconds:.1f} s, "
            f"{timing.speed_x:.2f} times real time",
        )
    )
    rows += [(name, str(path)) for name, path in files]
    return "\n".join(_row(*row) for row in rows)


def _row(name: str, words: str) -> str:
    width = max(LABEL_COLUMNS, len(name)) + 2
    return textwrap.fill(
        words,
        width=TABLE_COLUMNS,
        initial_indent=f"  {name:<{width}}",
        subsequent_indent=" " * (width + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )


def write_pair(before: Path, after: Path, target: Path) -> None:
    """Write one JPEG with two stills of the same moment side by side, each with its label.

    Raises ValueError where a still is no picture or the target cannot be written.
    """
    panes = [_pane(path, label) for path, label in ((before, "before"), (after, "after"))]
    height = min(pane.shape[0] for pane in panes)
    gap = np.full((height, 6, 3), 255, np.uint8)
    picture = np.hstack([panes[0][:height], gap, panes[1][:height]])
    written, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not written:
        raise ValueError(f"{target}: the picture could not be encoded")
    target.write_bytes(data.tobytes())


def _pane(path: Path, label: str) -> np.ndarray:
    picture = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"{path} is no picture")
    scale = min(PICTURE_HEIGHT_PX / picture.shape[0], PANE_WIDTH_PX / picture.shape[1])
    size = max(round(picture.shape[1] * scale), 1), max(round(picture.shape[0] * scale), 1)
    pane = np.ascontiguousarray(
        cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    )
    (across, up), below = cv2.getTextSize(label, cv2.FONT_HERSHEY_SIMPLEX, 0.9, 2)
    corner = (across + 28, up + below + 22)
    cv2.rectangle(pane, (0, 0), corner, (24, 24, 24), cv2.FILLED)
    cv2.putText(pane, label, (14, up + 12), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (255, 255, 255), 2, cv2.LINE_AA)
    return pane
