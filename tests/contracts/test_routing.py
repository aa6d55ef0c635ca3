"""Routers, floating IPs and forwarded ports on real bridges: every claim by packets, from guests and from the host outside the box."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from uuid import uuid4

import pytest

from compute.drivers import commands, netns
from compute.drivers.commands import run
from compute.drivers.fabric import LinuxFabric
from compute.drivers.router_specs import ExternalSpec, ForwardSpec, RouterSpec, RouteSpec
from compute.drivers.specs import FabricSpec, NetworkSpec, PortSpec, RuleSpec
from tests.contracts.test_linux_fabric import checksum, fabric, plug  # noqa: F401
from tests.guests import CARD, PATIENCE, Guest
from tests.machines import RealBox

pytestmark = pytest.mark.machines

ANY = (RuleSpec(id=uuid4(), direction="egress"), RuleSpec(id=uuid4(), direction="ingress"))
OUTSIDE = ExternalSpec(id=uuid4(), cidr=IPv4Network("100.126.252.0/24"), gateway=IPv4Address("100.126.252.1"))


def outer(last: int) -> IPv4Address:
    return IPv4Address(f"100.126.252.{last}")


def router(last: int, **more: object) -> RouterSpec:
    return replace(RouterSpec(id=uuid4(), external_id=OUTSIDE.id, external_ip=outer(last)), **more)  # type: ignore[arg-type]


def network(number: int, on: RouterSpec | None, *, third: int = 0) -> NetworkSpec:
    cidr = IPv4Network(f"192.168.{third}.0/24")
    return NetworkSpec(id=uuid4(), cidr=cidr, gateway=cidr[1], dns_domain="lab.internal", number=number, router_id=on.id if on else None)


def port(net: NetworkSpec, last: int, *rules: RuleSpec) -> PortSpec:
    mac = f"52:54:00:01:{net.number:02x}:{last:02x}"
    return PortSpec(id=uuid4(), network_id=net.id, mac=mac, ip=str(net.cidr[last]), hostname=f"host{last}", rules=rules or ANY)


def calls(address: IPv4Address | str, number: int, *, namespace: str | None = None, seconds: float = PATIENCE) -> bytes:
    """What a server says to whoever connects from the host (or a namespace); empty when nobody answers."""

    def call() -> bytes:
        try:
            with socket.create_connection((str(address), number), timeout=seconds) as sock:
                return sock.recv(64)
        except OSError:
            return b""

    return netns.call(namespace, call) if namespace else call()


@contextmanager
def answering(guest: Guest, number: int, kind: str = "tcp") -> Iterator[None]:
    """A server in the guest that tells its own name and who called: "host10 1.2.3.4"."""
    import threading

    with guest.listening(number, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.1)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                try:
                    if kind == "tcp":
                        caller, address = sock.accept()
                        with caller:
                            caller.sendall(f"{guest.port.hostname} {address[0]}".encode())
                    else:
                        _, address = sock.recvfrom(64)
                        sock.sendto(f"{guest.port.hostname} {address[0]}".encode(), address)
                except TimeoutError:
                    continue

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def answers_ping(address: IPv4Address) -> bool:
    """An ICMP echo from the host (RFC 792)."""
    packet = struct.pack(">BBHHH", 8, 0, 0, 0x1234, 1)
    packet = packet[:2] + struct.pack(">H", checksum(packet)) + packet[4:]
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
        sock.settimeout(2)
        sock.sendto(packet, (str(address), 0))
        try:
            while True:
                answer, who = sock.recvfrom(256)
                if who[0] == str(address) and answer[20] == 0:
                    return True
        except TimeoutError:
            return False


def host_address(box: str) -> str:
    return run(["ip", "-o", "-4", "addr", "show", "dev", f"{box}-up"]).split("inet ")[1].split("/")[0]


def test_a_router_joins_networks(fabric: LinuxFabric, plug: Callable[..., Guest]) -> None:  # noqa: F811
    """Two networks of one router meet, with their own addresses; rules still guard the ports; a third network, of another router,
    meets neither; one that leaves the router meets nobody, while the others go on."""
    both, alone = router(20), router(21)
    one, two, other = network(1, both), network(2, both, third=1), network(3, alone, third=2)
    ports = (port(one, 10), port(two, 10), port(other, 10))
    guarded = replace(ports[1], rules=(ANY[0], RuleSpec(id=uuid4(), direction="ingress", protocol="tcp", port_min=80, port_max=80)))

    def apply(*networks: NetworkSpec, server: PortSpec = ports[1]) -> None:
        fabric.apply(FabricSpec(networks=networks, externals=(OUTSIDE,), routers=(both, alone), ports=(ports[0], server, ports[2])))

    apply(one, two, other)
    client, server, stranger = plug(ports[0], one), plug(ports[1], two), plug(ports[2], other)
    with answering(server, 80), answering(server, 81):
        assert calls("192.168.1.10", 80, namespace=client.name) == b"host10 192.168.0.10"
        assert calls("192.168.1.10", 80, namespace=stranger.name) == b""
        apply(one, two, other, server=guarded)
        assert calls("192.168.1.10", 80, namespace=client.name) == b"host10 192.168.0.10"
        assert calls("192.168.1.10", 81, namespace=client.name) == b""
        # An address that the network does not have is not let on, though its port may send it.
        apply(replace(one, router_id=None), two, other)
        assert calls("192.168.1.10", 80, namespace=client.name) == b""
        apply(one, two, replace(other, router_id=both.id))
        assert calls("192.168.1.10", 80, namespace=client.name) == b"host10 192.168.0.10"
        assert calls("192.168.1.10", 80, namespace=stranger.name) == b"host10 192.168.2.10"


def test_two_tenants_of_the_same_addresses_go_out(fabric: LinuxFabric, plug: Callable[..., Guest]) -> None:  # noqa: F811
    """Both 192.168.0.10, each behind a router of its own: each reaches the other's floating IP, which sees the caller's outer
    address: the router's, or the caller's own floating IP."""
    first, second = router(30), router(31, floating=((outer(41), IPv4Address("192.168.0.10")),))
    nets = network(4, first), network(5, second)
    ports = port(nets[0], 10), port(nets[1], 10)
    spec = FabricSpec(networks=nets, externals=(OUTSIDE,), routers=(first, second), ports=ports)
    fabric.apply(spec)
    one, two = plug(ports[0], nets[0]), plug(ports[1], nets[1])
    with answering(two, 80), answering(one, 80):
        assert calls(outer(41), 80, namespace=one.name) == b"host10 100.126.252.30"
        with_one = replace(first, floating=((outer(40), IPv4Address("192.168.0.10")),))
        fabric.apply(replace(spec, routers=(with_one, second)))
        assert calls(outer(41), 80, namespace=one.name) == b"host10 100.126.252.40"
        assert calls(outer(40), 80, namespace=two.name) == b"host10 100.126.252.41"
        # Without SNAT only what has a floating IP leaves.
        fabric.apply(replace(spec, routers=(replace(with_one, snat=False), second)))
        assert calls(outer(41), 80, namespace=one.name) == b"host10 100.126.252.40"
        fabric.apply(replace(spec, routers=(replace(first, snat=False), second)))
        assert calls(outer(41), 80, namespace=one.name) == b""


def test_floating_ips_from_the_host(fabric: LinuxFabric, plug: Callable[..., Guest], real_box: RealBox) -> None:  # noqa: F811
    """TCP and ping from the host's namespace; the address goes to another guest, and to a guest behind another router, and takes its
    connections away from the one before; taken away it answers nobody. The guest sees who called."""
    first, second = router(50), router(51)
    nets = network(6, first), network(7, second)
    ports = port(nets[0], 10), port(nets[0], 11), port(nets[1], 12)

    def apply(on: RouterSpec | None, inner: str = "") -> float:
        pair = ((outer(60), IPv4Address(inner or "0.0.0.0")),)
        routers = tuple(replace(each, floating=pair) if each is on else each for each in (first, second))
        began = time.monotonic()
        fabric.apply(FabricSpec(networks=nets, externals=(OUTSIDE,), routers=routers, ports=ports))
        return time.monotonic() - began

    apply(first, "192.168.0.10")
    guests = [plug(ports[0], nets[0]), plug(ports[1], nets[0]), plug(ports[2], nets[1])]
    host = host_address(real_box.name)
    with answering(guests[0], 80), answering(guests[1], 80), answering(guests[2], 80), guests[0].listening(81) as listener:
        assert calls(outer(60), 80, seconds=5) == f"host10 {host}".encode()
        assert answers_ping(outer(60))
        with socket.create_connection((str(outer(60)), 81), timeout=5) as client, listener.accept()[0] as server:
            client.sendall(b"before")
            assert server.recv(16) == b"before"
            apply(first, "192.168.0.11")
            assert calls(outer(60), 80) == f"host11 {host}".encode()
            client.sendall(b"after")
            server.settimeout(PATIENCE)
            with pytest.raises(TimeoutError):
                server.recv(16)
            for each in (client, server):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        apply(second, "192.168.0.12")
        assert calls(outer(60), 80) == f"host12 {host}".encode()
        apply(first, "192.168.0.10")
        assert calls(outer(60), 80) == f"host10 {host}".encode()
        # A neighbour that calls it by its outer address gets an answer too.
        assert calls(outer(60), 80, namespace=guests[1].name).startswith(b"host10 ")
        apply(None)
        assert calls(outer(60), 80) == b""


def test_forwarded_ports(fabric: LinuxFabric, plug: Callable[..., Guest], real_box: RealBox) -> None:  # noqa: F811
    """Two ports of the router's own address lead to two guests, TCP and UDP apart; a port that is not forwarded is shut; one that is
    led elsewhere, too, takes its connections along."""
    plain = router(70)
    net = network(8, plain)
    ports = port(net, 10), port(net, 11)
    tcp = ForwardSpec(protocol="tcp", address=outer(70), port=8080, to_address=IPv4Address("192.168.0.10"), to_port=80)
    udp = replace(tcp, protocol="udp", to_address=IPv4Address("192.168.0.11"), to_port=53)
    shared = replace(tcp, address=outer(71), port=22, to_address=IPv4Address("192.168.0.11"), to_port=80)

    def apply(*forwards: ForwardSpec) -> None:
        fabric.apply(FabricSpec(networks=(net,), externals=(OUTSIDE,), routers=(replace(plain, forwards=forwards),), ports=ports))

    apply(tcp, udp, shared)
    one, two = plug(ports[0], net), plug(ports[1], net)
    host = host_address(real_box.name)
    with answering(one, 80), answering(two, 80), answering(two, 53, "udp"):
        assert calls(outer(70), 8080, seconds=5) == f"host10 {host}".encode()
        assert calls(outer(71), 22, seconds=5) == f"host11 {host}".encode()
        assert calls(outer(70), 80) == calls(outer(70), 22) == calls(outer(71), 8080) == b""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(2)
            sock.sendto(b"?", (str(outer(70)), 8080))
            assert sock.recv(64) == f"host11 {host}".encode()
        apply(replace(tcp, to_address=IPv4Address("192.168.0.11")), udp)
        assert calls(outer(70), 8080) == f"host11 {host}".encode()
        assert calls(outer(71), 22) == b""


def test_static_routes(fabric: LinuxFabric, plug: Callable[..., Guest]) -> None:  # noqa: F811
    """What is meant for 10.99.0.0/24 goes to a guest that leads there, from its own network and from another of the router; without the
    route it does not arrive."""
    hub = router(80, routes=(RouteSpec(destination=IPv4Network("10.99.0.0/24"), next_hop=IPv4Address("192.168.0.10")),))
    near, far = network(9, hub), network(10, hub, third=1)
    # The guest that leads there sends what is not its own address: its port is open.
    ports = replace(port(near, 10), rules=None), port(near, 11), port(far, 12)
    spec = FabricSpec(networks=(near, far), externals=(OUTSIDE,), routers=(hub,), ports=ports)
    fabric.apply(spec)
    leads, neighbour, distant = plug(ports[0], near), plug(ports[1], near), plug(ports[2], far)
    leads.ip("addr add 10.99.0.1/24 dev lo")
    with answering(leads, 80):
        assert calls("10.99.0.1", 80, namespace=distant.name) == b"host10 192.168.1.12"
        assert calls("10.99.0.1", 80, namespace=neighbour.name) == b"host10 192.168.0.11"
        fabric.apply(replace(spec, routers=(replace(hub, routes=()),)))
        assert calls("10.99.0.1", 80, namespace=distant.name) == b""


def test_a_bridge_of_the_host(fabric: LinuxFabric, plug: Callable[..., Guest], real_box: RealBox) -> None:  # noqa: F811
    """An external network on a bridge of the host: a machine there reaches the floating IP directly, and sees the guest by it; without
    the bridge other networks work on, and when it comes it is taken up."""
    bridge = f"cbt{real_box.name[-4:]}"
    mapped = ExternalSpec(id=uuid4(), cidr=IPv4Network("100.126.253.0/24"), gateway=IPv4Address("100.126.253.1"), bridge=bridge)
    address = IPv4Address("100.126.253.20")
    way = RouterSpec(
        id=uuid4(), external_id=mapped.id, external_ip=IPv4Address("100.126.253.10"), floating=((address, IPv4Address("192.168.0.10")),)
    )
    net = network(11, way)
    mine = port(net, 10)
    spec = FabricSpec(networks=(net,), externals=(mapped,), routers=(way,), ports=(mine,))
    fabric.apply(spec)
    guest = plug(mine, net)
    machine = f"{bridge}-m"
    try:
        run(["ip", "link", "add", "name", bridge, "type", "bridge"])
        netns.create(machine)
        run(["ip", "link", "add", "name", f"{bridge}p", "type", "veth", "peer", "name", CARD, "netns", machine])
        run(["ip", "link", "set", "dev", f"{bridge}p", "master", bridge, "up"])
        run(["ip", "link", "set", "dev", bridge, "up"])
        run(["ip", "-n", machine, "addr", "add", "100.126.253.1/24", "dev", CARD])
        run(["ip", "-n", machine, "link", "set", "dev", CARD, "up"])
        fabric.apply(spec)
        with answering(guest, 80):
            assert calls(address, 80, namespace=machine, seconds=5) == b"host10 100.126.253.1"
        with netns.call(machine, lambda: socket.create_server(("100.126.253.1", 80))) as server:
            caller = guest.connect("100.126.253.1", 80, seconds=5)
            accepted, who = server.accept()
            assert who[0] == str(address)
            for each in (caller, accepted):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                each.close()
    finally:
        fabric.apply(FabricSpec())
        netns.delete(machine)
        run(["ip", "link", "delete", "dev", bridge])


def test_a_calm_router_costs_nothing(fabric: LinuxFabric) -> None:  # noqa: F811
    """Five routers with two networks each and a floating IP: the second apply runs one command; a moved floating IP runs few, and as
    many with one router as with five."""
    routers = [router(90 + n, floating=((outer(100 + n), IPv4Address("192.168.0.10")),)) for n in range(5)]
    nets = [network(20 + 2 * n + third, each, third=third) for n, each in enumerate(routers) for third in (0, 1)]
    spec = FabricSpec(networks=tuple(nets), externals=(OUTSIDE,), routers=tuple(routers))
    fabric.apply(spec)
    before = commands.runs
    fabric.apply(spec)
    assert commands.runs - before == 1
    before = commands.runs
    moved = replace(routers[0], floating=((outer(100), IPv4Address("192.168.0.11")),))
    fabric.apply(replace(spec, routers=(moved, *routers[1:])))
    assert commands.runs - before < 25
