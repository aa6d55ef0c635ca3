"""What the machine should look like, read from the tables: one spec for each driver."""

from __future__ import annotations

import ipaddress
import threading
from collections import defaultdict
from collections.abc import Iterable
from uuid import UUID

from django.db.models import QuerySet

from compute import desired_balancers, desired_routers, host
from compute.drivers.specs import (
    DiskSpec,
    FabricSpec,
    Ipv6Mode,
    Ipv6Spec,
    MachineSpec,
    NetworkSpec,
    NicSpec,
    PairSpec,
    PortSpec,
    RuleSpec,
)
from compute.models import AddressGroup, Instance, Network, Port, SecurityGroupRule, Volume
from compute.rule_fields import driver_protocol

# The fabric is applied whole; two threads of the one worker must not do so at once.
_applying = threading.Lock()


def domain_of(network: Network) -> str:
    """The DNS domain of a network: its own, or `<network>.internal`."""
    from identity.names import slug_of

    return network.dns_domain or f"{slug_of(network.name) or network.id.hex[:8]}.internal"


def name_of(port: Port) -> str:
    """What a port is called on its network: its own name, or the host name of its instance."""
    assert port.instance is not None
    return port.dns_name or (port.instance.hostname if port.index == 0 else f"{port.instance.hostname}-{port.index}")


def fabric() -> FabricSpec:
    """All networks and ports there should be."""
    networks = tuple(
        NetworkSpec(
            id=network.id,
            cidr=ipaddress.IPv4Network(network.cidr),
            gateway=ipaddress.IPv4Address(network.gateway_ip),
            dns_domain=domain_of(network),
            router_id=_router_id(network),
            # A range that nobody has said yet is told to nobody.
            dhcp=network.dhcp and network.subnet_id is not None,
            dns_servers=tuple(ipaddress.IPv4Address(each) for each in network.dns_servers),
            host_routes=desired_routers.routes(network.host_routes),
            mtu=network.mtu,
            ipv6=_ipv6(network),
            number=network.number,
        )
        for network in Network.objects.select_related("router").order_by("number")
    )
    ports = list(
        _switched_on().exclude(instance=None).select_related("instance", "network").prefetch_related("security_groups").order_by("id")
    )
    # Load balancers are members of groups, too: what lets the group in lets them in.
    balancers = (
        _switched_on()
        .exclude(load_balancer=None)
        .select_related("network", "load_balancer")
        .prefetch_related("security_groups")
        .order_by("id")
    )
    rules = _rules([*ports, *balancers])
    externals, routers = desired_routers.of_all()
    return FabricSpec(
        networks=networks,
        externals=externals,
        routers=routers,
        ports=tuple(_port(port, rules) for port in ports),
        balancers=desired_balancers.of_all(),
    )


def _switched_on() -> QuerySet[Port]:
    """Of a port that is not among those of the fabric, nothing passes."""
    return Port.objects.filter(is_up=True, network__is_up=True)


def _router_id(network: Network) -> UUID | None:
    return network.router_id if network.is_up and network.router is not None and network.router.is_up else None


def _ipv6(network: Network) -> Ipv6Spec | None:
    if not network.ipv6_cidr:
        return None
    cidr = ipaddress.IPv6Network(network.ipv6_cidr)
    return Ipv6Spec(cidr=cidr, gateway=ipaddress.IPv6Address(network.ipv6_gateway_ip), mode=Ipv6Mode(network.ipv6_mode))


class _Rules:
    """The rules of each set of groups. Ports in the same groups share one tuple, and rules that mean the same members share one, too:
    the firewall makes one chain, and one set, of each."""

    def __init__(self, by_group: dict[UUID, list[RuleSpec]]) -> None:
        self._by_group = by_group
        self._made: dict[tuple[UUID, ...], tuple[RuleSpec, ...]] = {}

    def of(self, group_ids: Iterable[UUID]) -> tuple[RuleSpec, ...]:
        key = tuple(sorted(group_ids))
        if key not in self._made:
            self._made[key] = tuple(rule for id in key for rule in self._by_group[id])
        return self._made[key]


