"""Registers the project as an app, for its commands, templates and static files."""

from django.apps import AppConfig


class VideoprocConfig(AppConfig):
    """The service as a whole."""

    name = "videoproc"
