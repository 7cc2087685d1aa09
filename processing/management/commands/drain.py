"""`manage.py drain WORKER…`: lets workers end what they have and take no more, so that one can be stopped at no cost.

With `--wait` it returns once they have; with `--undo` they take work again. A worker that is stopped without it hands
its steps back, and what was done of them is lost.
"""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from processing import control, progress
from processing.models import Worker

LOOK_SECONDS = 1.0


class Command(BaseCommand):
    """Ask workers by name."""

    help = "Let workers end what they have and take no more work. Their names are in the admin, and listed without any."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take names and switches."""
        parser.add_argument("worker", nargs="*", help="a worker's name; without one the live ones are listed")
        parser.add_argument("--undo", action="store_true", help="let them take work again")
        parser.add_argument("--wait", action="store_true", help="return once they have ended what they had")

    def handle(self, *args: Any, **options: Any) -> None:
        """Ask, and wait where that is wanted."""
        names: list[str] = options["worker"]
        if not names:
            for worker in progress.live_workers():
                state = ", drained" if worker.drained else ""
                self.stdout.write(f"{worker.name}: {worker.slots} slots, {worker.running} steps in work{state}")
            return
        if options["undo"] and options["wait"]:
            raise CommandError("--wait waits for the end of work, --undo lets it begin: take one of them")
        for name in names:
            try:
                control.drain(name, drained=not options["undo"])
            except Worker.DoesNotExist as exc:
                live = ", ".join(worker.name for worker in progress.live_workers()) or "none"
                raise CommandError(f"{exc}; alive are: {live}") from exc
            self.stdout.write(f"{name}: takes work again" if options["undo"] else f"{name}: takes no more work")
        if options["wait"]:
            for name in names:
                self._wait(name)

    def _wait(self, name: str) -> None:
        while not control.is_drained(name):
            if not progress.live_workers().filter(pk=name).exists():
                seconds = settings.VIDEOPROC_SEEN_SECONDS
                raise CommandError(f"{name} was not seen for {seconds:g} s: what it had goes to others by itself")
            time.sleep(LOOK_SECONDS)
        self.stdout.write(f"{name}: has ended what it had; stop it")
