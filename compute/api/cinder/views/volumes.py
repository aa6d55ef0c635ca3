"""Volumes: create, list, show, change, delete, and what is done to them."""

from __future__ import annotations

import ast
import secrets
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db.models import Count, Q, QuerySet, Sum
from django.http import HttpRequest, HttpResponse

from cloudbox.common.errors import Invalid, NotFound, NotSupported
from cloudbox.common.fields import Fields, body_of
from compute import image_uploads, instances, snapshots, volume_types
from compute import volumes as verbs
from compute.api.cinder import render
from compute.api.cinder.errors import service, view
from compute.api.openstack import reading
from compute.api.openstack.errors import named_in_body
from compute.api.openstack.service import Caller, answer, nothing
from compute.api.openstack.times import bare
from compute.models import Volume
from identity.api.keystone.methods import id_of as any_id

LIMIT_MAX = 1000
COLUMNS = {
    "id": "id", "name": "name", "display_name": "name", "status": "status", "size": "size_gib", "created_at": "created_at",
    "updated_at": "changed_at", "availability_zone": "id", "bootable": "image_id", "host": "id", "project_id": "project_id",
}  # fmt: skip
_BY_STATUS = {theirs: ours for ours, theirs in render.STATUSES.items()}
S = Volume.Status


def find(caller: Caller, id: str) -> Volume:
    found = reading.need_id(id, "volume")
    if caller.ctx.may("box.look"):
        row = verbs.list(caller.ctx, all_projects=True).filter(id=found).first()
        if row is not None:
            return row
    return verbs.get(caller.ctx, found)


def named(asked: Fields, noun: str) -> tuple[str, str]:
    """Name and description; `display_…` are older words for them. What has no name gets one: here everything is called something."""
    name = asked.text("name", length_max=255) or asked.text("display_name", length_max=255) or f"{noun}-{secrets.token_hex(4)}"
    return name, asked.text("description", length_max=255) or asked.text("display_description", length_max=255) or ""


def changes_of(asked: Fields) -> dict[str, Any]:
    """What a PUT says of name, description and metadata."""
    changes: dict[str, Any] = {}
    for name, key in (("display_name", "name"), ("name", "name"), ("display_description", "description"), ("description", "description")):
        if name in asked.values:
            changes[key] = asked.text(name, length_max=255) or ""
    if changes.get("name") == "":
        del changes["name"]
    if "metadata" in asked:
        changes["metadata"] = instances.clean_metadata(asked.needed_object("metadata").values)
    if not changes:
        raise Invalid("Say what is to change: name, description or metadata.")
    return changes


