"""Snapshots of volumes: take, look, go back, delete; and volumes handed from project to project."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cloudbox.common.errors import NotFound
from compute import snapshot_files, snapshots, volume_transfers
from dashboard import downloads
from dashboard.api.base import ApiView, PageQuery
from dashboard.api.fields import Id, Input, Text
from dashboard.api.idempotency import idempotent
from dashboard.api.openapi import BYTES, listing, operation
from dashboard.api.render import snapshots as render
from dashboard.api.render.backups import FilesShape
from dashboard.api.render.volumes import VolumeShape
from dashboard.api.views.backups import FileQuery, FilesQuery
from dashboard.api.views.volumes import SORTS, VolumeShell

_ID = "6f0c5d3e-3f0b-4c55-9a51-0d2f5a1c7e10"


class SnapshotQuery(PageQuery):
    q = serializers.CharField(
        max_length=100, default="", allow_blank=True, help_text="In the name of the snapshot or its volume, or the id."
    )
    status = serializers.ChoiceField(render.STATUSES, default="", allow_blank=True)
    volume_id = serializers.UUIDField(default=None, allow_null=True)
    sort = serializers.ChoiceField(SORTS, default="name")


class SnapshotCreate(Input):
    volume_id = Id()
    name = Text(max_length=64)
    description = Text(default="", allow_blank=True)


class SnapshotChange(Input):
    name = Text(required=False, max_length=64)
    description = Text(required=False, allow_blank=True)


class SnapshotsView(ApiView):
    @listing("snapshots_list", "Snapshots of the project's volumes", of=render.SnapshotShape, query=SnapshotQuery)
    def get(self, request: Request, project: str) -> Response:
        query = self.query(SnapshotQuery)
        rows = snapshots.list(self.ctx, q=query["q"], status=query["status"], volume_id=query["volume_id"], sort=query["sort"])
        return self.list_page(rows, render.SnapshotShape, query)

    @operation(
        "snapshots_create",
        "Take a snapshot of a volume, in use or not; it is creating when this answers",
        answer=render.SnapshotShape,
        status=202,
        body=SnapshotCreate,
        example={"volume_id": _ID, "name": "before the update"},
        creates=True,
    )
    @idempotent
    def post(self, request: Request, project: str) -> Response:
        row = snapshots.create(self.ctx, **self.body(SnapshotCreate))
        return self.show(row, render.SnapshotShape, status=202, location=f"{request.path}/{row.id}")


class SnapshotView(ApiView):
    @operation("snapshots_get", "One snapshot", answer=render.SnapshotShape)
    def get(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(snapshots.get(self.ctx, id), render.SnapshotShape)

    @operation("snapshots_update", "Rename or describe", answer=render.SnapshotShape, body=SnapshotChange, example={"name": "2026"})
    def patch(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(snapshots.update(self.ctx, id, **self.body(SnapshotChange)), render.SnapshotShape)

    @operation("snapshots_delete", "Delete a snapshot; any, in any order", answer=render.SnapshotShape, status=202)
    def delete(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(snapshots.delete(self.ctx, id), render.SnapshotShape, status=202)


class RestoreSnapshotView(ApiView):
    @operation("snapshots_restore", "Make the volume what it was; what was written since is gone", answer=render.SnapshotShape, status=202)
    def post(self, request: Request, project: str, id: UUID) -> Response:
        self.body(Input)
        return self.show(snapshots.restore(self.ctx, id), render.SnapshotShape, status=202)


class SnapshotFilesView(ApiView):
    @operation(
        "snapshots_files",
        "What is in a folder of a volume as it was: ext2, ext3, ext4 and FAT",
        answer=FilesShape,
        query=FilesQuery,
        writes=True,
    )
    def get(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(snapshot_files.look(self.ctx, id, **self.query(FilesQuery)), FilesShape)


class SnapshotFileView(ApiView):
    @operation("snapshots_file", "One file of a volume as it was", answer=BYTES, query=FileQuery, writes=True)
    def get(self, request: Request, project: str, id: UUID) -> HttpResponse:
        found = snapshot_files.read(self.ctx, id, **self.query(FileQuery))
        return downloads.file(request._request, found.name, found.size_bytes, found.body)


class OfferView(VolumeShell):
    @operation("volume_offers_get", "The open offer of a volume", answer=render.OfferShape)
    def get(self, request: Request, project: str, id: UUID) -> Response:
        found = volume_transfers.of(self.ctx, id)
        if found is None:
            raise NotFound("This volume is not offered to anybody.")
        return self.show(found, render.OfferShape)

    @operation("volume_offers_create", "Offer a volume to another project, by a key", answer=render.OfferMade, status=201)
    def post(self, request: Request, project: str, id: UUID) -> Response:
        self.body(Input)
        found, key = volume_transfers.offer(self.ctx, id)
        return self.show(found, render.OfferMade, status=201, key=key)

    @operation("volume_offers_withdraw", "The key is worth nothing from now on", answer=VolumeShape, writes=True)
    def delete(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(volume_transfers.withdraw(self.ctx, id), VolumeShape)


class OfferAccept(Input):
    key = Text(max_length=volume_transfers.KEY_LENGTH_MAX)
    name = Text(default="", allow_blank=True, max_length=64, help_text="Empty: as it is called.")


class AcceptOfferView(VolumeShell):
    @operation(
        "volume_offers_accept",
        "Take over a volume that another project offers, with its snapshots",
        answer=VolumeShape,
        body=OfferAccept,
        example={"key": "6f0c5d3e3f0b4c559a510d2f5a1c7e10.p1mTq0W9sL4nB7xK2vZcR8dEhYfUjAoG"},
    )
    def post(self, request: Request, project: str) -> Response:
        return self.show(volume_transfers.accept(self.ctx, **self.body(OfferAccept)), VolumeShape)
