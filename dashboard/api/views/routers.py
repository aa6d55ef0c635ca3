"""Routers, floating IPs, forwarded ports, and the external networks they lead to."""

from __future__ import annotations

from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from compute import external_networks, floating_ips, port_forwards, routers
from dashboard.api.base import ApiView, PageQuery
from dashboard.api.fields import Flag, Id, Input, Text, Whole
from dashboard.api.idempotency import idempotent
from dashboard.api.openapi import listing, operation
from dashboard.api.render import routers as render

_ID = "6f9a3d9e-4f3b-4a55-9f0a-0d6f2b3c4d5e"
ADDRESS = 15
RANGE = 18


class RouteInput(Input):
    destination = Text(max_length=RANGE)
    next_hop = Text(max_length=ADDRESS)


class ExternalNetworksView(ApiView):
    @listing("external_networks_list", "Networks that routers can lead to", of=render.ExternalNetworkShape)
    def get(self, request: Request) -> Response:
        return self.list_page(external_networks.list(self.ctx), render.ExternalNetworkShape, self.query(PageQuery))


class ExternalNetworkView(ApiView):
    @operation("external_networks_get", "One external network", answer=render.ExternalNetworkShape)
    def get(self, request: Request, id: UUID) -> Response:
        return self.show(external_networks.get(self.ctx, id), render.ExternalNetworkShape)


class RouterCreate(Input):
    name = Text(max_length=64)
    description = Text(default="", allow_blank=True)
    external_id = Id(allow_null=True, default=None, help_text="Where it leads; null: to the default external network.")
    is_isolated = Flag(default=False, help_text="It leads nowhere outside.")
    snat = Flag(default=True)


class RouterChange(Input):
    name = Text(required=False, max_length=64)
    description = Text(required=False, allow_blank=True)


class RouterGateway(Input):
    external_id = Id(allow_null=True, help_text="null: it leads nowhere outside.")
    snat = Flag(default=True)


class RouterRoutes(Input):
    routes = serializers.ListField(child=RouteInput(), max_length=100)


class RoutersView(ApiView):
    @listing("routers_list", "Routers of the project", of=render.RouterShape)
    def get(self, request: Request, project: str) -> Response:
        return self.list_page(routers.list(self.ctx), render.RouterShape, self.query(PageQuery))

    @operation(
        "routers_create",
        "Make a router",
        answer=render.RouterShape,
        status=201,
        body=RouterCreate,
        example={"name": "edge"},
        creates=True,
    )
    @idempotent
    def post(self, request: Request, project: str) -> Response:
        row = routers.create(self.ctx, **self.body(RouterCreate))
        return self.show(row, render.RouterShape, status=201, location=f"{request.path}/{row.id}")


