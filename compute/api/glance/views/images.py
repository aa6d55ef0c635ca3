"""Images: begin, list, show, change, take out of use, delete."""

from __future__ import annotations

import json
import secrets
from typing import Any

from django.db import transaction
from django.db.models import BigIntegerField, F, Q, QuerySet, TextField
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce
from django.http import HttpRequest, HttpResponse

from cloudbox.common.errors import Conflict, Forbidden, Invalid, NotFound, NotSupported
from cloudbox.common.fields import Fields, body_of
from compute import image_uploads
from compute import images as verbs
from compute.api.glance import render
from compute.api.glance.errors import UnsupportedMediaType, glance, service
from compute.api.openstack import reading
from compute.api.openstack.service import Caller, answer, nothing
from compute.models import ConfigDrive, Image, ImageMember
from identity.api.keystone import links
from identity.api.keystone.methods import id_of

LIMIT_DEFAULT, LIMIT_MAX = 25, 1000
PATCH_TYPES = ("application/openstack-images-v2.1-json-patch", "application/openstack-images-v2.0-json-patch")
COLUMNS = {
    "name": "name", "status": "status", "created_at": "created_at", "updated_at": "created_at", "id": "id", "size": "shown_bytes",
    "disk_format": "shown_format", "container_format": "id", "visibility": "visibility", "owner": "project_id",
}  # fmt: skip
_VERSIONS = ("v2.16", "v2.15", "v2.13", "v2.12", "v2.11", "v2.10", "v2.9", "v2.7", "v2.6", "v2.5", "v2.4", "v2.3", "v2.2", "v2.1", "v2.0")
FORMATS = ("ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop")
CONTAINERS = ("ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed")
# Glance's word: the column.
_COLUMNS = {
    "name": "name",
    "visibility": "visibility",
    "protected": "is_protected",
    "min_disk": "min_disk_gib",
    "min_ram": "min_memory_mib",
}
_WORDS = {
    "os_distro": "os",
    "description": "description",
    "hw_disk_bus": "disk_bus",
    "hw_vif_model": "nic_model",
    "img_config_drive": "config_drive",
}
# What the box calls Glance's values, where its words differ.
_VALUES = {"img_config_drive": {"mandatory": ConfigDrive.OPENSTACK.value, "optional": ""}}
_READ_ONLY = frozenset(
    {
        "id", "owner", "status", "size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value", "created_at", "updated_at", "self",
        "file", "schema", "direct_url", "locations", "stores",
    }
)  # fmt: skip


def _value(asked: Fields, name: str) -> str:
    text = asked.needed_text(name)
    known = _VALUES.get(name)
    if known is not None and text not in known:
        raise Invalid(f"{name} is {' or '.join(known)}.", field=name)
    return known[text] if known is not None else text


def _versions(request: HttpRequest) -> HttpResponse:
    href = [{"rel": "self", "href": f"{links.site(request)}/image/v2/"}]
    rows = [{"id": id, "status": "CURRENT" if id == _VERSIONS[0] else "SUPPORTED", "links": href} for id in _VERSIONS]
    return answer({"versions": rows}, status=200 if request.path.rstrip("/").endswith("versions") else 300)


def find(caller: Caller, id: str) -> Image:
    return verbs.get(caller.ctx, reading.need_id(id, "image"))


# --- lists


def _list(request: HttpRequest, caller: Caller) -> HttpResponse:
    rows = reading.order(_rows(request, caller), COLUMNS, reading.sort_pairs(request), default=["-created_at"])
    limited = request.GET.get("limit") is not None
    found, full = reading.page(request, rows, limit_max=LIMIT_MAX)
    if not limited and len(found) > LIMIT_DEFAULT:
        found, full = found[:LIMIT_DEFAULT], True
    shape: dict[str, Any] = {"images": [render.image(row) for row in found], "first": _first(request), "schema": "/v2/schemas/images"}
    if full and (limited or len(found) == LIMIT_DEFAULT):
        shape["next"] = reading.next_address(request, "/v2/images", found[-1].id)
    return answer(shape)


def _rows(request: HttpRequest, caller: Caller) -> QuerySet[Image]:
    asked = request.GET
    status, visibility = asked.get("member_status", "accepted"), asked.get("visibility", "")
    if status not in ("all", "accepted", *ImageMember.Status.values):
        raise Invalid("member_status is pending, accepted, rejected or all.", field="member_status")
    rows = verbs.list(caller.ctx, visibility="" if visibility == "all" else visibility[:16])
    if status in ("pending", "rejected"):
        rows = verbs.offered(caller.ctx, status)
    rows = rows.annotate(
        shown_bytes=Coalesce(Cast(KT("source__upload__size"), BigIntegerField()), F("size_bytes"), output_field=BigIntegerField()),
        shown_format=Coalesce(KT("source__disk_format"), F("format"), output_field=TextField()),
    )
    for name, values in asked.lists():
        rows = _filtered(rows, name, values)
    return rows


