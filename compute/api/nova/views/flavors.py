"""Flavors: the sizes on offer."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from cloudbox.common.errors import Invalid, NotFound, NotSupported
from cloudbox.common.fields import Fields, body_of
from compute import flavors as verbs
from compute.api.nova import render
from compute.api.nova.errors import nova, service
from compute.api.openstack import reading
from compute.api.openstack.service import Caller, answer, nothing
from compute.models import Flavor

LIMIT_MAX = 1000
COLUMNS = {
    "flavorid": "id", "id": "id", "name": "name", "memory_mb": "memory_mib", "vcpus": "vcpus", "root_gb": "disk_gib",
    "created_at": "created_at", "updated_at": "created_at", "is_public": "is_public", "disabled": "is_active", "swap": "id",
    "ephemeral_gb": "id", "rxtx_factor": "id", "vcpu_weight": "id", "deleted": "id", "deleted_at": "id", "description": "name",
}  # fmt: skip


def _find(caller: Caller, id: str) -> Flavor:
    row = verbs.list(caller.ctx).filter(id=reading.need_id(id, "flavor")).first()
    if row is None:
        raise NotFound(f"There is no flavor {id}.")
    return row


def _rows(request: HttpRequest, caller: Caller, path: str, shape: Any) -> HttpResponse:
    rows = verbs.list(caller.ctx)
    if "is_public" in request.GET and request.GET["is_public"].lower() != "none":
        rows = rows.filter(is_public=bool(reading.flag(request, "is_public")))
    for name, column in {"minDisk": "disk_gib__gte", "minRam": "memory_mib__gte"}.items():
        least = reading.number(request, name)
        rows = rows.filter(**{column: least}) if least is not None else rows
    rows = reading.order(rows, COLUMNS, reading.sort_pairs(request, default_direction="asc"), default=["sort", "memory_mib"])
    found, full = reading.page(request, rows, limit_max=LIMIT_MAX)
    body: dict[str, Any] = {"flavors": [shape(request, caller, row) for row in found]}
    if full and "limit" in request.GET:
        href = reading.next_address(request, service.address(request, *path.split("/")), found[-1].id)
        body["flavors_links"] = [{"rel": "next", "href": href}]
    return answer(body)


def _list(request: HttpRequest, caller: Caller) -> HttpResponse:
    return _rows(request, caller, "flavors", render.flavor_brief)


def _detail(request: HttpRequest, caller: Caller) -> HttpResponse:
    return _rows(request, caller, "flavors/detail", render.flavor)


def _show(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    return answer({"flavor": render.flavor(request, caller, _find(caller, id))})


def _create(request: HttpRequest, caller: Caller) -> HttpResponse:
    caller.ctx.require("flavors.manage")
    asked = body_of(request).needed_object("flavor")
    if asked.text("id") not in (None, "", "auto"):
        raise Invalid("Flavors get their id here. Leave id out, or say auto.", field="id")
    if any(_number(asked, name) for name in ("swap", "OS-FLV-EXT-DATA:ephemeral")):
        raise NotSupported("Flavors have no swap and no ephemeral disk here. Attach a volume.")
    if asked.flag("os-flavor-access:is_public") is False:
        raise NotSupported("Flavors are for every project here.")
    made = verbs.create(
        caller.ctx,
        name=asked.needed_text("name"),
        vcpus=_number(asked, "vcpus"),
        memory_mib=_number(asked, "ram"),
        disk_gib=_number(asked, "disk"),
    )
    return answer({"flavor": render.flavor(request, caller, made)})


def _number(asked: Fields, name: str) -> int:
    value = asked.values.get(name, 0)
    text = str(value)
    if isinstance(value, bool) or not isinstance(value, int | str) or not (text.isascii() and text.isdigit()) or len(text) > 9:
        if value in ("", None):
            return 0
        raise Invalid(f"flavor.{name} is a number from 0 up.", field=name)
    return int(text)


def _delete(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    """No longer on offer; servers that have it keep it."""
    caller.ctx.require("flavors.manage")
    verbs.retire(caller.ctx, _find(caller, id).id)
    return nothing(202)


def _extra_specs(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    _find(caller, id)
    return answer({"extra_specs": {}})


def _access(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    _find(caller, id)
    raise NotFound("Every project has access to this flavor: it is public.")


flavors = nova.view(GET=_list, POST=_create)
detail = nova.view(GET=_detail)
flavor = nova.view(GET=_show, DELETE=_delete)
extra_specs = nova.view(GET=_extra_specs)
access = nova.view(GET=_access)
