"""Volumes and their types."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from compute import volume_lifecycle, volumes
from dashboard.api.render.compute import Named, ProgressShape

STATUSES = sorted(map(str, volume_lifecycle.MOVES))


class VolumeTypeShape(serializers.Serializer):
    id = serializers.UUIDField()
    name = serializers.CharField()
    description = serializers.CharField()
    iops_max = serializers.IntegerField(allow_null=True, help_text="Operations a second at most; null: no limit.")
    mib_per_second_max = serializers.IntegerField(allow_null=True)
    is_active = serializers.BooleanField(help_text="Is it on offer? A retired type stays with the volumes that have it.")


class VolumeShape(serializers.Serializer):
    id = serializers.UUIDField()
    project = serializers.CharField(source="project.slug")
    name = serializers.CharField()
    description = serializers.CharField()
    status = serializers.ChoiceField(STATUSES)
    error = serializers.CharField()
    size_gib = serializers.IntegerField()
    type = Named()
    instance = Named(allow_null=True, help_text="What it is attached to, or on its way to.")
    serial = serializers.CharField(help_text="By which the guest finds it: /dev/disk/by-id/virtio-<serial>.")
    is_read_only = serializers.BooleanField()
    is_protected = serializers.BooleanField()
    progress = serializers.SerializerMethodField(help_text="The work that is under way; null: none.")
    actions = serializers.SerializerMethodField(help_text="What can be done now: null, or the sentence that says why not.")
    created_at = serializers.DateTimeField()
    changed_at = serializers.DateTimeField()
    attached_at = serializers.DateTimeField(allow_null=True)

    @extend_schema_field(ProgressShape(allow_null=True))
    def get_progress(self, row: Any) -> Any:
        found = self.context["progress"].get(row.id)
        return ProgressShape(found).data if found else None

    @extend_schema_field(
        {
            "type": "object",
            "properties": {key: {"type": ["string", "null"]} for key in volumes.ACTIONS},
            "required": [*volumes.ACTIONS],
            "additionalProperties": False,
        }
    )
    def get_actions(self, row: Any) -> dict[str, str | None]:
        return {key: volumes.why_not(self.context["ctx"], row, key) or None for key in volumes.ACTIONS}
