"""Registers the uploads app."""

from django.apps import AppConfig


class UploadsConfig(AppConfig):
    """Files that people sent."""

    name = "uploads"
    verbose_name = "Uploads"

    def ready(self) -> None:
        """Let the dispatcher's housekeeping sweep abandoned uploads, without processing importing uploads."""
        from processing.dispatch import housekeeping, rehearsal
        from uploads.expiry import sweep_abandoned, would_sweep

        housekeeping.connect(sweep_abandoned, dispatch_uid="uploads.sweep_abandoned")
        rehearsal.connect(would_sweep, dispatch_uid="uploads.would_sweep")
