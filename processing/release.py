"""The number of this release, which grows with each: a step is taken by a worker at least as new as who wrote it.

An older worker would leave out what it does not know of a plan, or fail over it.
"""

VERSION = "0.1.0"
"""As in pyproject.toml."""


def number(version: str) -> int:
    """Return a version as a number that grows with it.

    >>> number("0.1.0"), number("2.13.4")
    (100, 21304)
    """
    major, minor, patch = (int(part) for part in version.split("."))
    return (major * 100 + minor) * 100 + patch


NUMBER = number(VERSION)
