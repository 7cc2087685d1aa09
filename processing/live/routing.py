"""Which path of a WebSocket leads to which consumer; whatever else is asked for is told that it is not there."""

from __future__ import annotations

from django.urls import re_path

from processing.live.consumers import LiveConsumer

websocket_urlpatterns = [
    re_path(r"^ws/(?P<client_id>[^/]*)$", LiveConsumer.as_asgi()),
    re_path(r"", LiveConsumer.as_asgi()),
]
