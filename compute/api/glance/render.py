"""What images look like in Glance's JSON, and the schemas that say so."""

from __future__ import annotations

from typing import Any

from django.db.models import Q

from compute.api.openstack.times import zulu
from compute.models import Image, ImageMember

Shape = dict[str, Any]
IMPORT_METHODS = ("glance-direct", "web-download")
FORMAT, CONTAINER = "qcow2", "bare"
_S = Image.Status
STATUSES: dict[str, str] = {
    _S.READY: "active",
    _S.DEACTIVATED: "deactivated",
    _S.FAILED: "killed",
    _S.DELETED: "deleted",
}


def status(row: Image) -> str:
    """What is queued may have been staged; what is on its way was uploaded, or is brought from elsewhere."""
    if row.status == _S.QUEUED:
        return "uploading" if "upload" in row.source else "queued"
    if row.status == _S.IMPORTING:
        return "importing" if {"url", "bucket"} & row.source.keys() else "saving"
    return STATUSES[row.status]


def by_status(names: list[str]) -> Q:
    """Rows that `status` tells so."""
    elsewhere = Q(source__has_any_keys=["url", "bucket"])
    found = Q(status__in=[ours for ours, theirs in STATUSES.items() if theirs in names])
    for name, rows in (
        ("queued", Q(status=_S.QUEUED) & ~Q(source__has_key="upload")),
        ("uploading", Q(status=_S.QUEUED, source__has_key="upload")),
        ("importing", Q(status=_S.IMPORTING) & elsewhere),
        ("saving", Q(status=_S.IMPORTING) & ~elsewhere),
    ):
        if name in names:
            found |= rows
    return found


def image(row: Image) -> Shape:
    is_there = row.status in (_S.READY, _S.DEACTIVATED)
    # Of what was uploaded, which is what is downloaded; else of the disk that the box made of it.
    upload = row.source.get("upload") if is_there or row.status == _S.IMPORTING else None
    shape: Shape = row.properties | {
        "id": str(row.id),
        "name": row.name,
        "status": status(row),
        "visibility": row.visibility,
        "protected": row.is_protected,
        "owner": row.project_id.hex if row.project_id else None,
        "disk_format": row.source.get("disk_format") or (None if row.status == _S.QUEUED else FORMAT),
        "container_format": CONTAINER,
        "min_disk": row.min_disk_gib,
        "min_ram": row.min_memory_mib,
        "size": upload["size"] if upload else row.size_bytes if is_there else None,
        "virtual_size": row.virtual_bytes if is_there else None,
        # Glance's is MD5, which the box only keeps of what was uploaded.
        "checksum": upload["md5"] if upload else None,
        "os_hash_algo": "sha512" if upload else "sha256" if is_there and row.checksum else None,
        "os_hash_value": upload["sha512"] if upload else row.checksum if is_there and row.checksum else None,
        "os_hidden": False,
        "tags": row.tags,
        "created_at": zulu(row.created_at),
        "updated_at": zulu(row.created_at),
        "self": f"/v2/images/{row.id}",
        "file": f"/v2/images/{row.id}/file",
        "schema": "/v2/schemas/image",
    }
    if is_there:
        shape["stores"] = "box"
    if row.disk_bus != "virtio":
        shape["hw_disk_bus"] = row.disk_bus
    if row.nic_model != "virtio":
        shape["hw_vif_model"] = row.nic_model
    if row.config_drive:
        shape["img_config_drive"] = "mandatory"
    if row.os:
        shape["os_distro"] = row.os
    if row.description:
        shape["description"] = row.description
    return shape


def member(row: ImageMember) -> Shape:
    return {
        "image_id": str(row.image_id),
        "member_id": row.project_id.hex,
        "status": row.status,
        "created_at": zulu(row.created_at),
        "updated_at": zulu(row.changed_at),
        "schema": "/v2/schemas/member",
    }


_TEXT, _MAYBE, _NUMBER = {"type": "string"}, {"type": ["null", "string"]}, {"type": ["null", "integer"]}
_PROPERTIES: Shape = {
    "id": _TEXT, "name": _MAYBE, "status": _TEXT | {"enum": sorted([*STATUSES.values(), "queued", "uploading", "importing", "saving"])},
    "visibility": _TEXT | {"enum": ["public", "community", "shared", "private"]},
    "protected": {"type": "boolean"}, "owner": _MAYBE, "disk_format": _MAYBE, "container_format": _MAYBE, "min_disk": {"type": "integer"},
    "min_ram": {"type": "integer"}, "size": _NUMBER, "virtual_size": _NUMBER, "checksum": _MAYBE, "os_hash_algo": _MAYBE,
    "os_hash_value": _MAYBE, "os_hidden": {"type": "boolean"}, "tags": {"type": "array", "items": _TEXT}, "created_at": _TEXT,
    "updated_at": _TEXT, "self": _TEXT, "file": _TEXT, "schema": _TEXT,
}  # fmt: skip
_IMAGE: Shape = {
    "name": "image",
    "properties": _PROPERTIES,
    "additionalProperties": {"type": "string"},
    "links": [{"rel": "self", "href": "{self}"}, {"rel": "enclosure", "href": "{file}"}, {"rel": "describedby", "href": "{schema}"}],
}


def _many(name: str, one: Shape) -> Shape:
    return {
        "name": name,
        "properties": {name: {"type": "array", "items": one}, "first": _TEXT, "next": _TEXT, "schema": _TEXT},
        "links": [{"rel": "first", "href": "{first}"}, {"rel": "next", "href": "{next}"}, {"rel": "describedby", "href": "{schema}"}],
    }


_MEMBER: Shape = {
    "name": "member",
    "properties": {
        "image_id": _TEXT, "member_id": _TEXT, "status": _TEXT | {"enum": ["pending", "accepted", "rejected"]}, "created_at": _TEXT,
        "updated_at": _TEXT, "schema": _TEXT,
    },
}  # fmt: skip
SCHEMAS: dict[str, Shape] = {
    "image": _IMAGE,
    "images": _many("images", _IMAGE),
    "member": _MEMBER,
    "members": _many("members", _MEMBER),
}
