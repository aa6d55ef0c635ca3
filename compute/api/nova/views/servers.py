"""Servers: create, list, show, change, delete."""

from __future__ import annotations

import base64
import binascii
import secrets
from contextlib import suppress
from typing import Any
from uuid import UUID

from django.db import DataError, transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse

from cloudbox.common.errors import Conflict, Invalid, NotFound, NotSupported
from cloudbox.common.fields import Fields, body_of
from compute import flavors, guests, instances, keypairs, networks, ports, security_groups, server_groups, volume_types
from compute.api.nova import render, states
from compute.api.nova.errors import nova, service
from compute.api.openstack import reading
from compute.api.openstack.errors import named_in_body
from compute.api.openstack.service import Caller, answer, nothing
from compute.boot_volumes import BootVolume
from compute.instances import LaunchSpec
from compute.models import ConfigDrive, Instance, Reversal
from identity.api.keystone.methods import id_of as any_id

LIMIT_MAX = 1000
COLUMNS = {
    "created_at": "created_at", "updated_at": "changed_at", "display_name": "name", "name": "name", "uuid": "id", "id": "id",
    "host": "id", "vm_state": "status", "task_state": "status", "power_state": "status", "launched_at": "started_at",
    "launch_index": "id", "instance_type_id": "flavor_id", "image_ref": "image_id", "project_id": "project_id", "user_id": "user_id",
    "key_name": "keypair__name", "locked": "locked_by", "availability_zone": "id", "root_device_name": "id", "locked_by": "locked_by",
    "access_ip_v4": "access_ipv4", "access_ip_v6": "access_ipv6", "display_description": "description", "kernel_id": "id",
    "ramdisk_id": "id", "progress": "status", "terminated_at": "deleted_at", "config_drive": "config_drive", "auto_disk_config": "id",
    "node": "id", "instance_uuid": "id",
}  # fmt: skip


def find(caller: Caller, id: str) -> Instance:
    return instances.get(caller.ctx, reading.need_id(id, "server"))


def whole(caller: Caller, id: UUID) -> Instance:
    """With all that a server shows, asked once."""
    row = instances.get(caller.ctx, id)
    return row


def _list(request: HttpRequest, caller: Caller) -> HttpResponse:
    rows, full = _page(request, caller)
    return _listing(request, [render.brief(request, row) for row in rows], full, "servers")


def _detail(request: HttpRequest, caller: Caller) -> HttpResponse:
    rows, full = _page(request, caller)
    return _listing(request, [render.server(request, caller, row) for row in rows], full, "servers/detail")


def _listing(request: HttpRequest, shapes: list[dict[str, Any]], full: bool, path: str) -> HttpResponse:
    shape: dict[str, Any] = {"servers": shapes}
    if full and "limit" in request.GET:
        shape["servers_links"] = [
            {"rel": "next", "href": reading.next_address(request, service.address(request, *path.split("/")), shapes[-1]["id"])}
        ]
    return answer(shape)


def _page(request: HttpRequest, caller: Caller) -> tuple[list[Instance], bool]:
    every = bool(reading.flag(request, "all_tenants")) or bool(reading.flag(request, "all_projects"))
    since = reading.moment(request, "changes-since")
    deleted = caller.ctx.may("box.look") and bool(reading.flag(request, "deleted"))
    rows = instances.list(caller.ctx, all_projects=every, with_deleted=since is not None or deleted)
    if since is not None:
        rows = rows.filter(changed_at__gte=since)
    elif deleted:
        rows = rows.filter(status="deleted")
    if caller.minor >= 66 and (before := reading.moment(request, "changes-before")) is not None:
        rows = rows.filter(changed_at__lte=before)
    rows = _filtered(request, caller, rows).prefetch_related("volumes", "ports__floating_ip")
    rows = reading.order(rows, COLUMNS, reading.sort_pairs(request), default=["-created_at"])
    try:
        with transaction.atomic():
            return reading.page(request, rows, limit_max=LIMIT_MAX)
    except DataError as error:
        raise Invalid("A filter is not a pattern that can be matched.") from error


