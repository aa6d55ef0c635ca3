"""Routers, external networks, floating IPs and forwarded ports, through the verbs: what may be joined, led on and given out."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from uuid import UUID, uuid4

import pytest

from cloudbox.common.errors import AlreadyExists, CloudError, Conflict, Forbidden, InsufficientCapacity, Invalid, NotFound, QuotaExceeded
from compute import addresses, desired, external_networks, floating_ips, host, instances, networks, port_forwards, routers
from compute.models import ExternalNetwork, Instance, Network, Port, Router
from identity import quotas
from tests.world import World, work


def port_of(instance: Instance) -> Port:
    return instance.ports.get()


def way_of(network: Network) -> UUID:
    """The id of its router, which must be there."""
    assert network.router_id is not None
    return network.router_id


def apply() -> None:
    desired.apply_fabric()


def test_a_network_joins_the_projects_router(world: World) -> None:
    """The first network with a way out brings a router and the box's first external network along; the next one shares them; one whose
    range overlaps gets a router of its own; one without NAT gets none."""
    ctx = world.ctx("member")
    first = routers.get(ctx, way_of(world.network))
    assert first.external is not None
    assert first.external.is_default
    assert IPv4Address(first.external_ip) in IPv4Network(first.external.cidr)
    assert networks.create(ctx, name="second").router_id == first.id
    overlapping = networks.create(ctx, name="third", cidr=world.network.cidr)
    assert way_of(overlapping) != first.id
    assert routers.get(ctx, way_of(overlapping)).name == "router-2"
    assert networks.create(ctx, name="lonely", nat=False).router is None
    assert [each.nat for each in networks.list(ctx)] == [False, True, True, True]
    assert networks.create(world.ctx("stranger", world.other), name="private").router_id not in (first.id, overlapping.router_id)
    assert ExternalNetwork.objects.count() == 1
    assert quotas.recount() == []


def test_what_the_machine_is_told(world: World) -> None:
    """The spec of the fabric holds the router, its floating IP, its forwarded port and its static route, and DHCP's words."""
    ctx, instance = world.ctx("member"), world.running()
    router = routers.get(ctx, way_of(world.network))
    address = floating_ips.allocate(ctx)
    floating_ips.associate(ctx, address.id, port_id=port_of(instance).id)
    port_forwards.create(ctx, router_id=router.id, protocol="tcp", external_port=2222, port_id=port_of(instance).id, internal_port=22)
    routers.set_routes(ctx, router.id, [{"destination": "10.99.0.0/24", "next_hop": port_of(instance).ip}])
    networks.update(
        ctx,
        world.network.id,
        {"dns_servers": ["9.9.9.9"], "host_routes": [{"destination": "10.98.0.0/24", "next_hop": "10.20.0.9"}], "mtu": 1400},
    )
    apply()
    spec = host.fabric().spec  # type: ignore[attr-defined]
    (told,) = spec.routers
    inner = IPv4Address(port_of(instance).ip)
    assert told.floating == ((IPv4Address(address.address), inner),)
    (forward,) = told.forwards
    assert (str(forward.address), forward.port, forward.to_address, forward.to_port) == (router.external_ip, 2222, inner, 22)
    assert [(str(route.destination), route.next_hop) for route in told.routes] == [("10.99.0.0/24", inner)]
    (network,) = spec.networks
    assert (network.router_id, network.mtu, network.dns_servers) == (router.id, 1400, (IPv4Address("9.9.9.9"),))
    assert str(network.host_routes[0].destination) == "10.98.0.0/24"
    instances.delete(ctx, instance.id)
    work()
    apply()
    (told,) = host.fabric().spec.routers  # type: ignore[attr-defined]
    assert (told.floating, told.forwards) == ((), ())
    assert floating_ips.get(ctx, address.id).port is None


