"""The web server: `python -m videoproc.serve`. uvicorn, and the bounds that it leaves open, in one place."""

from __future__ import annotations

import argparse
import os

import uvicorn

from videoproc.heads import BoundedHeads

SOCKET_MESSAGE_BYTES = 64 * 1024
DRAIN_SECONDS = 10


def main() -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(prog="python -m videoproc.serve", description="Serve videoproc over HTTP.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--fd", type=int, help="a listening socket to take over, instead of host and port")
    parser.add_argument("--drain", type=int, default=DRAIN_SECONDS, help="seconds that open requests get at the end")
    asked = parser.parse_args()
    uvicorn.run(
        "videoproc.asgi:application",
        host=asked.host,
        port=asked.port,
        fd=asked.fd,
        http=BoundedHeads,
        # X-Forwarded-For is anybody's to write; a proxy is believed once its address is named.
        proxy_headers=bool(os.environ.get("FORWARDED_ALLOW_IPS")),
        ws_max_size=SOCKET_MESSAGE_BYTES,
        timeout_graceful_shutdown=asked.drain,
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
