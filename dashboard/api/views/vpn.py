"""Access to networks by WireGuard."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from compute import vpn
from dashboard.api.base import ApiView, PageQuery
from dashboard.api.fields import Id, Input, Text
from dashboard.api.idempotency import idempotent
from dashboard.api.openapi import listing, operation
from dashboard.api.render.compute import Named


class VpnPeerShape(serializers.Serializer):
    id = serializers.UUIDField()
    name = serializers.CharField()
    network = Named()
    ip = serializers.CharField(help_text="Its address inside; rules of security groups allow that.")
    public_key = serializers.CharField()
    gateway_public_key = serializers.CharField(source="gateway.public_key")
    endpoint = serializers.SerializerMethodField(help_text="Where the router listens; empty: nowhere now.")
    trouble = serializers.SerializerMethodField(help_text="Why it does not come in for now; empty: nothing is known against it.")
    handshake_at = serializers.DateTimeField(allow_null=True, help_text="When it was heard of last; null: never.")
    bytes_in = serializers.IntegerField(help_text="From the device.")
    bytes_out = serializers.IntegerField(help_text="To the device.")
    created_at = serializers.DateTimeField()

    def get_endpoint(self, row: Any) -> str:
        address = row.gateway.router.external_ip
        return f"{address}:{row.gateway.port}" if address else ""

    def get_trouble(self, row: Any) -> str:
        return vpn.trouble(row)


class VpnPeerCreated(VpnPeerShape):
    config = serializers.CharField(
        read_only=True, help_text="The device's settings. With a private key made here, told once and kept nowhere."
    )


class VpnPeerCreate(Input):
    name = Text(max_length=64)
    network_id = Id()
    public_key = Text(default="", allow_blank=True, max_length=44, help_text="Empty: a pair is made, and the private key told in `config`.")


class VpnPeersView(ApiView):
    @listing("vpn_peers_list", "Devices with VPN access to networks of the project", of=VpnPeerShape)
    def get(self, request: Request, project: str) -> Response:
        return self.list_page(vpn.list(self.ctx), VpnPeerShape, self.query(PageQuery))

    @operation(
        "vpn_peers_create",
        "Give a device access to a network",
        answer=VpnPeerCreated,
        status=201,
        body=VpnPeerCreate,
        example={"name": "ada-laptop", "network_id": "6f0c5d3e-3f0b-4c55-9a51-0d2f5a1c7e10"},
        creates=True,
    )
    @idempotent
    def post(self, request: Request, project: str) -> Response:
        row, private = vpn.create(self.ctx, **self.body(VpnPeerCreate))
        config = vpn.config(row, private_key=private)
        return self.show(row, VpnPeerShape, status=201, location=f"{request.path}/{row.id}", config=config)


class VpnPeerView(ApiView):
    @operation("vpn_peers_get", "One device with VPN access", answer=VpnPeerShape)
    def get(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(vpn.get(self.ctx, id), VpnPeerShape)

    @operation("vpn_peers_revoke", "Revoke the access of a device, at once", status=204)
    def delete(self, request: Request, project: str, id: UUID) -> Response:
        vpn.revoke(self.ctx, id)
        return self.nothing()
