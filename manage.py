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
        from django.db import OperationalError, ProgrammingError

        try:
            execute_from_command_line(sys.argv)
        except ImproperlyConfigured as error:
            sys.exit(f"{type(error).__name__}: {error}")
        except (OperationalError, ProgrammingError) as error:
            if "--traceback" in sys.argv:
                raise
            cause = str(error).strip()
            sys.exit(f"the database is away, or has no tables yet: {cause}\nmanage.py doctor says what to do")
    except KeyboardInterrupt:
        # Before a command that has more to say to it began, or after it.
        sys.exit(130)


if __name__ == "__main__":
    main()
