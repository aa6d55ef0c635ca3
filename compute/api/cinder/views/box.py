"""What there is, and how much of it one may have: zones, services, pools, quotas, limits, messages."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Sum
from django.http import HttpRequest, HttpResponse

from cloudbox.common import clock
from cloudbox.common.errors import Invalid, NotFound, NotSupported
from cloudbox.common.fields import body_of
from compute import health, snapshots, volume_types
from compute import volumes as verbs
from compute.api.cinder import render
from compute.api.cinder.errors import view
from compute.api.openstack import reading
from compute.api.openstack.projects import project_of
from compute.api.openstack.service import Caller, answer
from compute.api.openstack.times import bare
from compute.models import Backup, Volume
from identity import quotas
from identity.models import Project
from identity.quotas import RESOURCES

UNLIMITED = -1
# Cinder's word: ours.
_COUNTED = {"volumes": "volumes", "gigabytes": "volume_gib", "snapshots": "snapshots"}
# What is not counted is without limit; there are no groups.
_FIXED = {"backups": UNLIMITED, "backup_gigabytes": UNLIMITED, "groups": 0, "per_volume_gigabytes": verbs.SIZE_GIB_MAX}


def _rows(caller: Caller, project: Project | None) -> dict[str, dict[str, int]]:
    """limit, in_use and reserved by Cinder's names; of no project: what a new one gets."""
    lines = {line.resource: line for line in quotas.of(project)} if project else {}
    found = {}
    for name, ours in _COUNTED.items():
        line = lines.get(ours)
        limit = RESOURCES[ours].default if line is None else line.limit
        found[name] = {"limit": UNLIMITED if limit is None else limit, "in_use": line.used if line else 0, "reserved": 0}
    found |= {name: {"limit": limit, "in_use": 0, "reserved": 0} for name, limit in _FIXED.items()}
    if project is not None:
        kept = Backup.objects.filter(project=project).exclude(status=Backup.Status.DELETED)
        found["backups"]["in_use"] = kept.count()
        found["backup_gigabytes"]["in_use"] = sum(kept.values_list("size_gib", flat=True))
    for kind in volume_types.list(caller.ctx):
        found |= {f"{name}_{kind.name}": {"limit": UNLIMITED, "in_use": 0, "reserved": 0} for name in _COUNTED}
    return found


def _limits_of(rows: dict[str, dict[str, int]]) -> dict[str, int]:
    return {name: row["limit"] for name, row in rows.items()}


