"""Volumes: list, create, attach, detach, grow, change, delete; and what they may be of."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from compute import progress, volume_types, volumes
from dashboard.api.base import ApiView, PageQuery
from dashboard.api.fields import Flag, Id, Input, Text, Whole
from dashboard.api.idempotency import idempotent
from dashboard.api.openapi import listing, operation
from dashboard.api.render import volumes as render

SORTS = ["name", "-name", "status", "-status", "created", "-created", "size", "-size"]
_ID = "6f0c5d3e-3f0b-4c55-9a51-0d2f5a1c7e10"


class VolumeQuery(PageQuery):
    q = serializers.CharField(max_length=100, default="", allow_blank=True, help_text="In the name, or the id.")
    status = serializers.ChoiceField(render.STATUSES, default="", allow_blank=True)
    instance_id = serializers.UUIDField(default=None, allow_null=True, help_text="What it is attached to.")
    sort = serializers.ChoiceField(SORTS, default="name")


class VolumeCreate(Input):
    name = Text(max_length=64)
    size_gib = Whole(
        allow_null=True, default=None, min_value=1, max_value=volumes.SIZE_GIB_MAX, help_text="null: as large as what it begins as."
    )
    type_id = Id(allow_null=True, default=None, help_text="null: of what it begins as, else the first on offer.")
    description = Text(default="", allow_blank=True)
    image_id = Id(allow_null=True, default=None, help_text="It begins as this image.")
    volume_id = Id(allow_null=True, default=None, help_text="It begins as this volume is now.")
    snapshot_id = Id(allow_null=True, default=None, help_text="It begins as a volume was at this snapshot.")


class VolumeChange(Input):
    name = Text(required=False, max_length=64)
    description = Text(required=False, allow_blank=True)


class VolumeDelete(Input):
    with_snapshots = serializers.BooleanField(default=False, help_text="Its snapshots lie with it: true, when they may go, too.")


class VolumeRetype(Input):
    type_id = Id()


class VolumeAttach(Input):
    instance_id = Id()
    read_only = Flag(default=False)


class VolumeGrow(Input):
    size_gib = Whole(min_value=1, max_value=volumes.SIZE_GIB_MAX)


class VolumeShell(ApiView):
    def rendering(self, rows: Any) -> dict[str, Any]:
        return {"ctx": self.ctx, "progress": progress.of(rows)}


class VolumesView(VolumeShell):
    @listing("volumes_list", "Volumes of the project", of=render.VolumeShape, query=VolumeQuery)
    def get(self, request: Request, project: str) -> Response:
        query = self.query(VolumeQuery)
        rows = volumes.list(self.ctx, q=query["q"], status=query["status"], instance_id=query["instance_id"], sort=query["sort"])
        return self.list_page(rows, render.VolumeShape, query)

    @operation(
        "volumes_create",
        "Create a volume: empty, or from an image, a volume or a snapshot; it is creating when this answers",
        answer=render.VolumeShape,
        status=202,
        body=VolumeCreate,
        example={"name": "data", "size_gib": 10},
        creates=True,
    )
    @idempotent
    def post(self, request: Request, project: str) -> Response:
        row = volumes.create(self.ctx, **self.body(VolumeCreate))
        return self.show(row, render.VolumeShape, status=202, location=f"{request.path}/{row.id}")


class VolumeView(VolumeShell):
    @operation("volumes_get", "One volume", answer=render.VolumeShape)
    def get(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(volumes.get(self.ctx, id), render.VolumeShape)

    @operation("volumes_update", "Rename or describe", answer=render.VolumeShape, body=VolumeChange, example={"name": "archive"})
    def patch(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(volumes.update(self.ctx, id, **self.body(VolumeChange)), render.VolumeShape)

    @operation("volumes_delete", "Delete a volume and all on it", answer=render.VolumeShape, status=202, query=VolumeDelete)
    def delete(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(volumes.delete(self.ctx, id, **self.query(VolumeDelete)), render.VolumeShape, status=202)


class AttachView(VolumeShell):
    @operation(
        "volumes_attach",
        "Give it to an instance, running or not",
        answer=render.VolumeShape,
        status=202,
        body=VolumeAttach,
        example={"instance_id": _ID},
    )
    def post(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(volumes.attach(self.ctx, id, **self.body(VolumeAttach)), render.VolumeShape, status=202)


class GrowView(VolumeShell):
    @operation(
        "volumes_grow", "Make it larger, in use or not", answer=render.VolumeShape, status=202, body=VolumeGrow, example={"size_gib": 20}
    )
    def post(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(volumes.grow(self.ctx, id, **self.body(VolumeGrow)), render.VolumeShape, status=202)


class RetypeView(VolumeShell):
    @operation(
        "volumes_retype",
        "Another type, and its limits, in use or not",
        answer=render.VolumeShape,
        status=202,
        body=VolumeRetype,
        example={"type_id": _ID},
    )
    def post(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(volumes.retype(self.ctx, id, **self.body(VolumeRetype)), render.VolumeShape, status=202)


_SUMMARIES = {"detach": "Take it from its instance", "protect": "Refuse its deletion", "unprotect": "Allow its deletion"}


def action_view(key: str) -> Any:
    """The view of an action that needs no words."""

    @operation(f"volumes_{key}", _SUMMARIES[key], answer=render.VolumeShape, status=202)
    def post(self: VolumeShell, request: Request, project: str, id: UUID) -> Response:
        self.body(Input)
        return self.show(getattr(volumes, key)(self.ctx, id), render.VolumeShape, status=202)

    return type(f"Volume{key.title()}View", (VolumeShell,), {"post": post}).as_view()


class VolumeTypesView(ApiView):
    @listing("volume_types_list", "Types of volumes on offer", of=render.VolumeTypeShape)
    def get(self, request: Request) -> Response:
        return self.list_page(volume_types.list(self.ctx), render.VolumeTypeShape, self.query(PageQuery))


class VolumeTypeView(ApiView):
    @operation("volume_types_get", "One type of volumes", answer=render.VolumeTypeShape)
    def get(self, request: Request, id: UUID) -> Response:
        return self.show(volume_types.get(self.ctx, id), render.VolumeTypeShape)


def _price(**more: Any) -> Whole:
    text = "Of a GiB for a month, in millionths of the box's currency; null: not set."
    return Whole(allow_null=True, min_value=0, max_value=volume_types.PRICE_MICROS_MAX, help_text=text, **more)


class VolumeTypeCreate(Input):
    name = Text(max_length=64)
    description = Text(default="", allow_blank=True)
    iops_max = Whole(allow_null=True, default=None, min_value=1, max_value=volume_types.LIMIT_MAX)
    mib_per_second_max = Whole(allow_null=True, default=None, min_value=1, max_value=volume_types.LIMIT_MAX)
    price_micros = _price(default=None)
    backend = serializers.ChoiceField(render.BACKENDS, default="qcow2", help_text="Where its volumes lie.")


class VolumeTypeChange(Input):
    name = Text(required=False, max_length=64)
    description = Text(required=False, allow_blank=True)
    iops_max = Whole(allow_null=True, required=False, min_value=1, max_value=volume_types.LIMIT_MAX)
    mib_per_second_max = Whole(allow_null=True, required=False, min_value=1, max_value=volume_types.LIMIT_MAX)
    price_micros = _price(required=False)


class AllVolumeTypesView(ApiView):
    @listing("admin_volume_types_list", "All types, with those no longer offered", of=render.VolumeTypeShape, tag="admin")
    def get(self, request: Request) -> Response:
        self.ctx.require("box.look")
        return self.list_page(volume_types.list(self.ctx, retired=True), render.VolumeTypeShape, self.query(PageQuery))

    @operation(
        "admin_volume_types_create",
        "Offer a new type of volumes",
        answer=render.VolumeTypeShape,
        status=201,
        body=VolumeTypeCreate,
        example={"name": "economy", "iops_max": 300, "mib_per_second_max": 60},
        creates=True,
        tag="admin",
    )
    @idempotent
    def post(self, request: Request) -> Response:
        row = volume_types.create(self.ctx, **self.body(VolumeTypeCreate))
        return self.show(row, render.VolumeTypeShape, status=201, location=f"/api/v1/volume-types/{row.id}")


class AnyVolumeTypeView(ApiView):
    @operation(
        "admin_volume_types_update",
        "Change a type that no volume has",
        answer=render.VolumeTypeShape,
        body=VolumeTypeChange,
        example={"iops_max": 500},
        tag="admin",
    )
    def patch(self, request: Request, id: UUID) -> Response:
        return self.show(volume_types.update(self.ctx, id, **self.body(VolumeTypeChange)), render.VolumeTypeShape)


class RetireVolumeTypeView(ApiView):
    @operation("admin_volume_types_retire", "No new volumes of this type", answer=render.VolumeTypeShape, status=202, tag="admin")
    def post(self, request: Request, id: UUID) -> Response:
        self.body(Input)
        return self.show(volume_types.retire(self.ctx, id), render.VolumeTypeShape, status=202)


class RestoreVolumeTypeView(ApiView):
    @operation("admin_volume_types_restore", "Offer this type again", answer=render.VolumeTypeShape, status=202, tag="admin")
    def post(self, request: Request, id: UUID) -> Response:
        self.body(Input)
        return self.show(volume_types.restore(self.ctx, id), render.VolumeTypeShape, status=202)
