"""Networks, the routers between them, external networks, and the addresses by which instances are reached."""

from __future__ import annotations

from rest_framework import serializers

from compute import networks
from dashboard.api.render.compute import Named


class RouteShape(serializers.Serializer):
    destination = serializers.CharField(help_text="A range, as in 10.99.0.0/24.")
    next_hop = serializers.CharField(help_text="The address that leads there.")


class NetworkShape(serializers.Serializer):
    id = serializers.UUIDField()
    name = serializers.CharField()
    cidr = serializers.CharField()
    gateway_ip = serializers.CharField()
    pool_first = serializers.CharField(allow_null=True, help_text="The first address that new ports get; null: the tenth.")
    pool_last = serializers.CharField(allow_null=True, help_text="The last one; null: the last of the range.")
    router = Named(allow_null=True, help_text="By which it meets other networks and the outside.")
    nat = serializers.BooleanField(help_text="Do instances reach the outside under the address of the router?")
    dhcp = serializers.BooleanField(help_text="Are addresses given out? DNS and metadata answer either way.")
    dns_servers = serializers.ListField(child=serializers.CharField(), help_text="That DHCP tells; none: the network's own.")
    host_routes = RouteShape(many=True, help_text="That DHCP tells.")
    mtu = serializers.IntegerField()
    ipv6_mode = serializers.ChoiceField(
        [*networks.IPV6_MODES, ""], help_text="How instances come by IPv6 addresses; empty: it has no IPv6."
    )
    ipv6_cidr = serializers.CharField(help_text="Empty: it has no IPv6.")
    ipv6_gateway_ip = serializers.CharField(help_text="The first address of that range.")
    created_at = serializers.DateTimeField()


class ExternalNetworkShape(serializers.Serializer):
    id = serializers.UUIDField()
    name = serializers.CharField()
    description = serializers.CharField()
    kind = serializers.ChoiceField(["nat", "bridge"], help_text="nat: behind the box; bridge: on a bridge of the host.")
    cidr = serializers.CharField()
    is_default = serializers.BooleanField(help_text="Do routers lead there that name none?")


class ExternalNetworkAdminShape(ExternalNetworkShape):
    bridge = serializers.CharField(help_text="Of the host.")
    gateway_ip = serializers.CharField()
    pool_first = serializers.CharField()
    pool_last = serializers.CharField()
    mtu = serializers.IntegerField()
    router_count = serializers.IntegerField()
    floating_count = serializers.IntegerField()
    created_at = serializers.DateTimeField()


class RouterShape(serializers.Serializer):
    id = serializers.UUIDField()
    name = serializers.CharField()
    description = serializers.CharField()
    external = Named(allow_null=True, help_text="The external network that it leads to; null: none.")
    external_ip = serializers.CharField(allow_null=True, help_text="Its address there.")
    snat = serializers.BooleanField(help_text="Does what leaves hide behind that address?")
    static_routes = RouteShape(many=True)
    networks = Named(many=True)
    created_at = serializers.DateTimeField()


class FloatingPort(serializers.Serializer):
    """The network card that a floating IP is on."""

    id = serializers.UUIDField()
    ip = serializers.CharField()
    network = Named()
    instance = Named(allow_null=True)


class FloatingIpShape(serializers.Serializer):
    id = serializers.UUIDField()
    address = serializers.CharField()
    external = Named()
    port = FloatingPort(allow_null=True)
    description = serializers.CharField()
    forward_count = serializers.IntegerField(help_text="How many of its ports are forwarded.")
    created_at = serializers.DateTimeField()


class ForwardPort(serializers.Serializer):
    """The network card that a port is forwarded to."""

    id = serializers.UUIDField()
    ip = serializers.CharField()
    instance = Named(allow_null=True)


class SharedIp(serializers.Serializer):
    """A floating IP of which ports are forwarded."""

    id = serializers.UUIDField()
    address = serializers.CharField()


class PortForwardShape(serializers.Serializer):
    id = serializers.UUIDField()
    router = Named()
    floating_ip = SharedIp(allow_null=True, help_text="null: the router's own address.")
    protocol = serializers.ChoiceField(["tcp", "udp"])
    external_port = serializers.IntegerField()
    port = ForwardPort()
    internal_port = serializers.IntegerField()
    description = serializers.CharField()
    created_at = serializers.DateTimeField()
