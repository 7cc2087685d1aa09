"""Every setting, read once from the environment; docs/settings.md has a line for each `VIDEOPROC_` name.

Two modes run the same code: "embedded" (SQLite and a private Valkey, for one machine) and "server" (PostgreSQL,
RabbitMQ, Redis). Server mode refuses to start with settings that are unsafe (videoproc/safety.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from videoproc.environment import (
    boolean,
    database,
    integer,
    local_secret,
    number,
    stored_files,
    text,
    words,
    worker_slots,
)
from videoproc.safety import refuse_contradictory, refuse_unsafe

BASE_DIR = Path(__file__).resolve().parent.parent

# Mode and places
VIDEOPROC_MODE = text("VIDEOPROC_MODE", "embedded", choices=("embedded", "server"))
EMBEDDED = VIDEOPROC_MODE == "embedded"
VIDEOPROC_DATA_DIR = Path(text("VIDEOPROC_DATA_DIR", str(BASE_DIR / "var"))).resolve()
VIDEOPROC_STORAGE_DIR = Path(text("VIDEOPROC_STORAGE_DIR", str(VIDEOPROC_DATA_DIR / "media"))).resolve()
VIDEOPROC_STORAGE_URL = text("VIDEOPROC_STORAGE_URL", "")
"""Empty: the folder above. Else s3://bucket/prefix?endpoint=https://host&region=name."""
VIDEOPROC_S3_ACCESS_KEY = text("VIDEOPROC_S3_ACCESS_KEY", "")
VIDEOPROC_S3_SECRET_KEY = text("VIDEOPROC_S3_SECRET_KEY", "")
VIDEOPROC_SCRATCH_DIR = Path(text("VIDEOPROC_SCRATCH_DIR", str(VIDEOPROC_DATA_DIR / "scratch"))).resolve()
VIDEOPROC_SCRATCH_BYTES = integer("VIDEOPROC_SCRATCH_BYTES", 40 * 1024**3, least=0)

# Django itself
DEBUG = boolean("VIDEOPROC_DEBUG", default=False)
SECRET_KEY = text("VIDEOPROC_SECRET_KEY", "") or (local_secret(VIDEOPROC_DATA_DIR) if EMBEDDED else "")
ALLOWED_HOSTS = words("VIDEOPROC_ALLOWED_HOSTS", "localhost 127.0.0.1 [::1]" if EMBEDDED else "")
CSRF_TRUSTED_ORIGINS = words("VIDEOPROC_TRUSTED_ORIGINS", "")
ROOT_URLCONF = "videoproc.urls"
ASGI_APPLICATION = "videoproc.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
APPEND_SLASH = False

INSTALLED_APPS = [
    "videoproc.apps.VideoprocConfig",
    "uploads.apps.UploadsConfig",
    "processing.apps.ProcessingConfig",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "knox",
    "drf_spectacular",
    "channels",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "videoproc.local.LocalOnlyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "videoproc.problems.UnavailableMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "videoproc" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "videoproc" / "static"]
STATIC_ROOT = Path(text("VIDEOPROC_STATIC_DIR", str(VIDEOPROC_DATA_DIR / "static"))).resolve()
SERVESTATIC_USE_FINDERS = EMBEDDED
SERVESTATIC_AUTOREFRESH = False
STORAGES = {
    "default": stored_files(
        VIDEOPROC_STORAGE_URL,
        VIDEOPROC_STORAGE_DIR,
        access_key=VIDEOPROC_S3_ACCESS_KEY,
        secret_key=VIDEOPROC_S3_SECRET_KEY,
    ),
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if EMBEDDED
        else "servestatic.storage.CompressedManifestStaticFilesStorage"
    },
}

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_ENGINE = "videoproc.sessions"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
VIDEOPROC_HTTPS = boolean("VIDEOPROC_HTTPS", default=False)
"""Set where a proxy terminates TLS: cookies become secure and X-Forwarded-Proto is believed."""
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = VIDEOPROC_HTTPS
if VIDEOPROC_HTTPS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
LOGIN_URL = "admin:login"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

