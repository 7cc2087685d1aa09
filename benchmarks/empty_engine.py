"""The worker's Celery application with an engine that answers at once, so that only the control plane is measured.

Everything else is the product's own: claims, leases, fenced writes, events, messages. A segment's output is one byte.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import django

from celery_app import app

django.setup()

from processing import supervisor  # noqa: E402  the models need the lines above
from processing.media.requests import JoinRequest, SegmentRequest, StillsRequest  # noqa: E402
from tests import rows  # noqa: E402

__all__ = ["app"]


class EmptyProcesses:
    """Takes the place of the media processes in a worker."""

    def start(self) -> None:
        """Nothing is to be loaded."""

    def close(self) -> None:
        """Nothing is to be ended."""

    def active_layers(self) -> tuple[str, ...]:
        """Return no layer: no process is confined."""
        return ()

    def run(self, operation: str, request: Any, answer_type: type, *, stop: threading.Event, **_: Any) -> Any:
        """Answer as a media process would after a segment of ten frames."""
        match request:
            case SegmentRequest():
                Path(request.output).write_bytes(b"0")
                return rows.segment_result(request.index)
            case JoinRequest():
                Path(request.output).write_bytes(b"0")
                return rows.receipt()
            case StillsRequest():
                folder = Path(request.output)
                folder.mkdir()
                (folder / "poster.jpg").write_bytes(b"0")
                return rows.stills()
        raise AssertionError(f"{operation} is not part of this benchmark")


supervisor.MediaProcesses = EmptyProcesses  # type: ignore[assignment, misc]
