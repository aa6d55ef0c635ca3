"""Network cards put into an instance and taken out."""

from __future__ import annotations

from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from compute import nics
from dashboard.api.base import ApiView
from dashboard.api.fields import Id, Input, Text
from dashboard.api.openapi import operation
from dashboard.api.render import compute as render


class NicAttach(Input):
    network_id = Id(allow_null=True, default=None)
    port_id = Id(allow_null=True, default=None, help_text="A reserved port, instead of a network.")
    ip = Text(default="", allow_blank=True, max_length=64, help_text="Empty: the next free address.")
    security_group_ids = serializers.ListField(child=Id(), max_length=10, default=list, help_text="Empty: the default group.")


class NicsView(ApiView):
    @operation(
        "instances_attach_nic",
        "Put a network card in, running or not",
        answer=render.PortShape,
        status=202,
        body=NicAttach,
        example={"network_id": "6f0c5d3e-3f0b-4c55-9a51-0d2f5a1c7e10"},
    )
    def post(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(nics.attach(self.ctx, id, **self.body(NicAttach)), render.PortShape, status=202)


class NicView(ApiView):
    @operation("instances_detach_nic", "Take a network card out", answer=render.PortShape, status=202)
    def delete(self, request: Request, project: str, id: UUID, port_id: UUID) -> Response:
        return self.show(nics.detach(self.ctx, id, port_id), render.PortShape, status=202)
