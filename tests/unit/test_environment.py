"""Settings from the environment: what is wrong is one sentence that names the variable."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from videoproc.environment import local_secret
from videoproc.safety import contradictory

ROOT = Path(__file__).resolve().parents[2]


def test_a_secret_is_kept(tmp_path: Path) -> None:
    secret = local_secret(tmp_path / "var")
    assert len(secret) > 50
    assert local_secret(tmp_path / "var") == secret
    assert [path.name for path in (tmp_path / "var").iterdir()] == ["secret-key"]


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ImproperlyConfigured, match=r"VIDEOPROC_DATA_DIR is .*/file/var: Not a directory"):
        local_secret(tmp_path / "file" / "var")


SOUND = {"LEASE": 12.0, "RENEW": 3.0, "BEAT": 1.0, "SEEN": 10.0, "STALL": 120.0, "STEP": 21600.0}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, []),
        ({"LEASE": 4.0}, [r"RENEW_SECONDS \(3\) and VIDEOPROC_BEAT_SECONDS \(1\) together .* LEASE_SECONDS \(4\)"]),
        ({"RENEW": 30.0}, [r"LEASE_SECONDS \(12\): steps are taken", r"SEEN_SECONDS \(10\): workers .* as gone"]),
        ({"STEP": 60.0}, [r"STALL_SECONDS \(120\) is more than VIDEOPROC_STEP_SECONDS \(60\)"]),
    ],
)
def test_times_that_cannot_work_together_are_named(changed: dict[str, float], told: list[str]) -> None:
    found = contradictory({f"VIDEOPROC_{name}_SECONDS": value for name, value in (SOUND | changed).items()})
    assert len(found) == len(told)
    for sentence, pattern in zip(found, told, strict=True):
        assert re.search(pattern.replace("LEASE_", "VIDEOPROC_LEASE_").replace("SEEN_", "VIDEOPROC_SEEN_"), sentence)


def test_nothing_starts_with_such_times() -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env={**os.environ, "VIDEOPROC_RENEW_SECONDS": "30"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "these times cannot work together" in done.stderr) == (1, True)


@pytest.mark.parametrize("words", [("drain",), ("dispatch", "--dry-run")])
def test_a_command_without_a_database_says_so_in_a_sentence(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=ROOT,
        env={**os.environ, "VIDEOPROC_MODE": "embedded", "VIDEOPROC_DATABASE_URL": f"sqlite://{tmp_path}/none.sqlite3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert re.fullmatch(r"the database is away, .*: no such table: \w+\nmanage.py doctor says .*\n", done.stderr)


def test_a_command_line_says_it_in_one_sentence() -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "probe", "none.mp4"],
        cwd=ROOT,
        env={**os.environ, "VIDEOPROC_MODE": "none"},
        capture_output=True,
        text=True,
        check=False,
    )
    told = "ImproperlyConfigured: VIDEOPROC_MODE is 'none'; it must be one of embedded, server\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", told)
