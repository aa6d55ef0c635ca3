"""Ports: places on networks. A launch makes them with its instance; a reserved one is made by somebody, has an address before there is
an instance, and keeps it when the instance goes."""

from __future__ import annotations

import ipaddress
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from cloudbox.common import events, jobs
from cloudbox.common.errors import AlreadyExists, Conflict, InsufficientCapacity, Invalid, NotFound
from compute import dns, networks, security_groups
from compute.models import Instance, LoadBalancer, Network, Port, SecurityGroup
from identity import quotas
from identity.context import Context
from identity.names import clean_name, clean_text

PAIRS_MAX = 10
# From what a modem did to what a fast card does.
RATE_KBPS = (64, 100_000_000)
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def list(ctx: Context, *, network_id: UUID | None = None, instance_id: UUID | None = None, q: str = "") -> QuerySet[Port]:
    """Those of the project; `q` matches address, MAC, name and the instance's name."""
    ctx.require("networks.list")
    rows = Port.objects.filter(project=ctx.project).prefetch_related("security_groups")
    rows = rows.select_related("network", "instance", "floating_ip", "load_balancer")
    if q:
        rows = rows.filter(
            Q(ip__startswith=q)
            | Q(mac__startswith=q.lower())
            | Q(name__icontains=q)
            | Q(dns_name__icontains=q)
            | Q(instance__name__icontains=q)
        )
    if instance_id:
        return rows.filter(instance_id=instance_id).order_by("index")
    return rows.filter(network_id=network_id).order_by("ip") if network_id else rows.order_by("network__name", "ip")


def get(ctx: Context, id: UUID) -> Port:
    port = list(ctx).filter(id=id).first()
    if port is None:
        raise NotFound(f"There is no port {id}.", field="port_ids")
    return port


def create(network: Network, instance: Instance, *, index: int, groups: Iterable[SecurityGroup], ip: str = "") -> Port:
    """A port of an instance, in the caller's transaction; without `ip` the next free address of the network, whose row is the lock."""
    Network.objects.select_for_update().get(id=network.id)
    port = Port.objects.create(
        project_id=instance.project_id,
        network=network,
        instance=instance,
        index=index,
        mac=_new_mac(),
        ip=_fixed_ip(network, ip) if ip else _free_ip(network),
    )
    port.security_groups.set(groups)
    return port


def place(port_id: UUID, instance: Instance, *, index: int) -> Port:
    """Give a reserved port to an instance, in the caller's transaction."""
    port = Port.objects.select_for_update(of=("self",)).select_related("instance", "network").get(id=port_id)
    if why := why_not_place(port):
        raise Conflict(why, field="port_ids")
    port.instance, port.index = instance, index
    port.save(update_fields=["instance", "index"])
    return port


def why_not_place(port: Port) -> str:
    """Why an instance cannot be given this port; empty when it can."""
    if balancer := _balancer_of(port):
        return balancer
    if port.network.subnet_id is None and not port.network.ipv6_cidr:
        return f"The network {port.network.name} has no subnet, so the port has no address yet. Make one first."
    return f"The port {port.ip} is {port.instance.name}'s." if port.instance is not None else ""


def _balancer_of(port: Port) -> str:
    """The sentence that it is a load balancer's; empty when it is not."""
    row = LoadBalancer.objects.filter(port=port).first()
    return f"{port.ip} is the address of the load balancer {row.name}, and goes with it." if row is not None else ""


