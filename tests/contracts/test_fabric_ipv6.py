"""IPv6 on real bridges: addresses by advertisement and by DHCPv6, rules, names, routers, the way out, and what must not pass."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from uuid import uuid4

import pytest

from compute.drivers import box_namespace, netns
from compute.drivers.commands import run
from compute.drivers.fabric import LinuxFabric
from compute.drivers.fabric import names as fabric_names
from compute.drivers.fabric.firewall import link_local
from compute.drivers.router_specs import ExternalSpec, RouterSpec
from compute.drivers.specs import FabricSpec, Ipv6Mode, Ipv6Spec, NetworkSpec, PortSpec, RuleSpec
from tests.guests import CARD, Guest, dhcp6, dns_query
from tests.machines import RealBox, eventually

pytestmark = pytest.mark.machines

OUT = RuleSpec(id=uuid4(), direction="egress")
WEB = RuleSpec(id=uuid4(), direction="ingress", protocol="tcp", port_min=80, remote="::/0")


def network(number: int, **more: object) -> NetworkSpec:
    """Each has the same IPv4 range, and a /64 of its own."""
    mode = more.pop("mode", Ipv6Mode.SLAAC)
    cidr, six = IPv4Network(f"192.168.{number}.0/24"), IPv6Network(f"fd00:1:2:{number:x}::/64")
    spec = NetworkSpec(
        id=uuid4(),
        cidr=cidr,
        gateway=cidr[1],
        dns_domain="lab.internal",
        number=number,
        ipv6=Ipv6Spec(cidr=six, gateway=six[1], mode=mode),  # type: ignore[arg-type]
    )
    return replace(spec, **more)  # type: ignore[arg-type]


def port(net: NetworkSpec, last: int, *rules: RuleSpec) -> PortSpec:
    mac = f"52:54:00:06:{net.number:02x}:{last:02x}"
    assert net.ipv6 is not None
    own = int(IPv6Address(link_local(mac))) & (2**64 - 1)
    six = net.ipv6.cidr[last if net.ipv6.mode == Ipv6Mode.STATEFUL else own]
    return PortSpec(id=uuid4(), network_id=net.id, mac=mac, ip=str(net.cidr[last]), ip6=(str(six),), hostname=f"host{last}", rules=rules)


@pytest.fixture
def fabric(real_box: RealBox) -> Iterator[LinuxFabric]:
    driver = LinuxFabric(real_box.home, real_box.name)
    yield driver
    driver.apply(FabricSpec())
    assert driver.networks() | driver.routers() == set()


@pytest.fixture
def plug(real_box: RealBox) -> Iterator[Callable[..., Guest]]:
    guests = []

    def make(port: PortSpec, net: NetworkSpec) -> Guest:
        guest = Guest(real_box.name, port, net)
        guests.append(guest)
        guest.configure()
        return guest

    yield make
    for guest in guests:
        guest.remove()


def six_of(guest: Guest) -> str:
    return guest.port.ip6[0]


def ready(*guests: Guest) -> None:
    """Each has made its address of the advertised prefix, by its own kernel."""
    for guest in guests:
        eventually(lambda guest=guest: six_of(guest) in guest.addresses6(), seconds=10)  # type: ignore[misc]


def test_neighbours_and_routers(fabric: LinuxFabric, plug: Callable[..., Guest]) -> None:
    """Guests make the addresses that the tables foretell, and learn the gateway as their router. A rule for IPv6 lets in, over the router
    too; one for IPv4 does not; members of a group are known by both addresses. A network on another router is out of reach, and so are
    the routers themselves. IPv4 goes on beside it all."""
    ways = [RouterSpec(id=uuid4()), RouterSpec(id=uuid4())]
    near, far, strange = network(61, router_id=ways[0].id), network(62, router_id=ways[0].id), network(63, router_id=ways[1].id)
    four = RuleSpec(id=uuid4(), direction="ingress", protocol="tcp", port_min=81, remote="0.0.0.0/0")
    client, server = port(near, 10, OUT), port(near, 11, OUT, WEB, four)
    members = RuleSpec(id=uuid4(), direction="ingress", protocol="tcp", port_min=82, remote_ips=(client.ip, *client.ip6))
    others = port(far, 12, OUT, WEB, members), port(strange, 13, OUT, WEB)
    fabric.apply(FabricSpec(networks=(near, far, strange), routers=tuple(ways), ports=(client, server, *others)))
    one, two, three, four_ = plug(client, near), plug(server, near), plug(others[0], far), plug(others[1], strange)
    ready(one, two, three, four_)
    lan = fabric_names.names(fabric.box, near).lan_mac
    eventually(lambda: one.default_route6() == link_local(lan))
    with two.listening(80, six=True), two.listening(81, six=True), three.listening(80, six=True), three.listening(82, six=True):
        assert one.reaches(six_of(two), 80)
        assert one.reaches(six_of(three), 80)
        assert one.reaches(six_of(three), 82)
        assert not one.reaches(six_of(two), 81)  # a rule of IPv4
        assert not two.reaches(six_of(three), 82)  # no member
        with four_.listening(80, six=True):
            assert not one.reaches(six_of(four_), 80)
    with two.listening(81):
        assert one.reaches(two.port.ip, 81)
    for which, address in ((ways[0], fabric_names.leg(near).far6), (ways[1], fabric_names.leg(strange).far6)):
        inside = fabric_names.router_namespace(fabric.box, which.id.hex)

        def serve(address: IPv6Address = address) -> socket.socket:
            return socket.create_server((str(address), 80), family=socket.AF_INET6)

        with netns.call(inside, serve):
            assert not one.reaches(str(address), 80)


def test_one_sends_as_itself_only(fabric: LinuxFabric, plug: Callable[..., Guest]) -> None:
    """An address of the same prefix that is not the card's, as privacy extensions make them, gets no answer; nor does another's."""
    net = network(64)
    ports = port(net, 10, OUT), port(net, 11, OUT, RuleSpec(id=uuid4(), direction="ingress"))
    fabric.apply(FabricSpec(networks=(net,), ports=ports))
    one, two = (plug(each, net) for each in ports)
    ready(one, two)
    assert one.default_route6() is None  # no router, hence no default route
    with two.listening(80, six=True):
        assert one.reaches(six_of(two), 80)
        for false in ("fd00:1:2:40::bad", "fd00:1:2:40::1", "2001:db8::1"):
            one.ip(f"addr add {false}/64 dev {CARD} nodad")
            assert not one.reaches(six_of(two), 80, source=false)
            one.ip(f"addr del {false}/64 dev {CARD}")


def test_names(fabric: LinuxFabric, plug: Callable[..., Guest]) -> None:
    """The network's DNS server, asked over IPv6, knows a guest's IPv6 address by name, and the name by the address."""
    net = network(65)
    mine = port(net, 10)
    fabric.apply(FabricSpec(networks=(net,), ports=(mine,)))
    guest = plug(mine, net)
    ready(guest)
    assert net.ipv6 is not None
    gateway = str(net.ipv6.gateway)

    def ask(name: str, kind: int) -> bytes:
        def send() -> bytes:
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
                sock.settimeout(5)
                sock.sendto(dns_query(name, kind=kind), (gateway, 53))
                return sock.recv(512)

        return netns.call(guest.name, send)

    assert ask("host10.lab.internal", 28).endswith(IPv6Address(six_of(guest)).packed)
    assert b"\x06host10\x03lab\x08internal" in ask(IPv6Address(six_of(guest)).reverse_pointer, 12)


@pytest.mark.parametrize("mode", [Ipv6Mode.STATELESS, Ipv6Mode.STATEFUL])
def test_dhcpv6(fabric: LinuxFabric, plug: Callable[..., Guest], mode: Ipv6Mode) -> None:
    """Stateful: the address is the one that the tables say, and no other is made. Stateless: the guest makes its own. The DNS server is
    told in both. An unknown card gets no address."""
    net = network(66, mode=mode, router_id=None)
    mine, unknown = port(net, 10, OUT), port(net, 20, OUT)
    fabric.apply(FabricSpec(networks=(net,), ports=(mine,)))
    guest = plug(mine, net)
    assert net.ipv6 is not None
    if mode == Ipv6Mode.STATELESS:
        ready(guest)
    lease = dhcp6(guest, wants_address=mode == Ipv6Mode.STATEFUL)
    assert lease is not None
    assert lease.options[23] == net.ipv6.gateway.packed
    if mode == Ipv6Mode.STATEFUL:
        assert lease.ip == six_of(guest)
        assert guest.addresses6() == set()
        stranger = plug(unknown, net)
        told = dhcp6(stranger, wants_address=True)
        assert told is None or told.ip is None


def test_switched_on_later(fabric: LinuxFabric, plug: Callable[..., Guest]) -> None:
    """A network that had IPv4 alone gets IPv6 while a guest runs and a router leads on, changes its prefix, and loses it again."""
    way = RouterSpec(id=uuid4())
    net = network(67, router_id=way.id)
    mine, other = port(net, 10, OUT), port(net, 11, OUT, RuleSpec(id=uuid4(), direction="ingress"))

    def apply(net: NetworkSpec, *ports: PortSpec) -> None:
        fabric.apply(FabricSpec(networks=(net,), routers=(way,), ports=ports))

    apply(replace(net, ipv6=None), replace(mine, ip6=()), replace(other, ip6=()))
    one, two = plug(mine, net), plug(other, net)
    with two.listening(80):
        assert one.reaches(two.port.ip, 80)
        apply(net, mine, other)
        ready(one, two)
        with two.listening(80, six=True):
            assert one.reaches(six_of(two), 80)
            apply(replace(net, ipv6=None), replace(mine, ip6=()), replace(other, ip6=()))
            assert not one.reaches(six_of(two), 80)
        assert one.reaches(two.port.ip, 80)


def test_the_way_out(fabric: LinuxFabric, plug: Callable[..., Guest], real_box: RealBox) -> None:
    """Where the host has a way out over IPv6, a guest reaches the host's opened port through its router, hidden behind the box, and no
    other port; through a router that leads nowhere, nothing. The host's own way out is as it was."""
    if not json.loads(run(["ip", "-j", "-6", "route", "show", "default"]) or "[]"):
        pytest.skip("This host has no default route over IPv6.")
    before = run(["ip", "-6", "route", "show", "default"])
    outside = ExternalSpec(id=uuid4(), cidr=IPv4Network("100.126.249.0/24"), gateway=IPv4Address("100.126.249.1"))
    ways = RouterSpec(id=uuid4(), external_id=outside.id, external_ip=IPv4Address("100.126.249.10")), RouterSpec(id=uuid4())
    nets = [network(68, router_id=ways[0].id), network(69, router_id=ways[1].id)]
    ports = [port(net, 10, OUT) for net in nets]
    up = box_namespace.host_interface(real_box.name)
    with socket.create_server(("::", 0), family=socket.AF_INET6) as opened, socket.create_server(("::", 0), family=socket.AF_INET6) as shut:
        number = opened.getsockname()[1]
        box_namespace.prepare(real_box.home, real_box.name, open_ports=[number])
        fabric.apply(FabricSpec(networks=tuple(nets), externals=(outside,), routers=ways, ports=tuple(ports)))
        one, two = (plug(each, net) for each, net in zip(ports, nets, strict=True))
        ready(one, two)
        eventually(lambda: one.default_route6() is not None)
        rows = json.loads(run(["ip", "-j", "-6", "addr", "show", "dev", up, "scope", "global"]))
        host = rows[0]["addr_info"][0]["local"]
        with one.connect(host, number) as call:
            accepted, peer = opened.accept()
            assert IPv6Address(peer[0]) == IPv6Address(host) + 1  # the box's end
            call.close()
            accepted.close()
        assert not one.reaches(host, shut.getsockname()[1])
        assert not two.reaches(host, number)
    assert run(["ip", "-6", "route", "show", "default"]) == before
