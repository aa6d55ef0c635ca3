"""Images as Nova had them until microversion 2.35; Glance's API has all of them."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from compute import images as verbs
from compute.api.nova import render
from compute.api.nova.errors import nova, service
from compute.api.openstack import reading
from compute.api.openstack.service import Caller, answer, nothing
from compute.api.openstack.times import zulu
from compute.models import Image

LIMIT_MAX = 1000
_STATUS = {
    "ready": ("ACTIVE", 100),
    "queued": ("SAVING", 0),
    "failed": ("ERROR", 0),
    "deactivated": ("UNKNOWN", 0),
    "deleted": ("DELETED", 0),
}
_STATUSES = {name: status for status, (name, _) in _STATUS.items()}


def _links(request: HttpRequest, row: Image) -> list[dict[str, str]]:
    alternate = f"{service.address(request).split('/compute/')[0]}/image/images/{row.id}"
    found = render.links_of(request, "images", row.id)
    return [*found, {"rel": "alternate", "type": "application/vnd.openstack.image", "href": alternate}]


def _brief(request: HttpRequest, row: Image) -> dict[str, Any]:
    return {"id": str(row.id), "name": row.name, "links": _links(request, row)}


def _whole(request: HttpRequest, row: Image) -> dict[str, Any]:
    status, progress = _STATUS.get(row.status, ("SAVING", 0))
    shape = _brief(request, row) | {
        "status": status,
        "progress": progress,
        "minDisk": row.min_disk_gib,
        "minRam": row.min_memory_mib,
        "metadata": row.properties,
        "created": zulu(row.created_at),
        "updated": zulu(row.created_at),
        "OS-EXT-IMG-SIZE:size": row.size_bytes,
    }
    if server := row.properties.get("instance_uuid"):
        shape["server"] = {"id": server, "links": render.links_of(request, "servers", server)}
    return shape


def _find(caller: Caller, id: str) -> Image:
    caller.until(35)
    return verbs.get(caller.ctx, reading.need_id(id, "image"))


def _rows(request: HttpRequest, caller: Caller, path: str, shape: Any) -> HttpResponse:
    caller.until(35)
    rows = verbs.list(caller.ctx)
    if text := request.GET.get("name"):
        rows = rows.filter(name=text)
    if text := request.GET.get("status"):
        rows = rows.filter(status=_STATUSES.get(text.upper(), ""))
    if text := request.GET.get("server"):
        rows = rows.filter(properties__instance_uuid=text.rstrip("/").rpartition("/")[2])
    if text := request.GET.get("type"):
        rows = rows.filter(properties__image_type="snapshot") if text == "snapshot" else rows.exclude(properties__has_key="instance_uuid")
    if (since := reading.moment(request, "changes-since")) is not None:
        rows = rows.filter(created_at__gte=since)
    found, full = reading.page(request, rows.order_by("-created_at", "id"), limit_max=LIMIT_MAX)
    body: dict[str, Any] = {"images": [shape(request, row) for row in found]}
    if full and "limit" in request.GET:
        href = reading.next_address(request, service.address(request, *path.split("/")), found[-1].id)
        body["images_links"] = [{"rel": "next", "href": href}]
    return answer(body)


def _list(request: HttpRequest, caller: Caller) -> HttpResponse:
    return _rows(request, caller, "images", _brief)


def _detail(request: HttpRequest, caller: Caller) -> HttpResponse:
    return _rows(request, caller, "images/detail", _whole)


def _show(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    return answer({"image": _whole(request, _find(caller, id))})


def _delete(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    verbs.delete(caller.ctx, _find(caller, id).id)
    return nothing()


images = nova.view(GET=_list)
detail = nova.view(GET=_detail)
image = nova.view(GET=_show, DELETE=_delete)