def _filtered(request: HttpRequest, caller: Caller, rows: QuerySet[Instance]) -> QuerySet[Instance]:
    """By what Nova filters; what it does not know it passes over."""
    for name, path in {"name": "name", "display_name": "name", "ip": "ports__ip", "hostname": "hostname"}.items():
        if text := request.GET.get(name):
            rows = rows.filter(**{f"{path}__regex": text})
            rows = rows.distinct() if name == "ip" else rows
    wanted: list[str] = [text.upper() for text in request.GET.getlist("status")]
    if wanted:
        rows = rows.filter(_by_status(wanted))
    if text := request.GET.get("vm_state"):
        rows = rows.filter(status__in=states.BY_VM_STATE.get(text.lower(), set()))
    for name, column in {"image": "image_id", "image_ref": "image_id", "flavor": "flavor_id", "uuid": "id"}.items():
        if name in request.GET:
            id = reading.id_of(request.GET[name].rsplit("/", 1)[-1])
            rows = rows.filter(**{column: id}) if id else rows.none()
    for name, column in {"project_id": "project_id", "tenant_id": "project_id", "user_id": "user_id"}.items():
        if name in request.GET:
            id = any_id(request.GET[name])
            rows = rows.filter(**{column: id}) if id else rows.none()
    if text := request.GET.get("key_name"):
        rows = rows.filter(keypair__name=text)
    if text := request.GET.get("availability_zone"):
        rows = rows if text == render.ZONE else rows.none()
    if text := request.GET.get("reservation_id"):
        rows = rows.filter(id__in=[row.id for row in rows if render.reservation(row) == text])
    if caller.minor >= 26:
        rows = _by_tags(request, rows)
    if caller.minor >= 73 and (locked := reading.flag(request, "locked")) is not None:
        rows = rows.exclude(locked_by="") if locked else rows.filter(locked_by="")
    return rows


def _by_status(names: list[str]) -> Q:
    """Both the plain ones and those that an instance has besides its status; an unknown one matches nothing."""
    found = Q(status__in={status for name in names for status in states.BY_NAME.get(name, ())})
    resized = Q(status__in=["running", "stopped"]) & Q(
        id__in=Reversal.objects.filter(kind=Reversal.Kind.RESIZE, until__isnull=False).values("instance_id")
    )
    rescued = Q(status="running", rescue_image__isnull=False)
    if "ACTIVE" in names or "SHUTOFF" in names:
        found &= ~resized & ~rescued
    if "VERIFY_RESIZE" in names:
        found |= resized
    if "RESCUE" in names:
        found |= rescued
    return found


def _by_tags(request: HttpRequest, rows: QuerySet[Instance]) -> QuerySet[Instance]:
    for name, every, wanted in (("tags", True, True), ("tags-any", False, True), ("not-tags", True, False), ("not-tags-any", False, False)):
        if name not in request.GET:
            continue
        found = Q()
        for tag in request.GET[name].split(","):
            key, colon, value = tag.partition(":")
            one = Q(tags__contains={key: value}) if colon else Q(tags__contains={key: ""})
            found = found & one if every else found | one
        rows = rows.filter(found) if wanted else rows.exclude(found)
    return rows


