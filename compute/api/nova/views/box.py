"""What there is, and how much of it one may have: zones, hosts, quotas, limits, usage, server groups."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.http import HttpRequest, HttpResponse

from cloudbox.common import clock
from cloudbox.common.errors import Invalid, NotFound, NotSupported
from cloudbox.common.fields import body_of
from compute import health, instances
from compute import server_groups as verbs
from compute.api.nova import render
from compute.api.nova.errors import nova
from compute.api.openstack import hosts, reading
from compute.api.openstack.projects import project_of
from compute.api.openstack.service import Caller, answer, nothing
from identity import quotas
from identity.models import Project
from identity.quotas import RESOURCES

UNLIMITED = -1
# Nova's word: ours. Those that we do not count are without limit, those that are not there are the number that always holds.
_COUNTED = {"instances": "instances", "cores": "vcpus", "ram": "memory_mib", "key_pairs": "keypairs"}
_FIXED = {
    "metadata_items": instances.METADATA_MAX, "injected_files": 0, "injected_file_content_bytes": 0, "injected_file_path_bytes": 0,
    "server_groups": verbs.GROUPS_MAX, "server_group_members": UNLIMITED,
}  # fmt: skip
_NETWORK = {"floating_ips": "floating_ips", "security_groups": "security_groups"}
_NETWORK_FIXED = {"fixed_ips": UNLIMITED, "security_group_rules": 100}


def _limits_of(caller: Caller, project: Project | None) -> dict[str, dict[str, int]]:
    """limit, in_use and reserved by Nova's names in this microversion; of no project: what a new one gets."""
    lines = {line.resource: line for line in quotas.of(project)} if project else {}
    found = {}
    counted = _COUNTED | (_NETWORK if caller.minor < 36 else {})
    for name, ours in counted.items():
        line = lines.get(ours)
        limit = RESOURCES[ours].default if line is None else line.limit
        found[name] = {"limit": UNLIMITED if limit is None else limit, "in_use": line.used if line else 0, "reserved": 0}
    fixed = _FIXED | (_NETWORK_FIXED if caller.minor < 36 else {})
    for name, limit in fixed.items():
        if not (name.startswith("injected") and caller.minor >= 57):
            found[name] = {"limit": limit, "in_use": 0, "reserved": 0}
    return found


