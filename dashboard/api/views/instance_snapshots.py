"""Snapshots of whole instances: take, look, go back, launch from, delete."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from compute import instance_snapshots, instances
from compute.instances import LaunchSpec
from dashboard.api import idempotency
from dashboard.api.base import ApiView, PageQuery
from dashboard.api.fields import Id, Input, Text
from dashboard.api.idempotency import idempotent
from dashboard.api.openapi import listing, operation
from dashboard.api.render import compute as render
from dashboard.api.render import instance_snapshots as shapes
from dashboard.api.views.instances import InstanceShell


class WholeCreate(Input):
    name = Text(max_length=64)
    description = Text(default="", allow_blank=True)


class WholeLaunch(Input):
    name = Text(max_length=60)
    flavor_id = Id()
    keypair_id = Id(allow_null=True, default=None)
    network_ids = serializers.ListField(child=Id(), max_length=instances.NICS_MAX, default=list, help_text="Empty: the project's only one.")


class InstanceSnapshotsView(ApiView):
    @listing("instance_snapshots_list", "Snapshots of an instance as a whole", of=shapes.InstanceSnapshotShape)
    def get(self, request: Request, project: str, id: UUID) -> Response:
        instances.get(self.ctx, id)
        rows = instance_snapshots.list(self.ctx, instance_id=id)
        return self.list_page(rows, shapes.InstanceSnapshotShape, self.query(PageQuery))

    @operation(
        "instance_snapshots_create",
        "Take a snapshot of all its disks at one moment; it is creating when this answers",
        answer=shapes.InstanceSnapshotShape,
        status=202,
        body=WholeCreate,
        example={"name": "before the update"},
        creates=True,
    )
    @idempotent
    def post(self, request: Request, project: str, id: UUID) -> Response:
        row = instance_snapshots.create(self.ctx, id, **self.body(WholeCreate))
        return self.show(row, shapes.InstanceSnapshotShape, status=202, location=f"/api/v1/projects/{project}/instance-snapshots/{row.id}")


class InstanceSnapshotView(ApiView):
    @operation("instance_snapshots_get", "One snapshot of an instance", answer=shapes.InstanceSnapshotShape)
    def get(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(instance_snapshots.get(self.ctx, id), shapes.InstanceSnapshotShape)

    @operation("instance_snapshots_delete", "Delete it with its parts", answer=shapes.InstanceSnapshotShape, status=202)
    def delete(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(instance_snapshots.delete(self.ctx, id), shapes.InstanceSnapshotShape, status=202)


class RestoreInstanceView(ApiView):
    @operation("instance_snapshots_restore", "Make all disks what they were", answer=shapes.InstanceSnapshotShape, status=202)
    def post(self, request: Request, project: str, id: UUID) -> Response:
        self.body(Input)
        return self.show(instance_snapshots.restore(self.ctx, id), shapes.InstanceSnapshotShape, status=202)


class LaunchFromView(InstanceShell):
    @operation(
        "instance_snapshots_launch",
        "Launch a new instance with a copy of each disk",
        answer=render.InstanceShape,
        status=202,
        body=WholeLaunch,
        example={"name": "web-2", "flavor_id": "1d2c3b4a-0000-4000-8000-000000000001"},
        creates=True,
    )
    @idempotent
    def post(self, request: Request, project: str, id: UUID) -> Response:
        body: dict[str, Any] = self.body(WholeLaunch)
        row = instance_snapshots.launch(self.ctx, id, LaunchSpec(**body, token=idempotency.key_of(request)))
        return self.show(instances.get(self.ctx, row.id), render.InstanceShape, status=202)
