"""Networks, security groups and their rules."""

from __future__ import annotations

from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from compute import networks, rule_fields, security_groups
from dashboard.api.base import ApiView, PageQuery
from dashboard.api.fields import Flag, Id, Input, Text, Whole
from dashboard.api.idempotency import idempotent
from dashboard.api.openapi import listing, operation
from dashboard.api.render import compute as render
from dashboard.api.render import routers as routed
from dashboard.api.views.routers import RouteInput

IPV6_MODES = [*networks.IPV6_MODES, ""]
IPV6_HELP = "How instances come by IPv6 addresses beside their IPv4 ones; empty: not at all."


class NetworkCreate(Input):
    name = Text(max_length=64)
    cidr = Text(default="", allow_blank=True, max_length=18, help_text="Empty: the next free 10.x.0.0/24 of the project.")
    nat = Flag(default=True, help_text="Join a router of the project that leads outside; one is made where there is none.")
    router_id = Id(allow_null=True, default=None, help_text="Join this router instead.")
    gateway_ip = Text(default="", allow_blank=True, max_length=15, help_text="Empty: the first address.")
    pool_first = Text(default="", allow_blank=True, max_length=15, help_text="The first address that new ports get.")
    pool_last = Text(default="", allow_blank=True, max_length=15)
    dhcp = Flag(default=True)
    dns_servers = serializers.ListField(child=Text(max_length=15), default=list, max_length=16)
    host_routes = serializers.ListField(child=RouteInput(), default=list, max_length=100)
    mtu = Whole(default=1500, min_value=576, max_value=9000)
    ipv6_mode = serializers.ChoiceField(IPV6_MODES, default="", help_text=IPV6_HELP)
    ipv6_cidr = Text(
        default="", allow_blank=True, max_length=43, help_text="A /64; empty: the next of the project's own unique local ones."
    )


class NetworkChange(Input):
    name = Text(required=False, max_length=64)
    pool_first = Text(required=False, allow_blank=True, max_length=15)
    pool_last = Text(required=False, allow_blank=True, max_length=15)
    dhcp = Flag(required=False)
    dns_servers = serializers.ListField(child=Text(max_length=15), required=False, max_length=16)
    host_routes = serializers.ListField(child=RouteInput(), required=False, max_length=100)
    mtu = Whole(required=False, min_value=576, max_value=9000)
    ipv6_mode = serializers.ChoiceField(IPV6_MODES, required=False, help_text=IPV6_HELP)
    ipv6_cidr = Text(required=False, allow_blank=True, max_length=43, help_text="Empty: the next of the project's own.")


class NetworksView(ApiView):
    @listing("networks_list", "Networks of the project", of=routed.NetworkShape)
    def get(self, request: Request, project: str) -> Response:
        return self.list_page(networks.list(self.ctx), routed.NetworkShape, self.query(PageQuery))

    @operation(
        "networks_create",
        "Make a network with DHCP and metadata",
        answer=routed.NetworkShape,
        status=201,
        body=NetworkCreate,
        example={"name": "backend", "cidr": "10.30.0.0/24"},
        creates=True,
    )
    @idempotent
    def post(self, request: Request, project: str) -> Response:
        row = networks.create(self.ctx, **self.body(NetworkCreate))
        return self.show(row, routed.NetworkShape, status=201, location=f"{request.path}/{row.id}")


class NetworkView(ApiView):
    @operation("networks_get", "One network", answer=routed.NetworkShape)
    def get(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(networks.get(self.ctx, id), routed.NetworkShape)

    @operation(
        "networks_update",
        "Change a network's name, and what DHCP tells",
        answer=routed.NetworkShape,
        body=NetworkChange,
        example={"name": "backend"},
    )
    def patch(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(networks.update(self.ctx, id, self.body(NetworkChange)), routed.NetworkShape)

    @operation("networks_delete", "Delete a network that nothing is connected to", status=204)
    def delete(self, request: Request, project: str, id: UUID) -> Response:
        networks.delete(self.ctx, id)
        return self.nothing()


class GroupCreate(Input):
    name = Text(max_length=64)
    description = Text(default="", allow_blank=True)


class GroupChange(Input):
    name = Text(required=False, max_length=64)
    description = Text(required=False, allow_blank=True)


class SecurityGroupsView(ApiView):
    @listing("security_groups_list", "Security groups and their rules", of=render.SecurityGroupShape)
    def get(self, request: Request, project: str) -> Response:
        return self.list_page(security_groups.list(self.ctx), render.SecurityGroupShape, self.query(PageQuery))

    @operation(
        "security_groups_create",
        "Make a group that lets everything out and nothing in",
        answer=render.SecurityGroupShape,
        status=201,
        body=GroupCreate,
        example={"name": "web", "description": "HTTP from anywhere"},
        creates=True,
    )
    @idempotent
    def post(self, request: Request, project: str) -> Response:
        row = security_groups.create(self.ctx, **self.body(GroupCreate))
        return self.show(row, render.SecurityGroupShape, status=201, location=f"{request.path}/{row.id}")


class SecurityGroupView(ApiView):
    @operation("security_groups_get", "One group", answer=render.SecurityGroupShape)
    def get(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(security_groups.get(self.ctx, id), render.SecurityGroupShape)

    @operation(
        "security_groups_update", "Rename or describe a group", answer=render.SecurityGroupShape, body=GroupChange, example={"name": "www"}
    )
    def patch(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(security_groups.update(self.ctx, id, **self.body(GroupChange)), render.SecurityGroupShape)

    @operation("security_groups_delete", "Delete a group that nothing is in", status=204)
    def delete(self, request: Request, project: str, id: UUID) -> Response:
        security_groups.delete(self.ctx, id)
        return self.nothing()


class RuleAdd(Input):
    direction = serializers.ChoiceField(["ingress", "egress"])
    ethertype = serializers.ChoiceField([*rule_fields.ETHERTYPES], default="", help_text="IPv4, IPv6; empty: both, or what the range says.")
    protocol = Text(default="", allow_blank=True, max_length=16, help_text="A name (tcp, udp, icmp, gre …) or a number; empty: any.")
    port_min = Whole(allow_null=True, default=None, max_value=65535, help_text="To icmp, the type.")
    port_max = Whole(allow_null=True, default=None, max_value=65535, help_text="To icmp, the code.")
    remote_cidr = Text(default="", allow_blank=True, max_length=43, help_text="Empty, and no group: anywhere.")
    remote_group_id = Id(allow_null=True, default=None)
    remote_address_group_id = Id(allow_null=True, default=None)
    description = Text(default="", allow_blank=True)


class RulesView(ApiView):
    @operation(
        "security_groups_add_rule",
        "Allow one more kind of traffic",
        answer=render.RuleShape,
        status=201,
        body=RuleAdd,
        example={"direction": "ingress", "protocol": "tcp", "port_min": 443, "remote_cidr": "0.0.0.0/0"},
        creates=True,
        tag="security groups",
    )
    @idempotent
    def post(self, request: Request, project: str, id: UUID) -> Response:
        row = security_groups.add_rule(self.ctx, id, **self.body(RuleAdd))
        return self.show(row, render.RuleShape, status=201, location=f"{request.path}/{row.id}")


class RuleView(ApiView):
    @operation("security_groups_remove_rule", "Remove a rule", status=204, tag="security groups")
    def delete(self, request: Request, project: str, id: UUID, rule_id: UUID) -> Response:
        security_groups.remove_rule(self.ctx, id, rule_id)
        return self.nothing()
