"""What passes on real bridges and what does not, with guests in network namespaces: every claim of the fabric, by packets."""

from __future__ import annotations

import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from uuid import uuid4

import pytest

from compute.drivers import box_namespace, commands, netns
from compute.drivers.commands import run
from compute.drivers.fabric import LinuxFabric
from compute.drivers.fabric import names as fabric_names
from compute.drivers.router_specs import ExternalSpec, RouterSpec
from compute.drivers.specs import FabricSpec, NetworkSpec, PortSpec, RuleSpec, tap_name
from tests.guests import CARD, Guest, Lease, dns_query
from tests.machines import RealBox, eventually

pytestmark = pytest.mark.machines

OUT = RuleSpec(id=uuid4(), direction="egress")
WEB = RuleSpec(id=uuid4(), direction="ingress", protocol="tcp", port_min=80, port_max=80, remote="0.0.0.0/0")


def network(number: int, **more: object) -> NetworkSpec:
    spec = NetworkSpec(
        id=uuid4(), cidr=IPv4Network("192.168.0.0/24"), gateway=IPv4Address("192.168.0.1"), dns_domain="lab.internal", number=number
    )
    return replace(spec, **more)  # type: ignore[arg-type]


def checksum(header: bytes) -> int:
    """Of an IPv4 header (RFC 1071)."""
    total = sum(struct.unpack(f">{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def port(net: NetworkSpec, last: int, *rules: RuleSpec, name: str = "") -> PortSpec:
    mac = f"52:54:00:00:{net.number:02x}:{last:02x}"
    return PortSpec(id=uuid4(), network_id=net.id, mac=mac, ip=f"192.168.0.{last}", hostname=name or f"host{last}", rules=rules)


@pytest.fixture
def fabric(real_box: RealBox) -> Iterator[LinuxFabric]:
    driver = LinuxFabric(real_box.home, real_box.name)
    yield driver
    driver.apply(FabricSpec())
    assert driver.networks() | driver.routers() == set()


@pytest.fixture
def plug(real_box: RealBox) -> Iterator[Callable[..., Guest]]:
    """Plugs a guest into its port's tap."""
    guests = []

    def make(port: PortSpec, net: NetworkSpec, *, configured: bool = True) -> Guest:
        guest = Guest(real_box.name, port, net)
        guests.append(guest)
        if configured:
            guest.configure()
        return guest

    yield make
    for guest in guests:
        guest.remove()
    leftovers = {f"tap{guest.port.id.hex[:12]}" for guest in guests}
    eventually(lambda: not leftovers & LinuxFabric(real_box.home, real_box.name).taps())


def test_networks_of_the_same_addresses(fabric: LinuxFabric, plug: Callable[..., Guest]) -> None:
    """Two networks, both 192.168.0.0/24, two guests on each with the same addresses: each reaches its own neighbour, whose answer
    tells which network it is on, and both at once."""
    nets = [network(1), network(2)]
    ports = [(port(net, 10, OUT), port(net, 11, OUT, WEB)) for net in nets]
    fabric.apply(FabricSpec(networks=tuple(nets), ports=tuple(each for pair in ports for each in pair)))
    pairs = [(plug(client, net), plug(server, net)) for net, (client, server) in zip(nets, ports, strict=True)]
    with pairs[0][1].listening(80) as first, pairs[1][1].listening(80) as second:
        calls = [client.connect("192.168.0.11", 80) for client, _ in pairs]
        for listener, name, call in ((first, b"one", calls[0]), (second, b"two", calls[1])):
            accepted, peer = listener.accept()
            assert peer[0] == "192.168.0.10"
            accepted.sendall(name)
            assert call.recv(16) == name
            accepted.close()
            call.close()


def test_security_groups(fabric: LinuxFabric, plug: Callable[..., Guest]) -> None:
    """What no rule allows is dropped, what one allows passes with its answers; a change takes hold at once, for both directions."""
    net = network(3)
    client, server = port(net, 10, OUT), port(net, 11, OUT, WEB)
    fabric.apply(FabricSpec(networks=(net,), ports=(client, server)))
    one, two = plug(client, net), plug(server, net)
    with two.listening(80), two.listening(81), one.listening(80):
        assert one.reaches("192.168.0.11", 80)
        assert not one.reaches("192.168.0.11", 81)
        assert not two.reaches("192.168.0.10", 80)  # in through no rule, although out is allowed
        narrow = replace(WEB, remote="192.168.0.99/32")
        fabric.apply(FabricSpec(networks=(net,), ports=(client, replace(server, rules=(OUT, narrow)))))
        assert not one.reaches("192.168.0.11", 80)
        member = replace(WEB, port_min=81, port_max=81, remote=None, remote_ips=("192.168.0.10", "192.168.0.50"))
        fabric.apply(FabricSpec(networks=(net,), ports=(client, replace(server, rules=(OUT, member)))))
        assert one.reaches("192.168.0.11", 81)
        fabric.apply(FabricSpec(networks=(net,), ports=(replace(client, rules=()), replace(server, rules=(OUT, WEB)))))
        assert not one.reaches("192.168.0.11", 80)  # allowed in, but not out
        fabric.apply(FabricSpec(networks=(net,), ports=(replace(client, rules=None), replace(server, rules=None))))
        assert one.reaches("192.168.0.11", 81)
        assert two.reaches("192.168.0.10", 80)


def test_revoking_cuts_connections(fabric: LinuxFabric, plug: Callable[..., Guest]) -> None:
    """Two connections are open when the rule of one goes: that one is cut in both directions, the other goes on without a pause, even
    where the server speaks first; with the rule back, the cut one goes on where it stood. The same when the client's way out goes."""
    net = network(11)
    other_door = replace(WEB, id=uuid4(), port_min=81, port_max=81)
    client, server = port(net, 10, OUT), port(net, 11, OUT, WEB, other_door)

    def apply(client_rules: tuple[RuleSpec, ...], server_rules: tuple[RuleSpec, ...]) -> None:
        ports = (replace(client, rules=client_rules), replace(server, rules=server_rules))
        fabric.apply(FabricSpec(networks=(net,), ports=ports))

    def passes(sender: socket.socket, receiver: socket.socket, word: bytes) -> bool:
        sender.sendall(word)
        receiver.settimeout(1)
        try:
            return receiver.recv(64) == word
        except TimeoutError:
            return False

    apply((OUT,), (OUT, WEB, other_door))
    one, two = plug(client, net), plug(server, net)
    with two.listening(80) as web, two.listening(81) as other:
        cut, kept = one.connect("192.168.0.11", 80), one.connect("192.168.0.11", 81)
        cut_end, kept_end = web.accept()[0], other.accept()[0]
        assert passes(cut, cut_end, b"hello")
        assert passes(kept_end, kept, b"hello")
        apply((OUT,), (OUT, other_door))
        assert passes(kept_end, kept, b"the server first")
        assert passes(kept, kept_end, b"then the client")
        assert not passes(cut, cut_end, b"asks")
        assert not passes(cut_end, cut, b"tells")
        apply((OUT,), (OUT, WEB, other_door))
        cut_end.settimeout(20)  # TCP itself sends again what was lost, after growing pauses.
        cut.settimeout(20)
        assert cut_end.recv(64) == b"asks"
        assert cut.recv(64) == b"tells"
        apply((), (OUT, WEB, other_door))
        assert not passes(kept, kept_end, b"asks")
        assert not passes(kept_end, kept, b"tells")
        for each in (cut, kept, cut_end, kept_end):
            # Not waiting for what cannot arrive: its namespace would stay for as long.
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            each.close()


def test_ipv6_does_not_reach_a_guarded_port(fabric: LinuxFabric, plug: Callable[..., Guest]) -> None:
    """A port without port security may send what it likes; another such port gets it, a guarded one does not: no stranger becomes
    its IPv6 router. Nor does a guarded port get frames that are meant for another card."""
    net = network(12)
    open_ports = [replace(port(net, last), rules=None) for last in (10, 11)]
    guarded = port(net, 12, OUT, RuleSpec(id=uuid4(), direction="ingress"))
    fabric.apply(FabricSpec(networks=(net,), ports=(*open_ports, guarded)))
    sender, hears, deaf = plug(open_ports[0], net), plug(open_ports[1], net), plug(guarded, net)

    def tap(guest: Guest) -> socket.socket:
        return netns.call(guest.name, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)))

    def got(inbox: socket.socket, word: bytes, *, patience: float) -> bool:
        until = time.monotonic() + patience
        while (left := until - time.monotonic()) > 0:
            inbox.settimeout(left)
            try:
                if word in inbox.recv(2048):
                    return True
            except TimeoutError:
                break
        return False

    source = bytes.fromhex(open_ports[0].mac.replace(":", ""))
    advertised, unicast = b"router advertisement", b"for somebody else"
    six = struct.pack(">IHBB", 6 << 28, len(advertised), 59, 255) + IPv6Address("fe80::a").packed + IPv6Address("ff02::1").packed
    four = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(unicast), 0, 0, 64, 253, 0) + bytes([192, 168, 0, 10, 192, 168, 0, 99])
    four = four[:10] + struct.pack(">H", checksum(four)) + four[12:]
    frames = (
        (bytes.fromhex("333300000001") + source + b"\x86\xdd" + six + advertised, advertised),
        (bytes.fromhex("5254000000ff") + source + b"\x08\x00" + four + unicast, unicast),
    )
    with tap(sender) as out, tap(hears) as one, tap(deaf) as two:
        out.bind((CARD, 0))
        for frame, word in frames:
            out.send(frame)
            assert got(one, word, patience=5)
            assert not got(two, word, patience=0.5)


