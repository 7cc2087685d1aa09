"""Quality over time as a picture: one panel for each kind of noise, one mark for each contender."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.quality.tables import UNTOUCHED, Result, rows

COLUMNS = 3
MARKS = "osv^<>DPXd*pHo"
OURS, THEIRS = "#c0392b", "#555555"


def draw(results: Sequence[Result], target: Path) -> None:
    """Write the picture to `target` as PNG; the farther up and to the left, the better."""
    names = list(dict.fromkeys(result.degradation for result in results if result.kind == "noise"))
    height = -(-len(names) // COLUMNS)
    figure = Figure(figsize=(4.2 * COLUMNS, 3.6 * height))
    axes = figure.subplots(height, COLUMNS, squeeze=False)
    contenders = list(dict.fromkeys(result.contender for result in results if result.kind == "noise"))
    marks = {name: MARKS[index % len(MARKS)] for index, name in enumerate(contenders)}
    for name, panel in zip(names, axes.flat, strict=False):
        for row in rows([result for result in results if result.degradation == name]):
            if row.contender == UNTOUCHED:
                panel.axhline(row.psnr_db, color=THEIRS, linewidth=0.8, linestyle=":")
                continue
            look = {"marker": marks[row.contender], "color": OURS if row.is_ours else THEIRS}
            panel.plot([max(row.ms, 0.5)], [row.psnr_db], linestyle="", label=row.contender, **look)
        panel.set_xscale("log")
        panel.set_title(name)
        panel.set_xlabel("ms of CPU per 720p picture")
        panel.set_ylabel("luma PSNR, dB")
        panel.grid(visible=True, alpha=0.3)
    for panel in list(axes.flat)[len(names) :]:
        panel.set_visible(False)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=5, frameon=False)
    figure.tight_layout(rect=(0, 0.1 if height > 1 else 0.2, 1, 1))
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=80)
