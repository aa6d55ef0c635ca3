"""Subnets, for APIs that make a network first and give it its range afterwards. Here a network has one IPv4 range; until somebody says
which, it has the next free one, which nobody is told and no port has."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction

from cloudbox.common import events, jobs
from cloudbox.common.errors import Conflict, Invalid, NotSupported
from compute import addresses, networks
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
) -> Network:
    """The range of a network that has none yet, with what DHCP tells."""
    ctx.require("networks.manage")
    with transaction.atomic():
        row = _locked(ctx, network_id)
        if row.subnet_id is not None:
            raise NotSupported(f"{row.name} has its subnet {row.cidr}. A network has one IPv4 range here: make another network.")
        _check_empty(row)
        subnet = networks.clean_range(cidr)
        row.gateway_ip = str(_gateway(subnet, gateway_ip))
        first, last = addresses.parse_pool(subnet, pool_first, pool_last)
        row.cidr, row.pool_first, row.pool_last, row.dhcp = str(subnet), first, last, dhcp
        row.dns_servers = addresses.parse_dns_servers(dns_servers)
        row.host_routes = networks.clean_host_routes(subnet, host_routes)
        row.subnet_id, row.subnet_name = uuid4(), clean_text(name, field="name")
        row.save()
        events.publish(ctx.actor, "update", "network", row, detail=str(subnet))
        jobs.wake("networks")
    return networks.get(ctx, network_id)


def _locked(ctx: Context, id: UUID) -> Network:
    networks.get(ctx, id)
    return Network.objects.select_for_update().get(id=id)


def _check_empty(row: Network) -> None:
    used = Port.objects.filter(network=row).count()
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
    """As `networks.update`, and besides `subnet_name` and `gateway_ip`; the gateway moves only while nothing is on the network."""
    ctx.require("networks.manage")
    own = {key: value for key, value in changes.items() if key in ("subnet_name", "gateway_ip")}
    with transaction.atomic():
        row = _locked(ctx, network_id)
        if "subnet_name" in own:
            row.subnet_name = clean_text(own["subnet_name"], field="name")
        if "gateway_ip" in own and own["gateway_ip"] != row.gateway_ip:
            _check_empty(row)
            row.gateway_ip = str(_gateway(IPv4Network(row.cidr), own["gateway_ip"]))
        if own:
            row.save(update_fields=["subnet_name", "gateway_ip"])
            events.publish(ctx.actor, "update", "network", row)
            jobs.wake("networks")
        rest = {key: value for key, value in changes.items() if key not in own}
        if rest:
            networks.update(ctx, network_id, rest)
    return networks.get(ctx, network_id)


def take(ctx: Context, network_id: UUID) -> None:
    """The network is without a subnet again."""
    ctx.require("networks.manage")
    with transaction.atomic():
        row = _locked(ctx, network_id)
        _check_empty(row)
        row.subnet_id, row.subnet_name = None, ""
        row.save(update_fields=["subnet_id", "subnet_name"])
        events.publish(ctx.actor, "update", "network", row, detail="no subnet")
