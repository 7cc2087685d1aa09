"""A process that owns media processes, for the tests that kill it: prints the ids of its zygote and of one child."""

from __future__ import annotations

import sys
import threading

from processing.media.process.launcher import MediaProcesses
from tests.unit.media_operations import Order, Reply


def main(operation: str) -> None:
    """Run one operation that does not end, in a thread that is not the main one, and say what was started."""
    processes = MediaProcesses(operations="tests.unit.media_operations:OPERATIONS")

    def say(child_pid: int) -> None:
        print(processes.zygote_pid, child_pid, flush=True)

    def work() -> None:
        processes.run(operation, Order(), Reply, on_started=say)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


if __name__ == "__main__":
    main(sys.argv[1])
