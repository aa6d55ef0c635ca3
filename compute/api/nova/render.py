"""What compute's things look like in Nova's JSON, in each microversion ("REST API Version History")."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from django.http import HttpRequest

from compute.api.nova import states
from compute.api.nova.errors import service
from compute.api.openstack import disks
from compute.api.openstack.service import Caller
from compute.api.openstack.times import bare, zulu
from compute.models import Flavor, Instance, Keypair, Port, ServerGroup, Volume
from identity.api.keystone import links

Shape = dict[str, Any]
ZONE = "nova"


def links_of(request: HttpRequest, kind: str, id: object) -> list[Shape]:
    """`self` with the version, `bookmark` without."""
    return [
        {"rel": "self", "href": service.address(request, kind, id)},
        {"rel": "bookmark", "href": f"{links.site(request)}/compute/{kind}/{id}"},
    ]


def bookmark(request: HttpRequest, kind: str, id: object) -> list[Shape]:
    return links_of(request, kind, id)[1:]


def host_id(instance: Instance) -> str:
    """The host, so that projects cannot compare; empty before there is one."""
    if instance.status == Instance.Status.BUILDING:
        return ""
    return hashlib.sha224(f"{instance.project_id.hex}cloudbox".encode()).hexdigest()


def brief(request: HttpRequest, instance: Instance) -> Shape:
    return {"id": str(instance.id), "name": instance.name, "links": links_of(request, "servers", instance.id)}


def addresses(instance: Instance) -> Shape:
    """By network; floating addresses beside fixed ones."""
    found: dict[str, list[Shape]] = {}
    for port in sorted(instance.ports.all(), key=lambda each: each.index):
        rows = found.setdefault(port.network.name, [])
        if port.network.subnet_id is not None:
            rows.append(_address(port, str(port.ip), "fixed"))
        if port.ip6:
            rows.append(_address(port, port.ip6, "fixed"))
        floating = getattr(port, "floating_ip", None)
        if floating is not None:
            rows.append(_address(port, str(floating.address), "floating"))
    return found


def _address(port: Port, ip: str, kind: str) -> Shape:
    return {"version": 6 if ":" in ip else 4, "addr": ip, "OS-EXT-IPS:type": kind, "OS-EXT-IPS-MAC:mac_addr": port.mac}


def plain_addresses(instance: Instance) -> Shape:
    """As /servers/{id}/ips has them."""
    return {
        network: [{"version": row["version"], "addr": row["addr"]} for row in rows if row["OS-EXT-IPS:type"] == "fixed"]
        + [{"version": row["version"], "addr": row["addr"]} for row in rows if row["OS-EXT-IPS:type"] != "fixed"]
        for network, rows in addresses(instance).items()
    }


def tags_of(instance: Instance) -> list[str]:
    return sorted(f"{key}:{value}" if value else key for key, value in instance.tags.items())


def server_flavor(request: HttpRequest, caller: Caller, flavor: Flavor) -> Shape:
    if caller.minor < 47:
        return {"id": str(flavor.id), "links": bookmark(request, "flavors", flavor.id)}
    return {
        "original_name": flavor.name,
        "vcpus": flavor.vcpus,
        "ram": flavor.memory_mib,
        "disk": flavor.disk_gib,
        "ephemeral": 0,
        "swap": 0,
        "extra_specs": {},
    }


def server_image(request: HttpRequest, instance: Instance) -> Any:
    """Empty text for one that boots from a volume."""
    if not instance.disk_gib:
        return ""
    return {"id": str(instance.image_id), "links": bookmark(request, "images", instance.image_id)}


def security_groups(instance: Instance) -> list[Shape]:
    names = {group.name for port in instance.ports.all() for group in port.security_groups.all()}
    return [{"name": name} for name in sorted(names)]


def server(request: HttpRequest, caller: Caller, instance: Instance) -> Shape:
    """One server as GET shows it."""
    state, minor, admin = states.of(instance), caller.minor, caller.ctx.may("box.look")
    shape: Shape = {
        "id": str(instance.id),
        "name": instance.name,
        "status": state.status,
        "tenant_id": instance.project_id.hex,
        "user_id": instance.user_id.hex if instance.user_id else "",
        "metadata": instance.metadata,
        "hostId": host_id(instance),
        "image": server_image(request, instance),
        "flavor": server_flavor(request, caller, instance.flavor),
        "created": zulu(instance.created_at),
        "updated": zulu(instance.changed_at),
        "addresses": addresses(instance),
        "accessIPv4": instance.access_ipv4 or "",
        "accessIPv6": instance.access_ipv6 or "",
        "links": links_of(request, "servers", instance.id),
        "OS-DCF:diskConfig": "MANUAL",
        "OS-EXT-AZ:availability_zone": ZONE if instance.status != Instance.Status.BUILDING else "",
        "config_drive": "True" if instance.config_drive else "",
        "key_name": instance.keypair.name if instance.keypair else None,
        "OS-SRV-USG:launched_at": bare(instance.started_at),
        "OS-SRV-USG:terminated_at": bare(instance.deleted_at),
        "os-extended-volumes:volumes_attached": _volumes(caller, instance),
        "OS-EXT-STS:task_state": state.task_state,
        "OS-EXT-STS:vm_state": state.vm_state,
        "OS-EXT-STS:power_state": state.power_state,
    }
    if state.status in ("ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE", "PASSWORD", "REBOOT", "HARD_REBOOT"):
        shape["progress"] = 100 if state.task_state is None else 0
    groups = security_groups(instance)
    if groups:
        shape["security_groups"] = groups
    if state.status in ("ERROR", "DELETED") and instance.error:
        shape["fault"] = {"code": 500, "created": zulu(instance.changed_at), "message": instance.error}
    if admin:
        shape |= _for_admins(caller, instance)
    if minor >= 9:
        shape["locked"] = bool(instance.locked_by)
    if minor >= 19:
        shape["description"] = instance.description or None
    if minor >= 26:
        shape["tags"] = tags_of(instance)
    if minor >= 63:
        shape["trusted_image_certificates"] = None
    if minor >= 71:
        shape["server_groups"] = [str(instance.group_id)] if instance.group_id else []
    if minor >= 73:
        shape["locked_reason"] = None
    if minor >= 90:
        shape["OS-EXT-SRV-ATTR:hostname"] = instance.hostname
    if minor >= 96:
        shape["pinned_availability_zone"] = None
    return shape


def _for_admins(caller: Caller, instance: Instance) -> Shape:
    from compute import health

    host = health.hosts(caller.ctx)[0].name
    shape: Shape = {
        "OS-EXT-SRV-ATTR:host": host,
        "OS-EXT-SRV-ATTR:instance_name": f"cbx-{instance.id}",
        "OS-EXT-SRV-ATTR:hypervisor_hostname": host,
    }
    if caller.minor >= 3:
        user_data = bytes(instance.user_data)
        shape |= {
            "OS-EXT-SRV-ATTR:hostname": instance.hostname,
            "OS-EXT-SRV-ATTR:reservation_id": reservation(instance),
            "OS-EXT-SRV-ATTR:launch_index": 0,
            "OS-EXT-SRV-ATTR:kernel_id": "",
            "OS-EXT-SRV-ATTR:ramdisk_id": "",
            "OS-EXT-SRV-ATTR:root_device_name": disks.DEVICE,
            "OS-EXT-SRV-ATTR:user_data": base64.b64encode(user_data).decode() if user_data else None,
        }
    if caller.minor >= 16:
        shape["host_status"] = "UP"
    return shape


def reservation(instance: Instance) -> str:
    return f"r-{instance.id.hex[:8]}"


def _volumes(caller: Caller, instance: Instance) -> list[Shape]:
    rows = sorted(instance.volumes.all(), key=lambda row: (not row.is_boot, row.attached_at or row.created_at))
    return [{"id": str(row.id), **({"delete_on_termination": row.dies_with_instance} if caller.minor >= 3 else {})} for row in rows]


def updated_server(request: HttpRequest, caller: Caller, instance: Instance, *, rebuilt: bool = False) -> Shape:
    """As PUT and rebuild answer: until 2.75 with fewer keys than GET."""
    shape = server(request, caller, instance)
    if caller.minor >= 75:
        return shape
    kept = {
        "id", "name", "status", "tenant_id", "user_id", "metadata", "hostId", "image", "flavor", "created", "updated", "addresses",
        "accessIPv4", "accessIPv6", "links", "OS-DCF:diskConfig", "progress", "fault", "locked", "description", "tags",
        "trusted_image_certificates", "server_groups", "locked_reason",
    }  # fmt: skip
    shape = {key: value for key, value in shape.items() if key in kept}
    if rebuilt and caller.minor >= 54:
        shape["key_name"] = instance.keypair.name if instance.keypair else None
    if rebuilt and caller.minor >= 57:
        shape["user_data"] = None
    return shape


def flavor(request: HttpRequest, caller: Caller, row: Flavor) -> Shape:
    shape: Shape = {
        "id": str(row.id),
        "name": row.name,
        "ram": row.memory_mib,
        "disk": row.disk_gib,
        "swap": 0 if caller.minor >= 75 else "",
        "OS-FLV-EXT-DATA:ephemeral": 0,
        "OS-FLV-DISABLED:disabled": not row.is_active,
        "vcpus": row.vcpus,
        "os-flavor-access:is_public": row.is_public,
        "rxtx_factor": 1.0,
        "links": links_of(request, "flavors", row.id),
    }
    if caller.minor >= 55:
        shape["description"] = None
    if caller.minor >= 61:
        shape["extra_specs"] = {}
    return shape


def flavor_brief(request: HttpRequest, caller: Caller, row: Flavor) -> Shape:
    more = {"description": None} if caller.minor >= 55 else {}
    return {"id": str(row.id), "name": row.name, "links": links_of(request, "flavors", row.id), **more}


def keypair(caller: Caller, row: Keypair, *, private_key: str = "", whole: bool = False, listed: bool = False) -> Shape:
    """The fingerprint is MD5 over the key's bytes, as clients compare it."""
    blob = base64.b64decode(row.public_key.split()[1])
    digest = hashlib.md5(blob, usedforsecurity=False).hexdigest()
    shape: Shape = {
        "name": row.name,
        "public_key": row.public_key,
        "fingerprint": ":".join(digest[place : place + 2] for place in range(0, 32, 2)),
    }
    if caller.minor >= 2:
        shape["type"] = "ssh"
    if not listed:
        shape["user_id"] = row.user_id.hex if row.user_id else ""
    if private_key:
        shape["private_key"] = private_key
    if whole:
        shape |= {
            "id": int(row.id.hex[:7], 16),
            "created_at": bare(row.created_at),
            "updated_at": None,
            "deleted_at": None,
            "deleted": False,
        }
    return shape


