"""`manage.py dispatch`: publishes hints for runnable steps and brings lost work back; any number may run."""

from __future__ import annotations

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand

from processing import dispatch
from processing.live import doorbell


class Command(BaseCommand):
    """Dispatch until SIGTERM or SIGINT."""

    help = "Publish hints for runnable steps and bring lost work back, until stopped. Any number may run."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the loop in the main thread."""
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        doorbell.start()
        dispatch.run(stop)
        doorbell.stop()
