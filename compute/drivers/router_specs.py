"""What a router and an external network should be: the part of `FabricSpec` that lies between networks and the outside."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from uuid import UUID

from compute.drivers.vpn_specs import VpnSpec


@dataclass(frozen=True, kw_only=True)
class RouteSpec:
    """What is meant for `destination` goes to `next_hop`, which lies on a network of the router or outside."""

    destination: IPv4Network
    next_hop: IPv4Address


@dataclass(frozen=True, kw_only=True)
class ExternalSpec:
    """An external network. Without `bridge` the box is its gateway and the host's way to it; with one, its range lies on that bridge
    of the host, and so does its gateway."""

    id: UUID
    cidr: IPv4Network
    gateway: IPv4Address
    bridge: str = ""
    mtu: int = 1500


@dataclass(frozen=True, kw_only=True)
class ForwardSpec:
    """One port of an outer address, led on to an inner one."""

    protocol: str  # tcp | udp
    address: IPv4Address
    port: int
    to_address: IPv4Address
    to_port: int


@dataclass(frozen=True, kw_only=True)
class RouterSpec:
    """A router. Its networks name it (`NetworkSpec.router_id`); `floating` pairs an outer address with the inner one that has it."""

    id: UUID
    external_id: UUID | None = None
    external_ip: IPv4Address | None = None
    snat: bool = True
    routes: tuple[RouteSpec, ...] = ()
    floating: tuple[tuple[IPv4Address, IPv4Address], ...] = ()
    forwards: tuple[ForwardSpec, ...] = ()
    vpn: VpnSpec | None = None
