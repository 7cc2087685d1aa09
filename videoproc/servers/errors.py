"""What can go wrong with a private server; every message is a sentence a person can act on.

ServersError
├── ProgramMissing      a program is neither on this machine nor to be had
├── FolderUnusable      a folder cannot serve: too long for a socket, or out of reach of the server's user
└── ServerFailed        a server did not start, did not answer, or refused an order
"""


class ServersError(Exception):
    """Base of this package's errors."""


class ProgramMissing(ServersError):
    """A program is neither installed nor obtainable; the message says what to install."""


class FolderUnusable(ServersError):
    """A folder cannot be used by a server; the message says why and what would do."""


class ServerFailed(ServersError):
    """A server did not start, did not answer in time, or refused an order; the message ends with its last log lines."""