def test_spoofing(fabric: LinuxFabric, plug: Callable[..., Guest]) -> None:
    """A guest with another's address, another MAC, another's ARP, or as a DHCP server, is not heard; one with port security off is."""
    net = network(4)
    everything = RuleSpec(id=uuid4(), direction="ingress")
    liar, victim = port(net, 10, OUT, everything), port(net, 11, OUT, everything)
    fabric.apply(FabricSpec(networks=(net,), ports=(liar, victim)))
    one, two = plug(liar, net), plug(victim, net)
    with two.listening(80):
        assert one.reaches("192.168.0.11", 80)
        assert one.sends("192.168.0.11", 5000, to=two)
        assert not one.sends("192.168.0.11", 68, to=two, source_port=67)
        one.ip(f"addr add 192.168.0.77/24 dev {CARD}")
        assert not one.reaches("192.168.0.11", 80, source="192.168.0.77")
        # ARP: the liar claims an address that is not its own; nobody learns it.
        assert not two.reaches("192.168.0.77", 22)
        assert "192.168.0.77" not in [line.split()[0] for line in run(["ip", "-n", two.name, "neigh"]).splitlines() if "REACHABLE" in line]
        one.ip(f"addr del 192.168.0.77/24 dev {CARD}", f"link set dev {CARD} down", f"link set dev {CARD} address 52:54:00:ff:ff:ff up")
        one.configure()
        assert not one.reaches("192.168.0.11", 80)
        fabric.apply(FabricSpec(networks=(net,), ports=(replace(liar, rules=None), victim)))
        two.ip(f"neigh flush dev {CARD}")  # It still knows the guest's true MAC.
        assert one.reaches("192.168.0.11", 80)


