"""What the parts of a network are called on the machine, and their addresses; all derived, nothing stored."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from ipaddress import IPv4Address

from compute.drivers.specs import NetworkSpec, bridge_name

METADATA_IP = "169.254.169.254"
LAN = "lan"  # in the router namespace: the tenants' side
WAN = "wan"  # in the router namespace: the way out
# Transit pairs between a router and the box: two addresses per network, seen by nobody outside the box (RFC 6598).
TRANSIT_BASE = IPv4Address("100.64.0.0")
NUMBER_MAX = 65535  # a conntrack zone has 16 bits


@dataclass(frozen=True)
class Names:
    """Of one network."""

    bridge: str
    namespace: str
    router: str  # the router's port on the bridge
    transit: str  # the box's end of the transit pair
    transit_box: IPv4Address
    transit_router: IPv4Address
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
        transit=f"trn{hex[:12]}",
        transit_box=TRANSIT_BASE + 2 * network.number,
        transit_router=TRANSIT_BASE + 2 * network.number + 1,
        lan_mac="02:" + ":".join(f"{byte:02x}" for byte in mac),
        zone=network.number,
    )