def _rules(ports: Iterable[Port]) -> _Rules:
    found: dict[UUID, list[str]] = defaultdict(list)
    for port in ports:
        for group in port.security_groups.all():
            found[group.id] += filter(None, (port.ip, port.ip6))
    members = {id: tuple(sorted(ips)) for id, ips in found.items()}
    ranges = {id: tuple(cidrs) for id, cidrs in AddressGroup.objects.values_list("id", "cidrs")}
    rules: dict[UUID, list[RuleSpec]] = defaultdict(list)
    for rule in SecurityGroupRule.objects.order_by("id"):
        rules[rule.group_id].append(_rule(rule, members, ranges))
    return _Rules(rules)


_NOBODY: tuple[str, ...] = ()


def _rule(rule: SecurityGroupRule, members: dict[UUID, tuple[str, ...]], ranges: dict[UUID, tuple[str, ...]]) -> RuleSpec:
    remote_ips = None
    if rule.remote_group_id:
        remote_ips = members.get(rule.remote_group_id, _NOBODY)
    elif rule.remote_address_group_id:
        remote_ips = ranges[rule.remote_address_group_id]
    return RuleSpec(
        id=rule.id,
        direction=rule.direction,
        ethertype=rule.ethertype,
        protocol=driver_protocol(rule.protocol),
        port_min=rule.port_min,
        port_max=rule.port_max,
        remote=rule.remote_cidr or None,
        remote_ips=remote_ips,
    )


def _port(port: Port, rules: _Rules) -> PortSpec:
    return PortSpec(
        id=port.id,
        network_id=port.network_id,
        mac=port.mac,
        ip=port.ip,
        ip6=(port.ip6,) if port.ip6 else (),
        hostname=name_of(port),
        rules=rules.of(group.id for group in port.security_groups.all()) if port.port_security else None,
        pairs=tuple(PairSpec(ip=pair["ip"], mac=pair.get("mac", "")) for pair in port.allowed_pairs),
        rate_in_kbps=port.rate_in_kbps,
        rate_out_kbps=port.rate_out_kbps,
    )


def apply_fabric() -> None:
    """Make the networks match the tables."""
    with _applying:
        host.fabric().apply(fabric())


def disk(volume: Volume) -> DiskSpec:
    """A volume as its machine is to see it."""
    rate = volume.type.mib_per_second_max
    return DiskSpec(
        volume_id=volume.id,
        path=host.volumes().volume_path(volume.id),
        read_only=volume.is_read_only,
        iops_max=volume.type.iops_max,
        bytes_per_second_max=rate * 2**20 if rate else None,
    )


def nic(port: Port) -> NicSpec:
    """A port as a machine is to see it."""
    return NicSpec(
        port_id=port.id,
        network_id=port.network_id,
        mac=port.mac,
        mtu=port.network.mtu,
        model=port.instance.nic_model if port.instance else "virtio",
    )


def machine(instance: Instance) -> MachineSpec:
    volumes = (
        Volume.objects.filter(instance=instance)
        .exclude(status=Volume.Status.DETACHING)
        .select_related("type")
        .order_by("attached_at", "id")
    )
    boot = next((disk(volume) for volume in volumes if volume.is_boot), None)
    nics = tuple(nic(port) for port in instance.ports.select_related("network", "instance").order_by("index"))
    return MachineSpec(
        id=instance.id,
        name=instance.name,
        vcpus=instance.vcpus,
        memory_mib=instance.memory_mib,
        root_disk=boot.path if boot else host.volumes().root_path(instance.id),
        boot=boot,
        rescue_disk=host.volumes().rescue_path(instance.id) if instance.rescue_image_id else None,
        nics=nics,
        disk_bus=instance.disk_bus,
        config_drive=host.volumes().config_drive_path(instance.id) if instance.config_drive else None,
        disks=tuple(disk(volume) for volume in volumes if not volume.is_boot),
        project=str(instance.project_id),
    )
