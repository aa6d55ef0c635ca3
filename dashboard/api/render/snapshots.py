"""Snapshots of volumes, and offers of volumes to other projects."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from compute import snapshots, volume_lifecycle
from dashboard.api.render.compute import Named

STATUSES = sorted(map(str, volume_lifecycle.SNAPSHOT_MOVES))


class SnapshotShape(serializers.Serializer):
    id = serializers.UUIDField()
    project = serializers.CharField(source="project.slug")
    volume = Named()
    name = serializers.CharField()
    description = serializers.CharField()
    status = serializers.ChoiceField(STATUSES)
    error = serializers.CharField()
    size_gib = serializers.IntegerField(help_text="As large as the volume was.")
    parent = Named(allow_null=True, help_text="The snapshot that the volume went on from when this one was taken.")
    is_consistent = serializers.BooleanField(
        allow_null=True,
        help_text="true: the guest had written out everything. false: no agent answered there, so it is as after a power cut. "
        "null: no guest was running on it.",
    )
    actions = serializers.SerializerMethodField(help_text="What can be done now: null, or the sentence that says why not.")
    created_at = serializers.DateTimeField()
    taken_at = serializers.DateTimeField(allow_null=True)

    @extend_schema_field(
        {
            "type": "object",
            "properties": {key: {"type": ["string", "null"]} for key in snapshots.ACTIONS},
            "required": [*snapshots.ACTIONS],
            "additionalProperties": False,
        }
    )
    def get_actions(self, row: Any) -> dict[str, str | None]:
        return {key: snapshots.why_not(self.context["ctx"], row, key) or None for key in snapshots.ACTIONS}


class OfferShape(serializers.Serializer):
    volume = Named()
    expires_at = serializers.DateTimeField()


class OfferMade(OfferShape):
    key = serializers.CharField(read_only=True, help_text="For whoever is to accept it; told once and kept nowhere.")
