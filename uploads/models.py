"""The rows of uploaded files. A row is written once its file is whole, probed and on disk: the row publishes it."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models


class Upload(models.Model):
    """One file that a person sent, never changed afterwards."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="uploads")
    client_id = models.CharField(max_length=64)
    name = models.CharField(max_length=255, help_text="The sender's file name, cleaned; never used as a path.")
    source_key = models.CharField(max_length=200, unique=True)
    sha256 = models.CharField(max_length=64)
    size_bytes = models.PositiveBigIntegerField()
    container = models.CharField(max_length=64)
    duplicate_of = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="duplicates"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-created_at",)
        indexes = (
            models.Index(fields=("owner", "sha256"), name="upload_owner_sha256"),
            models.Index(fields=("-created_at",), name="upload_created"),
        )
        constraints = (models.CheckConstraint(condition=models.Q(size_bytes__gt=0), name="upload_has_bytes"),)

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"
