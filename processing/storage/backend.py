"""Django's storage over S3 as this project sets it up; `storages["default"]` is one where the settings name a bucket.

Every request's body is signed, so the server refuses a part that changed on its way. The newer trailing checksums are
left out where S3 does not ask for them: many servers that speak S3 do not know them.
"""

from __future__ import annotations

from typing import Any

from botocore.config import Config
from storages.backends.s3 import S3Storage

CONNECT_SECONDS = 5
READ_SECONDS = 20
ATTEMPTS = 3
"""A server that takes requests and answers none is given up after a minute; whoever needs it asks again."""
CONNECTIONS = 32


class Backend(S3Storage):
    """A bucket, or a folder of one."""

    def __init__(self, **options: Any) -> None:
        """Take django-storages' options; an endpoint of one's own is addressed by path."""
        options.setdefault(
            "client_config",
            Config(
                signature_version="s3v4",
                connect_timeout=CONNECT_SECONDS,
                read_timeout=READ_SECONDS,
                retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
                max_pool_connections=CONNECTIONS,
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                s3={
                    "addressing_style": "path" if options.get("endpoint_url") else "auto",
                    "payload_signing_enabled": True,
                },
            ),
        )
        super().__init__(**options)
