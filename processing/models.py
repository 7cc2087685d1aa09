"""The rows of jobs, their steps and events, and the workers seen. Only processing/state/ writes a state.

The database is the only truth: a broker message is a hint to look at a step row, a client reads the event rows.
"""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, Q, Value

from processing.media.requests import METADATA_ONLY, file_name


class Job(models.Model):
    """One enhancement of one upload."""

    class State(models.TextChoices):
        """Gerunds at work, adjectives at rest; the edges are in state/job.py."""

        QUEUED = "queued"
        PROBING = "probing"
        ENHANCING = "enhancing"
        JOINING = "joining"
        PUBLISHING = "publishing"
        READY = "ready"
        FAILED = "failed"
        CANCELLED = "cancelled"

    class MetadataState(models.TextChoices):
        """What became of the metadata alone: it may be ready in a job that fails."""

        QUEUED = "queued"
        PROBING = "probing"
        READY = "ready"
        FAILED = "failed"

    TERMINAL = frozenset({State.READY, State.FAILED, State.CANCELLED})

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    upload = models.ForeignKey("uploads.Upload", on_delete=models.PROTECT, related_name="jobs")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="jobs")
    client_id = models.CharField(max_length=64)
    audience = models.CharField(max_length=40, help_text="Digest of owner and client id: whom the live messages reach.")
    preset = models.CharField(max_length=32)
    parameters = models.JSONField(
        default=dict, db_default=Value({}, models.JSONField()), blank=True, help_text="Asked for beside the preset."
    )
    state = models.CharField(max_length=12, choices=State.choices, default=State.QUEUED)
    metadata_state = models.CharField(max_length=12, choices=MetadataState.choices, default=MetadataState.QUEUED)
    number = models.PositiveIntegerField(default=1, help_text="The how manieth of its owner's jobs: their turn.")
    priority = models.SmallIntegerField(default=0, help_text="Higher goes first among the same owner's jobs.")
    paused = models.BooleanField(default=False)
    epoch = models.PositiveIntegerField(default=1, help_text="Grows when finished work is opened again.")
    seq = models.PositiveBigIntegerField(default=0, help_text="The number of the last event.")
    percent = models.FloatField(default=0, help_text="As of the last event; never goes back within an epoch.")

    source_key = models.CharField(max_length=200)
    source_name = models.CharField(max_length=255)
    source_sha256 = models.CharField(max_length=64)
    source_size_bytes = models.PositiveBigIntegerField()

    metadata = models.JSONField(null=True, blank=True)
    chosen = models.JSONField(null=True, blank=True, help_text="Diagnosis and enhancement.")
    receipt = models.JSONField(null=True, blank=True)
    warnings = models.JSONField(default=list, blank=True)
    frames_total = models.PositiveIntegerField(null=True, blank=True)
    segments_total = models.PositiveIntegerField(null=True, blank=True)
    source_seconds = models.FloatField(null=True, blank=True)
    plan_key = models.CharField(max_length=200, blank=True)
    result_key = models.CharField(max_length=200, blank=True)
    stills_key = models.CharField(max_length=200, blank=True, help_text="A folder.")
    stills = models.JSONField(null=True, blank=True)

    error_code = models.CharField(max_length=64, blank=True)
    error_detail = models.TextField(blank=True)
    error_retryable = models.BooleanField(default=False)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    cleaned_at = models.DateTimeField(null=True, blank=True, help_text="When its working files were removed.")

    class Meta:
        ordering = ("-created_at",)
        indexes = (
            models.Index(fields=("-created_at", "id"), name="job_created"),
            models.Index(fields=("owner", "-created_at"), name="job_owner_created"),
            models.Index(fields=("owner", "number"), name="job_owner_number"),
            models.Index(fields=("audience", "-created_at"), name="job_audience_created"),
            models.Index(
                fields=("owner", "-priority", "number"),
                name="job_in_line",
                condition=Q(ended_at__isnull=True, paused=False),
            ),
            models.Index(fields=("-ended_at",), name="job_ended", condition=Q(ended_at__isnull=False)),
            models.Index(
                fields=("ended_at",), name="job_uncleaned", condition=Q(ended_at__isnull=False, cleaned_at__isnull=True)
            ),
        )
        constraints = (
            models.CheckConstraint(
                condition=Q(
                    state__in=(
                        "queued",
                        "probing",
                        "enhancing",
                        "joining",
                        "publishing",
                        "ready",
                        "failed",
                        "cancelled",
                    )
                ),
                name="job_state_known",
            ),
            models.CheckConstraint(
                condition=Q(metadata_state__in=("queued", "probing", "ready", "failed")),
                name="job_metadata_state_known",
            ),
            models.CheckConstraint(
                condition=Q(state__in=("ready", "failed", "cancelled"), ended_at__isnull=False)
                | (~Q(state__in=("ready", "failed", "cancelled")) & Q(ended_at__isnull=True)),
                name="job_ended_iff_terminal",
            ),
            models.CheckConstraint(
                condition=~Q(state="ready") | ~Q(result_key="") | Q(preset="metadata-only"), name="job_ready_has_result"
            ),
            models.CheckConstraint(condition=~Q(state="failed") | ~Q(error_code=""), name="job_failed_has_reason"),
        )

    def __str__(self) -> str:
        return f"{self.source_name} ({self.id})"

    @property
    def makes_result(self) -> bool:
        """Whether an enhanced video comes of it, and not only what is told of the source."""
        return self.preset != METADATA_ONLY

    @property
    def rendition_keys(self) -> dict[str, str]:
        """Where the files of the result lie, by rendition, the one every browser plays first; none before it is out."""
        if not self.result_key:
            return {}
        names = [receipt.get("rendition", "web") for receipt in self.rendition_receipts]
        return {name: file_name(self.result_key, name) for name in names}

    @property
    def rendition_receipts(self) -> list[dict[str, Any]]:
        """The receipts of those files, in the same order."""
        return [self.receipt, *self.receipt.get("further", ())] if self.receipt else []

    @property
    def terminal(self) -> bool:
        """Whether nothing more happens within this epoch."""
        return self.state in self.TERMINAL