def _show(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    return answer({"server": render.server(request, caller, find(caller, id))})


def _create(request: HttpRequest, caller: Caller) -> HttpResponse:
    body = body_of(request)
    asked = body.needed_object("server")
    hints = body.object("os:scheduler_hints") or body.object("OS-SCH-HNT:scheduler_hints")
    with named_in_body():
        spec, password = _spec(caller, asked, hints), admin_pass(asked)
        with transaction.atomic():
            made = instances.launch(caller.ctx, spec)
            guests.set_first_password(caller.ctx, [row.id for row in made], password)
    if asked.flag("return_reservation_id"):
        return answer({"reservation_id": render.reservation(made[0])}, status=202)
    first = made[0]
    shape = {
        "id": str(first.id),
        "links": render.links_of(request, "servers", first.id),
        "OS-DCF:diskConfig": asked.text("OS-DCF:diskConfig") or "MANUAL",
        "security_groups": [{"name": each.text("name") or ""} for each in asked.objects("security_groups")] or [{"name": "default"}],
    }
    shape["adminPass"] = password
    response = answer({"server": shape}, status=202)
    response["Location"] = service.address(request, "servers", first.id)
    return response


def admin_pass(asked: Fields) -> str:
    """The password of root that the next first boot sets, by the metadata service (`guests.set_first_password`): the one that is asked
    for, or one that is made up. It is answered here, once."""
    return asked.text("adminPass", length_max=255) or secrets.token_urlsafe(9)


def _spec(caller: Caller, asked: Fields, hints: Fields | None) -> LaunchSpec:
    minor = caller.minor
    if asked.objects("personality"):
        raise NotSupported("Files are not put into servers here. Use user_data.")
    flavor = flavors.get(caller.ctx, flavor_id(asked))
    wanted = _networks(caller, asked)
    boot, image_id, disk_gib = _disks(caller, asked)
    count = _count(asked)
    name = asked.needed_text("name", length_max=255)
    if not name.strip():
        raise Invalid("server.name is empty.", field="name")
    key_name = asked.text("key_name")
    keypair = _keypair(caller, key_name) if key_name else None
    tags = parse_tags(asked.texts("tags")) if minor >= 52 else {}
    zone = (asked.text("availability_zone") or render.ZONE).split(":")[0]
    if zone != render.ZONE:
        raise Invalid(f"There is no availability zone {zone[:64]}. There is one, {render.ZONE}.", field="availability_zone")
    return LaunchSpec(
        name=name,
        flavor_id=flavor.id,
        image_id=image_id,
        boot=boot,
        disk_gib=disk_gib,
        keypair_id=keypair,
        security_group_ids=[group_named(caller, each.needed_text("name")) for each in asked.objects("security_groups")],
        user_data=_user_data(asked),
        hostname=(asked.text("hostname") or "").partition(".")[0] if minor >= 90 else "",
        description=(asked.text("description") or "") if minor >= 19 else "",
        tags=tags,
        metadata=metadata_of(asked),
        group_id=_group(caller, hints),
        config_drive=_config_drive(asked),
        access_ipv4=asked.text("accessIPv4"),
        access_ipv6=asked.text("accessIPv6"),
        count=count,
        shares_name=True,
        **wanted,
    )


_TRUE, _FALSE = frozenset({"1", "t", "true", "on", "y", "yes"}), frozenset({"0", "f", "false", "off", "n", "no"})


def _config_drive(asked: Fields) -> str | None:
    """True as clients have it, in JSON or in words; false or nothing: as the image has it, which may demand one."""
    value = asked.values.get("config_drive")
    text = str(value).lower() if isinstance(value, bool | str | int) else None if value is not None else ""
    if text in _TRUE:
        return ConfigDrive.OPENSTACK
    if text is None or (text and text not in _FALSE):
        raise Invalid("server.config_drive is true or false.", field="config_drive")
    return None


def flavor_id(asked: Fields) -> UUID:
    """Old clients send the number that others give their flavors; here each is an id."""
    value = asked.values.get("flavorRef")
    id = reading.id_of(str(value).rsplit("/", 1)[-1]) if isinstance(value, str | int) and not isinstance(value, bool) else None
    if id is None:
        raise Invalid(f"There is no flavor {str(value)[:64]}.", field="flavorRef")
    return id


def image_id(asked: Fields, name: str = "imageRef") -> UUID | None:
    text = asked.text(name)
    if not text:
        return None
    id = reading.id_of(text.rsplit("/", 1)[-1])
    if id is None:
        raise Invalid(f"There is no image {text[:64]}.", field=name)
    return id


def _count(asked: Fields) -> int:
    low, high = (reading.number_of(asked, name) for name in ("min_count", "max_count"))
    if low is not None and high is not None and low > high:
        raise Invalid("min_count is at most max_count.", field="min_count")
    return high or low or 1


def _user_data(asked: Fields) -> bytes:
    try:
        return base64.b64decode("".join((asked.text("user_data", length_max=100_000) or "").split()), validate=True)
    except (ValueError, binascii.Error) as error:
        raise Invalid("server.user_data must be base64.", field="user_data") from error


def _keypair(caller: Caller, name: str) -> UUID:
    found = keypairs.list(caller.ctx).filter(name=name).values_list("id", flat=True).first()
    if found is None:
        raise Invalid(f"There is no key pair {name[:64]}.", field="key_name")
    return found


def group_named(caller: Caller, text: str) -> UUID:
    """A security group by name or id."""
    rows = security_groups.list(caller.ctx)
    id = reading.id_of(text)
    found = (rows.filter(id=id) if id else rows.filter(name=text)).values_list("id", flat=True).first()
    if found is None:
        raise NotFound(f"There is no security group {text[:64]}.", field="security_group_ids")
    return found


def _group(caller: Caller, hints: Fields | None) -> UUID | None:
    if hints is None or "group" not in hints:
        return None
    id = hints.uuid("group")
    return server_groups.get(caller.ctx, id).id if id else None


def metadata_of(asked: Fields, name: str = "metadata") -> dict[str, str]:
    found = asked.object(name)
    return instances.clean_metadata(found.values) if found is not None else {}


def parse_tags(texts: list[str]) -> dict[str, str]:
    """Nova's tags are texts, the box's are pairs: `key:value` or `key`."""
    pairs: dict[str, str] = {}
    for text in texts:
        if not 1 <= len(text) <= 60 or "/" in text or "," in text:
            raise Invalid("A tag has 1 to 60 characters, without / and comma.", field="tags")
        key, _, value = text.partition(":")
        if key in pairs and pairs[key] != value:
            raise Invalid(f"Two tags begin with {key}: and say different things. Here a key has one value.", field="tags")
        pairs[key] = value
    return pairs


def _networks(caller: Caller, asked: Fields) -> dict[str, Any]:
    value = asked.values.get("networks")
    if isinstance(value, str) and caller.minor >= 37:
        if value == "none":
            return {"without_network": True}
        if value == "auto":
            return {}
        raise Invalid("server.networks is auto, none, or a list.", field="networks")
    if value is None and caller.minor >= 37:
        raise Invalid("server.networks is missing: say auto, none, or a list.", field="networks")
    network_ids: list[UUID] = []
    port_ids: list[UUID] = []
    ips: dict[UUID, str] = {}
    for each in asked.objects("networks"):
        if (port := each.uuid("port")) is not None:
            port_ids.append(ports.get(caller.ctx, port).id)
            continue
        network = each.uuid("uuid")
        if network is None:
            raise Invalid("A network is named by uuid, or by port.", field="networks")
        if network in network_ids:
            raise NotSupported("Two cards of one launch on one network are not made here. Attach the second one afterwards.")
        found = networks.get(caller.ctx, network)
        if found.subnet_id is None and not found.ipv6_cidr:
            raise Invalid(f"The network {found.name} has no subnet, so no address for a server. Make one first.", field="networks")
        network_ids.append(found.id)
        if ip := each.text("fixed_ip", length_max=64):
            ips[network] = ip
    if not port_ids and not network_ids:
        # In a project without a network, Nova's servers have no card.
        return {"without_network": not networks.list(caller.ctx).exists()}
    return {"network_ids": network_ids, "port_ids": port_ids, "ips": ips}


def _disks(caller: Caller, asked: Fields) -> tuple[BootVolume | None, UUID | None, int | None]:
    """What it boots from: an image, or a volume said in block_device_mapping_v2."""
    image = image_id(asked)
    mappings = asked.objects("block_device_mapping_v2")
    if asked.objects("block_device_mapping"):
        raise NotSupported("block_device_mapping of the first version is not read here. Use block_device_mapping_v2.")
    if not mappings:
        if image is None:
            raise Invalid("Say what it boots from: server.imageRef, or a volume in block_device_mapping_v2.", field="imageRef")
        return None, image, None
    roots = [each for each in mappings if _boot_index(each) == 0]
    if len(roots) != 1 or len(mappings) > 1:
        raise NotSupported("Name one disk, with boot_index 0. Attach further volumes once the server runs.")
    root = roots[0]
    source, goes_to, id = root.text("source_type") or "image", root.text("destination_type") or "volume", root.uuid("uuid")
    dies, size = root.flag("delete_on_termination") or False, reading.number_of(root, "volume_size")
    if source == "image" and goes_to == "local":
        return None, id or image, None
    if id is None:
        raise Invalid("block_device_mapping_v2: the uuid of the source is missing.", field="block_device_mapping_v2")
    if source == "volume":
        return BootVolume(volume_id=id, dies=dies), None, None
    if source == "snapshot":
        return BootVolume(snapshot_id=id, dies=dies), None, size
    if source != "image":
        raise NotSupported("A server boots from an image, a volume or a snapshot.")
    kind = root.text("volume_type") if caller.minor >= 67 else None
    return BootVolume(type_id=_type(caller, kind) if kind else None, dies=dies), id, size


def _boot_index(mapping: Fields) -> int | None:
    value = mapping.values.get("boot_index", 0 if "boot_index" not in mapping.values else None)
    if isinstance(value, str) and value.lstrip("-").isdigit() and len(value) < 5:
        return int(value)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise Invalid("boot_index is a number.", field="block_device_mapping_v2")
    return value


def _type(caller: Caller, text: str) -> UUID:
    for row in volume_types.list(caller.ctx):
        if text in (row.name, str(row.id), row.id.hex):
            return row.id
    raise Invalid(f"There is no volume type {text[:64]}.", field="volume_type")


def _update(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    row = find(caller, id)
    asked = body_of(request).needed_object("server")
    changes: dict[str, Any] = {}
    if "name" in asked.values:
        changes["name"] = asked.needed_text("name", length_max=255)
    if "description" in asked.values and caller.minor >= 19:
        changes["description"] = asked.text("description") or ""
    access = {
        column: asked.text(name)
        for name, column in {"accessIPv4": "access_ipv4", "accessIPv6": "access_ipv6"}.items()
        if name in asked.values
    }
    if access:
        changes["access"] = access
    if "hostname" in asked.values and caller.minor >= 90:
        raise NotSupported("The host name inside stays as it was at launch.")
    if changes:
        row = instances.update(caller.ctx, row.id, **changes)
    return answer({"server": render.updated_server(request, caller, row)})


def _delete(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    row = find(caller, id)
    if row.locked_by:
        raise Conflict(f"{row.name} is locked by {row.locked_by}. Unlock it first.")
    instances.delete(caller.ctx, row.id)
    return nothing()


def _ips(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    return answer({"addresses": render.plain_addresses(find(caller, id))})


def _ips_of(request: HttpRequest, caller: Caller, id: str, network: str) -> HttpResponse:
    found = render.plain_addresses(find(caller, id))
    if network not in found:
        raise NotFound(f"The server has no address on {network[:64]}.")
    return answer({network: found[network]})


def _groups(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    from compute.api.nova.views.security_groups import shape

    row = find(caller, id)
    names = {group.id for port in row.ports.all() for group in port.security_groups.all()}
    return answer({"security_groups": [shape(group) for group in security_groups.list(caller.ctx).filter(id__in=names)]})


def _diagnostics(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    """What the machine is, as far as the box knows without asking the guest."""
    row = find(caller, id)
    state = states.of(row)
    if state.power_state != states.RUNNING:
        raise Conflict(f"{row.name} does not run. Start it first.")
    if caller.minor < 48:
        return answer({"memory": row.memory_mib * 1024})
    shape = {
        "state": "running", "driver": "libvirt", "hypervisor": "qemu", "hypervisor_os": "linux", "config_drive": bool(row.config_drive),
        "uptime": None, "num_cpus": row.vcpus, "num_nics": len(row.ports.all()), "num_disks": row.volumes.count() + bool(row.disk_gib),
        "cpu_details": [], "nic_details": [], "disk_details": [], "memory_details": {"maximum": row.memory_mib, "used": None},
    }  # fmt: skip
    return answer(shape)


def _password(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    row = find(caller, id)
    caller.ctx.require("instances.update")
    text = ""
    with suppress(ValueError):
        text = row.sealed_password
    return answer({"password": text})


servers = nova.view(GET=_list, POST=_create)
detail = nova.view(GET=_detail)
server = nova.view(GET=_show, PUT=_update, DELETE=_delete)
ips = nova.view(GET=_ips)
ips_of = nova.view(GET=_ips_of)
groups = nova.view(GET=_groups)
diagnostics = nova.view(GET=_diagnostics)
password = nova.view(GET=_password)
