"""Backups: those of the project's backup vaults."""

from __future__ import annotations

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from cloudbox.common.errors import Conflict, Invalid, NotFound, NotSupported
from cloudbox.common.fields import Fields, body_of
from compute import backup_vaults, volumes
from compute import backups as verbs
from compute.api.cinder import render
from compute.api.cinder.errors import view
from compute.api.cinder.views.volumes import filtered_by_words, page_of
from compute.api.openstack import reading
from compute.api.openstack.service import Caller, answer, nothing
from compute.models import Backup, BackupVault

COLUMNS = {"id": "id", "name": "name", "status": "status", "size": "size_gib", "created_at": "created_at", "updated_at": "finished_at"}
_BY_STATUS = {theirs: ours for ours, theirs in render.BACKUP_STATUSES.items()}


def _find(caller: Caller, id: str) -> Backup:
    return verbs.get(caller.ctx, reading.need_id(id, "backup"))


def _rows(request: HttpRequest, caller: Caller) -> QuerySet[Backup]:
    rows = verbs.list(caller.ctx)
    if "metadata" not in request.GET:
        rows = filtered_by_words(request, rows)
    if text := request.GET.get("status"):
        rows = rows.filter(status__in=[_BY_STATUS[each] for each in text.lower().split(",") if each in _BY_STATUS])
    if "volume_id" in request.GET:
        id = reading.id_of(request.GET["volume_id"])
        rows = rows.filter(disk_id=id) if id else rows.none()
    return rows


def _list(request: HttpRequest, caller: Caller) -> HttpResponse:
    found, beside = page_of(request, caller, _rows(request, caller), COLUMNS, "backups", "backups")
    return answer({"backups": [render.backup_brief(request, caller, row) for row in found]} | beside)


def _detail(request: HttpRequest, caller: Caller) -> HttpResponse:
    found, beside = page_of(request, caller, _rows(request, caller), COLUMNS, "backups", "backups/detail")
    return answer({"backups": [render.backup(request, caller, row) for row in found]} | beside)


def _show(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    return answer({"backup": render.backup(request, caller, _find(caller, id))})


def _vault(caller: Caller, text: str | None) -> BackupVault:
    rows = backup_vaults.list(caller.ctx).order_by("created_at")
    found = next((row for row in rows if not text or text in (row.name, row.bucket, str(row.id))), None)
    if found is None and text:
        raise Invalid(f"There is no backup vault {text[:64]}. A container is the name of one, or its bucket.", field="container")
    if found is None:
        raise Conflict("The project has no backup vault. Make one in the portal: a place in a bucket where backups lie.")
    return found


def _create(request: HttpRequest, caller: Caller) -> HttpResponse:
    caller.ctx.require("backups.manage")
    asked = body_of(request).needed_object("backup")
    volume = volumes.get(caller.ctx, reading.need_id(asked.needed_text("volume_id"), "volume"))
    if asked.text("snapshot_id"):
        raise NotSupported("A backup is of a volume as it is now. Make a volume from the snapshot, and a backup of that.")
    if volume.instance_id is not None and str(asked.values.get("force")).lower() != "true":
        raise Invalid(f"{volume.name} is in use. Say force to back it up as it is.", field="force")
    made = verbs.create(
        caller.ctx,
        vault_id=_vault(caller, asked.text("container", length_max=255)).id,
        volume_id=volume.id,
        name=asked.text("name", length_max=64) or "",
        description=asked.text("description", length_max=255) or "",
    )
    return answer({"backup": render.backup_brief(request, caller, made[0])}, status=202)


def _update(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller.since(9)
    asked = body_of(request).needed_object("backup")
    row = verbs.update(caller.ctx, _find(caller, id).id, name=asked.text("name") or None, description=asked.text("description"))
    return answer({"backup": render.backup_brief(request, caller, row)})


def _delete(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    verbs.delete(caller.ctx, _find(caller, id).id)
    return nothing(202)


def _restore(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    """Over the volume that is named, else as a new one."""
    row, asked = _find(caller, id), body_of(request).object("restore") or Fields({}, "restore")
    if text := asked.text("volume_id"):
        volume = verbs.restore_over(caller.ctx, row.id, volume_id=volumes.get(caller.ctx, reading.need_id(text, "volume")).id)
    else:
        name = asked.text("name", length_max=255) or f"restore_backup_{row.id}"
        volume = verbs.restore_as_volume(caller.ctx, row.id, name=name, shares_name=True)
    shape = {"backup_id": str(row.id), "volume_id": str(volume.id), "volume_name": volume.name}
    return answer({"restore": shape}, status=202)


def _act(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    body, row = body_of(request), _find(caller, id)
    caller.ctx.require("backups.manage")
    if set(body.values) == {"os-force_delete"}:
        caller.ctx.require("box.look")
        verbs.delete(caller.ctx, row.id)
        return nothing(202)
    if set(body.values) == {"os-reset_status"}:
        raise NotSupported("States follow the backup by themselves.")
    raise NotFound("There is no such action.") if len(body.values) == 1 else Invalid("Name one action.")


backups = view(GET=_list, POST=_create)
detail = view(GET=_detail)
backup = view(GET=_show, PUT=_update, DELETE=_delete)
restore = view(POST=_restore)
action = view(POST=_act)