def filtered_by_words(request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
    """By name, as often as it is said, and by pairs of metadata, which clients write as Python does."""
    for word, column in {"name": "name", "display_name": "name", "name~": "name__icontains", "display_name~": "name__icontains"}.items():
        if word in request.GET:
            rows = rows.filter(**{column: request.GET[word]})
    if text := request.GET.get("metadata"):
        try:
            pairs = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            raise Invalid("metadata is pairs in braces: {'key': 'value'}.", field="metadata") from error
        if not isinstance(pairs, dict) or not all(isinstance(each, str) for pair in pairs.items() for each in pair):
            raise Invalid("metadata is pairs of text.", field="metadata")
        rows = rows.filter(metadata__contains=instances.clean_metadata(pairs))
    return rows


def page_of(
    request: HttpRequest, caller: Caller, rows: QuerySet[Any], columns: dict[str, str], name: str, path: str
) -> tuple[list[Any], dict[str, Any]]:
    """A page, and what goes beside it: the address of the next one, and since 3.45 how many there are."""
    rows = reading.order(rows, columns, reading.sort_pairs(request), default=["-created_at"])
    found, full = reading.page(request, rows, limit_max=LIMIT_MAX)
    beside: dict[str, Any] = {}
    if full and "limit" in request.GET:
        address = service.address(request, caller.ctx.project_id.hex, path)
        beside[f"{name}_links"] = [{"rel": "next", "href": reading.next_address(request, address, found[-1].id)}]
    if caller.minor >= 45 and reading.flag(request, "with_count"):
        beside["count"] = rows.count()
    return found, beside


def _rows(request: HttpRequest, caller: Caller) -> QuerySet[Volume]:
    rows = verbs.list(caller.ctx, all_projects=bool(reading.flag(request, "all_tenants")) and caller.ctx.may("box.look"))
    rows = filtered_by_words(request, rows)
    if text := request.GET.get("status"):
        rows = rows.filter(status__in=[_BY_STATUS[each] for each in text.lower().split(",") if each in _BY_STATUS])
    if "bootable" in request.GET:
        boots = Q(is_bootable=True) | Q(is_bootable=None, image__isnull=False)
        rows = rows.filter(boots) if reading.flag(request, "bootable") else rows.exclude(boots)
    for name, column in {"id": "id", "project_id": "project_id", "user_id": "user_id", "snapshot_id": "source_snapshot_id"}.items():
        if name in request.GET:
            id = any_id(request.GET[name]) or reading.id_of(request.GET[name])
            rows = rows.filter(**{column: id}) if id else rows.none()
    for name, value in {"availability_zone": render.ZONE, "encrypted": "false", "multiattach": "false"}.items():
        if name in request.GET and request.GET[name].lower() != value:
            rows = rows.none()
    if "volume_type" in request.GET:
        rows = rows.filter(type__name=request.GET["volume_type"])
    if (size := reading.number(request, "size")) is not None:
        rows = rows.filter(size_gib=size)
    return rows


def _list(request: HttpRequest, caller: Caller) -> HttpResponse:
    found, beside = page_of(request, caller, _rows(request, caller), COLUMNS, "volumes", "volumes")
    return answer({"volumes": [render.brief(request, caller, row) for row in found]} | beside)


def _detail(request: HttpRequest, caller: Caller) -> HttpResponse:
    found, beside = page_of(request, caller, _rows(request, caller), COLUMNS, "volumes", "volumes/detail")
    return answer({"volumes": render.volumes(request, caller, found)} | beside)


def _summary(request: HttpRequest, caller: Caller) -> HttpResponse:
    caller.since(12)
    rows = _rows(request, caller)
    total = rows.order_by().aggregate(n=Count("id"), gib=Sum("size_gib"))
    shape: dict[str, Any] = {"total_size": total["gib"] or 0, "total_count": total["n"]}
    if caller.minor >= 36:
        pairs: dict[str, list[str]] = {}
        for metadata in rows.values_list("metadata", flat=True):
            for key, value in metadata.items():
                if value not in pairs.setdefault(key, []):
                    pairs[key].append(value)
        shape["metadata"] = pairs
    return answer({"volume-summary": shape})


def _show(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    return answer({"volume": render.volume(request, caller, find(caller, id))})


def _create(request: HttpRequest, caller: Caller) -> HttpResponse:
    asked = body_of(request).needed_object("volume")
    if asked.values.get("multiattach") not in (None, False, "false", "False"):
        raise NotSupported("A volume is attached to one server at a time here.")
    zone = asked.text("availability_zone")
    if zone not in (None, "", render.ZONE):
        raise Invalid(f"There is no availability zone {zone[:64] if zone else ''}. There is one, {render.ZONE}.", field="availability_zone")
    for name in ("consistencygroup_id", "group_id", "cgsnapshot_id"):
        if asked.values.get(name):
            raise NotSupported("There are no groups of volumes here.")
    name, description = named(asked, "volume")
    size = reading.number_of(asked, "size")
    image = asked.text("imageRef") or asked.text("image_id")
    image_id = reading.id_of(image.rsplit("/", 1)[-1]) if image else None
    if image and image_id is None:
        raise Invalid(f"There is no image {image[:64]}.", field="imageRef")
    type_id = _type(caller, asked, "volume_type")
    metadata = instances.clean_metadata(asked.needed_object("metadata").values) if "metadata" in asked else None
    if caller.minor >= 47 and (backup := asked.uuid("backup_id")) is not None:
        from compute import backups

        made = backups.restore_as_volume(caller.ctx, backup, name=name, size_gib=size, type_id=type_id, shares_name=True)
        return answer({"volume": render.made(request, caller, made)}, status=202)
    source: dict[str, Any] = {
        "volume_id": _source(asked, "source_volid", "volume"),
        "snapshot_id": _source(asked, "snapshot_id", "snapshot"),
    }
    more: dict[str, Any] = {"name": name, "description": description, "size_gib": size, "type_id": type_id, "metadata": metadata}
    if image_id is not None:
        with named_in_body():
            row = verbs.create(caller.ctx, image_id=image_id, shares_name=True, **source, **more)
    else:
        row = verbs.create(caller.ctx, shares_name=True, **source, **more)
    return answer({"volume": render.made(request, caller, verbs.get(caller.ctx, row.id))}, status=202)


def _source(asked: Fields, name: str, noun: str) -> UUID | None:
    text = asked.text(name)
    return reading.need_id(text, noun) if text else None


def _type(caller: Caller, asked: Fields, name: str) -> UUID | None:
    text = asked.text(name)
    if not text:
        return None
    for kind in volume_types.list(caller.ctx):
        if text in (kind.name, str(kind.id), kind.id.hex):
            return kind.id
    raise NotFound(f"There is no volume type {text[:64]}.", field=name)


def _update(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    row = find(caller, id)
    changed = verbs.update(caller.ctx, row.id, **changes_of(body_of(request).needed_object("volume")))
    return answer({"volume": render.made(request, caller, changed)})


def _delete(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    verbs.delete(caller.ctx, find(caller, id).id, with_snapshots=bool(reading.flag(request, "cascade")))
    return nothing(202)


# --- actions

Act = Callable[[HttpRequest, Caller, Volume, Fields], HttpResponse]


def _attach(request: HttpRequest, caller: Caller, row: Volume, asked: Fields) -> HttpResponse:
    server = asked.text("instance_uuid")
    if not server:
        raise Invalid("os-attach.instance_uuid is missing: volumes are attached to servers here.", field="instance_uuid")
    mode = asked.text("mode") or "rw"
    if mode not in ("ro", "rw"):
        raise Invalid("os-attach.mode is ro or rw.", field="mode")
    with named_in_body():
        verbs.attach(caller.ctx, row.id, instance_id=reading.need_id(server, "server"), read_only=mode == "ro")
    return nothing(202)


def _detach(request: HttpRequest, caller: Caller, row: Volume, asked: Fields) -> HttpResponse:
    verbs.detach(caller.ctx, row.id)
    return nothing(202)


def _extend(request: HttpRequest, caller: Caller, row: Volume, asked: Fields) -> HttpResponse:
    size = reading.number_of(asked, "new_size")
    if size is None:
        raise Invalid("os-extend.new_size is missing.", field="new_size")
    if row.status == S.ATTACHED and caller.minor < 42:
        raise Invalid(f"{row.name} is in use. Before version 3.42 only an available volume grows.")
    verbs.grow(caller.ctx, row.id, size_gib=size)
    return nothing(202)


def _retype(request: HttpRequest, caller: Caller, row: Volume, asked: Fields) -> HttpResponse:
    asked.needed_text("new_type")
    kind = _type(caller, asked, "new_type")
    assert kind is not None
    verbs.retype(caller.ctx, row.id, type_id=kind)
    return nothing(202)


def _set_bootable(request: HttpRequest, caller: Caller, row: Volume, asked: Fields) -> HttpResponse:
    verbs.set_bootable(caller.ctx, row.id, is_bootable=_truth(asked, "bootable"))
    return nothing(200)


def _set_read_only(request: HttpRequest, caller: Caller, row: Volume, asked: Fields) -> HttpResponse:
    verbs.set_read_only(caller.ctx, row.id, is_read_only=_truth(asked, "readonly"))
    return nothing(202)


def _truth(asked: Fields, name: str) -> bool:
    value = asked.values.get(name)
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false", "1", "0", "yes", "no"):
        return value.lower() in ("true", "1", "yes")
    raise Invalid(f"{asked.at(name)} is true or false.", field=name)


def _force_delete(request: HttpRequest, caller: Caller, row: Volume, asked: Fields) -> HttpResponse:
    caller.ctx.require("box.look")
    verbs.delete(caller.ctx, row.id, with_snapshots=True)
    return nothing(202)


def _revert(request: HttpRequest, caller: Caller, row: Volume, asked: Fields) -> HttpResponse:
    caller.since(40)
    found = snapshots.get(caller.ctx, reading.need_id(asked.needed_text("snapshot_id"), "snapshot"))
    if found.volume_id != row.id:
        raise Invalid(f"The snapshot {found.name} is not of {row.name}.", field="snapshot_id")
    snapshots.restore(caller.ctx, found.id)
    return nothing(202)


def _upload_image(request: HttpRequest, caller: Caller, row: Volume, asked: Fields) -> HttpResponse:
    """The volume as it is now, as an image; it goes on meanwhile."""
    if row.instance_id is not None and asked.values.get("force") not in (True, "true", "True"):
        raise Invalid(f"{row.name} is in use. Say force to take it as it is.", field="force")
    name = asked.needed_text("image_name", length_max=255)
    visibility = (asked.text("visibility") or "private") if caller.minor >= 1 else "private"
    wanted = asked.text("disk_format", length_max=16) or "qcow2"
    made = image_uploads.of_volume(caller.ctx, row.id, name=name, visibility=visibility, disk_format=wanted)
    shape = {
        "id": str(row.id), "image_id": str(made.id), "image_name": made.name, "status": "uploading", "size": row.size_gib,
        "display_description": row.description or None, "updated_at": bare(row.changed_at), "volume_type": {"name": row.type.name},
        "container_format": "bare", "disk_format": wanted,
    }  # fmt: skip
    if caller.minor >= 1:
        shape |= {"visibility": made.visibility, "protected": made.is_protected}
    return answer({"os-volume_upload_image": shape}, status=202)


def _image_metadata(request: HttpRequest, caller: Caller, row: Volume, asked: Fields) -> HttpResponse:
    return answer({"metadata": render.image_metadata(row.image) if row.image is not None else {}})


def _refused(sentence: str) -> Act:
    def refuse(request: HttpRequest, caller: Caller, row: Volume, asked: Fields) -> HttpResponse:
        caller.ctx.require("volumes.manage")
        raise NotSupported(sentence)

    return refuse


_ONE_HOST = "There is one host here: there is nowhere to move a volume to."
_BY_ITSELF = "Servers are connected to their volumes by the box itself: attach and detach do all of it."
_UNTOUCHED = "What is told of the image that a volume was made from is not changed here. Use the volume's own metadata."
ACTIONS: dict[str, Act] = {
    "os-attach": _attach,
    "os-detach": _detach,
    "os-force_detach": _detach,
    "os-extend": _extend,
    "os-retype": _retype,
    "os-set_bootable": _set_bootable,
    "os-update_readonly_flag": _set_read_only,
    "os-force_delete": _force_delete,
    "os-volume_upload_image": _upload_image,
    "os-show_image_metadata": _image_metadata,
    "revert": _revert,
    "os-reserve": _refused(_BY_ITSELF),
    "os-unreserve": _refused(_BY_ITSELF),
    "os-begin_detaching": _refused(_BY_ITSELF),
    "os-roll_detaching": _refused(_BY_ITSELF),
    "os-initialize_connection": _refused(_BY_ITSELF),
    "os-terminate_connection": _refused(_BY_ITSELF),
    "os-set_image_metadata": _refused(_UNTOUCHED),
    "os-unset_image_metadata": _refused(_UNTOUCHED),
    "os-reset_status": _refused("States follow the volume by themselves."),
    "os-migrate_volume": _refused(_ONE_HOST),
    "os-migrate_volume_completion": _refused(_ONE_HOST),
    "os-unmanage": _refused("A volume that the box keeps is not given up to a file of its host. Delete it, or take a backup."),
    "os-reimage": _refused("A volume is not written over by an image here. Make a new one from the image."),
}


def _act(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    body = body_of(request)
    if len(body.values) != 1:
        raise Invalid("Name one action.")
    (name,) = body.values
    if name not in ACTIONS:
        raise Invalid(f"There is no action {name[:64]}.")
    value = body.values[name]
    if value is not None and not isinstance(value, dict | str):
        raise Invalid(f"{name[:64]} must be an object.", field=name)
    return ACTIONS[name](request, caller, find(caller, id), Fields(value if isinstance(value, dict) else {}, name))


volumes = view(GET=_list, POST=_create)
detail = view(GET=_detail)
summary = view(GET=_summary)
volume = view(GET=_show, PUT=_update, DELETE=_delete)
action = view(POST=_act)
