"""Drives of the object store, orders about them, and what the store does beside serving."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers


class DriveFactsShape(serializers.Serializer):
    """Sizes in bytes, rates per second over the last minute, latencies in milliseconds; null: not known."""

    device = serializers.CharField(default="")
    free = serializers.IntegerField(default=None, allow_null=True)
    total = serializers.IntegerField(default=None, allow_null=True)
    bytes = serializers.IntegerField(default=0, help_text="What the store keeps on it.")
    segments = serializers.IntegerField(default=0)
    extents = serializers.IntegerField(default=0)
    drained_percent = serializers.IntegerField(default=None, allow_null=True)
    write_bytes_per_second = serializers.FloatField(default=0)
    read_bytes_per_second = serializers.FloatField(default=0)
    write_p99_ms = serializers.FloatField(default=None, allow_null=True)
    read_p99_ms = serializers.FloatField(default=None, allow_null=True)
    errors = serializers.IntegerField(default=0)
    bad_blocks = serializers.IntegerField(default=0)
    last_error = serializers.CharField(default="", allow_blank=True)
    verified_at = serializers.CharField(default=None, allow_null=True, help_text="When everything on it was last compared.")


class DriveShape(serializers.Serializer):
    id = serializers.UUIDField()
    path = serializers.CharField()
    state = serializers.ChoiceField(("active", "draining", "drained", "missing", "suspect"))
    weight = serializers.FloatField()
    domain = serializers.CharField(allow_blank=True)
    facts = DriveFactsShape()
    seen_at = serializers.DateTimeField()


class OrderShape(serializers.Serializer):
    id = serializers.UUIDField()
    verb = serializers.ChoiceField(("add", "drain", "keep", "remove", "replace", "set"))
    drive = serializers.UUIDField(allow_null=True)
    arguments = serializers.DictField()
    state = serializers.ChoiceField(("waiting", "working", "done", "failed"))
    said = serializers.CharField(allow_blank=True, help_text="Why it failed, or what should be known about how it went.")
    asked_by = serializers.CharField()
    asked_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)


class RoundShape(serializers.Serializer):
    name = serializers.CharField()
    at = serializers.CharField()
    done = serializers.IntegerField(default=0)
    left = serializers.IntegerField(default=0)
    bytes = serializers.IntegerField(default=0)
    bytes_left = serializers.IntegerField(default=0)
    mended = serializers.IntegerField(default=0)
    lost = serializers.IntegerField(default=0)


class RoundsShape(serializers.Serializer):
    """As of `seen_at`; null before the data plane has told."""

    seen_at = serializers.DateTimeField(allow_null=True, default=None)
    waiting_pieces = serializers.SerializerMethodField(help_text="Pieces that lack a copy, or lie on a drive that is being emptied.")
    waiting_bytes = serializers.SerializerMethodField()
    audited_percent = serializers.SerializerMethodField(help_text="How far the reading of everything is.")
    rounds = serializers.SerializerMethodField(help_text="The last of each kind that did something.")

    def get_waiting_pieces(self, facts: Any) -> int:
        return int((facts.get("queue") or {}).get("pieces", 0))

    def get_waiting_bytes(self, facts: Any) -> int:
        return int((facts.get("queue") or {}).get("bytes", 0))

    def get_audited_percent(self, facts: Any) -> int:
        return int((facts.get("audit") or {}).get("percent", 0))

    @extend_schema_field(RoundShape(many=True))
    def get_rounds(self, facts: Any) -> Any:
        rows = [{"name": name, **told} for name, told in sorted((facts.get("rounds") or {}).items())]
        return RoundShape(rows, many=True).data
