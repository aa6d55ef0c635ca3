"""Networks and their subnets."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse

from cloudbox.common.errors import Conflict, Forbidden, Invalid, NotFound, NotSupported
from cloudbox.common.fields import Fields, body_of
from compute import external_networks, subnets
from compute import networks as verbs
from compute.api.neutron import lists, render
from compute.api.neutron.errors import neutron
from compute.api.neutron.views.shared import Shape, create_all, is_up, number, optional, own_project, owner
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
    is_up(asked)
    if asked.flag("router:external"):
        caller.ctx.require("external_networks.manage")
        raise NotSupported("External networks are made in the admin console, with the range that they have.")
    if asked.flag("shared"):
        raise Forbidden("Networks are a project's own here.")
    if asked.flag("port_security_enabled") is False:
        raise NotSupported("Port security is switched per port here.")
    row = subnets.create_bare(caller.ctx, name=asked.text("name", length_max=255) or "", mtu=number(asked, "mtu") or 1500)
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
    is_up(asked)
    changes: dict[str, Any] = {}
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
    shapes = [render.subnet(row) for row in verbs.list(caller.ctx) if row.subnet_id]
    shapes += [render.external_subnet(row) for row in external_networks.list(caller.ctx)]
    return lists.listing(request, "subnets", "subnets", shapes)


def network_of_subnet(caller: Caller, id: UUID) -> Network:
    row = verbs.list(caller.ctx).filter(subnet_id=id).first()
    if row is None:
        raise NotFound(f"There is no subnet {id}.", field="subnet_id")
    return row


def _subnet(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller = owner(caller, id)
    wanted = reading.need_id(id, "subnet")
    for row in external_networks.list(caller.ctx):
        if render.external_subnet_id(row) == wanted:
            return answer({"subnet": lists.narrowed(request, render.external_subnet(row))})
    return answer({"subnet": lists.narrowed(request, render.subnet(network_of_subnet(caller, wanted)))})


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
    if version == 6:
        raise NotSupported("IPv6 of a network is switched on in the portal.")
    if asked.text("subnetpool_id"):
        raise NotSupported("There are no subnet pools here. Say the cidr.")
    if outer(caller, network) is not None:
        raise Forbidden("The subnet of an external network is its own.")
    if "gateway_ip" in asked.values and asked.values["gateway_ip"] is None:
        raise NotSupported("A network has a gateway here, which is its DHCP and DNS, too.")
    row = subnets.give(
        caller.ctx,
        network,
        cidr=asked.needed_text("cidr", length_max=64),
        name=asked.text("name", length_max=255) or "",
        gateway_ip=asked.text("gateway_ip", length_max=64) or "",
        dhcp=asked.flag("enable_dhcp") is not False,
        dns_servers=asked.texts("dns_nameservers"),
        host_routes=_routes(asked),
        **_pool(asked),
    )
    return render.subnet(row)


def _create_subnet(request: HttpRequest, caller: Caller) -> HttpResponse:
    return create_all(request, caller, "subnet", "subnets", _make_subnet)


def _update_subnet(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller = owner(caller, id)
    row = network_of_subnet(caller, reading.need_id(id, "subnet"))
    caller.ctx.require("networks.manage")
    asked = body_of(request).needed_object("subnet")
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
    if gateway is not None and gateway != row.gateway_ip:
        changes["gateway_ip"] = gateway
    return answer({"subnet": render.subnet(subnets.update(caller.ctx, row.id, changes) if changes else row)})


def _delete_subnet(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller = owner(caller, id)
    subnets.take(caller.ctx, network_of_subnet(caller, reading.need_id(id, "subnet")).id)
    return nothing()


networks = neutron.view(GET=_list, POST=_create)
network = neutron.view(GET=_show, PUT=_update, DELETE=_delete)
all_subnets = neutron.view(GET=_subnets, POST=_create_subnet)
subnet = neutron.view(GET=_subnet, PUT=_update_subnet, DELETE=_delete_subnet)
