"""One line a record, whatever a file, a request or an exception says."""

from __future__ import annotations

import logging

import pytest

from videoproc.logs import LineFormatter

FORGED = "2026-01-01T00:00:00.000Z INFO uploads accepted"
ENDS = ["\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"]


def line(message: str, *, exception: BaseException | None = None, **extra: str) -> str:
    caught = None if exception is None else (type(exception), exception, None)
    record = logging.LogRecord("test", logging.INFO, __file__, 1, message, (), caught)
    vars(record).update(extra)
    return LineFormatter().format(record)


@pytest.mark.parametrize("end", ENDS)
def test_nothing_ends_a_line_early(end: str) -> None:
    for text in (line(f"a{end}{FORGED}"), line("a", file=f"x{end}{FORGED}")):
        assert text.splitlines() == [text]


@pytest.mark.parametrize("end", ENDS)
def test_an_exception_cannot_pass_for_a_record(end: str) -> None:
    rows = line("a", exception=ValueError(f"x{end}{FORGED}")).splitlines()
    assert len(rows) > 1
    assert all(row.startswith("  ") for row in rows[1:])


def test_a_terminal_is_not_steered() -> None:
    text = line("\x1b[2J\x9b2J\x07", file="\u202egpj.mp4\ud800")
    assert text.isprintable()
    assert text.encode()