def test_joining_and_leaving(world: World) -> None:
    """A network is on one router at most; ranges that overlap do not meet; what leads through a router keeps its network on it."""
    ctx, instance = world.ctx("member"), world.running()
    mine = routers.get(ctx, way_of(world.network))
    other = routers.create(ctx, name="other", is_isolated=True)
    assert (other.external, other.external_ip) == (None, None)
    with pytest.raises(Conflict, match="on another router"):
        routers.attach(ctx, other.id, world.network.id)
    twin = networks.create(ctx, name="twin", cidr=world.network.cidr, nat=False)
    with pytest.raises(Conflict, match="overlaps with that of private"):
        routers.attach(ctx, mine.id, twin.id)
    routers.attach(ctx, other.id, twin.id)
    routers.attach(ctx, other.id, twin.id)
    with pytest.raises(Conflict, match="1 network is on other"):
        routers.delete(ctx, other.id)
    address = floating_ips.allocate(ctx)
    floating_ips.associate(ctx, address.id, port_id=port_of(instance).id)
    with pytest.raises(Conflict, match="1 floating IP leads"):
        routers.detach(ctx, mine.id, world.network.id)
    with pytest.raises(Conflict, match="1 floating IP leads through"):
        routers.set_gateway(ctx, mine.id, external_id=None)
    assert routers.set_gateway(ctx, mine.id, external_id=mine.external_id, snat=False).external_ip == mine.external_ip
    floating_ips.disassociate(ctx, address.id)
    forward = port_forwards.create(ctx, router_id=mine.id, protocol="udp", external_port=53, port_id=port_of(instance).id)
    with pytest.raises(Conflict, match="1 forwarded port leads to private"):
        routers.detach(ctx, mine.id, world.network.id)
    port_forwards.delete(ctx, forward.id)
    routers.set_routes(ctx, mine.id, [{"destination": "10.99.0.0/24", "next_hop": "10.20.0.9"}])
    with pytest.raises(Conflict, match="static route"):
        routers.detach(ctx, mine.id, world.network.id)
    routers.set_routes(ctx, mine.id, [])
    routers.detach(ctx, mine.id, world.network.id)
    routers.detach(ctx, mine.id, world.network.id)
    assert Network.objects.get(id=world.network.id).router is None
    routers.delete(ctx, mine.id)
    assert quotas.recount() == []


@pytest.mark.parametrize(
    ("destination", "hop", "sentence"),
    [
        ("10.99.0.0/24", "10.77.0.1", "lies on no network"),
        ("10.20.0.128/25", "10.20.0.9", "lies on private"),
        ("10.99.0.1/24", "10.20.0.9", "not a range"),
        ("10.99.0.0/24", "10.20.0.1", "is the gateway"),
        ("100.64.0.0/16", "10.20.0.9", "no place"),
        ("169.254.169.254/32", "10.20.0.9", "no place"),
        ("fd00::/64", "10.20.0.9", "not a range"),
        ("10.99.0.0/24", "; rm -rf", "not an address"),
    ],
)
def test_refused_routes(world: World, destination: str, hop: str, sentence: str) -> None:
    with pytest.raises(Invalid, match=sentence):
        routers.set_routes(world.ctx("member"), way_of(world.network), [{"destination": destination, "next_hop": hop}])


