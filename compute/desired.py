"""What the machine should look like, read from the tables: one spec for each driver."""

from __future__ import annotations

import ipaddress
import threading
from collections import defaultdict
from uuid import UUID

from compute import desired_routers, host
from compute.drivers.specs import DiskSpec, FabricSpec, MachineSpec, NetworkSpec, NicSpec, PortSpec, RuleSpec
from compute.models import Instance, Network, Port, SecurityGroupRule, Volume

# The fabric is applied whole; two threads of the one worker must not do so at once.
_applying = threading.Lock()


def domain_of(network: Network) -> str:
    """The DNS domain of a network: instances are `<hostname>.<network>.internal` inside it."""
    from identity.names import slug_of

    return f"{slug_of(network.name) or network.id.hex[:8]}.internal"


def fabric() -> FabricSpec:
    """All networks and ports there should be."""
    networks = tuple(
        NetworkSpec(
            id=network.id,
            cidr=ipaddress.IPv4Network(network.cidr),
            gateway=ipaddress.IPv4Address(network.gateway_ip),
            dns_domain=domain_of(network),
            router_id=network.router_id,
            dhcp=network.dhcp,
            dns_servers=tuple(ipaddress.IPv4Address(each) for each in network.dns_servers),
            host_routes=desired_routers.routes(network.host_routes),
            mtu=network.mtu,
            number=network.number,
        )
        for network in Network.objects.order_by("number")
    )
    ports = list(Port.objects.exclude(instance=None).select_related("instance").prefetch_related("security_groups").order_by("id"))
    members: dict[UUID, list[str]] = defaultdict(list)
    for port in ports:
        for group in port.security_groups.all():
            members[group.id].append(port.ip)
    rules: dict[UUID, list[RuleSpec]] = defaultdict(list)
    for rule in SecurityGroupRule.objects.order_by("id"):
        rules[rule.group_id].append(_rule(rule, members))
    externals, routers = desired_routers.of_all()
    return FabricSpec(networks=networks, externals=externals, routers=routers, ports=tuple(_port(port, rules) for port in ports))


def _rule(rule: SecurityGroupRule, members: dict[UUID, list[str]]) -> RuleSpec:
    return RuleSpec(
        id=rule.id,
        direction=rule.direction,
        protocol=rule.protocol or None,
        port_min=rule.port_min,
        port_max=rule.port_max,
        remote=rule.remote_cidr or None,
        remote_ips=tuple(sorted(members[rule.remote_group_id])) if rule.remote_group_id else None,
    )


def _port(port: Port, rules: dict[UUID, list[RuleSpec]]) -> PortSpec:
    assert port.instance is not None
    allowed = tuple(rule for group in port.security_groups.all() for rule in rules[group.id])
    return PortSpec(
        id=port.id,
        network_id=port.network_id,
        mac=port.mac,
        ip=port.ip,
        hostname=port.instance.hostname if port.index == 0 else f"{port.instance.hostname}-{port.index}",
        rules=allowed if port.port_security else None,
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


def machine(instance: Instance) -> MachineSpec:
    volumes = (
        Volume.objects.filter(instance=instance)
        .exclude(status=Volume.Status.DETACHING)
        .select_related("type")
        .order_by("attached_at", "id")
    )
    nics = tuple(
        NicSpec(port_id=port.id, network_id=port.network_id, mac=port.mac, mtu=port.network.mtu)
        for port in instance.ports.select_related("network").order_by("index")
    )
    return MachineSpec(
        id=instance.id,
        name=instance.name,
        vcpus=instance.vcpus,
        memory_mib=instance.memory_mib,
        root_disk=host.volumes().root_path(instance.id),
        rescue_disk=host.volumes().rescue_path(instance.id) if instance.rescue_image_id else None,
        nics=nics,
        disks=tuple(disk(volume) for volume in volumes),
        project=str(instance.project_id),
    )