def _filtered(rows: QuerySet[Image], name: str, values: list[str]) -> QuerySet[Image]:
    text = values[0]
    many = text.removeprefix("in:").split(",")
    if name in ("limit", "marker", "sort", "sort_key", "sort_dir", "member_status", "visibility", "changes-since"):
        return rows
    if name == "name":
        return rows.filter(name__in=[each.strip('"') for each in many] if text.startswith("in:") else [text])
    if name == "status":
        return rows.filter(render.by_status(many))
    if name == "id":
        return rows.filter(id__in=[id for each in many if (id := reading.id_of(each))])
    if name == "owner":
        owner = id_of(text)
        return rows.filter(project_id=owner) if owner else rows.none()
    if name in ("size", "min_disk", "min_ram"):
        return rows.filter(**{{"size": "shown_bytes"}.get(name) or _COLUMNS[name]: _size(name, text)})
    if name in ("size_min", "size_max"):
        return rows.filter(**{f"shown_bytes__{'gte' if name == 'size_min' else 'lte'}": _size(name, text)})
    if name == "disk_format":
        plain = Q(source__disk_format__isnull=True) if render.FORMAT in many else Q()
        return rows.filter(Q(source__disk_format__in=many) | plain) if plain else rows.filter(source__disk_format__in=many)
    if name == "container_format":
        return rows if render.CONTAINER in many else rows.none()
    if name == "protected":
        return rows.filter(is_protected=text.lower() == "true")
    if name == "os_hidden":
        return rows if text.lower() == "false" else rows.none()
    if name == "tag":
        return rows.filter(tags__contains=values)
    if name in _WORDS:
        if name == "img_config_drive":
            return rows.exclude(config_drive="") if text == "mandatory" else rows.none()
        return rows.filter(**{_WORDS[name]: text})
    return rows.filter(properties__contains={name: text})


