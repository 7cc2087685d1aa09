"""The shapes of what the upload takes and gives."""

from __future__ import annotations

import re
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

from processing.api.errors import refuse_unknown
from processing.api.parameters import ParametersField
from processing.api.serializers import JobSerializer
from processing.media.parameters import BAD
from processing.media.requests import METADATA_ONLY, PRESET_NAMES

CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


class FormSerializer(serializers.Serializer):
    """The form's text fields; one that does not exist is refused, not overlooked."""

    client_id = serializers.CharField(
        required=False,
        trim_whitespace=False,
        allow_blank=True,
        help_text="Whom the live messages reach; absent: the file's id.",
    )
    preset = serializers.CharField(
        default="auto",
        trim_whitespace=False,
        allow_blank=True,
        help_text=f"One of {', '.join(PRESET_NAMES)}.",
    )

    parameters = ParametersField(required=False, help_text="What is to be otherwise than the preset has it.")

    def validate_client_id(self, value: str) -> str:
        """Refuse (bad_client_id) what could not stand in a path or name a group."""
        if not CLIENT_ID.fullmatch(value):
            raise ValidationError("1 to 64 of: letters, digits, dot, underscore, hyphen.", code="bad_client_id")
        return value

    def validate_preset(self, value: str) -> str:
        """Refuse (unknown_preset) a preset that does not exist."""
        if value not in PRESET_NAMES:
            raise ValidationError(
                f"There is no such preset; there are {', '.join(PRESET_NAMES)}.", code="unknown_preset"
            )
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse (bad_parameter) parameters where no picture is worked on."""
        if attrs["preset"] == METADATA_ONLY and attrs.get("parameters"):
            raise ValidationError({"parameters": [ErrorDetail(f"The preset {METADATA_ONLY} takes none.", code=BAD)]})
        return attrs

    def to_internal_value(self, data: Any) -> Any:
        """Return the checked fields."""
        refuse_unknown(data, self.fields)
        return super().to_internal_value(data)


class UploadFormSerializer(FormSerializer):
    """The whole form, as documented; the file itself never comes this way."""

    file = serializers.FileField()


class UploadSerializer(serializers.Serializer):
    """An accepted upload."""

    file_id = serializers.UUIDField()
    client_id = serializers.CharField()
    status = serializers.CharField(help_text="The job's state.")
    job = JobSerializer(help_text="The newest job of the file.")
    duplicate_of = serializers.UUIDField(allow_null=True, help_text="Your first upload of the same bytes.")
