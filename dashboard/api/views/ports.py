"""Ports, address groups, and the names of a network."""

from __future__ import annotations

from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from compute import address_groups, dns, networks, ports, security_groups, topology, trace
from dashboard.api.base import ApiView, PageQuery
from dashboard.api.fields import Flag, Id, Input, Text, Whole
from dashboard.api.idempotency import idempotent
from dashboard.api.openapi import listing, operation
from dashboard.api.render import compute as render
from dashboard.api.render import reachability as reach


class PortQuery(PageQuery):
    network_id = serializers.UUIDField(required=False)
    instance_id = serializers.UUIDField(required=False)
    q = serializers.CharField(required=False, default="", allow_blank=True, max_length=100, help_text="Address, MAC or name.")


class Pair(Input):
    ip = Text(max_length=43)
    mac = Text(default="", allow_blank=True, max_length=17, help_text="Empty: the card's own.")


class _PortFields(Input):
    name = Text(required=False, allow_blank=True, max_length=64)
    description = Text(required=False, allow_blank=True)
    dns_name = Text(required=False, allow_blank=True, max_length=63, help_text="Empty: its instance's host name.")
    allowed_pairs = serializers.ListField(child=Pair(), required=False, max_length=ports.PAIRS_MAX)
    port_security = Flag(required=False, help_text="Only a project's admin switches it.")
    rate_in_kbps = Whole(required=False, allow_null=True, help_text="To the instance; null: no cap.")
    rate_out_kbps = Whole(required=False, allow_null=True, help_text="From the instance; null: no cap.")


class PortReserve(_PortFields):
    network_id = Id()
    ip = Text(default="", allow_blank=True, max_length=15, help_text="Empty: the next free one.")
    mac = Text(default="", allow_blank=True, max_length=17, help_text="Empty: a new one.")
    security_group_ids = serializers.ListField(
        child=Id(), required=False, max_length=security_groups.GROUPS_PER_PORT_MAX, help_text="Left out: the default group."
    )


class PortChange(_PortFields):
    pass


class PortGroups(Input):
    security_group_ids = serializers.ListField(child=Id(), max_length=security_groups.GROUPS_PER_PORT_MAX)


class PortsView(ApiView):
    @listing("ports_list", "Network cards of the project, and reserved ports", of=render.PortShape, query=PortQuery)
    def get(self, request: Request, project: str) -> Response:
        query = self.query(PortQuery)
        rows = ports.list(self.ctx, network_id=query.get("network_id"), instance_id=query.get("instance_id"), q=query["q"])
        return self.list_page(rows, render.PortShape, query)

    @operation(
        "ports_reserve",
        "Reserve a port: an address that waits for an instance, and outlives it",
        answer=render.PortShape,
        status=201,
        body=PortReserve,
        example={"network_id": "6f0c5d3e-3f0b-4c55-9a51-0d2f5a1c7e10", "name": "database"},
        creates=True,
    )
    @idempotent
    def post(self, request: Request, project: str) -> Response:
        row = ports.reserve(self.ctx, **self.body(PortReserve))
        return self.show(ports.get(self.ctx, row.id), render.PortShape, status=201, location=f"{request.path}/{row.id}")