def test_an_unknown_tap_is_mute(fabric: LinuxFabric, plug: Callable[..., Guest]) -> None:
    """A tap that no port names (a leftover) can neither send nor receive."""
    net = network(5)
    known, unknown = port(net, 10, OUT, RuleSpec(id=uuid4(), direction="ingress")), port(net, 11, OUT)
    fabric.apply(FabricSpec(networks=(net,), ports=(known,)))
    one, two = plug(known, net), plug(unknown, net)
    with one.listening(80), two.listening(80):
        assert not two.reaches("192.168.0.10", 80)
        assert not one.reaches("192.168.0.11", 80)


def test_an_address_goes_to_another_card(fabric: LinuxFabric, plug: Callable[..., Guest]) -> None:
    """An instance that was deleted gives its address back to nobody but us: the next one that gets it gets its lease, too."""
    net = network(7)
    first = port(net, 10)
    fabric.apply(FabricSpec(networks=(net,), ports=(first,)))
    lease = plug(first, net, configured=False).lease()
    assert lease is not None
    server = fabric._dnsmasq(fabric.namespace_of(net.id))
    fabric.apply(FabricSpec(networks=(net,)))
    next_one = replace(first, id=uuid4(), mac="52:54:00:77:77:77")
    fabric.apply(FabricSpec(networks=(net,), ports=(next_one,)))
    guest = plug(next_one, net, configured=False)
    leases: list[Lease | None] = []
    eventually(lambda: leases.append(guest.lease()) or leases[-1])
    assert leases[-1] is not None
    assert leases[-1].ip == lease.ip
    before = server.pid()
    fabric.apply(FabricSpec(networks=(net,), ports=(next_one,)))
    fabric.apply(FabricSpec(networks=(net,), ports=(next_one, port(net, 11))))
    assert server.pid() == before, "who only gets another card goes on"


