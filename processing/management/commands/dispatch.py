"""`manage.py dispatch`: publishes hints for runnable steps and brings lost work back; any number may run.

With `--dry-run` it says what it would do now and why what waits waits, and ends.
"""

from __future__ import annotations

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from processing import dispatch
from processing.live import doorbell
from processing.rehearsal import rehearse


class Command(BaseCommand):
    """Dispatch until SIGTERM or SIGINT."""

    help = "Publish hints for runnable steps and bring lost work back, until stopped. Any number may run."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the switch."""
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, and why what waits waits")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the loop in the main thread."""
        if options["dry_run"]:
            for line in rehearse():
                self.stdout.write(line)
            return
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        doorbell.start()
        dispatch.run(stop)
        doorbell.stop()
