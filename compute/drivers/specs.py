"""What the compute manager tells a driver, as frozen dataclasses: a driver never sees a table.

Names on the machine are derived from ids here, in one place, so that every driver, reconciler and test agrees.
"""

from __future__ import annotations

import enum
import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from compute.drivers.balancer_specs import BalancerSpec
from compute.drivers.router_specs import ExternalSpec, RouterSpec, RouteSpec


class Power(enum.StrEnum):
    """What the hypervisor says about a machine. ABSENT: it knows none of that id."""

    RUNNING = "running"
    PAUSED = "paused"
    SHUTOFF = "shutoff"  # by somebody outside, or never on since the hypervisor knows it (the host was off, too)
    POWERED_OFF = "powered off"  # by the guest itself, be it on its own or because its power button was pressed
    SAVED = "saved"  # shut off, with its memory kept (managed save)
    CRASHED = "crashed"
    ABSENT = "absent"


ON = frozenset({Power.RUNNING, Power.PAUSED})
OFF = frozenset({Power.SHUTOFF, Power.POWERED_OFF, Power.CRASHED})


def bridge_name(network_id: UUID) -> str:
    """The bridge of a network, in the box's namespace (interface names have 15 characters)."""
    return f"br-{network_id.hex[:12]}"


def tap_name(port_id: UUID) -> str:
    """The tap of a port, in the box's namespace."""
    return f"tap{port_id.hex[:12]}"


@dataclass(frozen=True, kw_only=True)
class NicSpec:
    port_id: UUID
    network_id: UUID
    mac: str
    mtu: int = 1500
    model: str = "virtio"  # virtio | e1000e | e1000


@dataclass(frozen=True, kw_only=True)
class DiskSpec:
    """A volume as a machine sees it: a qcow2 file that a VolumeStore made. Limits None: none."""

    volume_id: UUID
    path: Path
    read_only: bool = False
    iops_max: int | None = None
    bytes_per_second_max: int | None = None

    @property
    def serial(self) -> str:
        """By which the guest finds it: /dev/disk/by-id/virtio-<serial>. A virtio disk's has 20 characters at most."""
        return self.volume_id.hex[:20]


@dataclass(frozen=True, kw_only=True)
class MachineSpec:
    """One virtual machine. `root_disk` is a qcow2 file that a VolumeStore made; `disks` are the volumes it has besides."""

    id: UUID
    name: str
    vcpus: int
    memory_mib: int
    root_disk: Path
    boot: DiskSpec | None = None  # a volume in place of the root disk, which has its path then
    rescue_disk: Path | None = None  # boots in place of the root disk, which is the second then
    nics: tuple[NicSpec, ...] = ()
    disks: tuple[DiskSpec, ...] = ()
    disk_bus: str = "virtio"  # of the disk that it boots from: virtio | scsi | sata
    config_drive: Path | None = None  # a read-only disc with what the machine is told
    project: str = ""


@dataclass(frozen=True, kw_only=True)
class RuleSpec:
    """One security-group rule as the firewall needs it. `remote` is a CIDR; `remote_ips` the members of a remote group, or the ranges
    of an address group. Rules that mean the same members share one tuple: the firewall makes one set of it."""

    id: UUID
    direction: str  # ingress | egress
    ethertype: str = ""  # IPv4 | IPv6 | empty: both
    protocol: str | None = None  # tcp | udp | sctp | dccp | udplite | icmp (of IPv6: ICMPv6) | a number | None: any
    port_min: int | None = None  # for icmp: the type
    port_max: int | None = None  # for icmp: the code
    remote: str | None = None
    remote_ips: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class PairSpec:
    """An address or a range that a port may send from besides its own; `mac` empty: with its own card's."""

    ip: str
    mac: str = ""


@dataclass(frozen=True, kw_only=True)
class PortSpec:
    """A port and what may pass it. `rules` None: port security is off. Caps in kilobits (1,000 bits) per second; None: none."""

    id: UUID
    network_id: UUID
    mac: str
    ip: str
    ip6: tuple[str, ...] = ()
    hostname: str = ""
    rules: tuple[RuleSpec, ...] | None = ()
    pairs: tuple[PairSpec, ...] = ()
    rate_in_kbps: int | None = None  # to the machine
    rate_out_kbps: int | None = None


class Ipv6Mode(enum.StrEnum):
    """How guests come by their IPv6 addresses (RFC 4861, 4.6.2: the flags of router advertisements)."""

    SLAAC = "slaac"  # they make theirs from the prefix and their MAC
    STATELESS = "dhcp-stateless"  # the same, and DHCPv6 tells the rest
    STATEFUL = "dhcp-stateful"  # DHCPv6 gives them out


@dataclass(frozen=True, kw_only=True)
class Ipv6Spec:
    """A network's IPv6 beside its IPv4: a /64, the gateway's address in it, and how guests come by theirs."""

    cidr: ipaddress.IPv6Network
    gateway: ipaddress.IPv6Address
    mode: Ipv6Mode = Ipv6Mode.SLAAC


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """A tenant network: a bridge, a gateway namespace with DHCP, DNS and the metadata address, and a way to its router if it has one."""

    id: UUID
    cidr: ipaddress.IPv4Network
    gateway: ipaddress.IPv4Address
    dns_domain: str
    router_id: UUID | None = None
    dhcp: bool = True
    dns_servers: tuple[ipaddress.IPv4Address, ...] = ()  # that DHCP tells; none: the gateway
    host_routes: tuple[RouteSpec, ...] = ()  # that DHCP tells
    mtu: int = 1500
    ipv6: Ipv6Spec | None = None
    number: int = 0  # unique small integer of the box: conntrack zone and transit addresses derive from it


@dataclass(frozen=True, kw_only=True)
class FabricSpec:
    """All networks and ports there should be: the whole truth, so that applying it removes what is not in it."""

    networks: tuple[NetworkSpec, ...] = ()
    externals: tuple[ExternalSpec, ...] = ()
    routers: tuple[RouterSpec, ...] = ()
    ports: tuple[PortSpec, ...] = ()
    balancers: tuple[BalancerSpec, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MachineEvent:
    """The hypervisor saw a machine change. `power` is the state after it; `why` a word for the activity list."""

    id: UUID
    power: Power
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class MachineStats:
    """Counters since the machine started, at `at` (Unix seconds). Bytes and nanoseconds only grow."""

    id: UUID
    at: float
    cpu_ns: int
    vcpus: int
    memory_used_mib: int | None
    memory_total_mib: int
    disk_read_bytes: int = 0
    disk_write_bytes: int = 0
    disk_read_ops: int = 0
    disk_write_ops: int = 0
    net_rx_bytes: int = 0
    net_tx_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class HostFacts:
    """What the machine under the box has to give."""

    hostname: str
    vcpus: int
    memory_mib: int
    disk_bytes: int
    disk_free_bytes: int
    accelerator: str  # kvm | tcg
    hypervisor_version: str
    extra: dict[str, str] = field(default_factory=dict)
