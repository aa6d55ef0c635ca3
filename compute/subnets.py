"""Subnets, for APIs that make a network first and give it its ranges afterwards. Here a network has one IPv4 range and one of IPv6. Until
somebody says the IPv4 one, it has the next free, which nobody is told and no guest gets an address of."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction

from cloudbox.common import events, jobs
from cloudbox.common.errors import Conflict, Invalid
from compute import addresses, networks, ports
from compute.models import Network, Port
from identity.context import Context
from identity.names import clean_text


def create_bare(ctx: Context, *, name: str = "", mtu: int = 1500) -> Network:
    """A network without a subnet, on no router."""
    with transaction.atomic():
        row = networks.create(ctx, name=name or f"network-{secrets.token_hex(4)}", nat=False, mtu=mtu)
        Network.objects.filter(id=row.id).update(subnet_id=None)
    return networks.get(ctx, row.id)


def give(
    ctx: Context,
    network_id: UUID,
    *,
    cidr: str,
    name: str = "",
    gateway_ip: str = "",
    pool_first: str = "",
    pool_last: str = "",
    dhcp: bool = True,
    dns_servers: Iterable[str] = (),
    host_routes: Iterable[Mapping[str, Any]] = (),
    has_gateway: bool = True,
) -> Network:
    """The range of a network that has none yet, with what DHCP tells. Ports that wait there get addresses of it. A host route's next hop
    may lie elsewhere: whoever writes routes for guests here knows what else these are told. `has_gateway`: may it be on a router?"""
    ctx.require("networks.manage")
    with transaction.atomic():
        row = _locked(ctx, network_id)
        if row.subnet_id is not None:
            raise Conflict(f"{row.name} has its subnet {row.cidr}. A network has one IPv4 range here: make another network.")
        _check_empty(row, reserved=True)
        subnet = networks.clean_range(cidr)
        row.gateway_ip = str(_gateway(subnet, gateway_ip))
        first, last = addresses.parse_pool(subnet, pool_first, pool_last)
        row.cidr, row.pool_first, row.pool_last, row.dhcp = str(subnet), first, last, dhcp
        row.dns_servers = addresses.parse_dns_servers(dns_servers)
        row.host_routes, row.has_gateway = addresses.parse_routes(host_routes, field="host_routes"), has_gateway
        row.subnet_id, row.subnet_name = uuid4(), clean_text(name, field="name")
        row.save()
        ports.readdress(row)
        events.publish(ctx.actor, "update", "network", row, detail=str(subnet))
        jobs.wake("networks")
    return networks.get(ctx, network_id)


def _locked(ctx: Context, id: UUID) -> Network:
    networks.get(ctx, id)
    return Network.objects.select_for_update().get(id=id)


def _check_empty(row: Network, *, reserved: bool = False) -> None:
    """Nothing is on it; `reserved`: but ports that wait for an instance."""
    rows = Port.objects.filter(network=row)
    used = (rows.exclude(instance=None, load_balancer=None) if reserved else rows).count()
    if used:
        raise Conflict(f"{used} port{'s are' if used > 1 else ' is'} on {row.name}. Delete {'them' if used > 1 else 'it'} first.")
    if row.router_id is not None:
        raise Conflict(f"{row.name} is on a router. Take it off there first.")


def _gateway(subnet: IPv4Network, text: str) -> Any:
    gateway = addresses.parse_address(text, field="gateway_ip") if text else subnet[1]
    if gateway not in subnet or gateway in (subnet[0], subnet[-1]):
        raise Invalid(f"{gateway} is no address of {subnet}.", field="gateway_ip")
    return gateway


def update(ctx: Context, network_id: UUID, changes: Mapping[str, Any]) -> Network:
    """As `networks.update`, and besides `subnet_name`, `subnet6_name` and `gateway_ip`; the gateway moves only while nothing is on the
    network. A gateway of None: there is none, and the network can be on no router."""
    ctx.require("networks.manage")
    own = {key: value for key, value in changes.items() if key in ("subnet_name", "subnet6_name", "gateway_ip", "host_routes")}
    with transaction.atomic():
        row = _locked(ctx, network_id)
        if "subnet_name" in own:
            row.subnet_name = clean_text(own["subnet_name"], field="name")
        if "subnet6_name" in own:
            row.subnet6_name = clean_text(own["subnet6_name"], field="name")
        if "host_routes" in own:
            row.host_routes = addresses.parse_routes(own["host_routes"], field="host_routes")
        if "gateway_ip" in own:
            _set_gateway(row, own["gateway_ip"])
        if own:
            row.save(update_fields=["subnet_name", "subnet6_name", "gateway_ip", "has_gateway", "host_routes"])
            events.publish(ctx.actor, "update", "network", row)
            jobs.wake("networks")
        rest = {key: value for key, value in changes.items() if key not in own}
        if rest:
            networks.update(ctx, network_id, rest)
    return networks.get(ctx, network_id)


def _set_gateway(row: Network, text: str | None) -> None:
    if text is None:
        if row.router_id is not None:
            raise Conflict(f"{row.name} is on a router, which is its gateway. Take it off there first.", field="gateway_ip")
        row.has_gateway = False
        return
    row.has_gateway = True
    if text and text != row.gateway_ip:
        _check_empty(row)
        row.gateway_ip = str(_gateway(IPv4Network(row.cidr), text))


def give6(ctx: Context, network_id: UUID, *, cidr: str, mode: str, name: str = "", gateway_ip: str = "") -> Network:
    """The IPv6 range of a network that has none yet; the gateway is its first address."""
    ctx.require("networks.manage")
    with transaction.atomic():
        row = _locked(ctx, network_id)
        if row.ipv6_cidr:
            raise Conflict(f"{row.name} has its IPv6 subnet {row.ipv6_cidr}. A network has one IPv6 range here: make another network.")
        found = addresses.parse_range6(cidr, field="cidr")
        if gateway_ip and addresses.parse_address6(gateway_ip, field="gateway_ip") != found[1]:
            raise Invalid(f"The gateway of an IPv6 range is its first address here, {found[1]}.", field="gateway_ip")
        if row.subnet_id is None and Port.objects.filter(network=row).exclude(instance=None).exists():
            raise Conflict(f"{row.name} has instances on it. Take them off first.")
        Network.objects.filter(id=row.id).update(subnet6_name=clean_text(name, field="name"))
        networks.update(ctx, row.id, {"ipv6_cidr": str(found), "ipv6_mode": mode})
    return networks.get(ctx, network_id)


def take6(ctx: Context, network_id: UUID) -> None:
    """The network is without IPv6 again."""
    ctx.require("networks.manage")
    with transaction.atomic():
        row = _locked(ctx, network_id)
        _check_empty(row)
        networks.update(ctx, row.id, {"ipv6_cidr": "", "ipv6_mode": ""})
        Network.objects.filter(id=row.id).update(subnet6_name="")


def take(ctx: Context, network_id: UUID) -> None:
    """The network is without a subnet again."""
    ctx.require("networks.manage")
    with transaction.atomic():
        row = _locked(ctx, network_id)
        _check_empty(row)
        row.subnet_id, row.subnet_name, row.has_gateway = None, "", True
        row.save(update_fields=["subnet_id", "subnet_name", "has_gateway"])
        events.publish(ctx.actor, "update", "network", row, detail="no subnet")
