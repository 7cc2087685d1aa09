"""Settings from the environment: what is wrong is one sentence that names the variable."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from videoproc.environment import local_secret

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
