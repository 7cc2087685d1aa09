"""The release's number is that of the project, and grows with it."""

from __future__ import annotations

import tomllib
from pathlib import Path

from processing import release

ROOT = Path(__file__).resolve().parents[2]


def test_it_is_the_projects_version() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == release.VERSION


def test_a_later_version_has_a_greater_number() -> None:
    numbers = [release.number(version) for version in ("0.1.0", "0.1.1", "0.2.0", "0.10.0", "1.0.0", "1.0.12", "2.0.0")]
    assert numbers == sorted(set(numbers))
