"""`manage.py up`: the whole service on this machine, with no server installed, until interrupted."""

from __future__ import annotations

import os
import signal
import threading
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from videoproc.access import new_sign_in_path
from videoproc.embedded import Embedded, EmbeddedError
from videoproc.servers.errors import ServersError


class Command(BaseCommand):
    """Start, say where, mind, stop."""

    help = "Run the whole service on this machine, with no server installed, until interrupted."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the port."""
        parser.add_argument("--port", type=int, default=8000, help="0 chooses a free one (default: 8000)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until SIGINT or SIGTERM."""
        if not settings.EMBEDDED:
            raise CommandError("VIDEOPROC_MODE is server: start web, worker and dispatch as in docs/operations.md")
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        try:
            system = Embedded(port=options["port"])
        except EmbeddedError as exc:
            raise CommandError(str(exc), returncode=2) from exc
        try:
            system.start()
            link = f"{system.url}{new_sign_in_path()}"
            shown = os.path.relpath(system.data) if system.data.is_relative_to(Path.cwd()) else system.data
            self.stdout.write(f"ready: {system.url}/  data in {shown}")
            self.stdout.write(f"sign in once as the local user (page and /admin/): {link}?next=/admin/")
            self.stdout.write("stop with Ctrl-C; unfinished jobs go on at the next start")
            self.stdout.flush()
            system.run(stop)
        except (EmbeddedError, ServersError) as exc:
            raise CommandError(str(exc)) from exc
        finally:
            system.stop()
        self.stdout.write("stopped")