def attachment(caller: Caller, row: Volume, *, created: bool = False) -> Shape:
    """A volume at a server. There the guest finds it by its serial; the device is what Nova would call it."""
    shape: Shape = {"id": str(row.id), "volumeId": str(row.id), "serverId": str(row.instance_id), "device": device(row)}
    if caller.minor >= 70:
        shape["tag"] = None
    if caller.minor >= 79:
        shape["delete_on_termination"] = row.dies_with_instance
    if caller.minor >= 89 and not created:
        shape.pop("id")
        shape |= {"attachment_id": str(row.id), "bdm_uuid": str(row.id)}
    return shape


def device(row: Volume) -> str:
    return disks.devices([row])[row.id]


def interface(caller: Caller, port: Port) -> Shape:
    shape: Shape = {
        "port_id": str(port.id),
        "net_id": str(port.network_id),
        "mac_addr": port.mac,
        "port_state": "ACTIVE",
        "fixed_ips": [{"subnet_id": str(port.network.subnet_id or port.network_id), "ip_address": str(port.ip)}],
    }
    if caller.minor >= 70:
        shape["tag"] = None
    return shape


def server_group(caller: Caller, row: ServerGroup) -> Shape:
    members = [str(each.id) for each in row.instances.all() if each.status != Instance.Status.DELETED]
    shape: Shape = {"id": str(row.id), "name": row.name, "members": members}
    if caller.minor < 64:
        shape |= {"policies": [row.policy], "metadata": {}}
    else:
        shape |= {"policy": row.policy, "rules": {}}
    if caller.minor >= 13:
        shape |= {"project_id": row.project_id.hex, "user_id": ""}
    return shape
