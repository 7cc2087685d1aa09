"""Registers the processing app."""

from django.apps import AppConfig


class ProcessingConfig(AppConfig):
    """Jobs, steps, events and workers."""

    name = "processing"
    verbose_name = "Processing"
