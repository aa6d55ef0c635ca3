"""Routers: they join a project's networks, and lead outside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Count, QuerySet

from cloudbox.common import events, jobs
from cloudbox.common.errors import AlreadyExists, Conflict, Invalid, NotFound
from compute import addresses, external_networks
from compute.models import ExternalNetwork, FloatingIp, Network, PortForward, Router
from identity import quotas
from identity.context import Context
from identity.names import clean_name, clean_text


def list(ctx: Context) -> QuerySet[Router]:
    ctx.require("networks.list")
    rows = Router.objects.filter(project=ctx.project).select_related("external").prefetch_related("networks")
    return rows.annotate(network_count=Count("networks", distinct=True)).order_by("name")


def get(ctx: Context, id: UUID, *, field: str = "router_id") -> Router:
    row = list(ctx).filter(id=id).first()
    if row is None:
        raise NotFound(f"There is no router {id}.", field=field)
    return row


def create(
    ctx: Context,
    *,
    name: str,
    description: str = "",
    external_id: UUID | None = None,
    is_isolated: bool = False,
    snat: bool = True,
    is_up: bool = True,
) -> Router:
    """A router that leads to an external network, the default one if none is named; `is_isolated`: to none."""
    ctx.require("networks.manage")
    name, description = clean_name(name), clean_text(description, field="description")
    if is_isolated and external_id is not None:
        raise Invalid("It leads to an external network, or to none: not both.", field="external_id")
    external = None
    if not is_isolated:
        external = external_networks.get(ctx, external_id) if external_id else external_networks.default()
    return make(ctx, name=name, description=description, external=external, snat=snat, is_up=is_up)


def make(
    ctx: Context, *, name: str, description: str = "", external: ExternalNetwork | None, snat: bool = True, is_up: bool = True
) -> Router:
    """The row, for those who have checked what is asked."""
    try:
        with transaction.atomic():
            quotas.charge(ctx.project_id, {"routers": 1})
            row = Router.objects.create(
                project=ctx.needed_project,
                name=name,
                description=description,
                external=external,
                external_ip=addresses.take_outer(external) if external else None,
                snat=snat,
                is_up=is_up,
            )
            events.publish(ctx.actor, "create", "router", row, detail=str(row.external_ip or ""))
            jobs.wake("networks")
    except IntegrityError as error:
        raise AlreadyExists(f"There is a router {name} in this project.", field="name") from error
    return row


def update(ctx: Context, id: UUID, changes: Mapping[str, Any]) -> Router:
    """Name and description, and whether it is up."""
    ctx.require("networks.manage")
    row = get(ctx, id)
    was_up, row.is_up = row.is_up, changes.get("is_up", row.is_up)
    row.name = clean_name(changes["name"]) if "name" in changes else row.name
    row.description = clean_text(changes["description"], field="description") if "description" in changes else row.description
    try:
        with transaction.atomic():
            row.save(update_fields=["name", "description", "is_up"])
            events.publish(ctx.actor, "update", "router", row, detail="" if row.is_up == was_up else "up" if row.is_up else "down")
            jobs.wake("networks")
    except IntegrityError as error:
        raise AlreadyExists(f"There is a router {row.name} in this project.", field="name") from error
    return row


def set_gateway(ctx: Context, id: UUID, *, external_id: UUID | None, snat: bool = True) -> Router:
    """Lead to this external network under a new address there, to none, or to the same one with or without hiding what leaves."""
    ctx.require("networks.manage")
    external = external_networks.get(ctx, external_id) if external_id else None
    with transaction.atomic():
        row = _locked(ctx, id)
        if external_id != row.external_id:
            if why := _why_keep_gateway(row):
                raise Conflict(why)
            row.external, row.external_ip = external, addresses.take_outer(external) if external else None
        row.snat = snat
        row.save(update_fields=["external", "external_ip", "snat"])
        events.publish(ctx.actor, "set-gateway", "router", row, detail=f"{external.name} {row.external_ip}" if external else "none")
        jobs.wake("networks")
    return row


def _locked(ctx: Context, id: UUID) -> Router:
    get(ctx, id)
    return Router.objects.select_for_update().get(id=id)


def _floating(row: Router) -> QuerySet[FloatingIp]:
    return FloatingIp.objects.filter(port__network__router=row)


def _why_keep_gateway(row: Router) -> str:
    """What would lose its way outside."""
    floating, forwards = _floating(row).count(), PortForward.objects.filter(router=row).count()
    if floating:
        return (
            f"{_count(floating, 'floating IP')} lead{'s' if floating == 1 else ''} through {row.name}. Take them off their instances first."
        )
    if forwards:
        return f"{row.name} forwards {_count(forwards, 'port')}. Remove these first."
    return ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def attach(ctx: Context, id: UUID, network_id: UUID) -> Router:
    """Let a network in. Its range must not overlap with those that are on the router, and it may be on no other."""
    ctx.require("networks.manage")
    with transaction.atomic():
        row = _locked(ctx, id)
        network = _network(ctx, network_id)
        if network.router_id == row.id:
            return row
        if why := why_not_attach(row, network):
            raise Conflict(why, field="network_id")
        join(ctx, row, network)
    return row


def _network(ctx: Context, id: UUID) -> Network:
    """One of the project's, locked."""
    network = Network.objects.select_for_update().filter(project=ctx.project, id=id).first()
    if network is None:
        raise NotFound(f"There is no network {id}.", field="network_id")
    return network


