"""Routers, their interfaces and routes, and floating IPs."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from django.http import HttpRequest, HttpResponse

from cloudbox.common.errors import Invalid, NotFound, NotSupported
from cloudbox.common.fields import Fields, body_of
from compute import external_networks, floating_ips, networks, ports
from compute import routers as verbs
from compute.api.neutron import lists, render
from compute.api.neutron.errors import neutron
from compute.api.neutron.views.networks import network_of_subnet
from compute.api.neutron.views.ports import interface_network
from compute.api.neutron.views.shared import Shape, create_all, is_up, optional, own_project, owner, switch
from compute.api.openstack import reading
from compute.api.openstack.service import Caller, answer, nothing
from compute.models import FloatingIp, Network, Router


def _list(request: HttpRequest, caller: Caller) -> HttpResponse:
    return lists.listing(request, "routers", "routers", [render.router(row) for row in verbs.list(caller.ctx)])


def _find(caller: Caller, id: str) -> Router:
    return verbs.get(caller.ctx, reading.need_id(id, "router"))


def _show(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller = owner(caller, id)
    return answer({"router": lists.narrowed(request, render.router(_find(caller, id)))})


def _external(caller: Caller, gateway: Fields) -> UUID:
    id = gateway.uuid("network_id")
    if id is None:
        raise Invalid("external_gateway_info.network_id is missing.", field="external_gateway_info")
    if networks.list(caller.ctx).filter(id=id).exists():
        raise Invalid("That network is not external.", field="external_gateway_info")
    return external_networks.get(caller.ctx, id).id


def _make(caller: Caller, asked: Fields) -> Shape:
    caller = own_project(caller, asked)
    _plain(asked)
    gateway = asked.object("external_gateway_info")
    has = gateway is not None and bool(gateway.values)
    row = verbs.create(
        caller.ctx,
        name=asked.text("name", length_max=255) or "router",
        description=asked.text("description", length_max=255) or "",
        external_id=_external(caller, gateway) if has and gateway else None,
        is_isolated=not has,
        snat=gateway is None or gateway.flag("enable_snat") is not False,
        is_up=is_up(asked),
    )
    return render.router(verbs.get(caller.ctx, row.id))


def _plain(asked: Fields) -> None:
    if asked.flag("distributed") or asked.flag("ha"):
        raise NotSupported("Routers are neither distributed nor highly available on one host.")


def _create(request: HttpRequest, caller: Caller) -> HttpResponse:
    return create_all(request, caller, "router", "routers", _make)


def _update(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller = owner(caller, id)
    row = _find(caller, id)
    caller.ctx.require("networks.manage")
    asked = body_of(request).needed_object("router")
    _plain(asked)
    words: dict[str, Any] = switch(asked) | {name: text for name in ("name", "description") if (text := optional(asked, name)) is not None}
    with transaction.atomic():
        if words:
            verbs.update(caller.ctx, row.id, words)
        if "external_gateway_info" in asked.values:
            gateway = asked.object("external_gateway_info")
            if gateway is None or not gateway.values:
                verbs.set_gateway(caller.ctx, row.id, external_id=None)
            else:
                snat = gateway.flag("enable_snat") is not False
                verbs.set_gateway(caller.ctx, row.id, external_id=_external(caller, gateway), snat=snat)
        if "routes" in asked.values:
            verbs.set_routes(caller.ctx, row.id, _routes(asked))
    return answer({"router": render.router(verbs.get(caller.ctx, row.id))})


def _routes(asked: Fields) -> list[dict[str, str]]:
    return [
        {"destination": each.needed_text("destination", length_max=64), "next_hop": each.needed_text("nexthop", length_max=64)}
        for each in asked.objects("routes")
    ]


def _delete(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller = owner(caller, id)
    verbs.delete(caller.ctx, _find(caller, id).id)
    return nothing()


def _which(caller: Caller, asked: Fields) -> Network:
    """The network that is meant by a subnet or by the interface on it."""
    subnet, port = asked.uuid("subnet_id"), asked.uuid("port_id")
    if (subnet is None) == (port is None):
        raise Invalid("Name subnet_id or port_id.", field="subnet_id")
    if subnet is not None:
        return network_of_subnet(caller, subnet)
    assert port is not None
    there = interface_network(caller, port)
    if there is not None:
        return there
    ports.get(caller.ctx, port)
    raise NotSupported("A router's interface has the gateway's address of the subnet. Name the subnet.")


def _add(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller = owner(caller, id)
    row, network = _find(caller, id), _which(caller, body_of(request))
    caller.ctx.require("networks.manage")
    if network.router_id == row.id:
        raise Invalid(f"The router has an interface on {network.name} already.", field="subnet_id")
    if network.router_id is None and (why := verbs.why_not_attach(row, network)):
        raise Invalid(why, field="subnet_id")
    verbs.attach(caller.ctx, row.id, network.id)
    return answer(render.router_interface(row, network))


def _remove(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller = owner(caller, id)
    row, network = _find(caller, id), _which(caller, body_of(request))
    caller.ctx.require("networks.manage")
    if network.router_id != row.id:
        raise NotFound(f"The router has no interface on {network.name}.")
    verbs.detach(caller.ctx, row.id, network.id)
    return answer(render.router_interface(row, network))


def _add_routes(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller = owner(caller, id)
    row, more = _find(caller, id), _routes(body_of(request).needed_object("router"))
    present = {(each["destination"], each["next_hop"]): each for each in [*row.static_routes, *more]}
    verbs.set_routes(caller.ctx, row.id, [*present.values()])
    return answer({"router": render.router(verbs.get(caller.ctx, row.id))})


def _remove_routes(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller = owner(caller, id)
    row, less = _find(caller, id), _routes(body_of(request).needed_object("router"))
    verbs.set_routes(caller.ctx, row.id, [each for each in row.static_routes if each not in less])
    return answer({"router": render.router(verbs.get(caller.ctx, row.id))})


# --- floating IPs


def _floating(request: HttpRequest, caller: Caller) -> HttpResponse:
    return lists.listing(request, "floatingips", "floatingips", [render.floating_ip(row) for row in floating_ips.list(caller.ctx)])


def _one(caller: Caller, id: str) -> FloatingIp:
    return floating_ips.get(caller.ctx, reading.need_id(id, "floating IP"))


def _show_floating(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller = owner(caller, id)
    return answer({"floatingip": lists.narrowed(request, render.floating_ip(_one(caller, id)))})


def _make_floating(caller: Caller, asked: Fields) -> Shape:
    caller = own_project(caller, asked)
    external = asked.uuid("floating_network_id")
    if external is None:
        raise Invalid("floatingip.floating_network_id is missing.", field="floating_network_id")
    if networks.list(caller.ctx).filter(id=external).exists():
        raise Invalid("That network is not external.", field="floating_network_id")
    with transaction.atomic():
        row = floating_ips.allocate(
            caller.ctx,
            external_id=external,
            address=asked.text("floating_ip_address", length_max=64) or "",
            description=asked.text("description", length_max=255) or "",
        )
        _join(caller, row, asked)
    return render.floating_ip(_one(caller, str(row.id)))


def _join(caller: Caller, row: FloatingIp, asked: Fields) -> None:
    if "port_id" not in asked.values:
        return
    port = asked.uuid("port_id")
    if port is None:
        floating_ips.disassociate(caller.ctx, row.id)
        return
    inner = ports.get(caller.ctx, port)
    if inner.network.subnet_id is None:
        raise Invalid(f"The port has no IPv4 address: {inner.network.name} has no IPv4 subnet.", field="port_id")
    fixed = asked.text("fixed_ip_address", length_max=64)
    if fixed and fixed != inner.ip:
        raise Invalid(f"{fixed[:64]} is not the port's address.", field="fixed_ip_address")
    router = inner.network.router
    if router is None or router.external_id != row.external_id:
        raise NotFound("No router leads from the port's network to that external network.")
    floating_ips.associate(caller.ctx, row.id, port_id=port)


def _create_floating(request: HttpRequest, caller: Caller) -> HttpResponse:
    return create_all(request, caller, "floatingip", "floatingips", _make_floating)


def _update_floating(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller = owner(caller, id)
    row = _one(caller, id)
    caller.ctx.require("networks.manage")
    asked = body_of(request).needed_object("floatingip")
    with transaction.atomic():
        if (text := optional(asked, "description")) is not None:
            floating_ips.describe(caller.ctx, row.id, text)
        _join(caller, row, asked)
    return answer({"floatingip": render.floating_ip(_one(caller, id))})


def _delete_floating(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller = owner(caller, id)
    floating_ips.release(caller.ctx, _one(caller, id).id)
    return nothing()


routers = neutron.view(GET=_list, POST=_create)
router = neutron.view(GET=_show, PUT=_update, DELETE=_delete)
add_interface = neutron.view(PUT=_add)
remove_interface = neutron.view(PUT=_remove)
add_routes = neutron.view(PUT=_add_routes)
remove_routes = neutron.view(PUT=_remove_routes)
all_floating = neutron.view(GET=_floating, POST=_create_floating)
floating = neutron.view(GET=_show_floating, PUT=_update_floating, DELETE=_delete_floating)
