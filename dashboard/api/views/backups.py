"""Backups: vaults in buckets, backups of volumes and instances, restores, trials, schedules."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from compute import backup_files, backup_schedules, backup_vaults, backups, volumes
from dashboard import downloads
from dashboard.api.base import ApiView, PageQuery
from dashboard.api.fields import Flag, Id, Input, Text, Whole
from dashboard.api.idempotency import idempotent
from dashboard.api.openapi import BYTES, listing, operation
from dashboard.api.render import backups as render
from dashboard.api.render.compute import InstanceShape
from dashboard.api.render.volumes import VolumeShape
from dashboard.api.views.instances import InstanceShell
from dashboard.api.views.volumes import VolumeShell

SORTS = [sign + name for name in ("name", "status", "created", "taken", "size") for sign in ("", "-")]
_ID = "6f0c5d3e-3f0b-4c55-9a51-0d2f5a1c7e10"


class VaultQuery(PageQuery):
    q = serializers.CharField(max_length=100, default="", allow_blank=True, help_text="In the name, or the bucket's.")


class VaultCreate(Input):
    name = Text(max_length=64)
    bucket = Text(max_length=63)
    prefix = Text(default="", allow_blank=True, max_length=199, help_text="A folder in the bucket.")
    description = Text(default="", allow_blank=True)
    encrypted = Flag(default=False, help_text="Encrypt a new vault.")
    passphrase = Text(
        default="", allow_blank=True, max_length=200, help_text="Of a vault that lies there already, or for a new one; empty: made up."
    )


class VaultChange(Input):
    name = Text(required=False, max_length=64)
    description = Text(required=False, allow_blank=True)


class FoundShape(serializers.Serializer):
    found = serializers.IntegerField(help_text="How many backups lay there that were not known here.")


class BackupShell(ApiView):
    def rendering(self, rows: Any) -> dict[str, Any]:
        return {"ctx": self.ctx}


class VaultsView(BackupShell):
    @listing("backup_vaults_list", "Places in buckets where backups lie", of=render.BackupVaultShape, query=VaultQuery)
    def get(self, request: Request, project: str) -> Response:
        query = self.query(VaultQuery)
        return self.list_page(backup_vaults.list(self.ctx, q=query["q"]), render.BackupVaultShape, query)

    @operation(
        "backup_vaults_create",
        "Begin a vault in a bucket, or take up one that lies there",
        answer=render.BackupVaultMadeShape,
        status=201,
        body=VaultCreate,
        example={"name": "Safe", "bucket": "backups", "encrypted": True},
        creates=True,
    )
    def post(self, request: Request, project: str) -> Response:
        made = backup_vaults.create(self.ctx, **self.body(VaultCreate))
        return self.show(made, render.BackupVaultMadeShape, status=201, location=f"{request.path}/{made.vault.id}")


class VaultView(BackupShell):
    @operation("backup_vaults_get", "One vault", answer=render.BackupVaultShape)
    def get(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(backup_vaults.get(self.ctx, id), render.BackupVaultShape)

    @operation("backup_vaults_update", "Rename or describe", answer=render.BackupVaultShape, body=VaultChange, example={"name": "Vault"})
    def patch(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(backup_vaults.update(self.ctx, id, **self.body(VaultChange)), render.BackupVaultShape)

    @operation("backup_vaults_forget", "Forget it; what lies in the bucket stays, and can be taken up again", status=204)
    def delete(self, request: Request, project: str, id: UUID) -> Response:
        backup_vaults.forget(self.ctx, id)
        return Response(status=204)


class RefreshView(BackupShell):
    @operation("backup_vaults_refresh", "Read the bucket for backups that are not known here", answer=FoundShape)
    def post(self, request: Request, project: str, id: UUID) -> Response:
        self.body(Input)
        return self.show({"found": backup_vaults.refresh(self.ctx, id)}, FoundShape)


class BackupQuery(PageQuery):
    q = serializers.CharField(max_length=100, default="", allow_blank=True, help_text="In its name, what it is of, or the id.")
    status = serializers.ChoiceField(render.STATUSES, default="", allow_blank=True)
    volume_id = serializers.UUIDField(default=None, allow_null=True)
    instance_id = serializers.UUIDField(default=None, allow_null=True)
    vault_id = serializers.UUIDField(default=None, allow_null=True)
    schedule_id = serializers.UUIDField(default=None, allow_null=True)
    group = serializers.UUIDField(default=None, allow_null=True)
    sort = serializers.ChoiceField(SORTS, default="-created")


class BackupCreate(Input):
    vault_id = Id()
    volume_id = Id(allow_null=True, default=None, help_text="Of this volume,")
    instance_id = Id(allow_null=True, default=None, help_text="or of all disks of this instance at one moment.")
    name = Text(default="", allow_blank=True, max_length=64, help_text="Empty: of what, and when.")
    description = Text(default="", allow_blank=True)
    full = Flag(default=False, help_text="Read all of it, and store it anew.")


class BackupChange(Input):
    name = Text(required=False, max_length=64)
    description = Text(required=False, allow_blank=True)


class BackupsShape(serializers.Serializer):
    items = render.BackupShape(many=True)


class BackupsView(BackupShell):
    @listing("backups_list", "Backups of the project", of=render.BackupShape, query=BackupQuery)
    def get(self, request: Request, project: str) -> Response:
        query = self.query(BackupQuery)
        wanted = {key: value for key, value in query.items() if key not in ("limit", "cursor")}
        return self.list_page(backups.list(self.ctx, **wanted), render.BackupShape, query)

    @operation(
        "backups_create",
        "Back up a volume, or an instance with all its disks; they are creating when this answers",
        answer=BackupsShape,
        status=202,
        body=BackupCreate,
        example={"vault_id": _ID, "volume_id": _ID},
        creates=True,
    )
    @idempotent
    def post(self, request: Request, project: str) -> Response:
        rows = backups.create(self.ctx, **self.body(BackupCreate))
        shape = BackupsShape({"items": rows}, context={"request": request, "ctx": self.ctx})
        return Response(shape.data, status=202, headers={"Location": f"{request.path}/{rows[0].id}"})


class BackupView(BackupShell):
    @operation("backups_get", "One backup", answer=render.BackupShape)
    def get(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(backups.get(self.ctx, id), render.BackupShape)

    @operation("backups_update", "Rename or describe", answer=render.BackupShape, body=BackupChange, example={"name": "before the move"})
    def patch(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(backups.update(self.ctx, id, **self.body(BackupChange)), render.BackupShape)

    @operation("backups_delete", "Delete it from the bucket; the others stay whole", answer=render.BackupShape, status=202)
    def delete(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(backups.delete(self.ctx, id), render.BackupShape, status=202)


_SUMMARIES = {
    "cancel": "End the making of it; nothing of it stays",
    "verify": "Prove every byte, and boot a copy of a system's disk without a network",
}


def action_view(key: str) -> Any:
    """The view of an action that needs no words."""

    @operation(f"backups_{key}", _SUMMARIES[key], answer=render.BackupShape, status=202)
    def post(self: BackupShell, request: Request, project: str, id: UUID) -> Response:
        self.body(Input)
        return self.show(getattr(backups, key)(self.ctx, id), render.BackupShape, status=202)

    return type(f"Backup{key.title()}View", (BackupShell,), {"post": post}).as_view()


class FilesQuery(Input):
    part = serializers.IntegerField(
        min_value=0, max_value=128, default=None, allow_null=True, help_text="Of the disk; without it the only one that can be read."
    )
    path = serializers.CharField(max_length=4096, default="/", trim_whitespace=False, help_text="A folder, from the root of the part.")


class FileQuery(Input):
    part = serializers.IntegerField(
        min_value=0, max_value=128, default=None, allow_null=True, help_text="Of the disk, as `parts` of its files says; must be given."
    )
    path = serializers.CharField(max_length=4096, default="/", trim_whitespace=False, help_text="A file, from the root of the part.")


class FilesView(BackupShell):
    @operation(
        "backups_files",
        "What is in a folder on its disk: ext2, ext3, ext4 and FAT",
        answer=render.FilesShape,
        query=FilesQuery,
        writes=True,
    )
    def get(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(backup_files.look(self.ctx, id, **self.query(FilesQuery)), render.FilesShape)


class FileView(BackupShell):
    @operation("backups_file", "One file from its disk", answer=BYTES, query=FileQuery, writes=True)
    def get(self, request: Request, project: str, id: UUID) -> HttpResponse:
        found = backup_files.read(self.ctx, id, **self.query(FileQuery))
        return downloads.file(request._request, found.name, found.size_bytes, found.body)


class RestoreVolume(Input):
    name = Text(max_length=64)
    size_gib = Whole(allow_null=True, default=None, min_value=1, max_value=volumes.SIZE_GIB_MAX, help_text="null: as large as it was.")
    type_id = Id(allow_null=True, default=None)


class RestoreOver(Input):
    volume_id = Id(help_text="Attached nowhere, and at least as large.")


class RestoreInstance(Input):
    name = Text(max_length=60)
    flavor_id = Id(allow_null=True, default=None, help_text="null: the one that it had.")
    image_id = Id(allow_null=True, default=None, help_text="null: the one that it was made of.")
    network_ids = serializers.ListField(child=Id(), default=list, max_length=8, help_text="None: those that it had.")
    with_volumes = Flag(default=True, help_text="Its volumes of the same moment, too; then it stays off until they are attached.")


class RestoreVolumeView(VolumeShell):
    @operation(
        "backups_restore_volume",
        "A new volume with what the disk was",
        answer=VolumeShape,
        status=202,
        body=RestoreVolume,
        example={"name": "back"},
    )
    def post(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(backups.restore_as_volume(self.ctx, id, **self.body(RestoreVolume)), VolumeShape, status=202)


class RestoreOverView(VolumeShell):
    @operation(
        "backups_restore_over",
        "Make a volume what the disk was; if that fails, the volume is as before",
        answer=VolumeShape,
        status=202,
        body=RestoreOver,
        example={"volume_id": _ID},
    )
    def post(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(backups.restore_over(self.ctx, id, **self.body(RestoreOver)), VolumeShape, status=202)


class RestoreInstanceView(InstanceShell):
    @operation(
        "backups_restore_instance",
        "A new instance, as the old one was",
        answer=InstanceShape,
        status=202,
        body=RestoreInstance,
        example={"name": "again"},
    )
    def post(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(backups.restore_as_instance(self.ctx, id, **self.body(RestoreInstance)), InstanceShape, status=202)


class ScheduleQuery(PageQuery):
    q = serializers.CharField(max_length=100, default="", allow_blank=True, help_text="In the name.")
    volume_id = serializers.UUIDField(default=None, allow_null=True)
    instance_id = serializers.UUIDField(default=None, allow_null=True)


def _keep(default: int) -> dict[str, int]:
    return {"default": default, "min_value": 0, "max_value": backup_schedules.KEPT_MAX}


class ScheduleCreate(Input):
    name = Text(max_length=64)
    vault_id = Id()
    volume_id = Id(allow_null=True, default=None, help_text="Of this volume,")
    instance_id = Id(allow_null=True, default=None, help_text="of all disks of this instance,")
    tag = Text(default="", allow_blank=True, max_length=64, help_text="or of every instance with this tag, as key or key:value.")
    every = serializers.ChoiceField(render.EVERY, default="day")
    minute = Whole(default=0, max_value=59)
    hour = Whole(default=3, max_value=23, help_text="UTC.")
    weekday = Whole(default=0, max_value=6, help_text="0 is Monday.")
    day = Whole(default=1, min_value=1, max_value=31)
    keep_last = Whole(default=3, min_value=1, max_value=backup_schedules.KEPT_MAX)
    keep_hourly = Whole(**_keep(0))
    keep_daily = Whole(**_keep(7))
    keep_weekly = Whole(**_keep(4))
    keep_monthly = Whole(**_keep(6))
    is_verified = Flag(default=False, help_text="Try each when it is made.")


class ScheduleChange(Input):
    name = Text(required=False, max_length=64)
    is_active = Flag(required=False)
    every = serializers.ChoiceField(render.EVERY, required=False)
    minute = Whole(required=False, max_value=59)
    hour = Whole(required=False, max_value=23)
    weekday = Whole(required=False, max_value=6)
    day = Whole(required=False, min_value=1, max_value=31)
    keep_last = Whole(required=False, min_value=1, max_value=backup_schedules.KEPT_MAX)
    keep_hourly = Whole(required=False, max_value=backup_schedules.KEPT_MAX)
    keep_daily = Whole(required=False, max_value=backup_schedules.KEPT_MAX)
    keep_weekly = Whole(required=False, max_value=backup_schedules.KEPT_MAX)
    keep_monthly = Whole(required=False, max_value=backup_schedules.KEPT_MAX)
    is_verified = Flag(required=False)


class SchedulesView(BackupShell):
    @listing("backup_schedules_list", "Backups that are made without being asked for", of=render.BackupScheduleShape, query=ScheduleQuery)
    def get(self, request: Request, project: str) -> Response:
        query = self.query(ScheduleQuery)
        wanted = {key: query[key] for key in ("q", "volume_id", "instance_id")}
        return self.list_page(backup_schedules.list(self.ctx, **wanted), render.BackupScheduleShape, query)

    @operation(
        "backup_schedules_create",
        "Backups from the next time on, and how many are kept",
        answer=render.BackupScheduleShape,
        status=201,
        body=ScheduleCreate,
        example={"name": "nightly", "vault_id": _ID, "volume_id": _ID},
        creates=True,
    )
    @idempotent
    def post(self, request: Request, project: str) -> Response:
        body = self.body(ScheduleCreate)
        target = {key: body.pop(key) for key in ("name", "vault_id", "volume_id", "instance_id", "tag")}
        row = backup_schedules.create(self.ctx, **target, spec=backup_schedules.Spec(**body))
        return self.show(row, render.BackupScheduleShape, status=201, location=f"{request.path}/{row.id}")


class ScheduleView(BackupShell):
    @operation("backup_schedules_get", "One schedule", answer=render.BackupScheduleShape)
    def get(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(backup_schedules.get(self.ctx, id), render.BackupScheduleShape)

    @operation(
        "backup_schedules_update",
        "Change when and how many, switch off and on",
        answer=render.BackupScheduleShape,
        body=ScheduleChange,
        example={"keep_daily": 14},
    )
    def patch(self, request: Request, project: str, id: UUID) -> Response:
        body = self.body(ScheduleChange)
        name, is_active = body.pop("name", None), body.pop("is_active", None)
        row = backup_schedules.update(self.ctx, id, name=name, is_active=is_active, changes=body)
        return self.show(row, render.BackupScheduleShape)

    @operation("backup_schedules_delete", "Make no more; the backups stay", status=204)
    def delete(self, request: Request, project: str, id: UUID) -> Response:
        backup_schedules.delete(self.ctx, id)
        return Response(status=204)


class RunScheduleView(BackupShell):
    @operation("backup_schedules_run", "Make its backups now, out of turn", answer=BackupsShape, status=202)
    def post(self, request: Request, project: str, id: UUID) -> Response:
        self.body(Input)
        rows = backup_schedules.run_now(self.ctx, id)
        return Response(BackupsShape({"items": rows}, context={"request": request, "ctx": self.ctx}).data, status=202)