class RouterView(ApiView):
    @operation("routers_get", "One router", answer=render.RouterShape)
    def get(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(routers.get(self.ctx, id), render.RouterShape)

    @operation("routers_update", "Rename or describe a router", answer=render.RouterShape, body=RouterChange, example={"name": "edge-2"})
    def patch(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(routers.update(self.ctx, id, self.body(RouterChange)), render.RouterShape)

    @operation("routers_delete", "Delete a router that no network is on", status=204)
    def delete(self, request: Request, project: str, id: UUID) -> Response:
        routers.delete(self.ctx, id)
        return self.nothing()


class RouterGatewayView(ApiView):
    @operation(
        "routers_set_gateway",
        "Say where a router leads",
        answer=render.RouterShape,
        body=RouterGateway,
        example={"external_id": None},
        tag="routers",
    )
    def put(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(routers.set_gateway(self.ctx, id, **self.body(RouterGateway)), render.RouterShape)


class RouterRoutesView(ApiView):
    @operation(
        "routers_set_routes",
        "Set all static routes of a router",
        answer=render.RouterShape,
        body=RouterRoutes,
        example={"routes": []},
        tag="routers",
    )
    def put(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(routers.set_routes(self.ctx, id, self.body(RouterRoutes)["routes"]), render.RouterShape)


class RouterNetworkView(ApiView):
    @operation("routers_attach_network", "Put a network on a router", answer=render.RouterShape, writes=True, tag="routers")
    def put(self, request: Request, project: str, id: UUID, network_id: UUID) -> Response:
        return self.show(routers.attach(self.ctx, id, network_id), render.RouterShape)

    @operation("routers_detach_network", "Take a network off a router", status=204, tag="routers")
    def delete(self, request: Request, project: str, id: UUID, network_id: UUID) -> Response:
        routers.detach(self.ctx, id, network_id)
        return self.nothing()


class FloatingIpAllocate(Input):
    external_id = Id(allow_null=True, default=None, help_text="null: of the default external network.")
    address = Text(default="", allow_blank=True, max_length=ADDRESS, help_text="Empty: the next free one.")
    description = Text(default="", allow_blank=True)


class FloatingIpChange(Input):
    description = Text(allow_blank=True)


class FloatingIpAssociate(Input):
    port_id = Id()


class FloatingIpsView(ApiView):
    @listing("floating_ips_list", "Floating IPs of the project", of=render.FloatingIpShape)
    def get(self, request: Request, project: str) -> Response:
        return self.list_page(floating_ips.list(self.ctx), render.FloatingIpShape, self.query(PageQuery))

    @operation(
        "floating_ips_allocate",
        "Take a floating IP",
        answer=render.FloatingIpShape,
        status=201,
        body=FloatingIpAllocate,
        example={"description": "The shop"},
        creates=True,
        tag="floating ips",
    )
    @idempotent
    def post(self, request: Request, project: str) -> Response:
        row = floating_ips.allocate(self.ctx, **self.body(FloatingIpAllocate))
        return self.show(row, render.FloatingIpShape, status=201, location=f"{request.path}/{row.id}")


class FloatingIpView(ApiView):
    @operation("floating_ips_get", "One floating IP", answer=render.FloatingIpShape)
    def get(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(floating_ips.get(self.ctx, id), render.FloatingIpShape)

    @operation(
        "floating_ips_describe",
        "Describe a floating IP",
        answer=render.FloatingIpShape,
        body=FloatingIpChange,
        example={"description": "The shop"},
    )
    def patch(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(floating_ips.describe(self.ctx, id, self.body(FloatingIpChange)["description"]), render.FloatingIpShape)

    @operation("floating_ips_release", "Give a floating IP back", status=204)
    def delete(self, request: Request, project: str, id: UUID) -> Response:
        floating_ips.release(self.ctx, id)
        return self.nothing()


class AssociateView(ApiView):
    @operation(
        "floating_ips_associate",
        "Give a floating IP to a network card, at once, from whichever has it",
        answer=render.FloatingIpShape,
        status=202,
        body=FloatingIpAssociate,
        example={"port_id": _ID},
    )
    def post(self, request: Request, project: str, id: UUID) -> Response:
        row = floating_ips.associate(self.ctx, id, port_id=self.body(FloatingIpAssociate)["port_id"])
        return self.show(row, render.FloatingIpShape, status=202)


class DisassociateView(ApiView):
    @operation("floating_ips_disassociate", "Take a floating IP off its network card", answer=render.FloatingIpShape, status=202)
    def post(self, request: Request, project: str, id: UUID) -> Response:
        self.body(Input)
        return self.show(floating_ips.disassociate(self.ctx, id), render.FloatingIpShape, status=202)


class ForwardQuery(PageQuery):
    router_id = serializers.UUIDField(required=False)


class ForwardCreate(Input):
    router_id = Id()
    floating_ip_id = Id(allow_null=True, default=None, help_text="null: the router's own address.")
    protocol = serializers.ChoiceField(["tcp", "udp"], default="tcp")
    external_port = Whole(min_value=1, max_value=65535)
    port_id = Id(help_text="The network card.")
    internal_port = Whole(min_value=1, max_value=65535, allow_null=True, default=None, help_text="null: the same.")
    description = Text(default="", allow_blank=True)


class ForwardsView(ApiView):
    @listing("port_forwards_list", "Forwarded ports of the project", of=render.PortForwardShape, query=ForwardQuery)
    def get(self, request: Request, project: str) -> Response:
        query = self.query(ForwardQuery)
        return self.list_page(port_forwards.list(self.ctx, router_id=query.get("router_id")), render.PortForwardShape, query)

    @operation(
        "port_forwards_create",
        "Forward a port of a shared address",
        answer=render.PortForwardShape,
        status=201,
        body=ForwardCreate,
        example={"router_id": _ID, "external_port": 8022, "port_id": _ID, "internal_port": 22},
        creates=True,
    )
    @idempotent
    def post(self, request: Request, project: str) -> Response:
        row = port_forwards.create(self.ctx, **self.body(ForwardCreate))
        return self.show(row, render.PortForwardShape, status=201, location=f"{request.path}/{row.id}")


class ForwardView(ApiView):
    @operation("port_forwards_get", "One forwarded port", answer=render.PortForwardShape)
    def get(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(port_forwards.get(self.ctx, id), render.PortForwardShape)

    @operation("port_forwards_delete", "Stop forwarding a port", status=204)
    def delete(self, request: Request, project: str, id: UUID) -> Response:
        port_forwards.delete(self.ctx, id)
        return self.nothing()


class ExternalCreate(Input):
    name = Text(max_length=64)
    description = Text(default="", allow_blank=True)
    kind = serializers.ChoiceField(["nat", "bridge"], default="nat")
    cidr = Text(max_length=RANGE)
    bridge = Text(default="", allow_blank=True, max_length=15, help_text="Of the host, for the kind bridge.")
    gateway_ip = Text(default="", allow_blank=True, max_length=ADDRESS, help_text="Empty: the first of the range.")
    pool_first = Text(default="", allow_blank=True, max_length=ADDRESS)
    pool_last = Text(default="", allow_blank=True, max_length=ADDRESS)
    mtu = Whole(default=1500, min_value=1280, max_value=9000)


class ExternalChange(Input):
    name = Text(required=False, max_length=64)
    description = Text(required=False, allow_blank=True)
    is_default = Flag(required=False)


class AllExternalNetworksView(ApiView):
    @listing("admin_external_networks_list", "External networks, with their use", of=render.ExternalNetworkAdminShape, tag="admin")
    def get(self, request: Request) -> Response:
        self.ctx.require("box.look")
        return self.list_page(external_networks.list(self.ctx), render.ExternalNetworkAdminShape, self.query(PageQuery))

    @operation(
        "admin_external_networks_create",
        "Offer an external network",
        answer=render.ExternalNetworkAdminShape,
        status=201,
        body=ExternalCreate,
        example={"name": "lab", "cidr": "198.51.100.0/24"},
        creates=True,
        tag="admin",
    )
    @idempotent
    def post(self, request: Request) -> Response:
        row = external_networks.get(self.ctx, external_networks.create(self.ctx, **self.body(ExternalCreate)).id)
        return self.show(row, render.ExternalNetworkAdminShape, status=201, location=f"{request.path}/{row.id}")


class AdminExternalNetworkView(ApiView):
    @operation(
        "admin_external_networks_update",
        "Rename or describe an external network, or make it the default",
        answer=render.ExternalNetworkAdminShape,
        body=ExternalChange,
        example={"is_default": True},
        tag="admin",
    )
    def patch(self, request: Request, id: UUID) -> Response:
        return self.show(external_networks.update(self.ctx, id, self.body(ExternalChange)), render.ExternalNetworkAdminShape)

    @operation("admin_external_networks_delete", "Delete an external network that nothing uses", status=204, tag="admin")
    def delete(self, request: Request, id: UUID) -> Response:
        external_networks.delete(self.ctx, id)
        return self.nothing()
