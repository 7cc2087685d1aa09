"""`manage.py doctor`: says what is wrong with this installation and what to do; exit code 1 where anything is."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from processing.doctor import examine


class Command(BaseCommand):
    """Look at everything once."""

    help = "Say what is right and wrong with this installation, and what to do. Exit code 1 where something is wrong."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        """Print a line for each finding, as it is found."""
        faults = 0
        for finding in examine():
            faults += finding.level == "wrong"
            cure = f" -> {finding.cure}" if finding.cure else ""
            self.stdout.write(f"{finding.level:5}  {finding.what}: {finding.text}{cure}")
        self.stdout.write({0: "nothing is wrong", 1: "1 fault"}.get(faults, f"{faults} faults"))
        sys.exit(1 if faults else 0)
