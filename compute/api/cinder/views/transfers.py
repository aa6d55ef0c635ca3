"""Handing a volume to another project: the key is told once, to whoever offers."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from cloudbox.common.errors import NotFound
from cloudbox.common.fields import body_of
from compute import volume_transfers as verbs
from compute import volumes
from compute.api.cinder import render
from compute.api.cinder.errors import view
from compute.api.openstack import reading
from compute.api.openstack.service import Caller, answer, nothing
from compute.models import VolumeTransfer


def _find(caller: Caller, id: str) -> VolumeTransfer:
    found = verbs.list(caller.ctx).filter(id=reading.need_id(id, "transfer")).first()
    if found is None:
        raise NotFound(f"There is no transfer {id}.")
    return found


def _rows(request: HttpRequest, caller: Caller, *, detail: bool) -> HttpResponse:
    columns = {"id": "id", "name": "name", "created_at": "created_at", "volume_id": "volume_id"}
    rows = reading.order(verbs.list(caller.ctx), columns, reading.sort_pairs(request), default=["-created_at"])
    found, _ = reading.page(request, rows, limit_max=1000)
    return answer({"transfers": [render.transfer(request, caller, row, detail=detail) for row in found]})


def _list(request: HttpRequest, caller: Caller) -> HttpResponse:
    return _rows(request, caller, detail=False)


def _detail(request: HttpRequest, caller: Caller) -> HttpResponse:
    return _rows(request, caller, detail=True)


def _show(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    return answer({"transfer": render.transfer(request, caller, _find(caller, id))})


def _offer(request: HttpRequest, caller: Caller) -> HttpResponse:
    asked = body_of(request).needed_object("transfer")
    volume = volumes.get(caller.ctx, reading.need_id(asked.needed_text("volume_id"), "volume"))
    row, key = verbs.offer(caller.ctx, volume.id, name=asked.text("name", length_max=255) or "")
    shape = render.transfer(request, caller, row) | {"auth_key": key.partition(".")[2]}
    return answer({"transfer": shape}, status=202)


def _accept(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    key = body_of(request).needed_object("accept").needed_text("auth_key", length_max=100)
    transfer_id = reading.need_id(id, "transfer")
    volume = verbs.accept(caller.ctx, key=f"{transfer_id.hex}.{key}")
    shape = {
        "id": str(transfer_id),
        "name": volume.name,
        "volume_id": str(volume.id),
        "links": render.links_of(request, caller, "os-volume-transfer", transfer_id),
    }
    return answer({"transfer": shape}, status=202)


def _withdraw(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    verbs.withdraw(caller.ctx, _find(caller, id).volume_id)
    return nothing(202)


transfers = view(GET=_list, POST=_offer)
detail = view(GET=_detail)
transfer = view(GET=_show, DELETE=_withdraw)
accept = view(POST=_accept)
