"""Three stages that overlap: order, bounded memory, and no thread left whatever happens."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from processing.media.stages import ITEMS_BETWEEN, run_stages


class Broken(Exception):
    pass


def test_items_arrive_in_order_and_none_is_left_out() -> None:
    written: list[int] = []
    run_stages(iter(range(100)), lambda item: None if item % 10 == 0 else item * 2, written.append)
    assert written == [item * 2 for item in range(100) if item % 10]
    assert threading.active_count() == 1 or all(t.name not in {"reading", "changing"} for t in threading.enumerate())


def test_reading_is_never_far_ahead_of_writing() -> None:
    read = 0
    ahead: list[int] = []

    def reader() -> Iterator[int]:
        nonlocal read
        for item in range(60):
            read += 1
            yield item

    run_stages(reader(), lambda item: item, lambda item: ahead.append(read - item))
    assert max(ahead) <= 2 * ITEMS_BETWEEN + 4


@pytest.mark.parametrize("stage", ["read", "change", "write"])
def test_an_error_of_any_stage_stops_the_others_and_surfaces(stage: str) -> None:
    def endless() -> Iterator[int]:
        item = 0
        while True:
            if stage == "read" and item == 20:
                raise Broken(stage)
            yield item
            item += 1

    def change(item: int) -> int:
        if stage == "change" and item == 20:
            raise Broken(stage)
        return item

    def write(item: int) -> None:
        if stage == "write" and item == 20:
            raise Broken(stage)

    with pytest.raises(Broken, match=stage):
        run_stages(endless(), change, write)
    assert not {thread.name for thread in threading.enumerate()} & {"reading", "changing"}
