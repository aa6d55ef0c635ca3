"""Snapshots: take, list, show, change, delete."""

from __future__ import annotations

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from cloudbox.common.errors import Invalid
from cloudbox.common.fields import body_of
from compute import instances
from compute import snapshots as verbs
from compute import volumes as volume_verbs
from compute.api.cinder import render
from compute.api.cinder.errors import view
from compute.api.cinder.views.volumes import changes_of, filtered_by_words, named, page_of
from compute.api.openstack import reading
from compute.api.openstack.service import Caller, answer, nothing
from compute.models import Snapshot, Volume
from identity.api.keystone.methods import id_of as any_id

COLUMNS = {
    "id": "id", "name": "name", "display_name": "name", "status": "status", "size": "size_gib", "volume_size": "size_gib",
    "created_at": "created_at", "updated_at": "taken_at", "volume_id": "volume_id",
}  # fmt: skip
_BY_STATUS = {theirs: ours for ours, theirs in render.SNAPSHOT_STATUSES.items()}


def find(caller: Caller, id: str) -> Snapshot:
    found = reading.need_id(id, "snapshot")
    if caller.ctx.may("box.look"):
        row = verbs.list(caller.ctx, all_projects=True).filter(id=found).first()
        if row is not None:
            return row
    return verbs.get(caller.ctx, found)


def _rows(request: HttpRequest, caller: Caller) -> QuerySet[Snapshot]:
    rows = verbs.list(caller.ctx, all_projects=bool(reading.flag(request, "all_tenants")) and caller.ctx.may("box.look"))
    rows = filtered_by_words(request, rows)
    if text := request.GET.get("status"):
        rows = rows.filter(status__in=[_BY_STATUS[each] for each in text.lower().split(",") if each in _BY_STATUS])
    for name, column in {"id": "id", "volume_id": "volume_id", "project_id": "project_id", "user_id": "user_id"}.items():
        if name in request.GET:
            id = any_id(request.GET[name]) or reading.id_of(request.GET[name])
            rows = rows.filter(**{column: id}) if id else rows.none()
    return rows


def _list(request: HttpRequest, caller: Caller) -> HttpResponse:
    found, beside = page_of(request, caller, _rows(request, caller), COLUMNS, "snapshots", "snapshots")
    return answer({"snapshots": [render.snapshot(caller, row, detail=False) for row in found]} | beside)


def _detail(request: HttpRequest, caller: Caller) -> HttpResponse:
    found, beside = page_of(request, caller, _rows(request, caller), COLUMNS, "snapshots", "snapshots/detail")
    return answer({"snapshots": [render.snapshot(caller, row) for row in found]} | beside)


def _show(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    return answer({"snapshot": render.snapshot(caller, find(caller, id))})


def _create(request: HttpRequest, caller: Caller) -> HttpResponse:
    asked = body_of(request).needed_object("snapshot")
    volume = volume_verbs.get(caller.ctx, reading.need_id(asked.text("volume_id") or "", "volume"))
    # Cinder wants it said before 3.66. openstackclient leaves it out when it sees that the service knows 3.66, and then speaks 3.0: so only
    # who says that it is not to be forced is refused.
    forced = asked.values.get("force", True)
    if volume.status == Volume.Status.ATTACHED and caller.minor < 66 and str(forced).lower() != "true":
        raise Invalid(f"{volume.name} is in use, and force is false. Leave it out, or detach the volume.", field="force")
    name, description = named(asked, "snapshot")
    metadata = instances.clean_metadata(asked.needed_object("metadata").values) if "metadata" in asked else None
    made = verbs.create(caller.ctx, volume_id=volume.id, name=name, description=description, metadata=metadata, shares_name=True)
    return answer({"snapshot": render.snapshot(caller, made, detail=False)}, status=202)


def _update(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    changed = verbs.update(caller.ctx, find(caller, id).id, **changes_of(body_of(request).needed_object("snapshot")))
    return answer({"snapshot": render.snapshot(caller, changed, detail=False)})


def _delete(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    verbs.delete(caller.ctx, find(caller, id).id)
    return nothing(202)


snapshots = view(GET=_list, POST=_create)
detail = view(GET=_detail)
snapshot = view(GET=_show, PUT=_update, DELETE=_delete)
