"""The web server's application: `python -m videoproc.serve`. What a request meets, from the outside in:

http       Receiver (uploads), BodyCap (the rest), Django
websocket  SocketAccess, processing.live
lifespan   what the process needs while it serves, begun before the first request and ended after the last
"""

# ruff: noqa: E402  the models below need Django set up first
from __future__ import annotations

import logging
import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "videoproc.settings")

from django.core.asgi import get_asgi_application

django: Any = get_asgi_application()

from asgiref.sync import sync_to_async
from channels.routing import URLRouter
from django.core.exceptions import ImproperlyConfigured
from django.db import close_old_connections

import celery_app  # noqa: F401  the current Celery application, for the hints
from processing import dispatch, nudge
from processing.live import doorbell
from processing.live.routing import websocket_urlpatterns
from processing.state.errors import DATABASE_AWAY
from uploads import validators
from uploads.receiver import Receive, Receiver, Scope, Send
from videoproc.bodies import BodyCap
from videoproc.safety import refuse_unapplied_migrations
from videoproc.sockets import SocketAccess

logger = logging.getLogger(__name__)

http = Receiver(BodyCap(django))
websocket = SocketAccess(URLRouter(websocket_urlpatterns))


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one connection, request or lifespan."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "websocket":
        await websocket(scope, receive, send)
    else:
        await http(scope, receive, send)


async def _lifespan(receive: Receive, send: Send) -> None:
    await receive()
    try:
        await sync_to_async(_check, thread_sensitive=False)()
    except (ImproperlyConfigured, *DATABASE_AWAY) as exc:
        await send({"type": "lifespan.startup.failed", "message": str(exc)})
        return
    # From the main thread, which outlives all others: the zygote must not be bound to one that ends.
    validators.prober().start()
    doorbell.start()
    nudge.start(dispatch.hint_due)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await sync_to_async(_end, thread_sensitive=False)()
    await send({"type": "lifespan.shutdown.complete"})


def _check() -> None:
    try:
        refuse_unapplied_migrations()
    finally:
        close_old_connections()


def _end() -> None:
    nudge.stop()
    doorbell.stop()
    validators.close_prober()
