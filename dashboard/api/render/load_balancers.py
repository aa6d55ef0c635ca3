"""Load balancers with all that hangs on them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from compute.models import Listener, Pool, PoolMember
from dashboard.api.render.compute import Named


class PoolMemberShape(serializers.Serializer):
    id = serializers.UUIDField()
    instance = Named(source="port.instance", allow_null=True)
    port_id = serializers.UUIDField(help_text="The network card.")
    ip = serializers.CharField(source="port.ip")
    number = serializers.IntegerField(help_text="The port there.")
    weight = serializers.IntegerField()
    is_enabled = serializers.BooleanField()
    status = serializers.ChoiceField(PoolMember.Status.values)
    detail = serializers.CharField(help_text="Why it is down.")
    connections = serializers.IntegerField(help_text="Open now.")


class PoolShape(serializers.Serializer):
    id = serializers.UUIDField()
    name = serializers.CharField()
    protocol = serializers.ChoiceField(Pool.Protocol.values)
    algorithm = serializers.ChoiceField(Pool.Algorithm.values)
    is_sticky = serializers.BooleanField(help_text="Does a cookie keep a browser with one member?")
    check_path = serializers.CharField(help_text="Asked by GET; empty: a connection is enough.")
    check_seconds = serializers.IntegerField()
    check_falls = serializers.IntegerField(help_text="So many failed checks, and a member gets nothing.")
    check_rises = serializers.IntegerField(help_text="So many good ones, and it gets its share again.")
    timeout_seconds = serializers.IntegerField()
    members = PoolMemberShape(many=True)


class ListenerShape(serializers.Serializer):
    id = serializers.UUIDField()
    protocol = serializers.ChoiceField(Listener.Protocol.values)
    number = serializers.IntegerField(help_text="The port of the address.")
    pool_id = serializers.UUIDField()
    timeout_seconds = serializers.IntegerField()
    certificate_names = serializers.ListField(child=serializers.CharField())
    certificate_until = serializers.DateTimeField(allow_null=True)
    connections = serializers.IntegerField(help_text="Open now.")
    connections_total = serializers.IntegerField(help_text="Since its settings were last changed, as the following.")
    bytes_in = serializers.IntegerField()
    bytes_out = serializers.IntegerField()
    errors = serializers.IntegerField(help_text="Answers of HTTP with 500 and above.")


class LoadBalancerShape(serializers.Serializer):
    id = serializers.UUIDField()
    name = serializers.CharField()
    description = serializers.CharField()
    network = Named(source="port.network")
    ip = serializers.CharField(source="port.ip")
    port_id = serializers.UUIDField(help_text="What a floating IP is given to.")
    floating_ip = serializers.SerializerMethodField(help_text="By which it is reached from outside; null: it is not.")
    listeners = ListenerShape(many=True)
    pools = PoolShape(many=True)
    seen_at = serializers.DateTimeField(allow_null=True, help_text="When its process was last heard of.")
    created_at = serializers.DateTimeField()

    @extend_schema_field({"type": ["string", "null"]})
    def get_floating_ip(self, row: Any) -> str | None:
        floating = getattr(row.port, "floating_ip", None)
        return floating.address if floating is not None else None
