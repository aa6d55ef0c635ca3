"""Attachments, since 3.27: a volume at a server, under the volume's id. Making one attaches, deleting one detaches."""

from __future__ import annotations

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from cloudbox.common.errors import Conflict, Invalid, NotFound, NotSupported
from cloudbox.common.fields import body_of
from compute import volumes as verbs
from compute.api.cinder import render
from compute.api.cinder.errors import view
from compute.api.cinder.views.volumes import COLUMNS, page_of
from compute.api.openstack import reading
from compute.api.openstack.errors import named_in_body
from compute.api.openstack.service import Caller, answer, nothing
from compute.models import Volume

SINCE = 27
S = Volume.Status


def _rows(request: HttpRequest, caller: Caller) -> QuerySet[Volume]:
    caller.since(SINCE)
    every = bool(reading.flag(request, "all_tenants")) and caller.ctx.may("box.look")
    rows = verbs.list(caller.ctx, all_projects=every).filter(instance__isnull=False)
    for name, column in {"volume_id": "id", "instance_id": "instance_id"}.items():
        if name in request.GET:
            id = reading.id_of(request.GET[name])
            rows = rows.filter(**{column: id}) if id else rows.none()
    return rows


def _list(request: HttpRequest, caller: Caller) -> HttpResponse:
    found, beside = page_of(request, caller, _rows(request, caller), COLUMNS, "attachments", "attachments")
    return answer({"attachments": [render.attachment(row, detail=False) for row in found]} | beside)


def _detail(request: HttpRequest, caller: Caller) -> HttpResponse:
    found, beside = page_of(request, caller, _rows(request, caller), COLUMNS, "attachments", "attachments/detail")
    return answer({"attachments": [render.attachment(row) for row in found]} | beside)


def _find(caller: Caller, id: str) -> Volume:
    caller.since(SINCE)
    row = verbs.list(caller.ctx).filter(id=reading.need_id(id, "attachment"), instance__isnull=False).first()
    if row is None:
        raise NotFound(f"There is no attachment {id}.")
    return row


def _show(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    return answer({"attachment": render.attachment(_find(caller, id))})


def _create(request: HttpRequest, caller: Caller) -> HttpResponse:
    caller.since(SINCE)
    asked = body_of(request).needed_object("attachment")
    volume = verbs.get(caller.ctx, reading.need_id(asked.needed_text("volume_uuid"), "volume"))
    server = asked.text("instance_uuid")
    if not server:
        raise NotSupported("Volumes are attached to servers of this box: name one in attachment.instance_uuid.")
    mode = asked.text("mode") or "rw"
    if mode not in ("ro", "rw"):
        raise Invalid("attachment.mode is ro or rw.", field="mode")
    with named_in_body():
        row = verbs.attach(caller.ctx, volume.id, instance_id=reading.need_id(server, "server"), read_only=mode == "ro")
    return answer({"attachment": render.attachment(row)})


def _update(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    """Whoever connects by hand says with what; here the box has connected already, and says so."""
    body_of(request).needed_object("attachment")
    row = _find(caller, id)
    caller.ctx.require("volumes.manage")
    return answer({"attachment": render.attachment(row)})


def _delete(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    verbs.detach(caller.ctx, _find(caller, id).id)
    return answer({"attachments": []})


def _act(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    """os-complete, since 3.44: is it there?"""
    caller.since(44)
    body, row = body_of(request), _find(caller, id)
    caller.ctx.require("volumes.manage")
    if set(body.values) != {"os-complete"}:
        raise Invalid("An attachment has one action, os-complete.")
    if row.status != S.ATTACHED:
        raise Conflict(f"{row.name} is {row.get_status_display().lower()}. Wait until it is attached.")
    return nothing()


attachments = view(GET=_list, POST=_create)
detail = view(GET=_detail)
attachment = view(GET=_show, PUT=_update, DELETE=_delete)
action = view(POST=_act)