# Servers
VIDEOPROC_DATABASE_URL = text("VIDEOPROC_DATABASE_URL", f"sqlite:///{VIDEOPROC_DATA_DIR}/videoproc.sqlite3")
VIDEOPROC_DATABASE_CONNECTIONS = integer("VIDEOPROC_DATABASE_CONNECTIONS", 8, least=1)
DATABASES: dict[str, dict[str, Any]] = {
    "default": database(VIDEOPROC_DATABASE_URL, connections=VIDEOPROC_DATABASE_CONNECTIONS)
}
VIDEOPROC_BROKER_URL = text("VIDEOPROC_BROKER_URL", "redis+socket:///nonexistent/valkey.sock" if EMBEDDED else "")
VIDEOPROC_CHANNEL_LAYER_URL = text(
    "VIDEOPROC_CHANNEL_LAYER_URL", "unix:///nonexistent/valkey.sock?db=1" if EMBEDDED else ""
)
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [VIDEOPROC_CHANNEL_LAYER_URL], "prefix": "videoproc"},
    }
}

# Who may
VIDEOPROC_ANONYMOUS_CLIENTS = boolean("VIDEOPROC_ANONYMOUS_CLIENTS", default=EMBEDDED)
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["videoproc.access.ApiAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["processing.api.parsers.BoundedJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PAGINATION_CLASS": "processing.api.pagination.JobPagination",
    "DEFAULT_FILTER_BACKENDS": [
        "videoproc.access.OwnerFilter",
        "django_filters.rest_framework.DjangoFilterBackend",
    ],
    "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.UserRateThrottle"],
    "DEFAULT_THROTTLE_RATES": {
        "user": text("VIDEOPROC_REQUESTS_RATE", "6000/min"),
        "upload": text("VIDEOPROC_UPLOADS_RATE", "600/min"),
    },
    # An address is that of the connection, as the server sees it: X-Forwarded-For is anybody's to write.
    "NUM_PROXIES": 0,
    "EXCEPTION_HANDLER": "videoproc.problems.exception_handler",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "videoproc",
    "DESCRIPTION": "Upload a video, follow its enhancement, fetch the result.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "videoproc.schema.add_problems",
    ],
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "ENUM_NAME_OVERRIDES": {
        "JobState": "processing.models.Job.State",
        "MetadataState": "processing.models.Job.MetadataState",
    },
}
REST_KNOX = {"TOKEN_TTL": None, "AUTO_REFRESH": False}

# Uploads
VIDEOPROC_UPLOAD_MAX_BYTES = integer("VIDEOPROC_UPLOAD_MAX_BYTES", 20 * 1024**3, least=1)
VIDEOPROC_FREE_BYTES = integer("VIDEOPROC_FREE_BYTES", 512 * 1024**2 if EMBEDDED else 5 * 1024**3, least=0)
VIDEOPROC_ABANDONED_SECONDS = number("VIDEOPROC_ABANDONED_SECONDS", 24 * 3600.0, least=1)
VIDEOPROC_PROBE_SECONDS = number("VIDEOPROC_PROBE_SECONDS", 10.0, least=0.1)

