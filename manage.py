#!/usr/bin/env python
"""Django's command line: `manage.py up` starts everything on one machine, `manage.py help` lists the rest."""

import os
import sys


def main() -> None:
    """Run the command named on the command line."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "videoproc.settings")
    try:
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line

        try:
            execute_from_command_line(sys.argv)
        except ImproperlyConfigured as error:
            sys.exit(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        # Before a command that has more to say to it began, or after it.
        sys.exit(130)


if __name__ == "__main__":
    main()
