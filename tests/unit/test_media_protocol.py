"""What crosses the border of the media process: frames, failures and fractions, from a side that may lie."""

from __future__ import annotations

from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.media import errors, wire
from processing.media.errors import (
    Failure,
    MediaError,
    OutputLost,
    ProcessCrashed,
    ProcessError,
    StorageAway,
    Unforeseen,
    from_wire,
    to_wire,
)
from processing.media.process.limits import LIMITS, Limits, limits_for
from processing.media.process.protocol import (
    ANSWER,
    FAILURE,
    MAX_ANSWER_BYTES,
    FrameReader,
    ProtocolError,
    final_frame,
    progress_frame,
)


def leaves(kind: type[MediaError]) -> list[type[MediaError]]:
    below = [leaf for child in kind.__subclasses__() for leaf in leaves(child)]
    return below or [kind]


@given(st.lists(st.integers(0, 10**6), max_size=5), st.binary(max_size=200), st.integers(1, 50))
def test_frames_may_arrive_in_pieces(progress: list[int], payload: bytes, piece: int) -> None:
    data = b"".join(map(progress_frame, progress)) + final_frame(ANSWER, payload)
    reader = FrameReader()
    for start in range(0, len(data), piece):
        reader.feed(data[start : start + piece])
    assert reader.progress == max(progress, default=None)
    assert reader.final == (ANSWER, payload)


@pytest.mark.parametrize(
    "data",
    [
        b"X\0\0\0\0",
        b"P\0\0\0\x09" + bytes(9),
        b"A" + (MAX_ANSWER_BYTES + 1).to_bytes(4, "big"),
        b"F\0\x01\0\x01",
        final_frame(ANSWER, b"") + progress_frame(1),
        final_frame(FAILURE, b"") + final_frame(ANSWER, b""),
    ],
)
def test_whatever_breaks_the_rules_is_refused_at_its_header(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        FrameReader().feed(data)


@pytest.mark.parametrize("kind", leaves(MediaError), ids=lambda kind: kind.__name__)
def test_every_error_crosses_the_border_but_those_of_the_supervisor(kind: type[MediaError]) -> None:
    crossed = from_wire(wire.from_json(wire.to_json(to_wire(kind("7 of 9"))), Failure))
    of_the_supervisor = issubclass(kind, ProcessError | StorageAway | OutputLost | Unforeseen)
    assert type(crossed) is (ProcessCrashed if of_the_supervisor else kind)
    assert crossed.detail == "7 of 9"


def test_an_error_cannot_be_made_up() -> None:
    for name in ("MediaError", "SourceError", "SystemExit", "from_wire", ""):
        assert type(from_wire(Failure(kind=name, code="process_stopped", detail="x"))) is ProcessCrashed
    invented = from_wire(Failure(kind="ResourceExceeded", code="process_stopped", detail="x"))
    assert type(invented) is ProcessCrashed
    assert len(from_wire(Failure(kind="Damaged", code="damaged", detail="x" * 10**6)).detail) == 2000
    assert from_wire(Failure(kind="Damaged", code="damaged", detail="a\x00\x1b[2J\ud800b")).detail == "a[2J?b"


def test_codes_are_stable_and_in_the_tree_of_the_docstring() -> None:
    assert errors.__doc__ is not None
    for kind in leaves(MediaError):
        assert kind("x").code in errors.__doc__
    for code in errors.RESOURCE_CODES:
        assert code in errors.__doc__


@given(st.fractions(max_denominator=10**9).filter(lambda value: abs(value.numerator) < 10**20))
def test_fractions_cross_exactly(value: Fraction) -> None:
    assert wire.from_json(wire.to_json(value), Fraction) == value


@pytest.mark.parametrize("text", ["1/0", "1e999999999", "1/-2", "x", "", "1", "1" * 30 + "/1", "1_0/2", " 1/2", "٣/٤"])
def test_what_is_no_fraction_is_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        wire.from_json(msgspec.json.encode(text), Fraction)


def test_the_caller_may_replace_limits() -> None:
    assert limits_for("probe") == LIMITS["probe"]
    changed = limits_for("probe", address_space_bytes=1 << 30, stall_seconds=3.0)
    assert (changed.address_space_bytes, changed.stall_seconds) == (1 << 30, 3.0)
    assert (changed.cpu_seconds, changed.wall_seconds) == (LIMITS["probe"].cpu_seconds, LIMITS["probe"].wall_seconds)
    assert limits_for("something else") == Limits()