def reserve(
    ctx: Context,
    *,
    network_id: UUID,
    ip: str = "",
    mac: str = "",
    name: str = "",
    description: str = "",
    dns_name: str = "",
    security_group_ids: Sequence[UUID] | None = None,
    allowed_pairs: Sequence[Mapping[str, str]] = (),
    port_security: bool = True,
    rate_in_kbps: int | None = None,
    rate_out_kbps: int | None = None,
    ip6: str = "",
    is_up: bool = True,
) -> Port:
    """A port without an instance: its address is taken from now on, until it is deleted. Without `ip` the next free one; `ip6` may be
    chosen where DHCPv6 gives addresses out, and elsewhere follows from the MAC."""
    ctx.require("networks.manage")
    if not port_security:
        ctx.require("ports.unguard")
    network = networks.get(ctx, network_id)
    if security_group_ids is None:
        groups = [security_groups.default(ctx)]
    else:
        groups = [security_groups.get(ctx, id) for id in dict.fromkeys(security_group_ids)]
    if len(groups) > security_groups.GROUPS_PER_PORT_MAX:
        raise Invalid(f"A port is in at most {security_groups.GROUPS_PER_PORT_MAX} groups.", field="security_group_ids")
    fields = {
        "name": clean_name(name) if name.strip() else "",
        "description": clean_text(description, field="description"),
        "dns_name": dns.clean_name(dns_name),
        "mac": _clean_mac(mac) if mac.strip() else _new_mac(),
        "allowed_pairs": clean_pairs(allowed_pairs),
        "port_security": port_security,
        "rate_in_kbps": clean_rate(rate_in_kbps, "rate_in_kbps"),
        "rate_out_kbps": clean_rate(rate_out_kbps, "rate_out_kbps"),
    }
    try:
        with transaction.atomic():
            Network.objects.select_for_update().get(id=network.id)
            quotas.charge(ctx.project_id, {"ports": 1})
            address = _fixed_ip(network, ip) if ip.strip() else _free_ip(network)
            port = Port(project=ctx.needed_project, network=network, ip=address, is_reserved=True, is_up=is_up, **fields)
            if ip6.strip():
                port.fixed_ip6 = _fixed_ip6(port, ip6)
            port.save(force_insert=True)
            port.security_groups.set(groups)
            events.publish(ctx.actor, "create", "port", port, project_id=ctx.project_id, detail=f"{address} on {network.name}")
    except IntegrityError as error:
        raise AlreadyExists(f"Another card has the MAC {fields['mac']}.", field="mac") from error
    return port


def update(ctx: Context, id: UUID, **changes: Any) -> Port:
    """Change name, description, dns_name, allowed_pairs, port_security, is_up, rate_in_kbps and rate_out_kbps; at once, while it runs."""
    ctx.require("networks.manage")
    with transaction.atomic():
        port = Port.objects.select_for_update(of=("self",)).get(id=get(ctx, id).id)
        for field, value in changes.items():
            setattr(port, field, _CLEAN[field](value))
        if "port_security" in changes and changes["port_security"] != get(ctx, id).port_security:
            ctx.require("ports.unguard")
        port.save(update_fields=[*changes])
        told = ", ".join(field.replace("_", " ") for field in changes)
        events.publish(ctx.actor, "update", "port", port, project_id=ctx.project_id, detail=f"{port.ip}: {told}")
        if port.instance_id is not None:
            events.touch("instance", port.instance_id, port.project_id)
        jobs.wake("networks")
    return get(ctx, id)


def why_not_delete(port: Port) -> str:
    """Why it cannot be deleted; empty when it can."""
    if balancer := _balancer_of(port):
        return balancer
    return f"It is a card of {port.instance.name}. Delete the instance, or take the card out of it." if port.instance is not None else ""


def delete(ctx: Context, id: UUID) -> None:
    """Only a port that no instance has."""
    ctx.require("networks.manage")
    with transaction.atomic():
        port = Port.objects.select_for_update(of=("self",)).get(id=get(ctx, id).id)
        if why := why_not_delete(port):
            raise Conflict(why)
        events.publish(ctx.actor, "delete", "port", port, project_id=ctx.project_id, detail=port.ip)
        port.delete()
        quotas.release(ctx.project_id, {"ports": 1})
        jobs.wake("networks")


def clean_pairs(pairs: Sequence[Mapping[str, str]]) -> Sequence[dict[str, str]]:
    """Addresses or ranges that the port may send from besides its own, each with a MAC or with the card's own."""
    found = {}
    for pair in pairs:
        try:
            ip = str(ipaddress.ip_network(str(pair.get("ip", "")).strip(), strict=False))
        except ValueError as error:
            raise Invalid(f"{str(pair.get('ip', ''))[:40]!r} is not an address or a range.", field="allowed_pairs") from error
        mac = str(pair.get("mac") or "").strip()
        found[ip, mac] = {"ip": ip.removesuffix("/32").removesuffix("/128"), "mac": _clean_mac(mac, field="allowed_pairs") if mac else ""}
    if len(found) > PAIRS_MAX:
        raise Invalid(f"A port has at most {PAIRS_MAX} allowed pairs.", field="allowed_pairs")
    return [*found.values()]


def _clean_mac(text: str, *, field: str = "mac") -> str:
    mac = text.strip().lower().replace("-", ":")
    if not _MAC.fullmatch(mac):
        raise Invalid(f"{text.strip()[:20]!r} is not a MAC. Write it like 52:54:00:12:34:56.", field=field)
    if int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise Invalid(f"{mac} is no card's own address: it is for groups, or nobody's.", field=field)
    return mac


