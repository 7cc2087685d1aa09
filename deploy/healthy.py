"""Health checks in containers, which have no curl: `healthy.py url ADDRESS` or `healthy.py worker`; exits 0 or 1."""

import os
import socket
import sys
import urllib.error
import urllib.request
from pathlib import Path

SECONDS = 4.0


def answers(address: str) -> bool:
    """Return whether an address answers 200."""
    try:
        with urllib.request.urlopen(address, timeout=SECONDS) as response:  # noqa: S310  (http, from compose.yaml)
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def is_beating() -> bool:
    """Return whether this machine's worker has lately written its heartbeat to the database."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "videoproc.settings")
    import django

    django.setup()
    from django.conf import settings

    from processing.clock import after
    from processing.models import Worker

    # Three times the patience of the dispatcher: a restart costs more than a late beat.
    recent = after(-3 * settings.VIDEOPROC_SEEN_SECONDS)
    return Worker.objects.filter(name__startswith=f"{socket.gethostname()}-", seen_at__gte=recent).exists()


if __name__ == "__main__":
    healthy = answers(sys.argv[2]) if sys.argv[1] == "url" else is_beating()
    sys.exit(0 if healthy else 1)
