"""Addresses as people type them, and which are free. Everything here is IPv4 unless its name ends in 6."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any
from uuid import UUID

from cloudbox.common.errors import InsufficientCapacity, Invalid
from compute.drivers.box_namespace import OUTER_RANGE
from compute.models import ExternalNetwork, FloatingIp, Network, Router

PRIVATE = tuple(IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
# The box's own: transit addresses between gateways and routers, and its way out (compute.drivers.fabric.names, box_namespace).
OURS = (IPv4Network("100.64.0.0/14"), IPv4Network("100.127.0.0/16"))
# The same in IPv6. A network's range is one of these: unique local ones (RFC 4193) are everybody's to take.
OURS6 = IPv6Network("fd63:6c6f:7564::/47")
USABLE6 = (IPv6Network("fc00::/7"), IPv6Network("2000::/3"))
PREFIX6 = 64  # what guests make their own addresses of (RFC 4862)
# Where the default external network of a box lies (RFC 6598: nobody's, so it meets no tenant's and seldom a host's).
DEFAULT_RANGE, DEFAULT_PREFIX = OUTER_RANGE, 22
NEVER = tuple(IPv4Network(text) for text in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3"))
KEPT = 10  # The first addresses of a network are kept for the house: gateway, balancers.
ROUTES_MAX = 30
DNS_SERVERS_MAX = 3


def parse_range(text: str, *, field: str, example: str = "10.20.0.0/24") -> IPv4Network:
    try:
        return IPv4Network(text.strip())
    except ValueError as error:
        raise Invalid(f"{text[:40]!r} is not a range of addresses. Write it like {example}.", field=field) from error


def parse_address(text: str, *, field: str) -> IPv4Address:
    try:
        return IPv4Address(text.strip())
    except ValueError as error:
        raise Invalid(f"{text[:40]!r} is not an address. Write it like 10.20.0.7.", field=field) from error


def parse_address6(text: str, *, field: str) -> IPv6Address:
    try:
        return IPv6Address(text.strip())
    except ValueError as error:
        raise Invalid(f"{text[:50]!r} is not an IPv6 address. Write it like fd12:3456:789a:1::7.", field=field) from error


def parse_range6(text: str, *, field: str) -> IPv6Network:
    """A /64 that guests can make addresses of."""
    try:
        found = IPv6Network(text.strip())
    except ValueError as error:
        raise Invalid(f"{text.strip()[:50]!r} is not an IPv6 range. Write it like fd12:3456:789a:1::/64.", field=field) from error
    if found.prefixlen != PREFIX6:
        raise Invalid(f"A network's IPv6 range is a /{PREFIX6}: guests make their addresses of that.", field=field)
    if not any(found.subnet_of(each) for each in USABLE6):
        raise Invalid(f"{found} is for something else. Use a unique local range (fd…) or a global one that is yours.", field=field)
    if found.overlaps(OURS6):
        raise Invalid(f"The box uses {OURS6} itself. Choose another range.", field=field)
    return found


def free_range6(project_id: UUID) -> IPv6Network:
    """The next /64 of the project's own unique local /48: forty bits that belong to the project by its id (RFC 4193, 3.2), so that ranges
    of projects meet one another nowhere, not even when their networks are joined one day."""
    site = b"\xfd" + hashlib.sha256(project_id.bytes).digest()[:5]
    if site == OURS6.network_address.packed[:6]:
        site = b"\xfd" + hashlib.sha256(site).digest()[:5]
    taken = {*Network.objects.filter(project_id=project_id).exclude(ipv6_cidr="").values_list("ipv6_cidr", flat=True)}
    for number in range(1, 2**16):
        found = IPv6Network((site + number.to_bytes(2) + bytes(8), PREFIX6))
        if str(found) not in taken:
            return found
    raise InsufficientCapacity("The project has no free IPv6 range. Name one.", field="ipv6_cidr")


def parse_routes(rows: Iterable[Mapping[str, Any]], *, field: str) -> list[dict[str, str]]:
    """As the tables keep them; each destination once."""
    found: dict[IPv4Network, IPv4Address] = {}
    for row in rows:
        destination = parse_range(str(row.get("destination", "")), field=field)
        if destination in found:
            raise Invalid(f"{destination} has two routes. One can have it.", field=field)
        if any(destination.overlaps(each) and destination.prefixlen >= each.prefixlen for each in (*OURS, *NEVER)):
            raise Invalid(f"{destination} is no place that can be routed to.", field=field)
        found[destination] = parse_address(str(row.get("next_hop", "")), field=field)
    if len(found) > ROUTES_MAX:
        raise Invalid(f"{len(found)} routes are too many; {ROUTES_MAX} is the most.", field=field)
    return [{"destination": str(destination), "next_hop": str(hop)} for destination, hop in found.items()]


def parse_dns_servers(texts: Iterable[str], *, field: str = "dns_servers") -> list[str]:
    found = [str(parse_address(text, field=field)) for text in texts]
    if len(found) > DNS_SERVERS_MAX:
        raise Invalid(f"{DNS_SERVERS_MAX} DNS servers are the most.", field=field)
    return [*dict.fromkeys(found)]


def pool_of(network: Network) -> tuple[IPv4Address, IPv4Address]:
    """The first and the last address that a new port may get."""
    cidr = IPv4Network(network.cidr)
    first = IPv4Address(network.pool_first) if network.pool_first else cidr[min(KEPT, cidr.num_addresses // 4)]
    return first, IPv4Address(network.pool_last) if network.pool_last else cidr[-2]


def parse_pool(cidr: IPv4Network, first: str, last: str) -> tuple[str | None, str | None]:
    """Both ends, or neither: then the usual ones hold."""
    ends = [parse_address(text, field=field) if text else None for text, field in ((first, "pool_first"), (last, "pool_last"))]
    for end, field in zip(ends, ("pool_first", "pool_last"), strict=True):
        if end is not None and (end not in cidr or end in (cidr[0], cidr[-1])):
            raise Invalid(f"{end} is no address of {cidr}.", field=field)
    if ends[0] is not None and ends[1] is not None and ends[0] > ends[1]:
        raise Invalid("The last address comes before the first.", field="pool_last")
    return str(ends[0]) if ends[0] else None, str(ends[1]) if ends[1] else None


def default_range(box: str, used: Iterable[IPv4Network] = ()) -> IPv4Network:
    """Of a box's default external network: the one that its name stands for, or the next that nothing of `used` meets, be it a network of
    the host's or another box's range."""
    ranges, used = [*DEFAULT_RANGE.subnets(new_prefix=DEFAULT_PREFIX)], [*used]
    first = int.from_bytes(hashlib.sha256(box.encode()).digest()[:4]) % len(ranges)
    for found in (*ranges[first:], *ranges[:first]):
        if not any(found.overlaps(each) for each in used):
            return found
    raise InsufficientCapacity(
        f"The host uses all of {DEFAULT_RANGE} itself, so the box has no range of its own to lead outside by. Ask its administrator for an "
        "external network.",
        field="external_id",
    )


def take_outer(external: ExternalNetwork, wanted: str = "") -> str:
    """A free address of an external network, or just the wanted one. The external network's row is the lock: call it in a transaction."""
    external = ExternalNetwork.objects.select_for_update().get(id=external.id)
    taken = {str(each) for each in FloatingIp.objects.filter(external=external).values_list("address", flat=True)}
    taken |= {str(each) for each in Router.objects.filter(external=external).values_list("external_ip", flat=True)} | {external.gateway_ip}
    first, last = IPv4Address(external.pool_first), IPv4Address(external.pool_last)
    if wanted:
        address = parse_address(wanted, field="address")
        if not first <= address <= last:
            raise Invalid(f"{external.name} gives out {first} to {last}.", field="address")
        if str(address) in taken:
            raise Invalid(f"{address} is taken. Choose another, or leave it empty for the next free one.", field="address")
        return str(address)
    for number in range(int(first), int(last) + 1):
        if (text := str(IPv4Address(number))) not in taken:
            return text
    raise InsufficientCapacity(f"{external.name} has no free address. Ask the administrator of the box for more.", field="external_id")
