"""The table of `make faults`: each row's number, fault and promise from the tests' docstrings, its verdict and figures.

A test's docstring begins with "Row 3: fault. Promise: what holds."; a row that runs in both modes has two lines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import pytest


@dataclass(kw_only=True)
class Line:
    """One test's line."""

    verdict: str = ""
    seconds: float = 0.0
    figures: dict[str, object] = field(default_factory=dict)


class Report:
    """What the tests of this run said; one for the process, as pytest's reports know nothing else."""

    _lines: ClassVar[dict[str, Line]] = {}

    @classmethod
    def ended(cls, report: pytest.TestReport) -> None:
        """Note how a test ended."""
        if "tests/faults/" in report.nodeid:
            line = cls._lines.setdefault(report.nodeid, Line())
            line.verdict = "held" if report.passed and line.verdict != "BROKEN" else "BROKEN"
            line.seconds += report.duration

    @classmethod
    def add(cls, nodeid: str, figures: Mapping[str, object]) -> None:
        """Add figures to a test's line."""
        cls._lines.setdefault(nodeid, Line()).figures |= figures

    def lines(self) -> list[str]:
        """Return the table, by row."""
        rows = []
        for nodeid, line in self._lines.items():
            found = re.search(r"::test_row_(\d+)_(\w+?)(?:\[(\w+).*)?$", nodeid)
            if found and line.verdict:
                figures = ", ".join(f"{name} {_short(value)}" for name, value in line.figures.items())
                title = found[2].replace("_", " ") + (f" [{found[3]}]" if found[3] else "")
                rows.append(
                    (int(found[1]), f"{found[1]:>3}  {line.verdict:6}  {line.seconds:6.1f} s  {title}: {figures}")
                )
        return ["", "row  verdict      took  fault: figures", *(text for _, text in sorted(rows))] if rows else []


def _short(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
