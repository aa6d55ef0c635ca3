"""What images look like in Glance's JSON, and the schemas that say so."""

from __future__ import annotations

from typing import Any

from compute.api.openstack.times import zulu
from compute.models import Image, ImageMember

Shape = dict[str, Any]
STATUSES = {"queued": "queued", "ready": "active", "deactivated": "deactivated", "failed": "killed", "deleted": "deleted"}


def image(row: Image) -> Shape:
    is_there = row.status in (Image.Status.READY, Image.Status.DEACTIVATED)
    shape: Shape = {
        "id": str(row.id),
        "name": row.name,
        "status": STATUSES.get(row.status, "importing"),
        "visibility": row.visibility,
        "protected": row.is_protected,
        "owner": row.project_id.hex if row.project_id else None,
        "disk_format": "qcow2",
        "container_format": "bare",
        "min_disk": row.min_disk_gib,
        "min_ram": row.min_memory_mib,
        "size": row.size_bytes if is_there else None,
        "virtual_size": row.virtual_bytes if is_there else None,
        # Glance's is MD5, which is not kept: the digest is in os_hash_value.
        "checksum": None,
        "os_hash_algo": "sha256" if is_there and row.checksum else None,
        "os_hash_value": row.checksum if is_there and row.checksum else None,
        "os_hidden": False,
        "tags": [],
        "created_at": zulu(row.created_at),
        "updated_at": zulu(row.created_at),
        "self": f"/v2/images/{row.id}",
        "file": f"/v2/images/{row.id}/file",
        "schema": "/v2/schemas/image",
    }
    if row.disk_bus != "virtio":
        shape["hw_disk_bus"] = row.disk_bus
    if row.nic_model != "virtio":
        shape["hw_vif_model"] = row.nic_model
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
    "id": _TEXT, "name": _MAYBE, "status": _TEXT | {"enum": sorted(STATUSES.values())},
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


SCHEMAS: dict[str, Shape] = {"image": _IMAGE, "images": _many("images", _IMAGE)}
