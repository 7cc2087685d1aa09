"""Where the server programs are: on this machine, else unpacked from Debian's packages into the user's cache.

`python -m videoproc.servers.programs NAME…` finds or fetches them beforehand and says where they are; exit code 2 and
one sentence each where that is not possible. Invariant: nothing is installed on the machine.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from videoproc.servers import debian
from videoproc.servers.errors import ProgramMissing


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A program to look for: executables that must lie side by side, where they may lie, and what brings them."""

    name: str
    executables: tuple[str, ...]
    package: str
    beside_path: tuple[str, ...] = ()
    """Folders tried before the PATH, as glob patterns; in the unpacked packages too. The last match wins."""
    needs: tuple[str, ...] = ()
    """Executables that must be on the PATH besides."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program that was found: its executables by name, and what the environment must hold to run them."""

    name: str
    executables: Mapping[str, Path]
    search_path: str
    library_path: str = ""

    def environment(self, home: Path) -> dict[str, str]:
        """A whole environment for a server: nothing of ours but the PATH and where temporary files go."""
        variables = {"PATH": self.search_path, "HOME": str(home), "LANG": "C.UTF-8", "TMPDIR": str(home)}
        return {**variables, "LD_LIBRARY_PATH": self.library_path} if self.library_path else variables


POSTGRESQL = Wanted(
    name="postgresql",
    executables=("postgres", "initdb"),
    package="postgresql",
    beside_path=("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"),
)
RABBITMQ = Wanted(
    name="rabbitmq",
    executables=("rabbitmq-server",),
    package="rabbitmq-server",
    # The scripts of this folder, not Debian's wrappers on the PATH, which insist on their own user.
    beside_path=("/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin", "/opt/rabbitmq/sbin"),
    needs=("erl", "epmd"),
)
REDIS = Wanted(name="redis", executables=("redis-server",), package="redis-server")
CHROMIUM = Wanted(
    name="chromium",
    executables=("chromium",),
    package="chromium",
    # The program itself: the script on the PATH would look for it under /usr.
    beside_path=("/usr/lib/chromium",),
)
ALL = {wanted.name: wanted for wanted in (POSTGRESQL, RABBITMQ, REDIS, CHROMIUM)}
SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


def find(wanted: Wanted) -> Program | None:
    """The program as it is on this machine or in the cache already; None where it is in neither. Touches nothing."""
    here = _search(wanted, Path("/"), _path_folders())
    if here is not None:
        return here
    root = debian.unpacked(wanted.package)
    return None if root is None else _search_unpacked(wanted, root)


def obtain(wanted: Wanted) -> Program:
    """The program, fetched into the cache where this machine lacks it.

    Raises:
        ProgramMissing: it is not here and cannot be fetched; the message says what to install.
    """
    found = find(wanted)
    if found is not None:
        return found
    try:
        root = debian.unpack(wanted.package)
    except ProgramMissing as exc:
        raise ProgramMissing(_advice(wanted, str(exc))) from exc
    found = _search_unpacked(wanted, root)
    if found is None:
        raise ProgramMissing(_advice(wanted, f"the package unpacked in {root} does not hold it"))
    return found


def _advice(wanted: Wanted, reason: str) -> str:
    names = " and ".join((*wanted.executables, *wanted.needs))
    return (
        f"{wanted.name} is missing: put {names} on the PATH (Debian and Ubuntu: the package {wanted.package}), "
        f"or let apt-get reach its mirror; {reason}"
    )


def _path_folders() -> list[Path]:
    return [Path(folder) for folder in (*os.environ.get("PATH", "").split(os.pathsep), *SYSTEM_FOLDERS) if folder]


def _search(wanted: Wanted, root: Path, path_folders: list[Path]) -> Program | None:
    path = [str(folder) for folder in path_folders]
    if not all(any(_runs(folder / name) for folder in path_folders) for name in wanted.needs):
        return None
    for folder in (*_beside(wanted, root), *path_folders):
        if all(_runs(folder / name) for name in wanted.executables):
            executables = {name: folder / name for name in wanted.executables}
            return Program(
                name=wanted.name,
                executables=executables | {name: _first(path_folders, name) for name in wanted.needs},
                search_path=os.pathsep.join(dict.fromkeys(path)),
            )
    return None


def _search_unpacked(wanted: Wanted, root: Path) -> Program | None:
    _mend_erlang(root)
    folders = [root / "bin-here", *(root / folder[1:] for folder in SYSTEM_FOLDERS)]
    found = _search(wanted, root, [*(folder for folder in folders if folder.is_dir()), *_path_folders()])
    if found is None or not found.executables[wanted.executables[0]].is_relative_to(root):
        return None
    libraries = os.pathsep.join(map(str, debian.library_folders(root)))
    return Program(
        name=found.name, executables=found.executables, search_path=found.search_path, library_path=libraries
    )


def _beside(wanted: Wanted, root: Path) -> Iterator[Path]:
    for pattern in wanted.beside_path:
        # Newest version first; 9 sorts before 15 by its number, not its text.
        yield from sorted(root.glob(pattern.lstrip("/")), key=_version, reverse=True)


def _version(folder: Path) -> list[int]:
    digits = "".join(letter if letter.isdigit() else " " for letter in str(folder))
    return [int(number) for number in digits.split()]


def _runs(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _first(folders: list[Path], name: str) -> Path:
    return next(folder / name for folder in folders if _runs(folder / name))


def _mend_erlang(root: Path) -> None:
    """Put an `erl` that knows where it lies before Debian's, which has /usr/lib/erlang written into it."""
    erlang, here = root / "usr" / "lib" / "erlang", root / "bin-here"
    if here.is_dir() or not erlang.is_dir():
        return
    runtime = max(erlang.glob("erts-*/bin"), key=_version)
    begun = root / f".bin-here.{os.getpid()}"
    begun.mkdir()
    script = begun / "erl"
    script.write_text(
        "#!/bin/sh\n"
        f'ROOTDIR="{erlang}" BINDIR="{runtime}" EMU=beam PROGNAME=erl\n'
        "export ROOTDIR BINDIR EMU PROGNAME\n"
        'exec "$BINDIR/erlexec" "$@"\n'
    )
    script.chmod(0o755)
    (begun / "epmd").symlink_to(runtime / "epmd")
    begun.rename(here)


def main(names: list[str]) -> int:
    """Find or fetch the named programs (all of them without names), a line each. Returns 0, or 2 if one is missing."""
    missing = 0
    for name in names or list(ALL):
        try:
            program = obtain(ALL[name])
        except ProgramMissing as exc:
            sys.stderr.write(f"{exc}\n")
            missing += 1
        else:
            sys.stdout.write(f"{name}: {program.executables[ALL[name].executables[0]]}\n")
    return 2 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
