"""A thread or task that a process cannot do without takes it along, in order, when it ends by an error."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import asyncio, signal, sys, threading
from processing import vital

async def fail():
    1 / 0

async def follow(work):
    task = vital.task(work, name="hub")
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.wait([task])

ended = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: ended.set())
vital.thread({run}, name="beat").start()
sys.exit(7 if ended.wait({seconds}) else 0)
"""


def run(function: str, *, seconds: float) -> subprocess.CompletedProcess[str]:
    """Run a process that ends with 7 where it was asked to end."""
    program = PROGRAM.format(run=function, seconds=seconds)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)


def test_an_error_that_nobody_foresaw_ends_the_process_in_order_and_is_told() -> None:
    ended = run("lambda: 1 / 0", seconds=30)
    assert ended.returncode == 7
    assert "beat: ended by an error, and so does its process" in ended.stderr
    assert "ZeroDivisionError" in ended.stderr


def test_an_end_in_order_ends_nothing_else() -> None:
    assert run("lambda: None", seconds=0.5).returncode == 0


def test_a_task_ends_the_process_as_a_thread_does_unless_it_was_cancelled() -> None:
    task = "lambda: asyncio.run(follow({task}))"
    ended = run(task.format(task="fail()"), seconds=30)
    assert ended.returncode == 7
    assert "hub: ended by an error, and so does its process" in ended.stderr
    assert "ZeroDivisionError" in ended.stderr
    cancelled = run(task.format(task="asyncio.sleep(60)"), seconds=0.5)
    assert (cancelled.returncode, cancelled.stderr) == (0, "")
