"""The Celery application and its settings, nothing else. The flow of a video is in processing/pipeline.py.

A message is a hint to look at a row: it may be lost, doubled or late. So: late acknowledgement, no results, JSON only.
Queue names carry a version, because a queue's type and arguments cannot be changed once it is declared. Hints go to a
queue by its name, without an exchange of ours: on Valkey a binding is a key that a wipe takes away, and a message that
nothing is bound for is dropped without an error.
"""

from __future__ import annotations

import os

from celery import Celery
from kombu import Queue

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "videoproc.settings")
# Django's checks load every URL and view, which a worker never serves: half of its start. The web server runs them.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

from django.conf import settings

CONTROL, SEGMENTS = "videoproc.control.v1", "videoproc.segments.v1"
QUORUM = {"x-queue-type": "quorum"}

# A publish counts once the broker confirmed it, and a blocked broker blocks nobody for ever.
RABBITMQ = {
    "confirm_publish": True,
    "confirm_timeout": settings.VIDEOPROC_CONFIRM_SECONDS,
    "read_timeout": 2 * settings.VIDEOPROC_CONFIRM_SECONDS,
    "write_timeout": 2 * settings.VIDEOPROC_CONFIRM_SECONDS,
}


def valkey(*, slots: int) -> dict[str, object]:
    """Return the options of the embedded mode's broker for a worker of so many slots."""
    return {
        # Leases bring work back, so the broker's own redelivery stays out of the way.
        "visibility_timeout": 24 * 3600,
        "socket_keepalive": True,
        # Slots acknowledge side by side; for one that found no connection no message would ever come again.
        "max_connections": slots + 10,
    }


app = Celery("videoproc")
app.conf.update(
    broker_url=settings.VIDEOPROC_BROKER_URL,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    # RabbitMQ closes the channel of a step that takes longer than its consumer timeout: that must not end the worker.
    broker_channel_error_retry=True,
    broker_transport_options=RABBITMQ
    if settings.VIDEOPROC_BROKER_URL.startswith("amqp")
    else valkey(slots=settings.VIDEOPROC_WORKER_SLOTS),
    task_queues=[Queue(name, queue_arguments=QUORUM) for name in (CONTROL, SEGMENTS)],
    task_default_queue=CONTROL,
    task_default_exchange="",
    task_default_exchange_type="direct",
    task_create_missing_queues=False,
    task_routes={"processing.enhance_segment": SEGMENTS},
    task_serializer="json",
    accept_content=["json"],
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_publish_retry=False,
    worker_prefetch_multiplier=1,
    imports=["processing.tasks", "processing.worker"],
    worker_consumer="processing.worker:ImpatientConsumer",
    worker_pool="threads",
    worker_concurrency=settings.VIDEOPROC_WORKER_SLOTS,
    worker_send_task_events=True,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    worker_detect_quorum_queues=True,
    timezone="UTC",
)
