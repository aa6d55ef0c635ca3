"""Server groups: instances that are to be together, or apart."""

from __future__ import annotations

from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from compute import server_groups
from dashboard.api.base import ApiView, PageQuery
from dashboard.api.fields import Input, Text
from dashboard.api.openapi import listing, operation
from dashboard.api.render.compute import Named

POLICIES = ["affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity"]


class ServerGroupShape(serializers.Serializer):
    id = serializers.UUIDField()
    name = serializers.CharField()
    policy = serializers.ChoiceField(POLICIES)
    instances = Named(many=True)
    is_kept = serializers.SerializerMethodField(help_text="Is it as wished? A box of one host keeps a wish to be apart on record.")
    created_at = serializers.DateTimeField()

    def get_is_kept(self, row: object) -> bool:
        return server_groups.is_kept(row)  # type: ignore[arg-type]


class ServerGroupCreate(Input):
    name = Text(max_length=64)
    policy = serializers.ChoiceField(POLICIES)


class ServerGroupsView(ApiView):
    @listing("server_groups_list", "Server groups of the project", of=ServerGroupShape)
    def get(self, request: Request, project: str) -> Response:
        return self.list_page(server_groups.list(self.ctx), ServerGroupShape, self.query(PageQuery))

    @operation(
        "server_groups_create",
        "Create a server group",
        answer=ServerGroupShape,
        status=201,
        body=ServerGroupCreate,
        example={"name": "databases", "policy": "anti-affinity"},
    )
    def post(self, request: Request, project: str) -> Response:
        row = server_groups.create(self.ctx, **self.body(ServerGroupCreate))
        return self.show(row, ServerGroupShape, status=201, location=f"{request.path}/{row.id}")


class ServerGroupView(ApiView):
    @operation("server_groups_get", "One server group", answer=ServerGroupShape)
    def get(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(server_groups.get(self.ctx, id), ServerGroupShape)

    @operation("server_groups_delete", "Delete it; its instances go on", answer=None, status=204)
    def delete(self, request: Request, project: str, id: UUID) -> Response:
        server_groups.delete(self.ctx, id)
        return self.nothing()


class ServerGroupMemberView(ApiView):
    @operation("server_groups_add", "Put an instance into it", answer=ServerGroupShape)
    def put(self, request: Request, project: str, id: UUID, instance_id: UUID) -> Response:
        self.body(Input)
        return self.show(server_groups.add(self.ctx, id, instance_id), ServerGroupShape)

    @operation("server_groups_remove", "Take an instance out of it", answer=ServerGroupShape)
    def delete(self, request: Request, project: str, id: UUID, instance_id: UUID) -> Response:
        return self.show(server_groups.remove(self.ctx, id, instance_id), ServerGroupShape)