def test_floating_ips(world: World) -> None:
    """Given out once each, moved from one instance to another at once, kept by the project until it gives them back; a card has one;
    the quota holds; nobody else's can be touched."""
    ctx = world.ctx("member")
    one, two = world.launch(name="one")[0], world.launch(name="two")[0]
    address = floating_ips.allocate(ctx)
    assert floating_ips.associate(ctx, address.id, port_id=port_of(one).id).port == port_of(one)
    assert floating_ips.associate(ctx, address.id, port_id=port_of(two).id).port == port_of(two)
    second = floating_ips.allocate(ctx)
    assert second.address != address.address
    with pytest.raises(Conflict, match=f"It has {address.address} already"):
        floating_ips.associate(ctx, second.id, port_id=port_of(two).id)
    with pytest.raises(Invalid, match="is taken"):
        floating_ips.allocate(ctx, address=address.address)
    with pytest.raises(Invalid, match="gives out"):
        floating_ips.allocate(ctx, address="8.8.8.8")
    quotas.set_limits(world.box(), world.project, {"floating_ips": 2})
    with pytest.raises(QuotaExceeded):
        floating_ips.allocate(ctx)
    floating_ips.release(ctx, second.id)
    assert floating_ips.allocate(ctx, address=second.address).address == second.address
    stranger = world.ctx("stranger", world.other)
    for act in (floating_ips.disassociate, floating_ips.release):
        with pytest.raises(NotFound):
            act(stranger, address.id)
    theirs = floating_ips.allocate(stranger)
    with pytest.raises(NotFound):
        floating_ips.associate(stranger, theirs.id, port_id=port_of(one).id)
    with pytest.raises(Forbidden):
        floating_ips.allocate(world.ctx("reader"))
    assert quotas.recount() == []


def test_why_a_card_cannot_have_an_address(world: World) -> None:
    """Each reason as a sentence: no router, a router that leads elsewhere or nowhere, an address that is shared."""
    ctx, instance = world.ctx("member"), world.launch()[0]
    router = routers.get(ctx, way_of(world.network))
    elsewhere = external_networks.create(world.box(), name="lab", cidr="198.51.100.0/24")
    address = floating_ips.allocate(ctx, external_id=elsewhere.id)
    with pytest.raises(Conflict, match=r"leads to public; 198\.51\.100\.10 lies on lab"):
        floating_ips.associate(ctx, address.id, port_id=port_of(instance).id)
    mine = floating_ips.allocate(ctx)
    forward = port_forwards.create(
        ctx, router_id=router.id, protocol="tcp", external_port=80, port_id=port_of(instance).id, floating_ip_id=mine.id
    )
    with pytest.raises(Conflict, match="is shared: it forwards 1 port"):
        floating_ips.associate(ctx, mine.id, port_id=port_of(instance).id)
    with pytest.raises(Conflict, match="is shared"):
        floating_ips.release(ctx, mine.id)
    with pytest.raises(AlreadyExists):
        port_forwards.create(
            ctx, router_id=router.id, protocol="tcp", external_port=80, port_id=port_of(instance).id, floating_ip_id=mine.id
        )
    port_forwards.create(ctx, router_id=router.id, protocol="tcp", external_port=80, port_id=port_of(instance).id)
    with pytest.raises(AlreadyExists):
        port_forwards.create(ctx, router_id=router.id, protocol="tcp", external_port=80, port_id=port_of(instance).id)
    for row in port_forwards.list(ctx):
        port_forwards.delete(ctx, row.id)
    assert forward.internal_port == 80
    routers.detach(ctx, router.id, world.network.id)
    with pytest.raises(Conflict, match="private is on no router"):
        floating_ips.associate(ctx, mine.id, port_id=port_of(instance).id)
    with pytest.raises(Conflict, match="is not on router"):
        port_forwards.create(ctx, router_id=router.id, protocol="tcp", external_port=80, port_id=port_of(instance).id)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"protocol": "icmp"}, "tcp or udp"),
        ({"external_port": 0}, "1 to 65535"),
        ({"internal_port": 70000}, "1 to 65535"),
        ({"port_id": uuid4()}, "no network card"),
        ({"router_id": uuid4()}, "no router"),
        ({"floating_ip_id": uuid4()}, "no floating IP"),
    ],
)
def test_refused_forwards(world: World, changes: dict[str, object], sentence: str) -> None:
    instance = world.launch()[0]
    asked = {"router_id": way_of(world.network), "protocol": "tcp", "external_port": 80, "port_id": port_of(instance).id} | changes
    with pytest.raises(CloudError, match=sentence):
        port_forwards.create(world.ctx("member"), **asked)  # type: ignore[arg-type]


