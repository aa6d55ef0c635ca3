"""Types of volumes and their limits, which are their extra specs and, to read, their QoS specs."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from cloudbox.common.errors import Invalid, NotFound, NotSupported
from cloudbox.common.fields import Fields, body_of
from compute import volume_types as verbs
from compute.api.cinder import render
from compute.api.cinder.errors import view
from compute.api.openstack import reading
from compute.api.openstack.service import Caller, answer, nothing
from compute.models import VolumeType

LAST = 1000  # The first type on offer is the default: what an API adds does not become it.
_LIMITS = {"total_iops_sec": ("iops_max", 1), "total_bytes_sec": ("mib_per_second_max", render.MIB)}


def _find(caller: Caller, id: str) -> VolumeType:
    if id == "default":
        return verbs.default(caller.ctx)
    found = verbs.list(caller.ctx).filter(id=reading.need_id(id, "volume type")).first()
    if found is None:
        raise NotFound(f"There is no volume type {id}.")
    return found


def _list(request: HttpRequest, caller: Caller) -> HttpResponse:
    rows = verbs.list(caller.ctx)
    if request.GET.get("is_public", "").lower() == "false":
        rows = rows.none()
    if "name" in request.GET:
        rows = rows.filter(name=request.GET["name"])
    columns = {"id": "id", "name": "name", "created_at": "created_at"}
    rows = reading.order(rows, columns, reading.sort_pairs(request), default=["sort", "name"])
    found, _ = reading.page(request, rows, limit_max=1000)
    return answer({"volume_types": [render.type_(caller, kind) for kind in found]})


def _show(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    return answer({"volume_type": render.type_(caller, _find(caller, id))})


def _limits(pairs: dict[str, Any]) -> dict[str, Any]:
    """Extra specs as the box's limits; what it would not obey it does not take."""
    limits: dict[str, Any] = {}
    for key, value in pairs.items():
        if key not in _LIMITS:
            known = ", ".join(_LIMITS)
            raise Invalid(f"The box does nothing by the extra spec {key[:64]!r}, so it is not kept. It knows {known}.", field="extra_specs")
        text = str(value)
        if isinstance(value, bool) or not (text.isascii() and text.isdigit()) or len(text) > 18:
            raise Invalid(f"{key} is a number.", field="extra_specs")
        column, unit = _LIMITS[key]
        if int(text) % unit:
            raise Invalid(f"{key} is a multiple of {unit}: the box counts in MiB.", field="extra_specs")
        limits[column] = int(text) // unit
    return limits


def _public(asked: Fields) -> None:
    for name in ("is_public", "os-volume-type-access:is_public"):
        if asked.flag(name) is False:
            raise NotSupported("Every project sees every type here.")


def _create(request: HttpRequest, caller: Caller) -> HttpResponse:
    caller.ctx.require("volume_types.manage")
    asked = body_of(request).needed_object("volume_type")
    _public(asked)
    specs = asked.object("extra_specs")
    made = verbs.create(
        caller.ctx,
        name=asked.needed_text("name", length_max=255),
        description=asked.text("description") or "",
        sort=LAST,
        **(_limits(specs.values) if specs is not None else {}),
    )
    return answer({"volume_type": render.type_(caller, made, made=True)})


def _update(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller.ctx.require("volume_types.manage")
    kind, asked = _find(caller, id), body_of(request).needed_object("volume_type")
    _public(asked)
    changes = {name: asked.text(name, length_max=255) or "" for name in ("name", "description") if asked.values.get(name) is not None}
    if not changes and "is_public" not in asked:
        raise Invalid("Say what is to change: name or description.")
    shape = render.type_(caller, verbs.update(caller.ctx, kind.id, **changes) if changes else kind, made=True)
    shape.pop("os-volume-type-access:is_public")
    return answer({"volume_type": shape})


def _delete(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    """No longer offered. One that volumes have is not deleted, as in Cinder."""
    caller.ctx.require("volume_types.manage")
    verbs.delete(caller.ctx, _find(caller, id).id)
    return nothing(202)


def _specs(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller.ctx.require("box.look")
    return answer({"extra_specs": render.specs(_find(caller, id))})


def _set_specs(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller.ctx.require("volume_types.manage")
    kind, pairs = _find(caller, id), body_of(request).needed_object("extra_specs").values
    verbs.update(caller.ctx, kind.id, **_limits(pairs))
    return answer({"extra_specs": {key: str(value) for key, value in pairs.items()}})


def _spec(request: HttpRequest, caller: Caller, id: str, key: str) -> HttpResponse:
    caller.ctx.require("box.look")
    found = render.specs(_find(caller, id))
    if key not in found:
        raise NotFound(f"The type has no extra spec {key[:64]}.")
    return answer({key: found[key]})


def _set_spec(request: HttpRequest, caller: Caller, id: str, key: str) -> HttpResponse:
    caller.ctx.require("volume_types.manage")
    kind, pairs = _find(caller, id), body_of(request).values
    if set(pairs) != {key}:
        raise Invalid(f"The body must hold {key[:64]}, and no other key.")
    verbs.update(caller.ctx, kind.id, **_limits(pairs))
    return answer({key: str(pairs[key])})


def _delete_spec(request: HttpRequest, caller: Caller, id: str, key: str) -> HttpResponse:
    caller.ctx.require("volume_types.manage")
    kind = _find(caller, id)
    if key not in render.specs(kind):
        raise NotFound(f"The type has no extra spec {key[:64]}.")
    verbs.update(caller.ctx, kind.id, **{_LIMITS[key][0]: None})
    return nothing(202)


def _access(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller.ctx.require("box.look")
    raise NotFound(f"{_find(caller, id).name} is public: every project has it.")


def _limited(caller: Caller) -> list[VolumeType]:
    caller.ctx.require("box.look")
    return [kind for kind in verbs.list(caller.ctx) if render.specs(kind)]


def _all_qos(request: HttpRequest, caller: Caller) -> HttpResponse:
    return answer({"qos_specs": [render.qos(kind) for kind in _limited(caller)]})


def _one(caller: Caller, id: str) -> VolumeType:
    found = next((kind for kind in _limited(caller) if kind.id == reading.need_id(id, "QoS spec")), None)
    if found is None:
        raise NotFound(f"There is no QoS spec {id}.")
    return found


def _qos(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    kind = _one(caller, id)
    return answer({"qos_specs": render.qos(kind), "links": render.links_of(request, caller, "qos-specs", kind.id)})


def _make_qos(request: HttpRequest, caller: Caller) -> HttpResponse:
    caller.ctx.require("volume_types.manage")
    raise NotSupported("Limits belong to a type here: give it the extra specs total_iops_sec and total_bytes_sec.")


def _associations(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    kind = _one(caller, id)
    return answer({"qos_associations": [{"association_type": "volume_type", "id": str(kind.id), "name": kind.name}]})


types = view(GET=_list, POST=_create)
type_ = view(GET=_show, PUT=_update, DELETE=_delete)
extra_specs = view(GET=_specs, POST=_set_specs)
extra_spec = view(GET=_spec, PUT=_set_spec, DELETE=_delete_spec)
access = view(GET=_access)
qos_specs = view(GET=_all_qos, POST=_make_qos)
qos_spec = view(GET=_qos)
associations = view(GET=_associations)
