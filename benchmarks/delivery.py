"""Segments a second through the control plane alone, on real PostgreSQL, RabbitMQ and Redis, with an empty engine.

Prints one row for each number of rows that lie in the tables already: a rate that stays flat says that no statement
scans them. CPU time is from /proc, each part's own: it tells what a fleet asks of its database, its broker and itself.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from benchmarks.installation import Parts, dispatcher, installation, processes, worker

SEGMENTS_A_JOB = 50
PATIENCE_SECONDS = 300.0
IDLE_SECONDS = 20.0


def fill(rows_there: int) -> None:
    """Bring the steps in the database up to a number, by finished jobs of a hundred segments."""
    from django.db.models.functions import Now

    from processing.models import Job, Step
    from tests import rows

    there = Step.objects.count()
    while there < rows_there:
        job = rows.accepted(owner=f"earlier-{there // 10_000}")
        Step.objects.filter(job=job).delete()
        Step.objects.bulk_create(
            Step(
                job=job,
                owner_id=job.owner_id,
                turn=index,
                epoch=1,
                kind=Step.Kind.SEGMENT,
                index=index,
                state=Step.State.DONE,
                attempt=1,
                created_at=Now(),
            )
            for index in range(100)
        )
        Job.objects.filter(pk=job.pk).update(state="cancelled", ended_at=Now(), cleaned_at=Now())
        there += 100


def measure(
    segments: int, rows_there: int, parts: Parts, check: Callable[[], None]
) -> tuple[float, float, dict[str, float]]:
    """Return segments a second, transactions a segment, and milliseconds of CPU a segment for each part."""
    from django.db import connection, transaction

    from processing import storage
    from processing.models import Step
    from tests import rows

    fill(rows_there)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    jobs = []
    for number in range(segments // SEGMENTS_A_JOB):
        with transaction.atomic():  # or the workers would take the steps that are gone through here
            job = rows.accepted(owner=f"owner-{number % 3}")
            jobs.append(job)
            for key in (job.source_key, "plan.json"):
                storage.stage(key).write_bytes(b"0")
                storage.store(key)
            rows.planned(job, segments=SEGMENTS_A_JOB)
    todo = Step.objects.filter(job__in=jobs, kind=Step.Kind.SEGMENT).exclude(state=Step.State.DONE)
    last = todo.count()
    began, cpu, transactions = time.perf_counter(), parts.cpu_seconds(), _transactions()
    while (left := todo.count()) > 0:
        check()
        if time.perf_counter() - began > PATIENCE_SECONDS:
            raise SystemExit(f"{left} of {last} segments were left after {PATIENCE_SECONDS:g} s")
        time.sleep(0.1)
    rate = last / (time.perf_counter() - began)
    milliseconds = {part: (used - cpu[part]) / last * 1000 for part, used in parts.cpu_seconds().items()}
    return rate, (_transactions() - transactions) / last, milliseconds


def idle(parts: Parts, workers: int) -> dict[str, float]:
    """Return the milliseconds of CPU that each part uses in a second for each worker process that has nothing to do."""
    cpu, began = parts.cpu_seconds(), time.perf_counter()
    time.sleep(IDLE_SECONDS)
    passed = (time.perf_counter() - began) * workers
    return {part: (used - cpu[part]) / passed * 1000 for part, used in parts.cpu_seconds().items()}


def _transactions() -> int:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--segments", type=int, default=1000, help="measured for each row of the table")
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--slots", type=int, default=4)
    options = parser.parse_args()
    parts = Parts()
    workers = [
        worker(f"w{number}", slots=options.slots, app="benchmarks.empty_engine") for number in range(options.workers)
    ]
    print(f"{options.workers} workers of {options.slots} slots, jobs of {SEGMENTS_A_JOB} segments\n")
    with installation(parts) as folder, processes(folder, parts, [dispatcher(), *workers]) as check:
        measure(SEGMENTS_A_JOB, 0, parts, check)  # warms up; not printed
        names = list(parts.cpu_seconds())
        print(f"| rows there | segments/s | commits each | CPU ms each | {' | '.join(names)} |")
        print("|---" * (4 + len(names)) + "|")
        for rows_there in options.rows:
            rate, commits, cpu = measure(options.segments, rows_there, parts, check)
            each = " | ".join(f"{cpu[name]:.1f}" for name in names)
            print(f"| {rows_there:,} | {rate:.0f} | {commits:.1f} | {sum(cpu.values()):.1f} | {each} |", flush=True)
        beat = idle(parts, options.workers)
        each = " | ".join(f"{beat[name]:.1f}" for name in names)
        print(f"| idle, for each worker and second | | | {sum(beat.values()):.1f} | {each} |")


if __name__ == "__main__":
    main()