class PortView(ApiView):
    @operation("ports_get", "One port", answer=render.PortShape)
    def get(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(ports.get(self.ctx, id), render.PortShape)

    @operation(
        "ports_update",
        "Change a port: name, caps, allowed pairs, port security; at once, while it runs",
        answer=render.PortShape,
        body=PortChange,
        example={"rate_out_kbps": 10000},
    )
    def patch(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(ports.update(self.ctx, id, **self.body(PortChange)), render.PortShape)

    @operation("ports_delete", "Delete a port that no instance has", status=204)
    def delete(self, request: Request, project: str, id: UUID) -> Response:
        ports.delete(self.ctx, id)
        return self.nothing()


class PortGroupsView(ApiView):
    @operation(
        "ports_set_security_groups",
        "Put a network card into exactly these groups",
        answer=render.PortShape,
        body=PortGroups,
        example={"security_group_ids": []},
        tag="ports",
    )
    def put(self, request: Request, project: str, id: UUID) -> Response:
        row = security_groups.set_for_port(self.ctx, id, self.body(PortGroups)["security_group_ids"])
        return self.show(row, render.PortShape)


class AddressGroupCreate(Input):
    name = Text(max_length=64)
    description = Text(default="", allow_blank=True)
    cidrs = serializers.ListField(child=Text(max_length=43), max_length=address_groups.CIDRS_MAX)


class AddressGroupChange(Input):
    name = Text(required=False, max_length=64)
    description = Text(required=False, allow_blank=True)
    cidrs = serializers.ListField(child=Text(max_length=43), required=False, max_length=address_groups.CIDRS_MAX)


class AddressGroupsView(ApiView):
    @listing("address_groups_list", "Address groups: ranges with a name", of=render.AddressGroupShape)
    def get(self, request: Request, project: str) -> Response:
        return self.list_page(address_groups.list(self.ctx), render.AddressGroupShape, self.query(PageQuery))

    @operation(
        "address_groups_create",
        "Make an address group, which rules may name",
        answer=render.AddressGroupShape,
        status=201,
        body=AddressGroupCreate,
        example={"name": "offices", "cidrs": ["203.0.113.0/24", "2001:db8::/32"]},
        creates=True,
    )
    @idempotent
    def post(self, request: Request, project: str) -> Response:
        row = address_groups.create(self.ctx, **self.body(AddressGroupCreate))
        return self.show(row, render.AddressGroupShape, status=201, location=f"{request.path}/{row.id}")


class AddressGroupView(ApiView):
    @operation("address_groups_get", "One address group", answer=render.AddressGroupShape)
    def get(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(address_groups.get(self.ctx, id), render.AddressGroupShape)

    @operation(
        "address_groups_update",
        "Change an address group; its rules follow within a second",
        answer=render.AddressGroupShape,
        body=AddressGroupChange,
        example={"cidrs": ["203.0.113.0/24"]},
    )
    def patch(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(address_groups.update(self.ctx, id, **self.body(AddressGroupChange)), render.AddressGroupShape)

    @operation("address_groups_delete", "Delete an address group that no rule names", status=204)
    def delete(self, request: Request, project: str, id: UUID) -> Response:
        address_groups.delete(self.ctx, id)
        return self.nothing()


class Domain(Input):
    dns_domain = Text(allow_blank=True, max_length=dns.DOMAIN_MAX, help_text="Empty: made from the network's name.")


class NamesView(ApiView):
    @operation("networks_names", "What everything on a network is called", answer=render.NameShape(many=True), tag="networks")
    def get(self, request: Request, project: str, id: UUID) -> Response:
        return Response(render.NameShape(dns.records(self.ctx, networks.get(self.ctx, id)), many=True).data)

    @operation(
        "networks_set_domain",
        "Give a network a DNS domain of one's own",
        answer=render.NameShape(many=True),
        body=Domain,
        example={"dns_domain": "lab.example.org"},
        tag="networks",
    )
    def put(self, request: Request, project: str, id: UUID) -> Response:
        network = dns.set_domain(self.ctx, id, self.body(Domain)["dns_domain"])
        return Response(render.NameShape(dns.records(self.ctx, network), many=True).data)


class TraceQuery(Input):
    from_instance_id = serializers.UUIDField(required=False, help_text="Left out, and no address: from somewhere outside.")
    from_address = serializers.CharField(required=False, default="", allow_blank=True, max_length=45)
    to_instance_id = serializers.UUIDField(required=False)
    to_address = serializers.CharField(required=False, default="", allow_blank=True, max_length=45)
    protocol = serializers.ChoiceField([*trace.PROTOCOLS], default="tcp")
    port = serializers.IntegerField(required=False, min_value=1, max_value=65535, help_text="To icmp none: it is a ping.")


class ReachabilityView(ApiView):
    @operation(
        "reachability_get",
        "Follow a connection through the networks: does it arrive, and if not, what stops it",
        answer=reach.AnswerShape,
        query=TraceQuery,
        tag="networks",
    )
    def get(self, request: Request, project: str) -> Response:
        return Response(reach.AnswerShape(trace.ask(self.ctx, **self.query(TraceQuery))).data)


class TopologyView(ApiView):
    @operation("topology_get", "What is connected to what", answer=reach.BranchShape(many=True), tag="networks")
    def get(self, request: Request, project: str) -> Response:
        return Response(reach.BranchShape(topology.of(self.ctx), many=True).data)
