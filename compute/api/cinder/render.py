"""What things look like in Cinder's JSON, by microversion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest

from compute.api.cinder.errors import service
from compute.api.openstack import disks
from compute.api.openstack.service import Caller
from compute.api.openstack.times import bare
from compute.models import Backup, Image, Snapshot, Volume, VolumeTransfer, VolumeType

Shape = dict[str, Any]
ZONE = "nova"
_V = Volume.Status
STATUSES: dict[str, str] = {
    _V.CREATING: "creating",
    _V.AVAILABLE: "available",
    _V.ATTACHING: "attaching",
    _V.ATTACHED: "in-use",
    _V.DETACHING: "detaching",
    _V.GROWING: "extending",
    _V.RESTORING: "reverting",
    _V.RETYPING: "retyping",
    _V.OFFERED: "awaiting-transfer",
    _V.DELETING: "deleting",
    _V.DELETED: "deleted",
    _V.ERROR: "error",
}
SNAPSHOT_STATUSES: dict[str, str] = {"creating": "creating", "ready": "available", "deleting": "deleting", "error": "error"}
BACKUP_STATUSES: dict[str, str] = SNAPSHOT_STATUSES
MIB = 2**20


def links_of(request: HttpRequest, caller: Caller, *parts: object) -> list[dict[str, str]]:
    path = "/".join(str(part) for part in parts)
    here = service.address(request, caller.ctx.project_id.hex, path)
    return [{"rel": "self", "href": here}, {"rel": "bookmark", "href": here.replace("/volume/v3/", "/volume/")}]


def host() -> str:
    """As Cinder writes where a volume lies: host@backend#pool."""
    return f"{settings.BOX_NAME or 'box'}@qcow2#qcow2"


def brief(request: HttpRequest, caller: Caller, row: Volume) -> Shape:
    return {"id": str(row.id), "name": row.name, "links": links_of(request, caller, "volumes", row.id)}


def volumes(request: HttpRequest, caller: Caller, rows: Sequence[Volume]) -> list[Shape]:
    devices = disks.devices(rows)
    return [_volume(request, caller, row, devices) for row in rows]


def volume(request: HttpRequest, caller: Caller, row: Volume) -> Shape:
    return volumes(request, caller, [row])[0]


def made(request: HttpRequest, caller: Caller, row: Volume) -> Shape:
    """As the answers to creating and changing one have it: without what only details tell."""
    shape = volume(request, caller, row)
    return {name: value for name, value in shape.items() if not name.startswith("os-vol-") and name != "volume_image_metadata"}


def _volume(request: HttpRequest, caller: Caller, row: Volume, devices: dict[UUID, str]) -> Shape:
    shape: Shape = brief(request, caller, row) | {
        "status": STATUSES[row.status],
        "size": row.size_gib,
        "description": row.description or None,
        "attachments": [_attached(row, devices)] if row.instance_id and row.status in (_V.ATTACHED, _V.DETACHING, _V.GROWING) else [],
        "availability_zone": ZONE,
        "created_at": bare(row.created_at),
        "updated_at": bare(row.changed_at),
        "volume_type": row.type.name,
        "snapshot_id": _text(row.source_snapshot_id),
        "source_volid": _text(row.source_volume_id),
        "metadata": row.metadata | ({} if row.attaches_read_only is None else {"readonly": str(row.attaches_read_only)}),
        "bootable": "true" if row.boots else "false",
        "encrypted": False,
        "multiattach": False,
        "replication_status": None,
        "consistencygroup_id": None,
        "migration_status": None,
        "user_id": row.user_id.hex if row.user_id else UUID(int=0).hex,
        "os-vol-tenant-attr:tenant_id": row.project_id.hex,
    }
    if row.image is not None:
        shape["volume_image_metadata"] = image_metadata(row.image)
    is_admin = caller.ctx.may("box.look")
    if is_admin:
        shape |= {"os-vol-host-attr:host": host(), "os-vol-mig-status-attr:migstat": None, "os-vol-mig-status-attr:name_id": None}
    for since, more in _SINCE:
        if caller.minor >= since:
            shape |= more
    if caller.minor >= 21 and is_admin:
        shape["provider_id"] = None
    if caller.minor >= 61 and is_admin:
        shape["cluster_name"] = None
    if caller.minor >= 63:
        shape["volume_type_id"] = str(row.type_id)
    return shape


_SINCE: tuple[tuple[int, Shape], ...] = (
    (13, {"group_id": None}),
    (48, {"shared_targets": False, "service_uuid": None}),
    (65, {"consumes_quota": True}),
)


def _text(id: UUID | None) -> str | None:
    return None if id is None else str(id)


def _attached(row: Volume, devices: dict[UUID, str]) -> Shape:
    return {
        "id": str(row.id),
        "attachment_id": str(row.id),
        "volume_id": str(row.id),
        "server_id": _text(row.instance_id),
        "host_name": None,
        "device": devices[row.id],
        "attached_at": bare(row.attached_at),
    }


def image_metadata(image: Image) -> dict[str, str]:
    """Of the image that the volume was made from: all text, as Cinder has it."""
    facts = {
        "image_id": image.id, "image_name": image.name, "container_format": "bare", "disk_format": "qcow2", "min_disk": image.min_disk_gib,
        "min_ram": image.min_memory_mib, "size": image.size_bytes,
    }  # fmt: skip
    return {name: str(value) for name, value in facts.items()}


