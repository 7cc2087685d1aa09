"""The capacity model: its arithmetic on round figures, and walls where they must stand."""

from __future__ import annotations

import pytest

from benchmarks.capacity import Costs, Fleet, outlook, table

ROUND = Costs(
    engine_seconds=2.0,
    first_seconds=1.0,
    join_seconds=0.01,
    segment_seconds=10.0,
    database_ms=10.0,
    broker_ms=5.0,
    worker_ms=0.0,
    database_beat_ms=1.0,
    broker_beat_ms=1.0,
    source_mbit=10.0,
    result_mbit=10.0,
)


def test_a_fleet_on_round_figures() -> None:
    seen = outlook(Fleet(workers=10, slots=2, video_seconds=100.0), ROUND)
    assert seen.video_per_second == pytest.approx(10.0), "20 cores, 2 core seconds each"
    assert seen.steps_per_second == pytest.approx(0.1 * 16), "10 segments and 6 more steps a video"
    assert seen.alone_seconds == pytest.approx(1 + 20 + 1), "all segments at once"
    demand = {(load.part, load.unit): load.demand for load in seen.loads}
    assert demand["database", "cores"] == pytest.approx(1.6 * 0.010 + 10 * 0.001)
    assert demand["broker", "cores"] == pytest.approx(1.6 * 0.005 + 10 * 0.001)
    assert demand["storage", "Gbit/s"] == pytest.approx(10 * 50 / 1000)


def test_one_video_alone_takes_rounds_where_slots_are_few() -> None:
    assert outlook(Fleet(workers=1, slots=4, video_seconds=100.0), ROUND).alone_seconds == pytest.approx(1 + 3 * 20 + 1)


def test_the_first_wall_is_what_is_nearest_to_its_supply() -> None:
    wide = {"slots": 1.0, "database_cores": 1e9, "database_connections": 1e9, "broker_cores": 1e9, "storage_gbit": 1e9}
    for name, part in (
        ("database_cores", ("database", "cores")),
        ("database_connections", ("database", "connections")),
        ("broker_cores", ("broker", "cores")),
        ("storage_gbit", ("storage", "Gbit/s")),
    ):
        wall = outlook(Fleet(workers=100, **(wide | {name: 1e-3})), ROUND).first_wall
        assert (wall.part, wall.unit) == part
        assert wall.share > 1


def test_ten_times_the_workers_do_ten_times_the_work_and_ask_for_ten_times_as_much() -> None:
    few, many = (outlook(Fleet(workers=workers), ROUND) for workers in (10, 100))
    assert many.video_per_second == pytest.approx(10 * few.video_per_second)
    assert all(b.demand == pytest.approx(10 * a.demand) for a, b in zip(few.loads, many.loads, strict=True))


def test_the_table_has_a_line_for_each_size() -> None:
    lines = table((10, 1000), {}, ROUND).splitlines()
    assert len(lines) == 4
    assert {line.count("|") for line in lines} == {10}
