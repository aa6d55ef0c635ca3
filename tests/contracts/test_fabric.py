"""The contract of Fabric: what the spec names exists, what it does not name is gone, on the fake and on Linux."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from uuid import UUID, uuid4

from compute.drivers.base import Fabric
from compute.drivers.router_specs import ExternalSpec, RouterSpec
from compute.drivers.specs import FabricSpec, NetworkSpec, bridge_name


def network(number: int, router_id: UUID | None = None) -> NetworkSpec:
    return NetworkSpec(
        id=uuid4(),
        cidr=IPv4Network("10.7.0.0/24"),
        gateway=IPv4Address("10.7.0.1"),
        dns_domain="a.internal",
        number=number,
        router_id=router_id,
    )


def test_networks_come_and_go(fabric: Fabric) -> None:
    """Two networks of the same addresses, then one of them, then none; each spec applied twice."""
    first, second = network(1), network(2)
    for spec in (FabricSpec(networks=(first, second)), FabricSpec(networks=(second,)), FabricSpec()):
        fabric.apply(spec)
        fabric.apply(spec)
        expected = {name for each in spec.networks for name in (bridge_name(each.id), fabric.namespace_of(each.id))}
        assert fabric.networks() == expected
    assert fabric.taps() == set()


def test_routers_come_and_go(fabric: Fabric) -> None:
    """A router with a way out and one without, then the second alone, then none; each spec applied twice."""
    outside = ExternalSpec(id=uuid4(), cidr=IPv4Network("100.126.251.0/24"), gateway=IPv4Address("100.126.251.1"))
    first = RouterSpec(id=uuid4(), external_id=outside.id, external_ip=IPv4Address("100.126.251.9"))
    second = RouterSpec(id=uuid4())
    joined = network(1, router_id=first.id)
    counts = []
    for spec in (
        FabricSpec(networks=(joined,), externals=(outside,), routers=(first, second)),
        FabricSpec(networks=(network(1),), externals=(outside,), routers=(second,)),
        FabricSpec(),
    ):
        fabric.apply(spec)
        fabric.apply(spec)
        counts.append(len(fabric.routers()))
    # Of each router a namespace and a port, and a bridge of the external network.
    assert counts == [5, 3, 0]
