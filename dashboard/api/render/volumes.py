"""Volumes and their types."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from compute import volume_lifecycle, volume_types, volumes
from dashboard.api.render.compute import Named, ProgressShape

STATUSES = sorted(map(str, volume_lifecycle.MOVES))
BACKENDS = [*volume_types.BACKENDS]


class VolumeTypeShape(serializers.Serializer):
    id = serializers.UUIDField()
    name = serializers.CharField()
    description = serializers.CharField()
    iops_max = serializers.IntegerField(allow_null=True, help_text="Operations a second at most; null: no limit.")
    mib_per_second_max = serializers.IntegerField(allow_null=True)
    price_micros = serializers.IntegerField(
        allow_null=True, help_text="Of a GiB for a month, in millionths of the box's currency; null: not set."
    )
    backend = serializers.ChoiceField(BACKENDS, help_text="Where its volumes lie.")
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
    is_boot = serializers.BooleanField(help_text="Does its instance boot from it?")
    dies_with_instance = serializers.BooleanField(help_text="Is it deleted with its instance?")
    image = Named(allow_null=True, help_text="The image whose system is on it, as far as we know.")
    base = Named(allow_null=True, help_text="The snapshot that its content went on from last.")
    used_bytes = serializers.IntegerField(allow_null=True, help_text="The room that it takes with its snapshots, when last looked at.")
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
