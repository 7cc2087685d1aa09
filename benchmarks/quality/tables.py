"""What the judges said, as Markdown, and whether the aims are kept.

Invariant: a row is the mean over all clips; milliseconds are all processor time over all pixels, as 1280x720 pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from benchmarks.quality.encoded import Behind
from benchmarks.quality.judges import Score

LEAST_GAIN_DB = {"Gaussian 5": 3.0, "Gaussian 10": 7.0}
MOST_MS = 12.0
FINE_MARGIN_DB = 0.3
FINE_SHARE = 1.0 / 3.0
UNTOUCHED = "untouched"


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one contender made of one clip."""

    degradation: str
    kind: str
    clip: str
    contender: str
    is_ours: bool
    score: Score
    matched: Score | None
    """After darkness: with the best table of luma for each."""
    cpu_seconds: float
    pictures_720p: float
    """How many pictures of 1280x720 have as many pixels as were mended."""


class Row(NamedTuple):
    """A contender's mean over the clips."""

    contender: str
    is_ours: bool
    psnr_db: float
    ssim: float
    vmaf: float
    vmaf_neg: float
    flicker: float
    ms: float
    matched_psnr_db: float | None
    matched_vmaf: float | None


class Verdict(NamedTuple):
    """Whether an aim is kept."""

    is_kept: bool
    sentence: str


def rows(results: Sequence[Result]) -> list[Row]:
    """Return one row for each contender, in their order."""
    found = []
    for name in dict.fromkeys(result.contender for result in results):
        mine = [result for result in results if result.contender == name]

        def mean(of: Callable[[Result], float], mine: list[Result] = mine) -> float:
            return float(np.mean([of(result) for result in mine]))

        matched = [result.matched for result in mine if result.matched is not None]
        found.append(
            Row(
                name,
                mine[0].is_ours,
                mean(lambda result: result.score.psnr_db),
                mean(lambda result: result.score.ssim),
                mean(lambda result: result.score.vmaf),
                mean(lambda result: result.score.vmaf_neg),
                mean(lambda result: result.score.flicker),
                1000.0 * sum(result.cpu_seconds for result in mine) / sum(result.pictures_720p for result in mine),
                float(np.mean([score.psnr_db for score in matched])) if matched else None,
                float(np.mean([score.vmaf for score in matched])) if matched else None,
            )
        )
    return found


