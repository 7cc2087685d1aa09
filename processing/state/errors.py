"""Why a change of state did not happen, and the errors that mean the database is away.

StateError
├── JobClosed        the job has ended, or another epoch has begun
├── JobOpen          the job is still at work
├── JobBusy          another transaction holds the job's row
├── IllegalMove      no edge leads from the job's state to the one asked for
└── Fenced           the step belongs to a later attempt by now; the caller's work is void
"""

from django.db import InterfaceError, InternalError, OperationalError

DATABASE_AWAY = (OperationalError, InterfaceError, InternalError)
"""Raised while the database restarts, is out of connections, locked or read-only: wait, no work is at fault."""


class StateError(Exception):
    """A change of state that did not happen."""


class JobClosed(StateError):
    """The job has ended, or another epoch has begun."""


class JobOpen(StateError):
    """The job is still at work, so it cannot be taken up again."""


class JobBusy(StateError):
    """Another transaction holds the job's row; who cannot wait for its end looks again later."""


class IllegalMove(StateError):
    """No edge leads from the job's state to the one asked for."""


class Fenced(StateError):
    """The step belongs to a later attempt by now; the caller's work is void."""
