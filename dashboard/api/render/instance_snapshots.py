"""Snapshots of whole instances."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from compute import instance_snapshots, volume_lifecycle
from dashboard.api.render.compute import Named

STATUSES = sorted(map(str, volume_lifecycle.INSTANCE_SNAPSHOT_MOVES))


class InstanceSnapshotShape(serializers.Serializer):
    id = serializers.UUIDField()
    project = serializers.CharField(source="project.slug")
    instance = Named()
    name = serializers.CharField()
    description = serializers.CharField()
    status = serializers.ChoiceField(STATUSES)
    error = serializers.CharField()
    root_gib = serializers.IntegerField(help_text="The size of the root disk; 0: it booted from a volume.")
    volumes = serializers.SerializerMethodField(help_text="The volumes that are part of it.")
    is_consistent = serializers.BooleanField(
        allow_null=True, help_text="true: the guest had written out everything. false: no agent answered. null: no guest was running."
    )
    actions = serializers.SerializerMethodField(help_text="What can be done now: null, or the sentence that says why not.")
    created_at = serializers.DateTimeField()
    taken_at = serializers.DateTimeField(allow_null=True)

    @extend_schema_field(Named(many=True))
    def get_volumes(self, row: Any) -> Any:
        return Named([part.volume for part in row.volumes.all() if part.status != "deleted"], many=True).data

    @extend_schema_field(
        {
            "type": "object",
            "properties": {key: {"type": ["string", "null"]} for key in instance_snapshots.ACTIONS},
            "required": [*instance_snapshots.ACTIONS],
            "additionalProperties": False,
        }
    )
    def get_actions(self, row: Any) -> dict[str, str | None]:
        return {key: instance_snapshots.why_not(self.context["ctx"], row, key) or None for key in instance_snapshots.ACTIONS}
