"""What the parts of a network are called on the machine, and their addresses; all derived, nothing stored."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from uuid import UUID

from compute.drivers.specs import NetworkSpec, bridge_name

METADATA_IP = "169.254.169.254"
LAN = "lan"  # in the gateway namespace: the tenants' side
WAN = "wan"  # in the gateway namespace: the way to the router
VPN = "vpn"  # how the WireGuard interface in a router's namespace begins
EXT = "ext"  # in a router's namespace: the way out
# Transit pairs between a network's gateway and its router: two addresses per network, seen by nobody outside the box (RFC 6598).
TRANSIT_BASE = IPv4Address("100.64.0.0")
TRANSIT_RANGE = "100.64.0.0/14"
# The same in IPv6: a unique local /48 (RFC 4193) of which the first /64 is for transit pairs, and the others are the outer sides of
# routers, one for each external network. It is no project's: `compute.addresses` keeps it out.
OWN_RANGE6 = IPv6Network("fd63:6c6f:7564::/48")
TRANSIT_RANGE6 = IPv6Network("fd63:6c6f:7564::/64")
NUMBER_MAX = 65535  # a conntrack zone has 16 bits


@dataclass(frozen=True)
class Names:
    """Of one network."""

    bridge: str
    namespace: str
    router: str  # the gateway's port on the bridge
    lan_mac: str
    zone: int


def namespace(box: str, network_hex: str) -> str:
    return f"{box}-{network_hex[:8]}"


def names(box: str, network: NetworkSpec) -> Names:
    assert 0 < network.number <= NUMBER_MAX, "A network's number is 1 to 65535."
    hex = network.id.hex
    # Always the same, so that guests keep their ARP entry when a router is made anew. 02: locally administered.
    mac = hashlib.sha256(network.id.bytes).digest()[:5]
    return Names(
        bridge=bridge_name(network.id),
        namespace=namespace(box, hex),
        router=f"rtr{hex[:12]}",
        lan_mac="02:" + ":".join(f"{byte:02x}" for byte in mac),
        zone=network.number,
    )


@dataclass(frozen=True)
class Leg:
    """Between a network's gateway and its router: the interface in the router's namespace, and the address of each end."""

    name: str
    near: IPv4Address  # the network's gateway
    far: IPv4Address  # the router
    near6: IPv6Address
    far6: IPv6Address


def leg(network: NetworkSpec) -> Leg:
    first, first6 = TRANSIT_BASE + 2 * network.number, TRANSIT_RANGE6[2 * network.number]
    return Leg(f"leg{network.number}", first + 1, first, first6 + 1, first6)


@dataclass(frozen=True)
class RouterNames:
    """Of one router."""

    namespace: str
    port: str  # the box's end of its way out, a port of the external network's bridge
    mac: str


def router_namespace(box: str, router_hex: str) -> str:
    # No hex digit follows the hyphen, so it is never a network's.
    return f"{box}-r{router_hex[:8]}"


def router_names(box: str, router_id: UUID) -> RouterNames:
    mac = hashlib.sha256(b"router" + router_id.bytes).digest()[:5]
    return RouterNames(
        namespace=router_namespace(box, router_id.hex),
        port=f"rex{router_id.hex[:12]}",
        mac="02:" + ":".join(f"{byte:02x}" for byte in mac),
    )


@dataclass(frozen=True)
class ExternalNames:
    """Of one external network: its bridge in the box, and both ends of the way to the host's bridge."""

    bridge: str
    uplink: str


def external_names(external_id: UUID) -> ExternalNames:
    return ExternalNames(bridge=f"ext{external_id.hex[:12]}", uplink=f"hbr{external_id.hex[:12]}")


def outer_range6(external_id: UUID) -> IPv6Network:
    """The /64 of an external network inside the box, behind which IPv6 hides on its way out. Its first address is the box's, and a
    router's ends in the IPv4 address that it has there."""
    number = 1 + int.from_bytes(hashlib.sha256(external_id.bytes).digest()[:4]) % 0xFFFF
    return IPv6Network((int(OWN_RANGE6.network_address) + (number << 64), 64))


def outer_address6(external_id: UUID, external_ip: IPv4Address) -> IPv6Address:
    return outer_range6(external_id)[int(external_ip)]
