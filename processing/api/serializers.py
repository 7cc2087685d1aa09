"""The shapes of what the job interface takes and gives, for checking and for the OpenAPI document.

The documents themselves are built in document.py and sketch.py; a test holds both to the same fields.
"""

from __future__ import annotations

from rest_framework import serializers

from processing.api.parameters import ParametersField
from processing.media.requests import FURTHER_RENDITIONS, PRESET_NAMES
from processing.models import Event, Job


class ErrorSerializer(serializers.Serializer):
    """Why a job failed."""

    code = serializers.CharField()
    detail = serializers.CharField()
    retryable = serializers.BooleanField()


class ProgressSerializer(serializers.Serializer):
    """How far a job is."""

    percent = serializers.FloatField(min_value=0, max_value=100)
    frames_done = serializers.IntegerField()
    frames_total = serializers.IntegerField(allow_null=True)
    speed_x = serializers.FloatField(allow_null=True, help_text="Against real time.")
    seconds_left = serializers.ListField(
        child=serializers.FloatField(), min_length=2, max_length=2, allow_null=True, help_text="A low and a high guess."
    )
    place = serializers.IntegerField(allow_null=True, help_text="How many jobs go before one that waits.")


class SegmentsSerializer(serializers.Serializer):
    """How many segments there are; null before the plan."""

    total = serializers.IntegerField(allow_null=True)
    done = serializers.IntegerField()


class OperationSerializer(serializers.Serializer):
    """One chosen operation."""

    operation = serializers.CharField()
    strength = serializers.FloatField()
    reason = serializers.CharField()


class SteppedDownSerializer(serializers.Serializer):
    """One operation that would have done harm and was made weaker, or left out (0)."""

    operation = serializers.CharField()
    harm = serializers.CharField()
    measured = serializers.FloatField()
    most = serializers.FloatField()
    strength_before = serializers.FloatField()
    strength = serializers.FloatField()


class ChosenSerializer(serializers.Serializer):
    """What is done to the picture, and one sentence for each thing looked at."""

    operations = OperationSerializer(many=True)
    reasons = serializers.ListField(child=serializers.CharField())
    stepped_down = SteppedDownSerializer(many=True)


class RenditionSerializer(serializers.Serializer):
    """One file of the result; what the job's `result` leads to is the one called web."""

    name = serializers.ChoiceField(choices=("web", *FURTHER_RENDITIONS))
    codec = serializers.ChoiceField(choices=("h264", "hevc"))
    url = serializers.CharField()
    size_bytes = serializers.IntegerField()
    width = serializers.IntegerField()
    height = serializers.IntegerField()
    hdr = serializers.ChoiceField(choices=("none", "pq", "hlg"))


class LinksSerializer(serializers.Serializer):
    """Absolute paths of what can be fetched now."""

    self = serializers.CharField()
    events = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]  # a field of that name
    metadata = serializers.CharField(required=False)
    poster = serializers.CharField(required=False)
    before = serializers.CharField(required=False)
    after = serializers.CharField(required=False)
    storyboard = serializers.CharField(required=False)
    storyboard_cues = serializers.CharField(required=False, help_text="WebVTT.")
    thumbnail = serializers.CharField(required=False, help_text="To be followed by ?at=seconds.")
    result = serializers.CharField(required=False)
    receipt = serializers.CharField(required=False)
    renditions = RenditionSerializer(many=True, required=False)


class PrioritySerializer(serializers.Serializer):
    """A job's place among its owner's jobs; 0 is where each begins."""

    priority = serializers.IntegerField(min_value=-100, max_value=100)


class ThumbnailSerializer(serializers.Serializer):
    """Which moment is asked for."""

    at = serializers.FloatField(min_value=0, max_value=1e9, help_text="Seconds from the video's start.")


class JobSerializer(serializers.Serializer):
    """The job document."""

    id = serializers.UUIDField()
    file_id = serializers.UUIDField()
    client_id = serializers.CharField()
    name = serializers.CharField()
    preset = serializers.ChoiceField(choices=PRESET_NAMES)
    parameters = ParametersField(help_text="What was asked for beside the preset.")
    state = serializers.ChoiceField(choices=Job.State.choices)
    terminal = serializers.BooleanField()
    seq = serializers.IntegerField(help_text="The number of the job's last event.")
    progress = ProgressSerializer()
    segments = SegmentsSerializer()
    attempts = serializers.IntegerField()
    paused = serializers.BooleanField()
    priority = serializers.IntegerField()
    waiting_for = serializers.CharField(allow_null=True, help_text="Why nothing is at work on an open job.")
    error = ErrorSerializer(allow_null=True)
    warnings = serializers.ListField(child=serializers.CharField())
    chosen = ChosenSerializer(allow_null=True)
    links = LinksSerializer()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class EventSerializer(serializers.ModelSerializer):
    """One event of a job."""

    event = serializers.CharField(source="name")
    status = serializers.CharField(source="state")
    progress = serializers.FloatField(source="percent")

    class Meta:
        model = Event
        fields = ("seq", "event", "at", "status", "progress", "data")


class EnhancementStatusSerializer(serializers.Serializer):
    """The state of an upload's newest enhancement."""

    file_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=Job.State.choices)
    progress = serializers.FloatField()
    error = ErrorSerializer(allow_null=True)
    job_id = serializers.UUIDField()
    result_url = serializers.CharField(allow_null=True)


class MetadataStatusSerializer(serializers.Serializer):
    """The state of an upload's metadata."""

    file_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=Job.MetadataState.choices)
    progress = serializers.FloatField()
    error = ErrorSerializer(allow_null=True)
    job_id = serializers.UUIDField()
    metadata = serializers.JSONField(allow_null=True)
    poster_url = serializers.CharField(allow_null=True)


class ReceiptSerializer(serializers.Serializer):
    """What a finished job proves of its result, and what it was based on."""

    receipt = serializers.JSONField()
    diagnosis = serializers.JSONField()
    enhancement = serializers.JSONField()