def test_external_networks(world: World) -> None:
    """Administrators alone make them; the first is the default until another is; one in use stays."""
    box = world.box()
    with pytest.raises(Forbidden):
        external_networks.create(world.ctx("owner"), name="mine", cidr="198.51.100.0/24")
    lab = external_networks.create(box, name="lab", cidr="198.51.100.0/24", kind="bridge", bridge="br0", gateway_ip="198.51.100.254")
    assert (lab.pool_first, lab.pool_last, lab.is_default) == ("198.51.100.10", "198.51.100.254", False)
    external_networks.update(box, lab.id, {"is_default": True, "name": "office"})
    assert external_networks.default() == lab
    assert routers.create(world.ctx("member"), name="edge").external_id == lab.id
    with pytest.raises(Conflict, match="in use by 1 router"):
        external_networks.delete(box, lab.id)
    Router.objects.filter(external=lab).delete()
    external_networks.delete(box, lab.id)
    with pytest.raises(Conflict, match="no default external network"):
        routers.create(world.ctx("member"), name="edge-2")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"cidr": "100.126.0.0/16"}, "overlaps with the external network public"),
        ({"cidr": "100.64.0.0/24"}, "the box uses it itself"),
        ({"cidr": "127.0.0.0/24"}, "not to be used"),
        ({"cidr": "198.51.100.0/30"}, "between"),
        ({"kind": "tunnel"}, "nat or bridge"),
        ({"kind": "bridge", "bridge": "br9", "gateway_ip": "198.51.100.1"}, "no bridge br9. It has br0, br1"),
        ({"kind": "bridge", "bridge": "br0; rm", "gateway_ip": "198.51.100.1"}, "Name a bridge"),
        ({"kind": "bridge", "bridge": "br0"}, "which address leads on"),
        ({"gateway_ip": "198.51.101.1"}, "no address of"),
        ({"pool_first": "198.51.100.9", "pool_last": "198.51.100.8"}, "before the first"),
        ({"mtu": 100}, "MTU"),
    ],
)
def test_refused_external_networks(world: World, changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(Invalid, match=sentence):
        external_networks.create(world.box(), **({"name": "lab", "cidr": "198.51.100.0/24"} | changes))  # type: ignore[arg-type]


def test_pools_and_words_of_dhcp(world: World) -> None:
    """New ports come out of the pool, which can be changed; what DHCP cannot tell is refused."""
    ctx = world.ctx("member")
    net = networks.create(ctx, name="n", cidr="10.50.0.0/24", pool_first="10.50.0.100", pool_last="10.50.0.101", gateway_ip="10.50.0.254")
    world.launch(name="a", network_ids=(net.id,))
    assert Port.objects.get(network=net).ip == "10.50.0.100"
    networks.update(ctx, net.id, {"pool_first": "10.50.0.101"})
    world.launch(name="b", network_ids=(net.id,))
    with pytest.raises(CloudError, match="no free address"):
        world.launch(name="c", network_ids=(net.id,))
    for changes, sentence in (
        ({"dns_servers": ["x"]}, "not an address"),
        ({"dns_servers": ["1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4"]}, "are the most"),
        ({"host_routes": [{"destination": "10.9.0.0/24", "next_hop": "10.51.0.1"}]}, "does not lie on the network"),
        ({"pool_last": "10.50.1.1"}, "no address of"),
        ({"mtu": 9001}, "MTU"),
    ):
        with pytest.raises(Invalid, match=sentence):
            networks.update(ctx, net.id, changes)


def test_the_default_range_keeps_off_the_host(world: World) -> None:
    """A range that the host or another box uses is passed over; when all are, the first router says so."""
    usual = addresses.default_range("a-box")
    assert addresses.default_range("a-box", [IPv4Network("10.0.0.0/8")]) == usual
    other = addresses.default_range("a-box", [usual])
    assert other.subnet_of(addresses.DEFAULT_RANGE)
    assert not other.overlaps(usual)
    with pytest.raises(InsufficientCapacity, match="Ask its administrator"):
        addresses.default_range("a-box", [IPv4Network("100.64.0.0/10")])
