"""Which bytes a Range header asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.api.ranges import Unsatisfiable, parse_range


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", None),
        ("pages=1-2", None),
        ("bytes=0-0", range(1)),
        ("bytes=0-99", range(100)),
        ("bytes=0-", range(100)),
        ("bytes=99-", range(99, 100)),
        ("bytes=10-19", range(10, 20)),
        ("Bytes=10-19", range(10, 20)),
        ("bytes= 10-19 ", range(10, 20)),
        ("bytes=10-1000", range(10, 100)),
        ("bytes=-1", range(99, 100)),
        ("bytes=-100", range(100)),
        ("bytes=-5000", range(100)),
    ],
)
def test_reads_one_range(header: str, expected: range | None) -> None:
    assert parse_range(header, 100) == expected


@pytest.mark.parametrize(
    "header",
    [
        "bytes=100-", "bytes=100-200", "bytes=-0", "bytes=5-4", "bytes=-", "bytes=", "bytes", "bytes=a-b", "bytes=1",
        "bytes=0-1,2-3", "bytes=" + ",".join("0-" for _ in range(500)), "bytes=--1", "bytes=1-2-3", "bytes=٣-٤",
        "bytes=" + "9" * 400 + "-", "bytes=0x1-0x2", "bytes=1.0-2",
    ],
)  # fmt: skip
def test_refuses_what_is_no_single_range_within(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        parse_range(header, 100)


def test_an_empty_file_has_no_range() -> None:
    for header in ("bytes=0-", "bytes=0-0", "bytes=-1"):
        with pytest.raises(Unsatisfiable):
            parse_range(header, 0)


@given(st.text(max_size=40), st.integers(0, 10**12))
def test_never_leaves_the_file(text: str, size: int) -> None:
    for header in (text, f"bytes={text}"):
        try:
            found = parse_range(header, size)
        except Unsatisfiable:
            continue
        assert found is None or 0 <= found.start < found.stop <= size


@given(st.integers(1, 10**9), st.data())
def test_gives_exactly_what_is_asked(size: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, size - 1))
    last = data.draw(st.integers(start, size - 1))
    assert parse_range(f"bytes={start}-{last}", size) == range(start, last + 1)
