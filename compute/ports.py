"""Ports: an instance's places on networks."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Iterable
from uuid import UUID

from django.db.models import QuerySet

from cloudbox.common.errors import InsufficientCapacity
from compute.models import Instance, Network, Port, SecurityGroup
from identity.context import Context


def list(ctx: Context, *, network_id: UUID | None = None) -> QuerySet[Port]:
    ctx.require("networks.list")
    rows = Port.objects.filter(project=ctx.project).select_related("network", "instance").prefetch_related("security_groups")
    return rows.filter(network_id=network_id).order_by("ip") if network_id else rows.order_by("network__name", "ip")


def create(network: Network, instance: Instance, *, index: int, groups: Iterable[SecurityGroup]) -> Port:
    """The next free address of the network, in the caller's transaction; the network's row is the lock."""
    Network.objects.select_for_update().get(id=network.id)
    port = Port.objects.create(
        project_id=instance.project_id,
        network=network,
        instance=instance,
        index=index,
        mac=_new_mac(),
        ip=_free_ip(network),
    )
    port.security_groups.set(groups)
    return port


def _new_mac() -> str:
    """QEMU's own prefix for locally made cards, and 24 random bits; the table's constraint catches the rare double."""
    return "52:54:00:" + ":".join(f"{byte:02x}" for byte in secrets.token_bytes(3))


def _free_ip(network: Network) -> str:
    """The first ten addresses are kept for the house: gateway, balancers."""
    subnet = ipaddress.IPv4Network(network.cidr)
    taken = {*Port.objects.filter(network=network).values_list("ip", flat=True), network.gateway_ip}
    first = min(10, subnet.num_addresses // 4)
    for offset in range(first, subnet.num_addresses - 1):
        address = str(subnet[offset])
        if address not in taken:
            return address
    raise InsufficientCapacity(f"The network {network.name} ({network.cidr}) has no free address.", field="network_ids")
