"""What runs inside an instance, and when it runs."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from compute import office_hours
from dashboard.api.fields import Clock


class FileSystemShape(serializers.Serializer):
    mountpoint = serializers.CharField()
    type = serializers.CharField()
    disk = serializers.CharField()
    total_bytes = serializers.IntegerField(allow_null=True)
    used_bytes = serializers.IntegerField(allow_null=True)


class CardShape(serializers.Serializer):
    name = serializers.CharField()
    mac = serializers.CharField()
    addresses = serializers.ListField(child=serializers.CharField())


class GuestShape(serializers.Serializer):
    """The guest's own word, cut to size: not to be trusted."""

    at = serializers.DateTimeField()
    hostname = serializers.CharField()
    os = serializers.CharField()
    os_id = serializers.CharField()
    kernel = serializers.CharField()
    time_zone = serializers.CharField()
    file_systems = FileSystemShape(many=True)
    cards = CardShape(many=True)


class PasswordShape(serializers.Serializer):
    sealed_password = serializers.CharField(help_text="Base64 of RSA with PKCS #1 v1.5 padding; empty: none was made up.")


class BoundaryShape(serializers.Serializer):
    at = serializers.DateTimeField()
    starts = serializers.BooleanField(help_text="true: it is started then; false: stopped.")


class HoursShape(serializers.Serializer):
    days = serializers.SerializerMethodField(help_text="0 is Monday.")
    starts = Clock()
    stops = Clock()
    zone = serializers.CharField()
    sentence = serializers.SerializerMethodField()
    next = serializers.SerializerMethodField()

    @extend_schema_field(serializers.ListField(child=serializers.IntegerField()))
    def get_days(self, row: Any) -> list[int]:
        return [day for day in range(7) if row.days >> day & 1]

    def get_sentence(self, row: Any) -> str:
        return office_hours.sentence(row)

    @extend_schema_field(BoundaryShape(allow_null=True))
    def get_next(self, row: Any) -> Any:
        found = office_hours.next_boundary(row)
        return BoundaryShape(found).data if found else None
