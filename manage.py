#!/usr/bin/env python
"""Django's command line: `manage.py up` starts everything on one machine, `manage.py help` lists the rest."""

import os
import sys


def main() -> None:
    """Run the command named on the command line."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "videoproc.settings")
    try:
        from django.core.management import execute_from_command_line

        execute_from_command_line(sys.argv)
    except KeyboardInterrupt:
        # Before a command that has more to say to it began, or after it.
        sys.exit(130)


if __name__ == "__main__":
    main()
