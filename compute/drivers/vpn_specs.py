"""What a router's WireGuard entrance should be, and what it tells (https://www.wireguard.com/protocol/)."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from uuid import UUID


@dataclass(frozen=True, kw_only=True)
class VpnPeerSpec:
    """Somebody outside who has `address` inside, and reaches one network of the router. `public_key`: base64."""

    public_key: str
    address: IPv4Address
    network_id: UUID


@dataclass(frozen=True, kw_only=True)
class VpnSpec:
    """It listens on `port` (UDP) of the router's own address outside. `cidr`: the addresses of all peers, and first the router's."""

    private_key: str = field(repr=False)
    port: int
    cidr: IPv4Network
    peers: tuple[VpnPeerSpec, ...] = ()


@dataclass(frozen=True, kw_only=True)
class VpnPeerFacts:
    """Bytes since the entrance started. `handshake_at`: Unix seconds; None: never since then."""

    public_key: str
    handshake_at: int | None = None
    bytes_in: int = 0  # from the peer
    bytes_out: int = 0
    endpoint: str = ""
