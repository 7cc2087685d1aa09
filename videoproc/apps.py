"""Registers the project as an app, for its commands, templates and static files."""

from django.apps import AppConfig


class VideoprocConfig(AppConfig):
    """The service as a whole."""

    name = "videoproc"

    def ready(self) -> None:
        """Make the project's Celery application the current one in every process, and the admin's form a slow one."""
        import celery_app

        celery_app.app.set_default()
        from django.contrib import admin

        from videoproc.guesses import SlowAdminSignInForm

        admin.site.login_form = SlowAdminSignInForm
