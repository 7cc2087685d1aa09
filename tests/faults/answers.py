"""Small HTTP servers of the tests' own, for answers of an S3 server that a real one gives to nobody's wish."""

from __future__ import annotations

import http.server
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus


class Page(http.server.BaseHTTPRequestHandler):
    """Answers everything as a proxy or a sign-in page in front of the server would: 200, and no word of S3."""

    def do_GET(self) -> None:
        self.answer(HTTPStatus.OK, "text/html", b"<html><p>Please sign in")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.do_GET()

    def answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        """Send a response; to a HEAD without its body."""
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Busy(Page):
    """Tells everybody to slow down, or that something went wrong, in turn."""

    turns = itertools.cycle(
        [(HTTPStatus.SERVICE_UNAVAILABLE, b"SlowDown"), (HTTPStatus.INTERNAL_SERVER_ERROR, b"InternalError")]
    )

    def do_GET(self) -> None:
        status, code = next(self.turns)
        self.answer(status, "application/xml", b"<Error><Code>%b</Code><Message>Not now.</Message></Error>" % code)


@contextmanager
def answering(handler: type[Page]) -> Iterator[int]:
    """Yield the port of a server on 127.0.0.1 that answers each request like this."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()
