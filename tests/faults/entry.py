"""The worker's Celery application, or with `python -m` the dispatcher, with one thing about it made wrong on purpose.

For tests alone, by environment: VIDEOPROC_TEST_CLOCK_HOURS moves the clock that Python tells, VIDEOPROC_TEST_GATE
stops a worker at a place, VIDEOPROC_TEST_RELEASE makes one of another release, VIDEOPROC_TEST_WITHOUT takes one of the
promises' means out, so that the checker is seen to see it.
Invariant: without any of these it is the product.
"""

from __future__ import annotations

import os
import time

HOURS = float(os.environ.get("VIDEOPROC_TEST_CLOCK_HOURS", "0"))
if HOURS:
    _real = time.time
    time.time = lambda: _real() + HOURS * 3600

from celery.signals import worker_init  # noqa: E402

from celery_app import app  # noqa: E402


@worker_init.connect
def break_what_is_asked(**_: object) -> None:
    """Apply what the environment asks for, once the product's modules are loaded."""
    from tests.faults import mutations

    mutations.apply()


if __name__ == "__main__":
    import django

    django.setup()
    break_what_is_asked()
    from django.core.management import call_command

    call_command("dispatch")

__all__ = ["app"]