class Step(models.Model):
    """One leased piece of a job's work, and at the same time the outbox of its broker message.

    A row exists once the step may run. `attempt` is the fencing token: it grows with each claim, and a write that
    carries an older one moves no row. `crashes` and `losses` are the strikes by cause.
    """

    class Kind(models.TextChoices):
        """What is done; each kind is one Celery task."""

        METADATA = "metadata"
        DIAGNOSE = "diagnose"
        PLAN = "plan"
        SEGMENT = "segment"
        JOIN = "join"
        STILLS = "stills"
        PUBLISH = "publish"

    class State(models.TextChoices):
        """Queued and running alternate; the rest is final within an epoch."""

        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"

    # An owner's jobs go first come first served, but a long one falls one place behind with every eight segments.
    SEGMENTS_A_TURN = 8

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="steps")
    owner_id = models.PositiveBigIntegerField(help_text="The job's owner, here for fair turns.")
    priority = models.SmallIntegerField(default=0)
    turn = models.PositiveBigIntegerField(help_text="Lower goes first among the same owner's steps.")
    paused = models.BooleanField(default=False, help_text="As its job is.")
    epoch = models.PositiveIntegerField()
    kind = models.CharField(max_length=10, choices=Kind.choices)
    index = models.PositiveIntegerField(default=0)
    start_pts = models.BigIntegerField(null=True, blank=True)
    stop_pts = models.BigIntegerField(null=True, blank=True)
    frames = models.PositiveIntegerField(null=True, blank=True, help_text="How many frames the plan expects.")
    frames_done = models.PositiveIntegerField(default=0, help_text="Progress; never counted back.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    attempt = models.PositiveIntegerField(default=0)
    crashes = models.PositiveSmallIntegerField(default=0)
    losses = models.PositiveSmallIntegerField(default=0)
    restarts = models.PositiveSmallIntegerField(
        db_default=0, default=0, help_text="How often everything ended while it ran, in the embedded mode."
    )
    release = models.PositiveIntegerField(
        db_default=0, default=0, help_text="Of the code that wrote what the step works on; older workers leave it."
    )
    worker = models.CharField(max_length=120, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    hinted_at = models.DateTimeField(null=True, blank=True)
    not_before = models.DateTimeField(null=True, blank=True)
    output = models.CharField(max_length=200, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    result = models.JSONField(null=True, blank=True)
    error_code = models.CharField(max_length=64, blank=True, help_text="Why it waits or failed.")
    error_detail = models.TextField(blank=True)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("job", "epoch", "id")
        indexes = (
            models.Index(
                fields=("owner_id", "-priority", "turn", "id"),
                name="step_runnable",
                condition=Q(state="queued", paused=False),
            ),
            models.Index(fields=("lease_until",), name="step_leased", condition=Q(state="running")),
            models.Index(fields=("hinted_at",), name="step_hinted", condition=Q(state="queued")),
        )
        constraints = (
            models.UniqueConstraint(fields=("job", "epoch", "kind", "index"), name="step_once"),
            models.CheckConstraint(
                condition=Q(state__in=("queued", "running", "done", "failed", "cancelled")), name="step_state_known"
            ),
            models.CheckConstraint(
                condition=Q(kind__in=("metadata", "diagnose", "plan", "segment", "join", "stills", "publish")),
                name="step_kind_known",
            ),
            models.CheckConstraint(
                condition=(Q(state="running") & Q(lease_until__isnull=False))
                | (~Q(state="running") & Q(lease_until__isnull=True)),
                name="step_leased_iff_running",
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.index} of {self.job_id}"


class Event(models.Model):
    """Something that happened to a job, in the past tense; `seq` is consecutive within the job, from 1."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="events")
    seq = models.PositiveBigIntegerField()
    name = models.CharField(max_length=32)
    state = models.CharField(max_length=12, help_text="The job's state from here on.")
    percent = models.FloatField(default=0)
    data = models.JSONField(default=dict, blank=True)
    at = models.DateTimeField()

    class Meta:
        ordering = ("job", "seq")
        constraints = (models.UniqueConstraint(fields=("job", "seq"), name="event_once"),)

    def __str__(self) -> str:
        return f"{self.seq} {self.name}"


class Worker(models.Model):
    """A worker process as its heartbeat last said; old rows are only history."""

    name = models.CharField(max_length=120, primary_key=True)
    slots = models.PositiveSmallIntegerField()
    running = models.PositiveSmallIntegerField(default=0)
    seen_at = models.DateTimeField()
    started_at = models.DateTimeField()
    drained = models.BooleanField(
        db_default=False, default=False, help_text="Asked to take no more work; what it has, it ends."
    )
    layers = models.JSONField(default=list, help_text="The sandbox layers that are active.")

    class Meta:
        ordering = (F("seen_at").desc(),)

    def __str__(self) -> str:
        return self.name