def test_dhcp_and_dns(fabric: LinuxFabric, plug: Callable[..., Guest]) -> None:
    """A port without any rule gets its reserved address with gateway, DNS, domain, host name and MTU; names of the network resolve;
    an unknown card gets nothing; a host added later is known after one apply, by the same dnsmasq."""
    way = RouterSpec(id=uuid4())
    net = network(6, mtu=1400, router_id=way.id)
    first, later = port(net, 10, name="alpha"), port(net, 20, name="beta")
    fabric.apply(FabricSpec(networks=(net,), routers=(way,), ports=(first,)))
    one = plug(first, net, configured=False)
    lease = one.lease()
    assert lease is not None
    assert (lease.ip, lease.address(3), lease.address(6)) == ("192.168.0.10", "192.168.0.1", "192.168.0.1")
    assert (lease.options[12], lease.options[15]) == (b"alpha", b"lab.internal")
    assert int.from_bytes(lease.options[26]) == 1400
    server = fabric._dnsmasq(fabric.namespace_of(net.id))
    before = server.pid()
    two = plug(later, net, configured=False)
    assert two.lease() is None
    fabric.apply(FabricSpec(networks=(net,), routers=(way,), ports=(first, later)))
    assert server.pid() == before
    again: list[object] = []
    eventually(lambda: again.append(two.lease()) or again[-1])
    one.configure()

    def ask() -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(2)
            sock.sendto(dns_query("beta.lab.internal"), ("192.168.0.1", 53))
            return sock.recv(512)

    assert netns.call(one.name, ask).endswith(IPv4Address("192.168.0.20").packed)


def test_nobody_elses_dhcp_port_is_open(fabric: LinuxFabric, plug: Callable[..., Guest]) -> None:
    """Asking for an address is always allowed, but a request sent to another guest does not reach it."""
    net = network(7)
    one_port, two_port = port(net, 10), port(net, 11)
    fabric.apply(FabricSpec(networks=(net,), ports=(one_port, two_port)))
    one, two = plug(one_port, net), plug(two_port, net)
    assert not one.sends("192.168.0.11", 67, to=two, source_port=68)


def test_the_way_out(fabric: LinuxFabric, plug: Callable[..., Guest], real_box: RealBox) -> None:
    """Through a router a guest reaches the host's opened port and no other; a network without one reaches nothing outside, and is told
    the way to the metadata address alone; routers themselves, another's gateway and the box are out of reach."""
    outside = ExternalSpec(id=uuid4(), cidr=IPv4Network("100.126.250.0/24"), gateway=IPv4Address("100.126.250.1"))
    way, strangers = (RouterSpec(id=uuid4(), external_id=outside.id, external_ip=IPv4Address(f"100.126.250.{last}")) for last in (10, 11))
    nat, isolated, other = network(8, router_id=way.id), network(9), network(10, router_id=strangers.id)
    ports = [port(nat, 10, OUT), port(isolated, 10, OUT)]
    with socket.socket() as opened, socket.socket() as shut:
        for sock in (opened, shut):
            sock.bind(("0.0.0.0", 0))
            sock.listen()
        number = opened.getsockname()[1]
        box_namespace.prepare(real_box.home, real_box.name, open_ports=[number])
        fabric.apply(FabricSpec(networks=(nat, isolated, other), externals=(outside,), routers=(way, strangers), ports=tuple(ports)))
        one, two = plug(ports[0], nat), plug(ports[1], isolated)
        facts = run(["ip", "-o", "-4", "addr", "show", "dev", box_namespace.host_interface(real_box.name)])
        host = facts.split("inet ")[1].split("/")[0]
        assert one.reaches(host, number)
        assert not one.reaches(host, shut.getsockname()[1])
        assert not two.reaches(host, number)
        ours, theirs = fabric_names.leg(nat), fabric_names.leg(other)
        router = fabric_names.router_namespace(real_box.name, strangers.id.hex)
        for namespace, address in (
            (router, theirs.far),
            (router, strangers.external_ip),
            (fabric.namespace_of(other.id), theirs.near),
            (fabric_names.router_namespace(real_box.name, way.id.hex), ours.far),
            (real_box.name, outside.gateway),
        ):
            with netns.call(namespace, lambda address=address: socket.create_server((str(address), 80))):  # type: ignore[misc]
                assert not one.reaches(str(address), 80)
    lease = two.lease()
    assert lease is not None
    assert 3 not in lease.options
    assert lease.options[121] == bytes([32, 169, 254, 169, 254, 192, 168, 0, 1])