def of_degradation(name: str, results: Sequence[Result]) -> str:
    """Return the table of one degradation; this project's own are bold."""
    found = rows(results)
    has_matched = any(row.matched_vmaf is not None for row in found)
    extra = " PSNR, same tone | VMAF, same tone |" if has_matched else ""
    lines = [f"\n### {name}, {len({result.clip for result in results})} clips\n"]
    lines.append(f"| | PSNR | SSIM | VMAF | NEG | flicker | ms |{extra}")
    lines.append("|---|---|---|---|---|---|---|" + ("---|---|" if has_matched else ""))
    for row in found:
        label = f"**{row.contender}**" if row.is_ours else row.contender
        cells = [label, f"{row.psnr_db:.2f}", f"{row.ssim:.4f}", f"{row.vmaf:.1f}", f"{row.vmaf_neg:.1f}"]
        cells += [f"{row.flicker:.3f}", "" if row.contender == UNTOUCHED else f"{row.ms:.1f}"]
        if row.matched_psnr_db is not None and row.matched_vmaf is not None:
            cells += [f"{row.matched_psnr_db:.2f}", f"{row.matched_vmaf:.1f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def of_auto(results: Sequence[Result]) -> str:
    """Return what `auto` gains on each clip under each degradation: luma PSNR and VMAF over the clip as it was."""
    clips = list(dict.fromkeys(result.clip for result in results))
    lines = ["\n### What auto gains on each clip: PSNR in dB, VMAF\n", "| | " + " | ".join(clips) + " |"]
    lines.append("|---|" + "---|" * len(clips))
    for name in dict.fromkeys(result.degradation for result in results):
        gains = _gains(results, name)
        cells = [f"{gains[clip][0]:+.2f}, {gains[clip][1]:+.1f}" if clip in gains else "" for clip in clips]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def behind_the_encoder(found: Sequence[Behind]) -> str:
    """Return the means of whole jobs beside the same clips encoded as they were."""
    lines = ["\n### Whole jobs with auto, beside the degraded clip encoded alike (x264 veryfast, CRF 20)\n"]
    lines.append("| | PSNR before | after | VMAF before | after | size, after over before |\n|---|---|---|---|---|---|")
    for name in dict.fromkeys(behind.degradation for behind in found):
        mine = [behind for behind in found if behind.degradation == name]
        figures = [
            np.mean([behind.plain.psnr_db for behind in mine]),
            np.mean([behind.auto.psnr_db for behind in mine]),
            np.mean([behind.plain.vmaf for behind in mine]),
            np.mean([behind.auto.vmaf for behind in mine]),
        ]
        size = np.exp(np.mean([np.log(behind.size_ratio) for behind in mine]))
        lines.append(f"| {name} | " + " | ".join(f"{value:.2f}" for value in figures) + f" | {size:.2f} |")
    return "\n".join(lines)


def verdicts(results: Sequence[Result]) -> list[Verdict]:
    """Return the aims, kept or missed."""
    found = [Verdict(True, "\n### Aims\n")]
    for name in dict.fromkeys(result.degradation for result in results):
        mine = [result for result in results if result.degradation == name]
        table, kind = rows(mine), mine[0].kind
        found += _beaten(name, kind, table)
        if kind == "noise":
            found += _fine(name, table)
        gains = _gains(mine, name)
        if not gains:
            continue
        index, unit = (0, "dB") if kind == "noise" else (1, "VMAF")
        values = [gain[index] for gain in gains.values()]
        least = LEAST_GAIN_DB.get(name, 0.0)
        cost = next(row.ms for row in table if row.contender == "auto")
        is_kept = float(np.mean(values)) >= least and min(values) >= -0.05 and (cost <= MOST_MS or not least)
        found.append(_said(is_kept, f"{name}: auto gains {np.mean(values):+.2f} {unit}, least {min(values):+.2f}, "
                                    f"in {cost:.1f} ms"))  # fmt: skip
    return found


def _beaten(name: str, kind: str, table: Sequence[Row]) -> list[Verdict]:
    """Return a verdict on whether any contender is both faster and better than one of this project's."""
    by, quality = _measure(kind)
    pairs = [
        f"{other.contender} beats {own.contender}"
        for own in table
        for other in table
        if own.is_ours and not other.is_ours and other.contender != UNTOUCHED
        and other.ms < own.ms and quality(other) > quality(own)
    ]  # fmt: skip
    return [_said(not pairs, f"{name}: nobody both faster and better by {by}" + "".join(f"; {pair}" for pair in pairs))]


def _measure(kind: str) -> tuple[str, Callable[[Row], float]]:
    """Return what counts for a kind of degradation: after darkness what is left when all have the same tone."""
    if kind == "noise":
        return "PSNR", lambda row: row.psnr_db
    if kind == "dark":
        return "VMAF at the same tone", lambda row: row.matched_vmaf or 0.0
    return "VMAF", lambda row: row.vmaf


def _fine(name: str, table: Sequence[Row]) -> list[Verdict]:
    fine = next((row for row in table if row.contender == "fine denoise"), None)
    others = [row for row in table if not row.is_ours and row.contender != UNTOUCHED]
    if fine is None or not others:
        return []
    best = max(others, key=lambda row: row.psnr_db)
    is_kept = fine.psnr_db >= best.psnr_db - FINE_MARGIN_DB and fine.ms <= FINE_SHARE * best.ms
    lead = (
        f"{fine.psnr_db - best.psnr_db:+.2f} dB to {best.contender}, the best, in {fine.ms / best.ms:.2f} of its time"
    )
    return [_said(is_kept, f"{name}: fine {lead}")]


def _gains(results: Sequence[Result], degradation: str) -> dict[str, tuple[float, float]]:
    """Return for each clip by how much `auto` raises PSNR (dB) and VMAF."""
    scores = {(one.clip, one.contender): one.score for one in results if one.degradation == degradation}
    return {
        clip: (after.psnr_db - before.psnr_db, after.vmaf - before.vmaf)
        for (clip, contender), after in scores.items()
        if contender == "auto" and (before := scores.get((clip, UNTOUCHED)))
    }


def _said(is_kept: bool, sentence: str) -> Verdict:
    return Verdict(is_kept, f"- {'kept' if is_kept else 'MISSED'}: {sentence}")
