"""The files a command writes: refused before the work where they cannot be written, and put in place together after it.

Invariant: nothing that a person did not ask to be replaced is replaced, and no file is ever seen half written.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from django.core.management.base import CommandError, OutputWrapper

MOST_NAME_BYTES = 255
PREFIX_CHARACTERS = 40
PIPE = "-"
"""What other programs take for standard input or output."""


class Unusable(Exception):
    """A file that cannot be read or written, and why, in one sentence."""


def check_source(path: Path) -> None:
    """Raise Unusable where there is no readable file at `path`."""
    if path.is_dir():
        raise Unusable(f"{told(path)} is a folder")
    if not path.exists():
        raise Unusable(f"there is no file {told(path)}")
    if not path.is_file():
        raise Unusable(f"{told(path)} is no regular file: a video is read more than once")
    _check_name(path)
    if not os.access(path, os.R_OK):
        raise Unusable(f"{told(path)} may not be read")


def check_outputs(source: Path, outputs: Sequence[Path], *, overwrite: bool) -> None:
    """Raise Unusable where one of `outputs` cannot be written, or may not be replaced."""
    seen: set[Path] = set()
    for path in outputs:
        if str(path) == PIPE:
            raise Unusable("- is no file, and what is written here cannot go through a pipe")
        _check_name(path)
        if not path.parent.is_dir():
            raise Unusable(f"there is no folder {told(path.parent)}")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise Unusable(f"nothing may be written to the folder {told(path.parent)}")
        if path.exists() and (path.is_dir() or path.samefile(source)):
            raise Unusable(f"{told(path)} is the source or a folder")
        if path.exists() and not path.is_file():
            raise Unusable(f"{told(path)} is no regular file")
        if os.path.lexists(path) and not overwrite:
            raise Unusable(f"{told(path)} is there already; --overwrite replaces it")
        real = path.resolve()
        if real in seen:
            raise Unusable(f"{told(path)} is asked for twice")
        seen.add(real)


@contextmanager
def scratch_beside(path: Path) -> Iterator[Path]:
    """Make a folder beside a file to be written, so that it is moved into place in one step, and remove it again."""
    folder = path.parent / f".{path.name[:PREFIX_CHARACTERS]}.{secrets.token_hex(4)}"
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        if folder.exists():
            shutil.rmtree(folder)


def put_in_place(moves: Sequence[tuple[Path, Path]], stale: Sequence[Path], written: list[Path]) -> None:
    """Move each file where it belongs, adding that to `written`, and remove what is stale. Not to be interrupted."""
    for made, path in moves:
        made.replace(path)
        written.append(path)
    for path in stale:
        path.unlink()


def told(path: Path) -> str:
    """Return a path as it can be printed on one line.

    >>> told(Path("a\\nb.mp4"))
    'a\\\\nb.mp4'
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode("ascii")
        for character in str(path)
    )


def say(stream: OutputWrapper, text: str) -> None:
    """Print the last words of a command; that nobody reads them to the end is no failure."""
    if sys.stdout is None:  # closed before Python began
        return
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        # Python would complain of what is left once more when it ends.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
        if not isinstance(error, BrokenPipeError):
            raise CommandError(f"what was done could not be printed: {error.strerror}") from error


def _check_name(path: Path) -> None:
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError as error:
        raise Unusable(f"the name {told(path)} is not valid UTF-8") from error
    if len(os.fsencode(path.name)) > MOST_NAME_BYTES:
        raise Unusable(f"the name {told(path)[:PREFIX_CHARACTERS]}… is too long")