def test_apply_costs_nothing_when_nothing_changed(fabric: LinuxFabric) -> None:
    """Ten networks with twenty ports: the second apply runs one command, and so does the one of a fresh driver (a new worker)."""
    nets = [network(number) for number in range(20, 30)]
    spec = FabricSpec(networks=tuple(nets), ports=tuple(port(net, last, OUT, WEB) for net in nets for last in (10, 11)))
    fabric.apply(spec)
    for driver in (fabric, LinuxFabric(fabric.home, fabric.box)):
        before = commands.runs
        driver.apply(spec)
        assert commands.runs - before == 1


@pytest.mark.parametrize("harm", ["dnsmasq", "namespace", "bridge", "router port", "firewall"])
def test_repair(fabric: LinuxFabric, plug: Callable[..., Guest], harm: str) -> None:
    """Something of a network is lost; one apply later a guest gets its address again."""
    net = network(31)
    mine = port(net, 10)
    spec = FabricSpec(networks=(net,), ports=(mine,))
    fabric.apply(spec)
    namespace, hex = fabric.namespace_of(net.id), net.id.hex[:12]
    match harm:
        case "dnsmasq":
            pid = fabric._dnsmasq(namespace).pid()
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            eventually(lambda: fabric._dnsmasq(namespace).pid() is None)
        case "namespace":
            netns.end_processes([namespace])
            netns.delete(namespace)
        case "bridge":
            run(["ip", "-n", fabric.box, "link", "delete", "dev", f"br-{hex}"])
        case "router port":
            run(["ip", "-n", fabric.box, "link", "delete", "dev", f"rtr{hex}"])
        case "firewall":
            run(["ip", "-n", fabric.box, "link", "set", "dev", "uplink", "alias", "something else"])
    fabric.apply(spec)
    guest = plug(mine, net, configured=False)
    assert tap_name(mine.id) in fabric.taps()
    leases: list[object] = []
    eventually(lambda: leases.append(guest.lease()) or leases[-1], seconds=10)


def test_many_ports(fabric: LinuxFabric) -> None:
    """Two hundred ports of one group whose rules name each other: as many rules as for two of them, so a packet costs no more."""
    net = network(40)
    ips = tuple(f"192.168.0.{last}" for last in range(10, 210))
    members = RuleSpec(id=uuid4(), direction="ingress", remote_ips=ips)
    ports = tuple(port(net, last, OUT, members) for last in range(10, 210))

    def rules() -> int:
        text = run([*netns.enter(fabric.box), "nft", "-nn", "list", "table", "inet", "connections"])
        return sum(line.startswith("\t\t") for line in text.splitlines() if "elements" not in line)

    fabric.apply(FabricSpec(networks=(net,), ports=tuple(ports[:2])))
    few = rules()
    fabric.apply(FabricSpec(networks=(net,), ports=ports))
    assert rules() - few < 60  # the members' list, over several lines


def test_two_boxes_side_by_side(real_box: RealBox) -> None:
    """A second box on the host has other addresses; taking it down leaves nothing of it and does not touch the first."""
    from tests.machines import make_box, remove_box

    other = make_box()
    fabric = LinuxFabric(other.home, other.name)
    fabric.apply(FabricSpec(networks=(network(1),)))
    addresses = {
        run(["ip", "-o", "-4", "addr", "show", "dev", box_namespace.host_interface(name)]).split("inet ")[1].split()[0]
        for name in (real_box.name, other.name)
    }
    assert len(addresses) == 2
    remove_box(other)
    assert not netns.all(other.name)
    assert other.name not in run(["ip", "-o", "link"]) + run(["nft", "list", "tables"])
    assert real_box.name in run(["nft", "list", "tables"])
    assert netns.exists(real_box.name)