def _quota_set(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller.ctx.require("quotas.list")
    rows = _limits_of(caller, project_of(caller, id))
    return answer({"quota_set": {"id": id} | {name: row["limit"] for name, row in rows.items()}})


def _quota_detail(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller.ctx.require("quotas.list")
    return answer({"quota_set": {"id": id} | _limits_of(caller, project_of(caller, id))})


def _quota_defaults(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    return answer({"quota_set": {"id": id} | {name: row["limit"] for name, row in _limits_of(caller, None).items()}})


def _set_quota(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller.ctx.require("quotas.set")
    project = project_of(caller, id)
    asked = body_of(request).needed_object("quota_set")
    limits: dict[str, int | None] = {}
    for name, value in asked.values.items():
        if name in ("force", "tenant_id", "id"):
            continue
        if name not in _COUNTED and not (name in _NETWORK and caller.minor < 36):
            raise (
                NotSupported(f"The quota {name[:64]} is not changed here.")
                if name in _FIXED
                else Invalid(f"There is no quota {name[:64]}.")
            )
        limits[(_COUNTED | _NETWORK)[name]] = reading.limit_of(name, value)
    quotas.set_limits(caller.ctx, project, limits)
    return answer({"quota_set": {name: row["limit"] for name, row in _limits_of(caller, project).items()}})


def _limits(request: HttpRequest, caller: Caller) -> HttpResponse:
    rows = _limits_of(caller, caller.ctx.needed_project)
    names = {
        "maxTotalInstances": ("instances", "limit"), "maxTotalCores": ("cores", "limit"), "maxTotalRAMSize": ("ram", "limit"),
        "totalInstancesUsed": ("instances", "in_use"), "totalCoresUsed": ("cores", "in_use"), "totalRAMUsed": ("ram", "in_use"),
        "maxTotalKeypairs": ("key_pairs", "limit"), "maxServerMeta": ("metadata_items", "limit"),
        "maxServerGroups": ("server_groups", "limit"), "maxServerGroupMembers": ("server_group_members", "limit"),
        "totalServerGroupsUsed": ("server_groups", "in_use"),
    }  # fmt: skip
    if caller.minor < 36:
        names |= {
            "maxSecurityGroups": ("security_groups", "limit"), "maxSecurityGroupRules": ("security_group_rules", "limit"),
            "maxTotalFloatingIps": ("floating_ips", "limit"), "totalSecurityGroupsUsed": ("security_groups", "in_use"),
            "totalFloatingIpsUsed": ("floating_ips", "in_use"),
        }  # fmt: skip
    if caller.minor < 39:
        names |= {"maxImageMeta": ("metadata_items", "limit")}
    if caller.minor < 57:
        names |= {"maxPersonality": ("injected_files", "limit"), "maxPersonalitySize": ("injected_file_content_bytes", "limit")}
    absolute = {name: rows[row][key] for name, (row, key) in names.items()}
    absolute["totalServerGroupsUsed"] = verbs.list(caller.ctx).count()
    return answer({"limits": {"rate": [], "absolute": absolute}})


def _zones(request: HttpRequest, caller: Caller) -> HttpResponse:
    return answer({"availabilityZoneInfo": [{"zoneName": render.ZONE, "zoneState": {"available": True}, "hosts": None}]})


def _zones_detail(request: HttpRequest, caller: Caller) -> HttpResponse:
    host = health.hosts(caller.ctx)[0]
    state = {"nova-compute": {"active": True, "available": True, "updated_at": clock.now().strftime("%Y-%m-%dT%H:%M:%S.%f")}}
    zone = {"zoneName": render.ZONE, "zoneState": {"available": True}, "hosts": {host.name: state}}
    return answer({"availabilityZoneInfo": [zone]})


def _services(request: HttpRequest, caller: Caller) -> HttpResponse:
    host = health.hosts(caller.ctx)[0]
    row: dict[str, Any] = {
        "id": 1 if caller.minor < 53 else hosts.id_of(host.name), "binary": "nova-compute", "host": host.name, "zone": render.ZONE,
        "status": "enabled", "state": "up", "updated_at": clock.now().strftime("%Y-%m-%dT%H:%M:%S.%f"), "disabled_reason": None,
    }  # fmt: skip
    if caller.minor >= 11:
        row["forced_down"] = False
    return answer({"services": [row]})


def _hypervisor(caller: Caller, host: Any) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "id": 1 if caller.minor < 53 else hosts.id_of(host.name), "hypervisor_hostname": host.name, "state": "up", "status": "enabled",
        "hypervisor_type": "QEMU", "hypervisor_version": 0, "host_ip": "127.0.0.1",
        "service": {"id": 1 if caller.minor < 53 else hosts.id_of(host.name), "host": host.name, "disabled_reason": None},
    }  # fmt: skip
    if caller.minor < 88:
        shape |= {
            "vcpus": host.vcpus, "vcpus_used": host.vcpus_used, "memory_mb": host.memory_mib, "memory_mb_used": host.memory_used_mib,
            "free_ram_mb": max(0, host.memory_mib - host.memory_used_mib), "local_gb": host.disk_gib, "local_gb_used": host.disk_used_gib,
            "free_disk_gb": max(0, host.disk_gib - host.disk_used_gib), "current_workload": 0, "running_vms": host.running,
            "disk_available_least": max(0, host.disk_gib - host.disk_used_gib), "cpu_info": "" if caller.minor < 28 else {},
        }  # fmt: skip
    else:
        shape["uptime"] = None
    return shape


def _hypervisors(request: HttpRequest, caller: Caller) -> HttpResponse:
    rows = [_hypervisor(caller, host) for host in health.hosts(caller.ctx)]
    kept = ("id", "hypervisor_hostname", "state", "status")
    return answer({"hypervisors": [{name: row[name] for name in kept} for row in rows]})


def _hypervisors_detail(request: HttpRequest, caller: Caller) -> HttpResponse:
    return answer({"hypervisors": [_hypervisor(caller, host) for host in health.hosts(caller.ctx)]})


def _one_hypervisor(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    for host in health.hosts(caller.ctx):
        row = _hypervisor(caller, host)
        if str(row["id"]) == id:
            return answer({"hypervisor": row})
    raise NotFound(f"There is no hypervisor {id[:64]}.")


def _groups(request: HttpRequest, caller: Caller) -> HttpResponse:
    found, _ = reading.page(request, verbs.list(caller.ctx), limit_max=1000)
    return answer({"server_groups": [render.server_group(caller, row) for row in found]})


def _create_group(request: HttpRequest, caller: Caller) -> HttpResponse:
    asked = body_of(request).needed_object("server_group")
    if caller.minor >= 64:
        policy = asked.needed_text("policy")
    else:
        texts = asked.texts("policies")
        if len(texts) != 1:
            raise Invalid("server_group.policies names one policy.", field="policies")
        policy = texts[0]
    row = verbs.create(caller.ctx, name=asked.needed_text("name", length_max=255), policy=policy)
    return answer({"server_group": render.server_group(caller, row)})


def _show_group(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    return answer({"server_group": render.server_group(caller, verbs.get(caller.ctx, reading.need_id(id, "server group")))})


def _delete_group(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    verbs.delete(caller.ctx, reading.need_id(id, "server group"))
    return nothing()


def _usage(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    """The hours that servers existed in the time asked about, the last four weeks if it is not said."""
    caller.ctx.require("instances.list")
    project = project_of(caller, id)
    stop = reading.moment(request, "end") or clock.now()
    start = reading.moment(request, "start") or stop - dt.timedelta(days=28)
    if start >= stop:
        raise Invalid("start is before end.", field="start")
    rows: list[dict[str, Any]] = []
    for row in instances.list(caller.ctx, all_projects=project.id != caller.ctx.project_id, with_deleted=True).filter(project=project):
        begin, end = max(row.created_at, start), min(row.deleted_at or stop, stop)
        if begin >= end:
            continue
        hours = (end - begin).total_seconds() / 3600
        rows.append(
            {
                "name": row.name, "instance_id": str(row.id), "tenant_id": row.project_id.hex, "flavor": row.flavor.name, "hours": hours,
                "memory_mb": row.memory_mib, "local_gb": row.disk_gib, "vcpus": row.vcpus, "ended_at": None, "state": row.status,
                "started_at": row.created_at.strftime("%Y-%m-%dT%H:%M:%S.%f"), "uptime": int((stop - row.created_at).total_seconds()),
            }
        )  # fmt: skip
    total = {
        "tenant_id": project.id.hex,
        "total_hours": sum(row["hours"] for row in rows),
        "total_memory_mb_usage": sum(row["hours"] * row["memory_mb"] for row in rows),
        "total_vcpus_usage": sum(row["hours"] * row["vcpus"] for row in rows),
        "total_local_gb_usage": sum(row["hours"] * row["local_gb"] for row in rows),
        "start": start.strftime("%Y-%m-%dT%H:%M:%S.%f"),
        "stop": stop.strftime("%Y-%m-%dT%H:%M:%S.%f"),
        "server_usages": rows,
    }
    return answer({"tenant_usage": total if rows else {}})


def _extensions(request: HttpRequest, caller: Caller) -> HttpResponse:
    """Nova has none any more: microversions took their place."""
    return answer({"extensions": []})


quota_set = nova.view(GET=_quota_set, PUT=_set_quota)
quota_detail = nova.view(GET=_quota_detail)
quota_defaults = nova.view(GET=_quota_defaults)
limits = nova.view(GET=_limits)
zones = nova.view(GET=_zones)
zones_detail = nova.view(GET=_zones_detail)
services = nova.view(GET=_services)
hypervisors = nova.view(GET=_hypervisors)
hypervisors_detail = nova.view(GET=_hypervisors_detail)
hypervisor = nova.view(GET=_one_hypervisor)
server_groups = nova.view(GET=_groups, POST=_create_group)
server_group = nova.view(GET=_show_group, DELETE=_delete_group)
usage = nova.view(GET=_usage)
extensions = nova.view(GET=_extensions)