# Delivery of work: every time constant, in seconds
VIDEOPROC_LEASE_SECONDS = number("VIDEOPROC_LEASE_SECONDS", 12.0, least=0.5)
VIDEOPROC_BEAT_SECONDS = number("VIDEOPROC_BEAT_SECONDS", 1.0, least=0.05)
VIDEOPROC_RENEW_SECONDS = number("VIDEOPROC_RENEW_SECONDS", 3.0, least=0.1)
VIDEOPROC_HINT_SECONDS = number("VIDEOPROC_HINT_SECONDS", 20.0, least=0.5)
VIDEOPROC_DISPATCH_SECONDS = number("VIDEOPROC_DISPATCH_SECONDS", 1.0, least=0.05)
VIDEOPROC_CONFIRM_SECONDS = number("VIDEOPROC_CONFIRM_SECONDS", 5.0, least=0.1)
VIDEOPROC_RECONNECT_SECONDS = number("VIDEOPROC_RECONNECT_SECONDS", 1.0, least=0.05)
VIDEOPROC_HOUSEKEEPING_SECONDS = number("VIDEOPROC_HOUSEKEEPING_SECONDS", 60.0, least=0.1)
VIDEOPROC_BACKOFF_SECONDS = number("VIDEOPROC_BACKOFF_SECONDS", 2.0, least=0)
VIDEOPROC_RETRY_SECONDS = number("VIDEOPROC_RETRY_SECONDS", 24 * 3600.0, least=0)
"""How long the finished segments of a failed or cancelled job stay for a retry."""
VIDEOPROC_DRAIN_SECONDS = number("VIDEOPROC_DRAIN_SECONDS", 2.0, least=0.1)
VIDEOPROC_PATIENCE_SECONDS = number("VIDEOPROC_PATIENCE_SECONDS", 600.0, least=0)
"""How long finished work waits in a worker for a database or a storage that is away."""
VIDEOPROC_DEADLINE_SECONDS = number("VIDEOPROC_DEADLINE_SECONDS", 7 * 24 * 3600.0, least=1)
"""How long nothing may happen to a job whose step is tried again and again, before it ends with the reason."""
VIDEOPROC_STALL_SECONDS = number("VIDEOPROC_STALL_SECONDS", 120.0, least=1)
VIDEOPROC_STEP_SECONDS = number("VIDEOPROC_STEP_SECONDS", 6 * 3600.0, least=1)
VIDEOPROC_CRASH_STRIKES = integer("VIDEOPROC_CRASH_STRIKES", 3, least=1)
VIDEOPROC_LOSS_STRIKES = integer("VIDEOPROC_LOSS_STRIKES", 10, least=1)
VIDEOPROC_RESTARTS = integer("VIDEOPROC_RESTARTS", 25, least=1)
"""Embedded mode: how often everything may end while one step runs."""
VIDEOPROC_MEDIA_ADDRESS_SPACE_BYTES = integer("VIDEOPROC_MEDIA_ADDRESS_SPACE_BYTES", 6 * 1024**3, least=1024**3)
VIDEOPROC_STRIP_TAGS = boolean("VIDEOPROC_STRIP_TAGS", default=False)
VIDEOPROC_DEEP_RENDITION = boolean("VIDEOPROC_DEEP_RENDITION", default=True)
VIDEOPROC_WORKER_SLOTS = integer("VIDEOPROC_WORKER_SLOTS", worker_slots(), least=1)
VIDEOPROC_SEEN_SECONDS = number("VIDEOPROC_SEEN_SECONDS", 10.0, least=0.5)
"""A worker not seen for this long has no live slots."""

# Live
VIDEOPROC_HUB_TICK_SECONDS = number("VIDEOPROC_HUB_TICK_SECONDS", 0.2, least=0.01)
VIDEOPROC_HUB_POLL_SECONDS = number("VIDEOPROC_HUB_POLL_SECONDS", 5.0, least=0.1)
VIDEOPROC_LINE_SECONDS = number("VIDEOPROC_LINE_SECONDS", 2.0, least=0)
"""How old places and estimates may be; more where reading them takes long."""

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "videoproc.logs.LineFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": text("VIDEOPROC_LOG_LEVEL", "INFO")},
    "loggers": {
        "django.request": {"level": "ERROR"},
        "uvicorn.access": {"level": "WARNING"},
        "amqp": {"level": "WARNING"},
        # One line a step is the supervisor's; these two say the same twice more.
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
    },
}

refuse_contradictory(globals())
if not EMBEDDED:
    refuse_unsafe(globals())
