"""Networks and their subnets."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from django.http import HttpRequest, HttpResponse

from cloudbox.common.errors import Conflict, Forbidden, Invalid, NotFound, NotSupported
from cloudbox.common.fields import Fields, body_of
from compute import external_networks, subnets
from compute import networks as verbs
from compute.api.neutron import lists, render
from compute.api.neutron.errors import neutron
from compute.api.neutron.views.shared import Shape, create_all, is_up, number, optional, own_project, owner, switch
from compute.api.openstack import reading
from compute.api.openstack.service import Caller, answer, nothing
from compute.models import ExternalNetwork, Network

_POOLS_SAY = "A subnet has one allocation pool here."


def outer(caller: Caller, id: UUID) -> ExternalNetwork | None:
    return external_networks.list(caller.ctx).filter(id=id).first()


def _list(request: HttpRequest, caller: Caller) -> HttpResponse:
    shapes = [render.network(row) for row in verbs.list(caller.ctx)]
    shapes += [render.external_network(row) for row in external_networks.list(caller.ctx)]
    return lists.listing(request, "networks", "networks", shapes)


def _show(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller = owner(caller, id)
    wanted = reading.need_id(id, "network")
    there = outer(caller, wanted)
    shape = render.external_network(there) if there else render.network(verbs.get(caller.ctx, wanted))
    return answer({"network": lists.narrowed(request, shape)})


def _make(caller: Caller, asked: Fields) -> Shape:
    caller = own_project(caller, asked)
    if asked.flag("router:external"):
        caller.ctx.require("external_networks.manage")
        raise NotSupported("External networks are made in the admin console, with the range that they have.")
    if asked.flag("shared"):
        raise Forbidden("Networks are a project's own here.")
    if asked.flag("port_security_enabled") is False:
        raise NotSupported("Port security is switched per port here.")
    with transaction.atomic():
        row = subnets.create_bare(caller.ctx, name=asked.text("name", length_max=255) or "", mtu=number(asked, "mtu") or 1500)
        if not is_up(asked):
            row = verbs.update(caller.ctx, row.id, {"is_up": False})
    return render.network(row)


def _create(request: HttpRequest, caller: Caller) -> HttpResponse:
    return create_all(request, caller, "network", "networks", _make)


def _mine(caller: Caller, id: str) -> Network:
    wanted = reading.need_id(id, "network")
    if outer(caller, wanted) is not None:
        caller.ctx.require("external_networks.manage")
        raise NotSupported("External networks are changed in the admin console.")
    return verbs.get(caller.ctx, wanted)


def _update(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller = owner(caller, id)
    row = _mine(caller, id)
    caller.ctx.require("networks.manage")
    asked = body_of(request).needed_object("network")
    changes: dict[str, Any] = dict(switch(asked))
    if name := asked.text("name", length_max=255):
        changes["name"] = name
    if (mtu := number(asked, "mtu")) is not None:
        changes["mtu"] = mtu
    return answer({"network": render.network(verbs.update(caller.ctx, row.id, changes) if changes else row)})


def _delete(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller = owner(caller, id)
    row = _mine(caller, id)
    caller.ctx.require("networks.manage")
    if row.router_id is not None:
        raise Conflict(f"The router's interface is on {row.name}. Take it off first.")
    verbs.delete(caller.ctx, row.id)
    return nothing()


# --- subnets


def _subnets(request: HttpRequest, caller: Caller) -> HttpResponse:
    rows = [*verbs.list(caller.ctx)]
    shapes = [render.subnet(row) for row in rows if row.subnet_id] + [render.subnet6(row) for row in rows if row.ipv6_cidr]
    shapes += [render.external_subnet(row) for row in external_networks.list(caller.ctx)]
    return lists.listing(request, "subnets", "subnets", shapes)


def network_of_subnet(caller: Caller, id: UUID) -> Network:
    """The network of either of its subnets."""
    row = verbs.list(caller.ctx).filter(subnet_id=id).first() or _network_of6(caller, id)
    if row is None:
        raise NotFound(f"There is no subnet {id}.", field="subnet_id")
    return row


def _network_of6(caller: Caller, id: UUID) -> Network | None:
    return next((row for row in verbs.list(caller.ctx).exclude(ipv6_cidr="") if render.subnet6_id(row) == id), None)


def _shape_of(row: Network, id: UUID) -> Shape:
    return render.subnet(row) if row.subnet_id == id else render.subnet6(row)


def _subnet(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller = owner(caller, id)
    wanted = reading.need_id(id, "subnet")
    for row in external_networks.list(caller.ctx):
        if render.external_subnet_id(row) == wanted:
            return answer({"subnet": lists.narrowed(request, render.external_subnet(row))})
    return answer({"subnet": lists.narrowed(request, _shape_of(network_of_subnet(caller, wanted), wanted))})


def _pool(asked: Fields) -> dict[str, str]:
    pools = asked.objects("allocation_pools")
    if len(pools) > 1:
        raise NotSupported(_POOLS_SAY)
    if not pools:
        return {}
    return {
        "pool_first": pools[0].needed_text("start", length_max=64),
        "pool_last": pools[0].needed_text("end", length_max=64),
    }


def _routes(asked: Fields, name: str = "host_routes") -> list[dict[str, str]]:
    return [
        {"destination": each.needed_text("destination", length_max=64), "next_hop": each.needed_text("nexthop", length_max=64)}
        for each in asked.objects(name)
    ]


def _make_subnet(caller: Caller, asked: Fields) -> Shape:
    caller = own_project(caller, asked)
    caller.ctx.require("networks.manage")
    network = asked.uuid("network_id")
    if network is None:
        raise Invalid("subnet.network_id is missing.", field="network_id")
    version = number(asked, "ip_version") or 4
    if version not in (4, 6):
        raise Invalid("ip_version is 4 or 6.", field="ip_version")
    if asked.text("subnetpool_id"):
        raise NotSupported("There are no subnet pools here. Say the cidr.")
    if outer(caller, network) is not None:
        raise Forbidden("The subnet of an external network is its own.")
    if version == 6:
        return _make_subnet6(caller, network, asked)
    row = subnets.give(
        caller.ctx,
        network,
        cidr=asked.needed_text("cidr", length_max=64),
        name=asked.text("name", length_max=255) or "",
        gateway_ip=asked.text("gateway_ip", length_max=64) or "",
        dhcp=asked.flag("enable_dhcp") is not False,
        dns_servers=asked.texts("dns_nameservers"),
        host_routes=_routes(asked),
        has_gateway="gateway_ip" not in asked.values or asked.values["gateway_ip"] is not None,
        **_pool(asked),
    )
    return render.subnet(row)


def _make_subnet6(caller: Caller, network: UUID, asked: Fields) -> Shape:
    if "gateway_ip" in asked.values and asked.values["gateway_ip"] is None:
        raise NotSupported("An IPv6 range has a gateway here, its first address, which advertises it.")
    if any(asked.values.get(name) for name in ("dns_nameservers", "host_routes", "allocation_pools")):
        raise NotSupported("An IPv6 subnet has no DNS servers, host routes and pools of its own here: guests are told the network's DNS.")
    if asked.flag("enable_dhcp") is False:
        raise NotSupported("Addresses of an IPv6 subnet are advertised or given out here. Leave enable_dhcp on.")
    row = subnets.give6(
        caller.ctx,
        network,
        cidr=asked.needed_text("cidr", length_max=64),
        mode=_mode6(asked),
        name=asked.text("name", length_max=255) or "",
        gateway_ip=asked.text("gateway_ip", length_max=64) or "",
    )
    return render.subnet6(row)


def _mode6(asked: Fields) -> str:
    """What is advertised is what is given out, so the two modes are one. Neither is said: addresses come from the range, by DHCPv6."""
    said = {text for name in ("ipv6_ra_mode", "ipv6_address_mode") if (text := asked.text(name, length_max=32))}
    if any(text not in render.MODES for text in said):
        raise Invalid(f"The modes of IPv6 are {', '.join(render.MODES)}.", field="ipv6_address_mode")
    if len(said) > 1:
        raise Invalid("ipv6_ra_mode and ipv6_address_mode must be the same, or one of them left out.", field="ipv6_address_mode")
    return render.MODES[said.pop()] if said else render.MODES["dhcpv6-stateful"]


def _create_subnet(request: HttpRequest, caller: Caller) -> HttpResponse:
    return create_all(request, caller, "subnet", "subnets", _make_subnet)


def _update_subnet(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller = owner(caller, id)
    wanted = reading.need_id(id, "subnet")
    row = network_of_subnet(caller, wanted)
    caller.ctx.require("networks.manage")
    asked = body_of(request).needed_object("subnet")
    if row.subnet_id != wanted:
        return _update_subnet6(caller, row, asked)
    gateway = optional(asked, "gateway_ip", length_max=64)
    changes: dict[str, Any] = dict(_pool(asked))
    if (name := optional(asked, "name")) is not None:
        changes["subnet_name"] = name
    if (dhcp := asked.flag("enable_dhcp")) is not None:
        changes["dhcp"] = dhcp
    if "dns_nameservers" in asked.values:
        changes["dns_servers"] = asked.texts("dns_nameservers")
    if "host_routes" in asked.values:
        changes["host_routes"] = _routes(asked)
    if gateway is not None:
        changes["gateway_ip"] = gateway or None
    return answer({"subnet": render.subnet(subnets.update(caller.ctx, row.id, changes) if changes else row)})


def _update_subnet6(caller: Caller, row: Network, asked: Fields) -> HttpResponse:
    """Its name; whatever else clients send along must be as it is."""
    shape = render.subnet6(row)
    for name, value in asked.values.items():
        if name not in ("name", "description") and shape.get(name) != value:
            raise NotSupported(f"Of an IPv6 subnet the name can be changed here. Make another one to change {name[:64]}.")
    if (text := optional(asked, "name")) is not None:
        row = subnets.update(caller.ctx, row.id, {"subnet6_name": text})
    return answer({"subnet": render.subnet6(row)})


def _delete_subnet(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller = owner(caller, id)
    wanted = reading.need_id(id, "subnet")
    row = network_of_subnet(caller, wanted)
    (subnets.take if row.subnet_id == wanted else subnets.take6)(caller.ctx, row.id)
    return nothing()


networks = neutron.view(GET=_list, POST=_create)
network = neutron.view(GET=_show, PUT=_update, DELETE=_delete)
all_subnets = neutron.view(GET=_subnets, POST=_create_subnet)
subnet = neutron.view(GET=_subnet, PUT=_update_subnet, DELETE=_delete_subnet)