def _quota_set(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller.ctx.require("quotas.list")
    rows = _rows(caller, project_of(caller, id))
    return answer({"quota_set": {"id": id} | (rows if reading.flag(request, "usage") else _limits_of(rows))})


def _quota_defaults(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    return answer({"quota_set": {"id": id} | _limits_of(_rows(caller, None))})


def _set_quota(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller.ctx.require("quotas.set")
    project = project_of(caller, id)
    asked = body_of(request).needed_object("quota_set")
    limits: dict[str, int | None] = {}
    for name, value in asked.values.items():
        if name in ("tenant_id", "id", "skip_validation", "force"):
            continue
        if name not in _COUNTED:
            raise (
                NotSupported(f"The quota {name[:64]} is not changed here.")
                if name in _FIXED
                else Invalid(f"There is no quota {name[:64]}.")
            )
        limits[_COUNTED[name]] = reading.limit_of(name, value)
    quotas.set_limits(caller.ctx, project, limits)
    return answer({"quota_set": _limits_of(_rows(caller, project))})


def _reset_quota(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    """What a new project gets."""
    caller.ctx.require("quotas.set")
    quotas.set_limits(caller.ctx, project_of(caller, id), {ours: RESOURCES[ours].default for ours in _COUNTED.values()})
    return answer({})


def _limits(request: HttpRequest, caller: Caller) -> HttpResponse:
    rows = _rows(caller, caller.ctx.needed_project)
    names = {
        "Volumes": "volumes", "VolumeGigabytes": "gigabytes", "Snapshots": "snapshots", "Backups": "backups",
        "BackupGigabytes": "backup_gigabytes",
    }  # fmt: skip
    absolute = {f"maxTotal{word}": rows[name]["limit"] for word, name in names.items()}
    absolute |= {
        f"total{word.replace('Volume', '') if word != 'Volumes' else word}Used": rows[name]["in_use"] for word, name in names.items()
    }
    return answer({"limits": {"rate": [], "absolute": absolute}})


def _zones(request: HttpRequest, caller: Caller) -> HttpResponse:
    return answer({"availabilityZoneInfo": [{"zoneName": render.ZONE, "zoneState": {"available": True}}]})


def _services(request: HttpRequest, caller: Caller) -> HttpResponse:
    caller.ctx.require("box.look")
    found = []
    for binary, host in (("cinder-scheduler", health.hosts(caller.ctx)[0].name), ("cinder-volume", _backend())):
        row: dict[str, Any] = {
            "binary": binary, "host": host, "zone": render.ZONE, "status": "enabled", "state": "up", "disabled_reason": None,
            "updated_at": bare(clock.now()),
        }  # fmt: skip
        if binary == "cinder-volume":
            row |= {"replication_status": "disabled", "active_backend_id": None, "frozen": False}
        if request.GET.get("binary", binary) == binary and request.GET.get("host", host) == host:
            found.append(row)
    return answer({"services": found})


def _pools(request: HttpRequest, caller: Caller) -> HttpResponse:
    host = health.hosts(caller.ctx)[0]
    shape: dict[str, Any] = {"name": render.host()}
    if reading.flag(request, "detail"):
        shape["capabilities"] = {
            "volume_backend_name": "qcow2", "storage_protocol": "file", "vendor_name": "Cloudbox", "driver_version": "1",
            "QoS_support": True,
            "total_capacity_gb": host.disk_gib, "free_capacity_gb": host.disk_free_gib, "reserved_percentage": 0,
            "timestamp": bare(clock.now()),
        }  # fmt: skip
    return answer({"pools": [shape]})


def _backend() -> str:
    """Without the pool: what stands behind a # no address can carry."""
    return render.host().partition("#")[0]


def _hosts(request: HttpRequest, caller: Caller) -> HttpResponse:
    caller.ctx.require("box.look")
    row = {
        "host_name": _backend(), "service": "cinder-volume", "service-status": "available", "service-state": "enabled",
        "zone": render.ZONE, "last-update": bare(clock.now()),
    }  # fmt: skip
    return answer({"hosts": [row] if request.GET.get("zone", render.ZONE) == render.ZONE else []})


def _host(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    """What lies on it, all together and of each project. Numbers are texts here, as Cinder's reference has them."""
    caller.ctx.require("box.look")
    if id != _backend():
        raise NotFound(f"There is no host {id[:64]}.")
    held: dict[str, list[int]] = {"(total)": [0, 0, 0, 0]}
    for place, rows in ((0, verbs.list(caller.ctx, all_projects=True)), (2, snapshots.list(caller.ctx, all_projects=True))):
        for project, count, gib in rows.order_by().values_list("project_id").annotate(Count("id"), Sum("size_gib")):
            for name in ("(total)", project.hex):
                line = held.setdefault(name, [0, 0, 0, 0])
                line[place], line[place + 1] = line[place] + count, line[place + 1] + gib
    words = ("volume_count", "total_volume_gb", "snapshot_count", "total_snapshot_gb")
    return answer(
        {
            "host": [
                {"resource": {"host": id, "project": name} | {word: str(number) for word, number in zip(words, line, strict=True)}}
                for name, line in held.items()
            ]
        }
    )


# As Cinder's clients ask before they use what is not in every cloud.
_EXTENSIONS = {
    "os-availability-zone": "AvailabilityZones", "os-extend": "VolumeActions", "os-hosts": "Hosts", "os-quota-sets": "Quotas",
    "os-services": "Services",
    "os-snapshot-actions": "SnapshotActions", "os-types-extra-specs": "TypesExtraSpecs", "os-types-manage": "TypesManage",
    "os-volume-actions": "VolumeActions", "os-volume-transfer": "VolumeTransfer", "backups": "Backups", "scheduler-stats": "Pools",
}  # fmt: skip


def _extensions(request: HttpRequest, caller: Caller) -> HttpResponse:
    rows = [
        {"alias": alias, "name": name, "description": name, "updated": "2024-01-01T00:00:00+00:00", "links": []}
        for alias, name in _EXTENSIONS.items()
    ]
    return answer({"extensions": rows})


_FILTERS = {
    "volume": ["name", "status", "metadata", "bootable", "id", "availability_zone", "volume_type", "size"],
    "snapshot": ["name", "status", "volume_id", "metadata", "id"],
    "backup": ["name", "status", "volume_id"],
    "attachment": ["volume_id", "instance_id"],
}


def _filters(request: HttpRequest, caller: Caller) -> HttpResponse:
    caller.since(33)
    wanted = request.GET.get("resource")
    return answer(
        {"resource_filters": [{"resource": noun, "filters": names} for noun, names in _FILTERS.items() if wanted in (None, noun)]}
    )


def _broken(caller: Caller) -> Any:
    caller.since(3)
    return verbs.list(caller.ctx).exclude(error="")


def _messages(request: HttpRequest, caller: Caller) -> HttpResponse:
    found, _ = reading.page(request, _broken(caller).order_by("-changed_at", "id"), limit_max=1000)
    return answer({"messages": [render.message(request, caller, row) for row in found]})


def _message(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    row: Volume | None = _broken(caller).filter(id=reading.need_id(id, "message")).first()
    if row is None:
        raise NotFound(f"There is no message {id}.")
    return answer({"message": render.message(request, caller, row)})


def _manage(request: HttpRequest, caller: Caller) -> HttpResponse:
    caller.ctx.require("box.look")
    raise NotSupported("Files of the host are not taken up as volumes. Import them as an image, and make the volume from that.")


quota_set = view(GET=_quota_set, PUT=_set_quota, DELETE=_reset_quota)
quota_defaults = view(GET=_quota_defaults)
zones = view(GET=_zones)
services = view(GET=_services)
pools = view(GET=_pools)
hosts = view(GET=_hosts)
host = view(GET=_host)
limits = view(GET=_limits)
extensions = view(GET=_extensions)
filters = view(GET=_filters)
messages = view(GET=_messages)
message = view(GET=_message)
manage = view(POST=_manage)
