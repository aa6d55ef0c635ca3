"""The contract of Fabric: what the spec names exists, what it does not name is gone, on the fake and on Linux."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from uuid import uuid4

from compute.drivers.base import Fabric
from compute.drivers.specs import FabricSpec, NetworkSpec, bridge_name


def network(number: int) -> NetworkSpec:
    return NetworkSpec(id=uuid4(), cidr=IPv4Network("10.7.0.0/24"), gateway=IPv4Address("10.7.0.1"), dns_domain="a.internal", number=number)


def test_networks_come_and_go(fabric: Fabric) -> None:
    """Two networks of the same addresses, then one of them, then none; each spec applied twice."""
    first, second = network(1), network(2)
    for spec in (FabricSpec(networks=(first, second)), FabricSpec(networks=(second,)), FabricSpec()):
        fabric.apply(spec)
        fabric.apply(spec)
        expected = {name for each in spec.networks for name in (bridge_name(each.id), fabric.namespace_of(each.id))}
        assert fabric.networks() == expected
    assert fabric.taps() == set()
