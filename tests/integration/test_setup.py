"""tools/setup.sh: makes the environment once, then does nothing, makes a moved one again, and says what lacks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SETUP = Path(__file__).resolve().parents[2] / "tools" / "setup.sh"
LACKING = """#!/bin/sh
case "$*" in *ensurepip*) exit 1 ;; esac
exec {python} "$@"
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A checkout with requirements that need nothing, in a folder with a space in its name."""
    tree = tmp_path / "a tree"
    (tree / "tools").mkdir(parents=True)
    (tree / "requirements").mkdir()
    shutil.copy(SETUP, tree / "tools")
    for name in ("runtime", "test"):
        (tree / "requirements" / f"{name}.txt").write_text("# nothing\n")
    return tree


def set_up(tree: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script from another folder."""
    return subprocess.run(
        [tree / "tools" / "setup.sh", *words],
        cwd="/",
        env=os.environ | {"PYTHON": sys.executable} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_makes_it_once_and_again_only_where_something_changed(tree: Path, tmp_path: Path) -> None:
    first = set_up(tree, "test")
    assert first.returncode == 0, first.stderr
    assert "making .venv" in first.stdout
    # The larger set brings the smaller; and nothing is asked of pip, so no network is needed.
    assert [set_up(tree, name).stdout for name in ("test", "runtime")] == ["", ""]

    (tree / "requirements" / "runtime.txt").write_text("# nothing, in other words\n")
    changed = set_up(tree, "runtime")
    assert changed.returncode == 0, changed.stderr
    assert changed.stdout == "installing the runtime requirements into .venv\n"

    moved = tree.rename(tmp_path / "another tree")
    again = set_up(moved, "runtime")
    assert again.returncode == 0, again.stderr
    assert "making .venv" in again.stdout
    prefix = subprocess.run(
        [moved / ".venv/bin/python", "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True
    )
    assert prefix.stdout.strip() == str(moved / ".venv")


def test_a_python_without_venv_is_one_sentence_and_exit_code_2(tree: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in {"python3": LACKING.format(python=sys.executable), "apt-get": "#!/bin/sh\n"}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    python = str(folder / "python3")
    said = set_up(tree, "runtime", PYTHON=python, PATH=f"{folder}:{os.environ['PATH']}")
    assert said.returncode == 2
    assert said.stderr == (
        f"{python} cannot make environments: install its venv module (Debian and Ubuntu: apt install python3-venv)\n"
    )
    assert not (tree / ".venv").exists()


def test_an_unknown_set_is_refused(tree: Path) -> None:
    said = set_up(tree, "everything")
    assert (said.returncode, said.stderr) == (2, "usage: tools/setup.sh runtime|test\n")
