"""Images: list, show, rename, take out of use, delete."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest, HttpResponse

from cloudbox.common.errors import Invalid, NotFound, NotSupported
from compute import image_members
from compute import images as verbs
from compute.api.glance import render
from compute.api.glance.errors import UnsupportedMediaType, glance
from compute.api.openstack import reading
from compute.api.openstack.service import Caller, answer, nothing
from compute.models import Image, ImageMember
from identity.api.keystone import links
from identity.api.keystone.methods import id_of

LIMIT_DEFAULT, LIMIT_MAX = 25, 1000
PATCH_TYPES = ("application/openstack-images-v2.1-json-patch", "application/openstack-images-v2.0-json-patch")
COLUMNS = {
    "name": "name", "status": "status", "created_at": "created_at", "updated_at": "created_at", "id": "id", "size": "size_bytes",
    "disk_format": "id", "container_format": "id",
}  # fmt: skip
_VERSIONS = ("v2.16", "v2.15", "v2.13", "v2.12", "v2.11", "v2.10", "v2.9", "v2.7", "v2.6", "v2.5", "v2.4", "v2.3", "v2.2", "v2.1", "v2.0")


def _versions(request: HttpRequest) -> HttpResponse:
    href = [{"rel": "self", "href": f"{links.site(request)}/image/v2/"}]
    rows = [{"id": id, "status": "CURRENT" if id == _VERSIONS[0] else "SUPPORTED", "links": href} for id in _VERSIONS]
    return answer({"versions": rows}, status=200 if request.path.rstrip("/").endswith("versions") else 300)


def _list(request: HttpRequest, caller: Caller) -> HttpResponse:
    status, visibility = request.GET.get("member_status", "accepted"), request.GET.get("visibility", "")
    if status not in ("all", "accepted", *ImageMember.Status.values):
        raise Invalid("member_status is pending, accepted, rejected or all.", field="member_status")
    rows = verbs.list(caller.ctx, visibility="" if visibility == "all" else visibility[:16])
    if status in ("pending", "rejected"):
        rows = verbs.offered(caller.ctx, status)
    if name := request.GET.get("name"):
        rows = rows.filter(name=name)
    if request.GET.get("protected", "").lower() in ("true", "false"):
        rows = rows.filter(is_protected=request.GET["protected"].lower() == "true")
    if text := request.GET.get("status"):
        wanted = text.removeprefix("in:").split(",")
        rows = rows.filter(status__in=[ours for ours, theirs in render.STATUSES.items() if theirs in wanted])
    if text := request.GET.get("id"):
        rows = rows.filter(id__in=[id for each in text.removeprefix("in:").split(",") if (id := reading.id_of(each))])
    if text := request.GET.get("owner"):
        owner = id_of(text)
        rows = rows.filter(project_id=owner) if owner else rows.none()
    for name, column in {"size_min": "size_bytes__gte", "size_max": "size_bytes__lte"}.items():
        if (size := _size(request, name)) is not None:
            rows = rows.filter(**{column: size})
    for name, value in {"disk_format": "qcow2", "container_format": "bare", "os_hidden": "false"}.items():
        if name in request.GET and value not in request.GET[name].lower().removeprefix("in:").split(","):
            rows = rows.none()
    if "tag" in request.GET:
        rows = rows.none()
    rows = reading.order(rows, COLUMNS, reading.sort_pairs(request), default=["-created_at"])
    limited = request.GET.get("limit") is not None
    found, full = reading.page(request, rows, limit_max=LIMIT_MAX)
    if not limited and len(found) > LIMIT_DEFAULT:
        found, full = found[:LIMIT_DEFAULT], True
    shape: dict[str, Any] = {"images": [render.image(row) for row in found], "first": _first(request), "schema": "/v2/schemas/images"}
    if full and (limited or len(found) == LIMIT_DEFAULT):
        shape["next"] = reading.next_address(request, "/v2/images", found[-1].id)
    return answer(shape)


def _size(request: HttpRequest, name: str) -> int | None:
    text = request.GET.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Invalid(f"{name} is a number from 0 up.", field=name)
    return int(text)


def _first(request: HttpRequest) -> str:
    query = request.GET.copy()
    query.pop("marker", None)
    return f"/v2/images?{query.urlencode()}" if query else "/v2/images"


def _find(caller: Caller, id: str) -> Image:
    return verbs.get(caller.ctx, reading.need_id(id, "image"))


def _show(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    return answer(render.image(_find(caller, id)))


def _update(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    """A JSON patch (RFC 6902 in Glance's dress)."""
    if request.content_type not in PATCH_TYPES:
        raise UnsupportedMediaType(f"The body must be {PATCH_TYPES[0]}.")
    row = _find(caller, id)
    caller.ctx.require("images.catalogue" if row.project_id is None else "images.manage")
    try:
        changes = json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise Invalid("The body must be JSON.") from error
    if not isinstance(changes, list) or not all(isinstance(each, dict) for each in changes):
        raise Invalid("The body must be a list of changes.")
    for change in changes:
        path, value = change.get("path"), change.get("value")
        if change.get("op") not in ("add", "replace", "remove") or not isinstance(path, str):
            raise Invalid("A change has op (add, replace or remove), path and value.")
        if path != "/name" or change["op"] == "remove":
            raise NotSupported(f"Of images only the name is changed here, not {path[:64]}.")
        if not isinstance(value, str):
            raise Invalid("name must be text.", field="name")
        row = verbs.rename(caller.ctx, row.id, value)
    return answer(render.image(row))


def _delete(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    verbs.delete(caller.ctx, _find(caller, id).id)
    return nothing()


def _switch(verb: Any) -> Any:
    def do(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
        verb(caller.ctx, _find(caller, id).id)
        return nothing()

    return do


def _create(request: HttpRequest, caller: Caller) -> HttpResponse:
    caller.ctx.require("images.manage")
    raise NotSupported("Images are not uploaded by this API yet. Ask the administrator of the box to register them.")


def _members(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    rows = image_members.list(caller.ctx, _find(caller, id).id)
    return answer({"members": [render.member(row) for row in rows], "schema": "/v2/schemas/members"})


def _schema(request: HttpRequest, caller: Caller, name: str) -> HttpResponse:
    if name not in render.SCHEMAS:
        raise NotFound(f"There is no schema {name[:64]}.")
    return answer(render.SCHEMAS[name])


versions = glance.open(GET=_versions)
images = glance.view(GET=_list, POST=_create)
image = glance.view(GET=_show, PATCH=_update, DELETE=_delete)
deactivate = glance.view(POST=_switch(verbs.deactivate))
reactivate = glance.view(POST=_switch(verbs.reactivate))
members = glance.view(GET=_members)
schema = glance.view(GET=_schema)