def snapshot(caller: Caller, row: Snapshot, *, detail: bool = True) -> Shape:
    shape: Shape = {
        "id": str(row.id),
        "name": row.name,
        "description": row.description or None,
        "volume_id": str(row.volume_id),
        "status": SNAPSHOT_STATUSES.get(row.status, "deleted"),
        "size": row.size_gib,
        "created_at": bare(row.created_at),
        "updated_at": bare(row.taken_at or row.created_at),
        "metadata": row.metadata,
    }
    if detail:
        progress = "100%" if row.status == Snapshot.Status.READY else "0%"
        shape |= {"os-extended-snapshot-attributes:progress": progress, "os-extended-snapshot-attributes:project_id": row.project_id.hex}
    if caller.minor >= 41:
        shape["user_id"] = row.user_id.hex if row.user_id else UUID(int=0).hex
    if caller.minor >= 65:
        shape["consumes_quota"] = True
    if caller.minor >= 14:
        shape["group_snapshot_id"] = None
    return shape


def attachment(row: Volume, *, detail: bool = True) -> Shape:
    status = {_V.ATTACHING: "attaching", _V.DETACHING: "detaching"}.get(_V(row.status), "attached")
    shape: Shape = {"id": str(row.id), "volume_id": str(row.id), "instance": _text(row.instance_id), "status": status}
    if detail:
        mode = "ro" if row.is_read_only else "rw"
        # The box connects its machines to their disks itself: there is nothing that a client could connect to.
        shape |= {"attached_at": bare(row.attached_at), "detached_at": None, "attach_mode": mode, "connection_info": {}}
    return shape


def specs(kind: VolumeType) -> dict[str, str]:
    """A type's limits, in the words of QEMU's QoS specs."""
    found = {}
    if kind.iops_max is not None:
        found["total_iops_sec"] = str(kind.iops_max)
    if kind.mib_per_second_max is not None:
        found["total_bytes_sec"] = str(kind.mib_per_second_max * MIB)
    return found


def type_(caller: Caller, kind: VolumeType, *, made: bool = False) -> Shape:
    shape: Shape = {"id": str(kind.id), "name": kind.name, "description": kind.description or None, "is_public": True}
    shape["os-volume-type-access:is_public"] = True
    if caller.ctx.may("box.look"):
        shape["extra_specs"] = specs(kind)
        if not made:
            shape["qos_specs_id"] = str(kind.id) if specs(kind) else None
    return shape


def qos(kind: VolumeType) -> Shape:
    """The limits of a type, as specs of their own: they have its id."""
    return {"id": str(kind.id), "name": kind.name, "consumer": "front-end", "specs": specs(kind)}


def transfer(request: HttpRequest, caller: Caller, row: VolumeTransfer, *, detail: bool = True) -> Shape:
    shape: Shape = {
        "id": str(row.id),
        "name": row.name or row.volume.name,
        "volume_id": str(row.volume_id),
        "links": links_of(request, caller, "os-volume-transfer", row.id),
    }
    if detail:
        shape["created_at"] = bare(row.created_at)
        if caller.minor >= 57:
            shape |= {"source_project_id": row.project_id.hex, "destination_project_id": None, "accepted": False}
        if caller.minor >= 55:
            shape["no_snapshots"] = False
    return shape


def backup_brief(request: HttpRequest, caller: Caller, row: Backup) -> Shape:
    return {"id": str(row.id), "name": row.name, "links": links_of(request, caller, "backups", row.id)}


def backup(request: HttpRequest, caller: Caller, row: Backup) -> Shape:
    shape = backup_brief(request, caller, row) | {
        "status": BACKUP_STATUSES.get(row.status, "deleted"),
        "volume_id": str(row.disk_id),
        "container": row.vault.name,
        "availability_zone": ZONE,
        "description": row.description or None,
        "size": row.size_gib,
        "object_count": 0,
        "fail_reason": row.error or None,
        "is_incremental": row.is_full is False,
        # Each is complete by itself: any can be deleted.
        "has_dependent_backups": False,
        "snapshot_id": None,
        "created_at": bare(row.created_at),
        "updated_at": bare(row.finished_at or row.created_at),
        "data_timestamp": bare(row.taken_at or row.created_at),
    }
    if caller.minor >= 18 and caller.ctx.may("box.look"):
        shape["os-backup-project-attr:project_id"] = row.project_id.hex
    if caller.minor >= 43:
        shape["metadata"] = {}
    if caller.minor >= 56:
        shape["user_id"] = row.user_id.hex if row.user_id else UUID(int=0).hex
    return shape


def message(request: HttpRequest, caller: Caller, row: Volume) -> Shape:
    """What went wrong with a volume, which is the message's id."""
    shape: Shape = {
        "id": str(row.id),
        "event_id": "VOLUME_VOLUME_001_001",
        "message_level": "ERROR",
        "user_message": row.error,
        "request_id": f"req-{row.id}",
        "resource_type": "VOLUME",
        "resource_uuid": str(row.id),
        "created_at": bare(row.changed_at),
        "guaranteed_until": bare(row.changed_at),
        "links": links_of(request, caller, "messages", row.id),
    }
    return shape