def why_not_attach(row: Router, network: Network) -> str:
    """Empty when the network may come to the router; of the network, its own router is needed."""
    if network.router_id == row.id:
        return f"It is on {row.name} already."
    if network.router_id is not None:
        return f"{network.name} is on another router. Take it off there first."
    if not network.has_gateway:
        return f"{network.name} was made without a gateway, so no router leads from it."
    for other in row.networks.all():
        if IPv4Network(other.cidr).overlaps(IPv4Network(network.cidr)):
            return f"Its range {network.cidr} overlaps with that of {other.name} ({other.cidr})."
        if network.ipv6_cidr and other.ipv6_cidr and IPv6Network(other.ipv6_cidr).overlaps(IPv6Network(network.ipv6_cidr)):
            return f"Its IPv6 range {network.ipv6_cidr} is that of {other.name}, too."
    return ""


def join(ctx: Context, row: Router, network: Network) -> None:
    """The row of the network, for those who have checked and hold its lock."""
    network.router = row
    network.save(update_fields=["router"])
    events.publish(ctx.actor, "attach-network", "router", row, detail=network.name)
    jobs.wake("networks")


def lead_out(ctx: Context, network: Network) -> None:
    """Put a new network on the project's first router that leads outside and has room for its range; without one, on a new router."""
    rows = Router.objects.select_for_update(of=("self",)).filter(project=ctx.project).exclude(external=None).order_by("created_at", "id")
    row = next((row for row in rows.prefetch_related("networks") if not why_not_attach(row, network)), None)
    if row is None:
        taken = {name.lower() for name in Router.objects.filter(project=ctx.project).values_list("name", flat=True)}
        name = next(name for name in ("router", *(f"router-{n}" for n in range(2, len(taken) + 3))) if name not in taken)
        row = make(ctx, name=name, external=external_networks.default())
    join(ctx, row, network)


def detach(ctx: Context, id: UUID, network_id: UUID) -> Router:
    """Take a network off. It keeps DHCP, DNS and metadata, and meets nobody. It is not on the router: nothing."""
    ctx.require("networks.manage")
    with transaction.atomic():
        row = _locked(ctx, id)
        network = _network(ctx, network_id)
        if network.router_id != row.id:
            return row
        if why := why_not_detach(row, network):
            raise Conflict(why)
        network.router = None
        network.save(update_fields=["router"])
        events.publish(ctx.actor, "detach-network", "router", row, detail=network.name)
        jobs.wake("networks")
    return row


def why_not_detach(row: Router, network: Network) -> str:
    floating = _floating(row).filter(port__network=network).count()
    if floating:
        return f"{_count(floating, 'floating IP')} lead{'s' if floating == 1 else ''} to {network.name} through it. Take them off first."
    forwards = PortForward.objects.filter(router=row, port__network=network).count()
    if forwards:
        return f"{_count(forwards, 'forwarded port')} lead{'s' if forwards == 1 else ''} to {network.name}. Remove these first."
    if any(IPv4Address(each["next_hop"]) in IPv4Network(network.cidr) for each in row.static_routes):
        return f"A static route of {row.name} leads through {network.name}. Remove it first."
    return ""


def set_routes(ctx: Context, id: UUID, routes: Iterable[Mapping[str, Any]]) -> Router:
    """All static routes at once: exactly these from now on. A next hop lies on a network of the router, or on its external one."""
    ctx.require("networks.manage")
    found = addresses.parse_routes(routes, field="routes")
    with transaction.atomic():
        row = _locked(ctx, id)
        inner = [(network, IPv4Network(network.cidr)) for network in row.networks.all()]
        outer = [IPv4Network(row.external.cidr)] if row.external else []
        for each in found:
            destination, hop = IPv4Network(each["destination"]), IPv4Address(each["next_hop"])
            if not any(hop in cidr for cidr in (*(cidr for _, cidr in inner), *outer)):
                raise Invalid(f"{hop} lies on no network of {row.name}, so nothing can be sent there.", field="routes")
            for network, cidr in inner:
                if destination.overlaps(cidr) and destination.prefixlen > cidr.prefixlen:
                    raise Invalid(f"{destination} lies on {network.name} ({cidr}) itself.", field="routes")
                if str(hop) == network.gateway_ip:
                    raise Invalid(f"{hop} is the gateway of {network.name}, which leads back to the router.", field="routes")
        row.static_routes = found
        row.save(update_fields=["static_routes"])
        events.publish(
            ctx.actor, "set-routes", "router", row, detail=", ".join(f"{x['destination']} via {x['next_hop']}" for x in found)[:255]
        )
        jobs.wake("networks")
    return row


def why_not_delete(row: Router) -> str:
    """Needs the count of `list`."""
    count: int = row.network_count  # type: ignore[attr-defined]
    return (
        f"{_count(count, 'network')} {'is' if count == 1 else 'are'} on {row.name}. Take {'it' if count == 1 else 'them'} off first."
        if count
        else ""
    )


def delete(ctx: Context, id: UUID) -> None:
    """Only when no network is on it."""
    ctx.require("networks.manage")
    with transaction.atomic():
        _locked(ctx, id)
        row = get(ctx, id)
        if why := why_not_delete(row):
            raise Conflict(why)
        events.publish(ctx.actor, "delete", "router", row)
        Router.objects.filter(id=id).delete()
        quotas.release(ctx.project_id, {"routers": 1})
        jobs.wake("networks")
