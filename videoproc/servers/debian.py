"""Debian's packages as plain files: fetched by apt with what they need, unpacked into a folder of the user's cache.

apt verifies signatures and digests; nothing is installed, configured or started, no root is needed, and apt's own state
is not touched (its lists and archives live in our cache). Invariant: a folder in the cache is whole, or is not there.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from videoproc.servers.errors import ProgramMissing

LISTS_FRESH_SECONDS = 86_400
# The machine's own C library must stay: its loader is the one that runs, whatever LD_LIBRARY_PATH says.
NEVER_UNPACKED = ("libc6_", "libc-bin_", "libc6-dev_")


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/videoproc, else ~/.cache/videoproc; for root /var/cache/videoproc.

    Root's home is closed to others, and a server that drops root must still reach its program.
    """
    if chosen := os.environ.get("XDG_CACHE_HOME"):
        return Path(chosen).expanduser().resolve() / "videoproc"
    return Path("/var/cache/videoproc") if os.geteuid() == 0 else Path.home() / ".cache" / "videoproc"


def unpacked(package: str) -> Path | None:
    """The folder that holds `package` and its libraries, where it has been unpacked before."""
    root = cache_folder() / "packages" / package
    return root if root.is_dir() else None


def unpack(package: str) -> Path:
    """Fetch `package` and whatever this machine lacks of its dependencies, and unpack them. Returns the folder.

    Work that was interrupted goes on where it stopped; two processes that ask at once share one download.

    Raises:
        ProgramMissing: this is no Debian-like system, or apt could not get the package.
    """
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise ProgramMissing("this system has neither apt-get nor dpkg")
    cache = cache_folder()
    for folder in (cache, cache / "packages"):
        folder.mkdir(parents=True, exist_ok=True, mode=0o755)
    with _locked(cache / "lock"):
        root = cache / "packages" / package
        if root.is_dir():
            return root
        archives = _fetch(package, cache)
        return _lay_out(archives, root)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _apt(cache: Path, *words: str) -> str:
    options = {
        "Dir::State::Lists": cache / "apt" / "lists",
        "Dir::Cache": cache / "apt" / "cache",
        "Debug::NoLocking": "1",
        "APT::Sandbox::User": "root",
        "Acquire::Retries": "3",
    }
    switches = [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
    done = subprocess.run(
        ["apt-get", "-qq", *switches, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
        check=False,
    )
    if done.returncode != 0:
        raise ProgramMissing(f"apt-get {' '.join(words)} failed: {done.stderr.strip()[-600:]}")
    return done.stdout


def _fetch(package: str, cache: Path) -> list[Path]:
    lists, archives = cache / "apt" / "lists", cache / "apt" / "cache" / "archives"
    for folder in (lists / "partial", archives / "partial"):
        folder.mkdir(parents=True, exist_ok=True)
    updated = cache / "apt" / "updated"
    if not updated.exists() or time.time() - updated.stat().st_mtime > LISTS_FRESH_SECONDS:
        _apt(cache, "update")
        updated.touch()
    try:
        names = _download(cache, package)
    except ProgramMissing:
        names = []
    if not names:
        # What the machine has is in disorder, or the package is installed but unusable: take everything it needs.
        nothing = cache / "apt" / "nothing-installed"
        nothing.touch()
        names = _download(cache, package, "-o", f"Dir::State::status={nothing}")
    return [archives / name for name in names if not name.startswith(NEVER_UNPACKED)]


def _download(cache: Path, package: str, *switches: str) -> list[str]:
    install = (*switches, "install", "--no-install-recommends", "--yes", package)
    # Each line is 'URI' name size digest.
    names = [line.split()[1] for line in _apt(cache, "--print-uris", *install).splitlines() if line.startswith("'")]
    if names:
        _apt(cache, "--download-only", *install)
    return names


def _lay_out(archives: list[Path], root: Path) -> Path:
    begun = root.with_name(f".{root.name}.begun")
    shutil.rmtree(begun, ignore_errors=True)
    begun.mkdir(mode=0o755)
    for archive in archives:
        done = subprocess.run(["dpkg", "-x", archive, begun], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ProgramMissing(f"dpkg could not unpack {archive.name}: {done.stderr.strip()[-300:]}")
    os.sync()
    begun.rename(root)
    for archive in archives:
        archive.unlink()
    return root


def library_folders(root: Path) -> list[Path]:
    """The folders under `root` that hold shared libraries, outermost first."""
    found: list[Path] = []
    for base in (root / "usr" / "lib", root / "lib"):
        for pattern in ("*-linux-gnu*", "*-linux-gnu*/*"):
            found += [folder for folder in sorted(base.glob(pattern)) if next(folder.glob("lib*.so*"), None)]
    return found
