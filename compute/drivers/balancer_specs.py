"""What a load balancer should be, and what its process tells: the part of `FabricSpec` that listens on a network's gateway."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address
from uuid import UUID


@dataclass(frozen=True, kw_only=True)
class MemberSpec:
    id: UUID
    address: IPv4Address
    port: int
    weight: int = 1
    enabled: bool = True


@dataclass(frozen=True, kw_only=True)
class PoolSpec:
    """`check_path` empty: a connection is enough. `sticky`: a cookie keeps a browser with one member (HTTP only)."""

    id: UUID
    http: bool
    algorithm: str = "round-robin"  # round-robin | least-connections | source
    sticky: bool = False
    check_path: str = ""
    check_seconds: int = 5
    check_falls: int = 3
    check_rises: int = 2
    timeout_seconds: int = 60
    members: tuple[MemberSpec, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ListenerSpec:
    """`pem`: certificates and their key, for HTTPS; it stays out of what is shown."""

    id: UUID
    port: int
    http: bool
    pool_id: UUID
    timeout_seconds: int = 60
    pem: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True)
class BalancerSpec:
    """It has `address` on the network, and calls its members by it."""

    id: UUID
    network_id: UUID
    address: IPv4Address
    listeners: tuple[ListenerSpec, ...] = ()
    pools: tuple[PoolSpec, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MemberFacts:
    id: UUID
    status: str  # checking | up | down | off
    detail: str = ""
    connections: int = 0


@dataclass(frozen=True, kw_only=True)
class ListenerFacts:
    """Counters since the settings were last changed."""

    id: UUID
    connections: int = 0
    connections_total: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    errors: int = 0


@dataclass(frozen=True, kw_only=True)
class BalancerFacts:
    listeners: tuple[ListenerFacts, ...] = ()
    members: tuple[MemberFacts, ...] = ()