def _size(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Invalid(f"{name} is a number from 0 up.", field=name)
    return int(text)


def _first(request: HttpRequest) -> str:
    query = request.GET.copy()
    query.pop("marker", None)
    return f"/v2/images?{query.urlencode()}" if query else "/v2/images"


def _show(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    return answer(render.image(find(caller, id)))


# --- making


def _create(request: HttpRequest, caller: Caller) -> HttpResponse:
    caller.ctx.require("images.manage")
    asked = body_of(request)
    for name in asked.values:
        if name in _READ_ONLY - {"id", "owner"}:
            raise Forbidden(f"{name} is not said by who makes an image: it follows from its bytes.")
    if (owner := asked.text("owner")) and id_of(owner) != caller.ctx.project_id:
        raise Forbidden("An image belongs to the project that it is made in.")
    if asked.flag("os_hidden"):
        raise NotSupported("Images are not hidden here. Deactivate those that nobody is to use.")
    container, disk = _choice(asked, "container_format", CONTAINERS), _choice(asked, "disk_format", FORMATS)
    if container not in ("", render.CONTAINER, "ova", "ovf"):
        raise NotSupported("An image is a bare disk here, or an OVA.")
    known = {
        "id",
        "name",
        "visibility",
        "protected",
        "min_disk",
        "min_ram",
        "tags",
        "owner",
        "os_hidden",
        "disk_format",
        "container_format",
    }
    words: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    for name, value in asked.values.items():
        if name in _WORDS and value is not None:
            words[_WORDS[name]] = _value(asked, name)
        elif name not in known and value is not None:
            properties[name] = value
    id = asked.text("id")
    if id is not None and reading.id_of(id) is None:
        raise Invalid("id is no id.", field="id")
    with transaction.atomic():
        row = image_uploads.begin(
            caller.ctx,
            id=reading.id_of(id) if id else None,
            name=asked.text("name", length_max=255) or f"image-{secrets.token_hex(4)}",
            visibility=asked.text("visibility") or Image.Visibility.SHARED,
            is_protected=asked.flag("protected") or False,
            min_disk_gib=_amount(asked, "min_disk"),
            min_memory_mib=_amount(asked, "min_ram"),
            disk_format=disk,
            tags=asked.texts("tags"),
            properties=image_uploads.clean_properties(properties),
        )
        if words:
            row = verbs.update(caller.ctx, row.id, **words)
    response = answer(render.image(row), status=201)
    response["Location"] = service.address(request, "images", row.id)
    response["OpenStack-image-import-methods"] = ",".join(render.IMPORT_METHODS)
    return response


def _choice(asked: Fields, name: str, choices: tuple[str, ...]) -> str:
    text = asked.text(name) or ""
    if text and text not in choices:
        raise Invalid(f"{name} is one of {', '.join(choices)}.", field=name)
    return text


def _amount(asked: Fields, name: str) -> int:
    value = asked.values.get(name) or 0
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= reading.NUMBER_MAX:
        raise Invalid(f"{name} is a number from 0 up.", field=name)
    return value


# --- changing


def _update(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    """A JSON patch (RFC 6902 in Glance's dress): all of it or nothing."""
    if request.content_type not in PATCH_TYPES:
        raise UnsupportedMediaType(f"The body must be {PATCH_TYPES[0]}.")
    row = find(caller, id)
    caller.ctx.require("images.catalogue" if row.project_id is None else "images.manage")
    try:
        changes = json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise Invalid("The body must be JSON.") from error
    if not isinstance(changes, list) or len(changes) > 200 or not all(isinstance(each, dict) for each in changes):
        raise Invalid("The body must be a list of changes.")
    with transaction.atomic():
        for change in changes:
            row = _change(caller, row, *_read_change(change))
    return answer(render.image(row))


def _read_change(change: dict[str, Any]) -> tuple[str, str, Any]:
    """What is done, to which attribute, and its value. Older clients write the operation as the key of the path."""
    op, path = change.get("op"), change.get("path")
    if op is None:
        op = next((word for word in ("add", "replace", "remove") if word in change), None)
        path = change.get(op) if op else None
    if op not in ("add", "replace", "remove") or not isinstance(path, str) or not path.startswith("/"):
        raise Invalid("A change has op (add, replace or remove), path and value.")
    name = path[1:].replace("~1", "/").replace("~0", "~")
    if path.count("/") > 1 and not name.startswith("tags/"):
        raise Invalid(f"{path[:64]} is no attribute of an image.")
    if op != "remove" and "value" not in change:
        raise Invalid("A change has op (add, replace or remove), path and value.")
    return str(op), name, change.get("value")


def _change(caller: Caller, row: Image, op: str, name: str, value: Any) -> Image:
    if name in _READ_ONLY or (name in ("disk_format", "container_format") and row.status != Image.Status.QUEUED):
        raise Forbidden(f"{name} is not changed: it follows from the image's bytes.")
    asked = Fields({name: value}, "")
    if name == "tags":
        return image_uploads.note(caller.ctx, row.id, tags=[] if op == "remove" else asked.texts("tags"))
    if name in _COLUMNS:
        if op == "remove":
            raise Forbidden(f"Every image has {name}: it is not removed.")
        found: Any = {"protected": asked.flag, "name": asked.needed_text, "visibility": asked.needed_text}.get(name)
        new = found(name) if found is not None else _amount(asked, name)
        if new is None:
            raise Invalid(f"{name} has no value.", field=name)
        fields: dict[str, Any] = {_COLUMNS[name]: new}
        return verbs.update(caller.ctx, row.id, **fields)
    if name == "os_hidden":
        if value is not False:
            raise NotSupported("Images are not hidden here. Deactivate those that nobody is to use.")
        return row
    if name in ("disk_format", "container_format"):
        raise NotSupported(f"Say {name} as the image is made.")
    if name in _WORDS:
        plain = {"disk_bus": "virtio", "nic_model": "virtio"}.get(_WORDS[name], "")
        words: dict[str, Any] = {_WORDS[name]: plain if op == "remove" else _value(asked, name)}
        return verbs.update(caller.ctx, row.id, **words)
    if op != "add" and name not in row.properties:
        raise Conflict(f"The image has no property {name[:64]}.")
    properties = {key: text for key, text in row.properties.items() if key != name}
    if op != "remove":
        properties[name] = value
    return image_uploads.note(caller.ctx, row.id, properties=properties)


def _tag(request: HttpRequest, caller: Caller, id: str, tag: str) -> HttpResponse:
    row = find(caller, id)
    image_uploads.note(caller.ctx, row.id, tags=[*row.tags, tag])
    return nothing()


def _untag(request: HttpRequest, caller: Caller, id: str, tag: str) -> HttpResponse:
    row = find(caller, id)
    caller.ctx.require("images.manage")
    if tag not in row.tags:
        raise NotFound(f"The image has no tag {tag[:64]}.")
    image_uploads.note(caller.ctx, row.id, tags=[each for each in row.tags if each != tag])
    return nothing()


def _delete(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    row = find(caller, id)
    caller.ctx.require("images.catalogue" if row.project_id is None else "images.manage")
    if row.is_protected:
        raise Forbidden(f"{row.name} is protected. Take the protection off first.")
    verbs.delete(caller.ctx, row.id)
    return nothing()


def _switch(verb: Any) -> Any:
    def do(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
        verb(caller.ctx, find(caller, id).id)
        return nothing()

    return do


# --- what there is


def _schema(request: HttpRequest, caller: Caller, name: str) -> HttpResponse:
    if name not in render.SCHEMAS:
        raise NotFound(f"There is no schema {name[:64]}.")
    return answer(render.SCHEMAS[name])


def _stores(request: HttpRequest, caller: Caller) -> HttpResponse:
    return answer({"stores": [{"id": "box", "description": "Files of the box", "default": "true"}]})


def _import_info(request: HttpRequest, caller: Caller) -> HttpResponse:
    value = [*render.IMPORT_METHODS]
    return answer({"import-methods": {"description": "Import methods available.", "type": "array", "value": value}})


versions = glance.open(GET=_versions)
images = glance.view(GET=_list, POST=_create)
image = glance.view(GET=_show, PATCH=_update, DELETE=_delete)
deactivate = glance.view(POST=_switch(verbs.deactivate))
reactivate = glance.view(POST=_switch(verbs.reactivate))
tag = glance.view(PUT=_tag, DELETE=_untag)
schema = glance.view(GET=_schema)
stores = glance.view(GET=_stores)
import_info = glance.view(GET=_import_info)