def clean_rate(value: int | None, field: str) -> int | None:
    low, high = RATE_KBPS
    if value is not None and not low <= value <= high:
        raise Invalid(f"A cap is {low} to {high} kilobits per second, or empty for none.", field=field)
    return value


_CLEAN: dict[str, Any] = {
    "name": lambda value: clean_name(value) if value.strip() else "",
    "description": lambda value: clean_text(value, field="description"),
    "dns_name": dns.clean_name,
    "allowed_pairs": clean_pairs,
    "port_security": bool,
    "is_up": bool,
    "rate_in_kbps": lambda value: clean_rate(value, "rate_in_kbps"),
    "rate_out_kbps": lambda value: clean_rate(value, "rate_out_kbps"),
}


def _new_mac() -> str:
    """QEMU's own prefix for locally made cards, and 24 random bits; the table's constraint catches the rare double."""
    return "52:54:00:" + ":".join(f"{byte:02x}" for byte in secrets.token_bytes(3))


def _taken(network: Network) -> set[str]:
    return {*Port.objects.filter(network=network).values_list("ip", flat=True), network.gateway_ip}


def _fixed_ip(network: Network, text: str) -> str:
    """The address that somebody asked for, if it is one of the network's and free."""
    subnet = ipaddress.IPv4Network(network.cidr)
    try:
        address = ipaddress.IPv4Address(text.strip())
    except ValueError as error:
        raise Invalid(f"{text.strip()[:40]!r} is not an IPv4 address.", field="ip") from error
    if address not in subnet or address in (subnet.network_address, subnet.broadcast_address):
        raise Invalid(f"{address} is not an address of {network.name} ({network.cidr}).", field="ip")
    if str(address) == network.gateway_ip:
        raise Conflict(f"{address} is the gateway of {network.name}.", field="ip")
    if str(address) in _taken(network):
        raise AlreadyExists(f"Another port of {network.name} has {address}.", field="ip")
    return str(address)


def _fixed_ip6(port: Port, text: str) -> str | None:
    """The IPv6 address that somebody asked for; None where the port has it anyway."""
    network = port.network
    try:
        address = ipaddress.IPv6Address(text.strip())
    except ValueError as error:
        raise Invalid(f"{text.strip()[:50]!r} is not an IPv6 address.", field="ip6") from error
    if str(address) == port.ip6:
        return None
    cidr = ipaddress.IPv6Network(network.ipv6_cidr) if network.ipv6_cidr else None
    if cidr is None or address not in cidr or address == cidr[0]:
        raise Invalid(f"{address} is not an address of {network.name} ({network.ipv6_cidr or 'without IPv6'}).", field="ip6")
    if network.ipv6_mode != Network.Ipv6Mode.STATEFUL:
        raise Invalid(f"Guests of {network.name} make their IPv6 addresses themselves: this port's is {port.ip6}.", field="ip6")
    if str(address) == network.ipv6_gateway_ip:
        raise Conflict(f"{address} is the gateway of {network.name}.", field="ip6")
    if Port.objects.filter(network=network, fixed_ip6=str(address)).exists():
        raise AlreadyExists(f"Another port of {network.name} has {address}.", field="ip6")
    low = int(address) - int(cidr[0])
    if low < 2**32 and ipaddress.IPv4Address(low) in ipaddress.IPv4Network(network.cidr):
        raise Invalid(f"{address} belongs to the port with the IPv4 address {ipaddress.IPv4Address(low)}. Choose another.", field="ip6")
    return str(address)


def readdress(network: Network) -> None:
    """Give reserved ports addresses of the range that their network has got by now, in the caller's transaction."""
    waiting = [*Port.objects.select_for_update().filter(network=network).order_by("created_at", "id")]
    subnet = ipaddress.IPv4Network(network.cidr)
    for port in waiting:
        if ipaddress.IPv4Address(port.ip) not in subnet or port.ip == network.gateway_ip:
            port.ip = _free_ip(network)
            port.save(update_fields=["ip"])


def _free_ip(network: Network) -> str:
    """The first free address of the network's pool; without a pool the first ten addresses are kept for the house: gateway, balancers."""
    subnet = ipaddress.IPv4Network(network.cidr)
    taken = _taken(network)
    first = int(ipaddress.IPv4Address(network.pool_first)) if network.pool_first else int(subnet[min(10, subnet.num_addresses // 4)])
    last = int(ipaddress.IPv4Address(network.pool_last)) if network.pool_last else int(subnet[-2])
    for number in range(first, last + 1):
        address = str(ipaddress.IPv4Address(number))
        if address not in taken:
            return address
    raise InsufficientCapacity(f"The network {network.name} ({network.cidr}) has no free address.", field="network_ids")
