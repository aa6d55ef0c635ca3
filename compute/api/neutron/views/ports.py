"""Ports: those of instances, reserved ones, and routers' interfaces, which no table has."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from cloudbox.common.errors import Conflict, Invalid, NotFound, NotSupported
from cloudbox.common.fields import Fields, body_of
from compute import instances, networks, nics, security_groups
from compute import ports as verbs
from compute.api.neutron import lists, render
from compute.api.neutron.errors import neutron
from compute.api.neutron.views.networks import network_of_subnet
from compute.api.neutron.views.shared import Shape, create_all, is_up, optional, own_project, owner, switch
from compute.api.openstack import reading
from compute.api.openstack.service import Caller, answer, nothing
from compute.models import Network, Port


def _rows(caller: Caller) -> QuerySet[Port]:
    return verbs.list(caller.ctx).select_related("load_balancer")


def _joined(caller: Caller) -> QuerySet[Network]:
    """The networks that have a router, and so an interface of it."""
    return networks.list(caller.ctx).exclude(router=None)


def interface_network(caller: Caller, id: UUID) -> Network | None:
    return next((row for row in _joined(caller) if render.interface_id(row) == id), None)


def _list(request: HttpRequest, caller: Caller) -> HttpResponse:
    shapes = [render.port(caller.ctx, row) for row in _rows(caller)]
    shapes += [render.interface(caller.ctx, row) for row in _joined(caller)]
    return lists.listing(request, "ports", "ports", shapes)


def _find(caller: Caller, id: str) -> Port:
    wanted = reading.need_id(id, "port")
    if interface_network(caller, wanted) is not None:
        raise Conflict("The port is a router's interface. Take the subnet off the router.")
    row = _rows(caller).filter(id=wanted).first()
    if row is None:
        raise NotFound(f"There is no port {id}.")
    return row


def _show(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller = owner(caller, id)
    there = interface_network(caller, reading.need_id(id, "port"))
    shape = render.interface(caller.ctx, there) if there else render.port(caller.ctx, _find(caller, id))
    return answer({"port": lists.narrowed(request, shape)})


def _groups(asked: Fields) -> list[UUID] | None:
    if "security_groups" not in asked:
        return None
    found = [reading.id_of(text) for text in asked.texts("security_groups")]
    if None in found:
        raise Invalid("security_groups holds ids.", field="security_groups")
    return [id for id in found if id is not None]


def _pairs(asked: Fields) -> list[dict[str, str]]:
    return [
        {"ip": each.needed_text("ip_address", length_max=64), "mac": each.text("mac_address", length_max=64) or ""}
        for each in asked.objects("allowed_address_pairs")
    ]


def _addresses(caller: Caller, asked: Fields, network: Network) -> dict[str, str]:
    """`ip` and `ip6` that are asked for, each empty for whichever is free."""
    found: dict[str, str] = {}
    for each in asked.objects("fixed_ips"):
        subnet, text = each.uuid("subnet_id"), each.text("ip_address", length_max=64) or ""
        if subnet is not None and network_of_subnet(caller, subnet).id != network.id:
            raise Invalid("The subnet is another network's.", field="fixed_ips")
        kind = "ip6" if ":" in text or (subnet is not None and subnet != network.subnet_id) else "ip"
        if kind == "ip" and network.subnet_id is None:
            raise Invalid(f"{network.name} has no IPv4 subnet.", field="fixed_ips")
        if kind in found:
            raise NotSupported("A port has one address of each family here. Let it send from others by allowed_address_pairs.")
        found[kind] = text
    return found


def _make(caller: Caller, asked: Fields) -> Shape:
    caller = own_project(caller, asked)
    id = asked.uuid("network_id")
    if id is None:
        raise Invalid("port.network_id is missing.", field="network_id")
    network = networks.get(caller.ctx, id)
    owner = asked.text("device_owner", length_max=255) or ""
    if owner.startswith("network:"):
        raise NotSupported("Ports of the network itself are made by the box.")
    if any(asked.values.get(name) for name in ("extra_dhcp_opts", "qos_policy_id", "binding:profile")):
        raise NotSupported("Ports have no further DHCP options, QoS policies or profiles here.")
    wanted = _addresses(caller, asked, network)
    row = verbs.reserve(
        caller.ctx,
        network_id=network.id,
        ip=wanted.get("ip", ""),
        ip6=wanted.get("ip6", ""),
        is_up=is_up(asked),
        mac=asked.text("mac_address", length_max=64) or "",
        name=asked.text("name", length_max=255) or "",
        description=asked.text("description", length_max=255) or "",
        dns_name=asked.text("dns_name", length_max=255) or "",
        security_group_ids=[] if asked.flag("port_security_enabled") is False else _groups(asked),
        allowed_pairs=_pairs(asked),
        port_security=asked.flag("port_security_enabled") is not False,
    )
    if device := asked.text("device_id"):
        plug(caller, row, device)
    return render.port(caller.ctx, _find(caller, str(row.id)))


def plug(caller: Caller, row: Port, device: str) -> None:
    """A port whose device is a server becomes its card."""
    id = reading.id_of(device)
    if id is None or not instances.list(caller.ctx).filter(id=id).exists():
        raise NotSupported("device_id is a server of the project here.")
    nics.attach(caller.ctx, id, port_id=row.id)


def _create(request: HttpRequest, caller: Caller) -> HttpResponse:
    return create_all(request, caller, "port", "ports", _make)


def _update(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller = owner(caller, id)
    row = _find(caller, id)
    caller.ctx.require("networks.manage")
    asked = body_of(request).needed_object("port")
    changes: dict[str, Any] = dict(switch(asked))
    for name in ("name", "description", "dns_name"):
        if (text := optional(asked, name)) is not None:
            changes[name] = text
    if "allowed_address_pairs" in asked.values:
        changes["allowed_pairs"] = _pairs(asked)
    if (secure := asked.flag("port_security_enabled")) is not None:
        changes["port_security"] = secure
    if "fixed_ips" in asked.values:
        wanted = _addresses(caller, asked, row.network)
        if any(text and text != getattr(row, kind) for kind, text in wanted.items()):
            raise NotSupported("The address of a port stays. Make another port.")
    if (mac := asked.text("mac_address", length_max=64)) and mac.lower() != row.mac:
        raise NotSupported("The MAC of a port stays. Make another port.")
    if changes:
        verbs.update(caller.ctx, row.id, **changes)
    if (groups := _groups(asked)) is not None:
        security_groups.set_for_port(caller.ctx, row.id, groups)
    device = optional(asked, "device_id")
    if device is not None and device != (str(row.instance_id) if row.instance_id else ""):
        if device:
            plug(caller, row, device)
        elif row.instance_id:
            nics.detach(caller.ctx, row.instance_id, row.id)
    return answer({"port": render.port(caller.ctx, _find(caller, id))})


def _delete(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    """A card leaves its server, and goes."""
    caller = owner(caller, id)
    row = _find(caller, id)
    if row.instance_id is not None and not row.is_reserved:
        nics.detach(caller.ctx, row.instance_id, row.id)
    else:
        verbs.delete(caller.ctx, row.id)
    return nothing()


ports = neutron.view(GET=_list, POST=_create)
port = neutron.view(GET=_show, PUT=_update, DELETE=_delete)
