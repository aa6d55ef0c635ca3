"""A hostile guest on a real bridge tries what hostile guests try: every attempt is counted, and none may get through.

The attacker writes raw frames, as a guest's kernel would let its root do. Each attempt carries a word of its own, and whoever could be
harmed listens to all that reaches its card. A last attempt that is allowed proves that the listening works."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from uuid import uuid4

import pytest

from compute.drivers import netns
from compute.drivers.fabric import LinuxFabric, names
from compute.drivers.fabric.firewall import link_local
from compute.drivers.specs import FabricSpec, NetworkSpec, PairSpec, PortSpec, RuleSpec
from tests.guests import CARD, Guest
from tests.machines import RealBox

pytestmark = pytest.mark.machines

OUT = RuleSpec(id=uuid4(), direction="egress")
ALL_IN = RuleSpec(id=uuid4(), direction="ingress")
BROADCAST = "ff:ff:ff:ff:ff:ff"
ATTACKER, VICTIM, GATEWAY, STRANGER = "192.168.0.10", "192.168.0.11", "192.168.0.1", "192.168.0.99"
SETTLE_SECONDS = 1.0


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def ethernet(to: str, source: str, kind: int, body: bytes, *, tags: tuple[tuple[int, int], ...] = ()) -> bytes:
    """A frame, with VLAN tags (their type, and the VLAN) between the addresses and the body's type."""
    return mac(to) + mac(source) + b"".join(struct.pack(">HH", *tag) for tag in tags) + struct.pack(">H", kind) + body


def ipv4(source: str, to: str, protocol: int, body: bytes, *, fragment: int = 0) -> bytes:
    """`fragment`: the flags and offset field."""
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 77, fragment, 64, protocol, 0)
    head += IPv4Address(source).packed + IPv4Address(to).packed
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + body


def udp(source: int, to: int, body: bytes) -> bytes:
    return struct.pack(">HHHH", source, to, 8 + len(body), 0) + body


def ipv6(source: str, to: str, following: int, body: bytes) -> bytes:
    return struct.pack(">IHBB", 6 << 28, len(body), following, 255) + IPv6Address(source).packed + IPv6Address(to).packed + body


def icmpv6(source: str, to: str, kind: int, body: bytes) -> bytes:
    message = struct.pack(">BBH", kind, 0, 0) + body
    pseudo = IPv6Address(source).packed + IPv6Address(to).packed + struct.pack(">IHBB", len(message), 0, 0, 58)
    return ipv6(source, to, 58, message[:2] + struct.pack(">H", checksum(pseudo + message)) + message[4:])


def hidden(source: str, to: str, kind: int, body: bytes, *, fragments: bool) -> list[bytes]:
    """An ICMPv6 message behind destination options: in one packet, or in fragments that none shows what it is (RFC 7113)."""
    message = icmpv6(source, to, kind, body)[40:]
    options = bytes([58, 0, 1, 4, 0, 0, 0, 0])
    if not fragments:
        return [ipv6(source, to, 60, options + message)]
    whole = options + message
    return [
        ipv6(source, to, 44, struct.pack(">BBHI", 60, 0, 1, 7) + whole[:8]),
        ipv6(source, to, 44, struct.pack(">BBHI", 60, 0, 8, 7) + whole[8:]),
    ]


def arp(operation: int, sender_mac: str, sender: str, target: str) -> bytes:
    return (
        struct.pack(">HHBBH", 1, 0x0800, 6, 4, operation)
        + mac(sender_mac)
        + IPv4Address(sender).packed
        + bytes(6)
        + IPv4Address(target).packed
    )


def attempts(me: PortSpec, other: PortSpec, lan: str) -> dict[str, Callable[[bytes], bytes | list[bytes]]]:
    """Each by its name: a frame that carries a word, or several that carry it together. `lan` is the gateway's MAC."""
    false = "52:54:00:66:66:66"
    mine, theirs = link_local(me.mac), link_local(other.mac)

    def packet(word: bytes, *, source: str = ATTACKER, to: str = VICTIM, port: int = 9999) -> bytes:
        return ipv4(source, to, 17, udp(5000, port, word))

    def advertised(word: bytes, *, fragments: bool) -> list[bytes]:
        packets = hidden(mine, "ff02::1", 134, bytes(12) + word, fragments=fragments)
        return [ethernet("33:33:00:00:00:01", me.mac, 0x86DD, each) for each in packets]

    offer = b"\x02\x01\x06\x00" + bytes(232) + b"\x63\x82\x53\x63\x35\x01\x02\xff"
    return {
        "another MAC": lambda word: ethernet(other.mac, false, 0x0800, packet(word)),
        "the victim's MAC": lambda word: ethernet(BROADCAST, other.mac, 0x0800, packet(word)),
        "the gateway's MAC": lambda word: ethernet(other.mac, lan, 0x0800, packet(word)),
        "another address": lambda word: ethernet(other.mac, me.mac, 0x0800, packet(word, source=STRANGER)),
        "the gateway's address": lambda word: ethernet(other.mac, me.mac, 0x0800, packet(word, source=GATEWAY)),
        "the victim's own address": lambda word: ethernet(other.mac, me.mac, 0x0800, packet(word, source=VICTIM)),
        "no address": lambda word: ethernet(other.mac, me.mac, 0x0800, packet(word, source="0.0.0.0")),
        "a loopback address": lambda word: ethernet(other.mac, me.mac, 0x0800, packet(word, source="127.0.0.1")),
        "ARP for the gateway": lambda word: ethernet(BROADCAST, me.mac, 0x0806, arp(2, me.mac, GATEWAY, VICTIM) + word),
        "ARP for a neighbour": lambda word: ethernet(other.mac, me.mac, 0x0806, arp(2, me.mac, STRANGER, VICTIM) + word),
        "ARP with another's MAC": lambda word: ethernet(BROADCAST, me.mac, 0x0806, arp(2, false, ATTACKER, VICTIM) + word),
        "gratuitous ARP of the victim": lambda word: ethernet(BROADCAST, me.mac, 0x0806, arp(1, me.mac, VICTIM, VICTIM) + word),
        "ARP probe with a false MAC": lambda word: ethernet(BROADCAST, me.mac, 0x0806, arp(1, false, "0.0.0.0", VICTIM) + word),
        "DHCP offer": lambda word: ethernet(BROADCAST, me.mac, 0x0800, ipv4(ATTACKER, "255.255.255.255", 17, udp(67, 68, offer + word))),
        "DHCP offer to one": lambda word: ethernet(other.mac, me.mac, 0x0800, ipv4(ATTACKER, VICTIM, 17, udp(67, 68, offer + word))),
        "DHCP offer as the gateway": lambda word: ethernet(BROADCAST, me.mac, 0x0800, ipv4(GATEWAY, VICTIM, 17, udp(67, 68, offer + word))),
        "router advertisement": lambda word: ethernet("33:33:00:00:00:01", me.mac, 0x86DD, icmpv6(mine, "ff02::1", 134, bytes(12) + word)),
        "router advertisement behind options": lambda word: advertised(word, fragments=False),
        "router advertisement in fragments": lambda word: advertised(word, fragments=True),
        "router advertisement as the gateway": lambda word: ethernet(
            "33:33:00:00:00:01", me.mac, 0x86DD, icmpv6(link_local(lan), "ff02::1", 134, bytes(12) + word)
        ),
        "the victim's address is in use": lambda word: ethernet(
            "33:33:00:00:00:01", me.mac, 0x86DD, icmpv6("::", "ff02::1", 135, bytes(4) + IPv6Address(theirs).packed + word)
        ),
        "DHCPv6 reply to all": lambda word: ethernet("33:33:00:00:00:01", me.mac, 0x86DD, ipv6(mine, "ff02::1", 17, udp(547, 546, word))),
        "the victim's IPv6 address": lambda word: ethernet(other.mac, me.mac, 0x86DD, ipv6(theirs, theirs, 17, udp(5000, 9999, word))),
        "IPv6 redirect": lambda word: ethernet(other.mac, me.mac, 0x86DD, icmpv6(mine, theirs, 137, bytes(36) + word)),
        "neighbour advertisement of the victim": lambda word: ethernet(
            "33:33:00:00:00:01", me.mac, 0x86DD, icmpv6(mine, "ff02::1", 136, bytes(4) + IPv6Address(theirs).packed + word)
        ),
        "IPv6 by link-local": lambda word: ethernet(other.mac, me.mac, 0x86DD, ipv6(mine, theirs, 17, udp(5000, 9999, word))),
        "DHCPv6 reply": lambda word: ethernet(other.mac, me.mac, 0x86DD, ipv6(mine, theirs, 17, udp(547, 546, word))),
        "IPv6 from another": lambda word: ethernet(other.mac, me.mac, 0x86DD, ipv6("fe80::bad", theirs, 17, udp(5000, 9999, word))),
        "a VLAN tag": lambda word: ethernet(other.mac, me.mac, 0x0800, packet(word), tags=((0x8100, 5),)),
        "VLAN zero": lambda word: ethernet(other.mac, me.mac, 0x0800, packet(word, source=STRANGER), tags=((0x8100, 0),)),
        "two tags": lambda word: ethernet(other.mac, me.mac, 0x0800, packet(word), tags=((0x88A8, 5), (0x8100, 6))),
        "IPv6 in a tag": lambda word: ethernet(other.mac, me.mac, 0x86DD, ipv6(mine, theirs, 17, udp(1, 2, word)), tags=((0x8100, 5),)),
        "a first fragment to a closed port": lambda word: ethernet(
            other.mac, me.mac, 0x0800, ipv4(ATTACKER, VICTIM, 17, udp(5000, 22, word) + bytes(16), fragment=0x2000)
        ),
        "a later fragment": lambda word: ethernet(other.mac, me.mac, 0x0800, ipv4(ATTACKER, VICTIM, 17, word + bytes(16), fragment=0x0001)),
        "a closed port": lambda word: ethernet(other.mac, me.mac, 0x0800, packet(word, port=22)),
        "another protocol": lambda word: ethernet(other.mac, me.mac, 0x0800, ipv4(ATTACKER, VICTIM, 47, word)),
        "PPPoE": lambda word: ethernet(other.mac, me.mac, 0x8863, word),
        "LLDP": lambda word: ethernet("01:80:c2:00:00:0e", me.mac, 0x88CC, word),
        "spanning tree": lambda word: ethernet("01:80:c2:00:00:00", me.mac, 0x0027, b"\x42\x42\x03" + bytes(36) + word),
        "a type of its own": lambda word: ethernet(BROADCAST, me.mac, 0x88B5, word),
    }


@pytest.fixture
def fabric(real_box: RealBox) -> Iterator[LinuxFabric]:
    driver = LinuxFabric(real_box.home, real_box.name)
    yield driver
    driver.apply(FabricSpec())


def network(number: int) -> NetworkSpec:
    cidr = IPv4Network("192.168.0.0/24")
    return NetworkSpec(id=uuid4(), cidr=cidr, gateway=cidr[1], dns_domain="x.internal", number=number)


def port(net: NetworkSpec, last: int, *rules: RuleSpec, **more: object) -> PortSpec:
    spec = PortSpec(
        id=uuid4(),
        network_id=net.id,
        mac=f"52:54:00:00:{net.number:02x}:{last:02x}",
        ip=f"192.168.0.{last}",
        hostname=f"h{last}",
        rules=rules,
    )
    return replace(spec, **more)  # type: ignore[arg-type]


def listen(guest: Guest) -> socket.socket:
    """All frames that reach its card."""

    def make() -> socket.socket:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        sock.bind((CARD, 0))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**22)
        return sock

    return netns.call(guest.name, make)


def send(card: socket.socket, frames: bytes | list[bytes]) -> None:
    for each in frames if isinstance(frames, list) else [frames]:
        card.send(each)


def heard(card: socket.socket, *, until: bytes) -> bytes:
    """All that came, up to the frame that holds a word."""
    got = b""
    deadline = time.monotonic() + 10
    while until not in got:
        card.settimeout(max(0.01, deadline - time.monotonic()))
        frame, where = card.recvfrom(4096)
        if where[2] != socket.PACKET_OUTGOING:
            got += frame
    return got


@pytest.mark.parametrize("speaks_ipv6", [False, True], ids=["IPv4 alone", "both families"])
def test_a_hostile_guest(fabric: LinuxFabric, real_box: RealBox, speaks_ipv6: bool) -> None:
    """The victim lets everything in but for IPv6 and what a closed port hears; a second network of the same addresses listens too, and so
    does the network's gateway. No word of any attempt comes to one of them, and an honest packet does."""
    nets = [network(81), network(82)]
    web = RuleSpec(id=uuid4(), direction="ingress", ethertype="IPv4", protocol="udp", port_min=9999, port_max=9999)
    six = {"ip6": ("fd00::10",)} if speaks_ipv6 else {}
    me = port(nets[0], 10, OUT, ALL_IN, **six)
    other = port(nets[0], 11, OUT, web, **({"ip6": ("fd00::11",)} if speaks_ipv6 else {}))
    twin = port(nets[1], 11, OUT, ALL_IN)
    fabric.apply(FabricSpec(networks=tuple(nets), ports=(me, other, twin)))
    lan = names.names(real_box.name, nets[0]).lan_mac
    guests = [Guest(real_box.name, me, nets[0]), Guest(real_box.name, other, nets[0]), Guest(real_box.name, twin, nets[1])]
    try:
        for guest in guests:
            guest.configure()
        tried = attempts(me, other, lan)
        with listen(guests[1]) as victim, listen(guests[2]) as stranger, listen(guests[0]) as card:
            words = {name: f"attempt-{number:03d}-".encode() for number, name in enumerate(tried)}
            for name, frame in tried.items():
                send(card, frame(words[name]))
            honest = ethernet(other.mac, me.mac, 0x0800, ipv4(ATTACKER, VICTIM, 17, udp(5000, 9999, b"honest-word")))
            card.send(honest)
            came = heard(victim, until=b"honest-word")
            stranger.setblocking(False)
            elsewhere = b""
            time_out = time.monotonic() + SETTLE_SECONDS / 5
            while time.monotonic() < time_out:
                try:
                    elsewhere += stranger.recv(4096)
                except BlockingIOError:
                    time.sleep(0.01)
        through = [name for name, word in words.items() if word in came or word in elsewhere]
        assert not through, f"{len(through)} of {len(tried)} came through: {through}"
        assert len(tried) >= 40
        # Without port security on either side most of them arrive: it is the guard that stopped them, not the bridge.
        fabric.apply(FabricSpec(networks=tuple(nets), ports=(replace(me, rules=None), replace(other, rules=None), twin)))
        with listen(guests[1]) as victim, listen(guests[0]) as card:
            for name, frame in tried.items():
                send(card, frame(words[name]))
            card.send(ethernet(other.mac, me.mac, 0x0800, ipv4(ATTACKER, VICTIM, 17, udp(5000, 9999, b"honest-word"))))
            came = heard(victim, until=b"honest-word")
        assert sum(word in came for word in words.values()) >= 20
    finally:
        for guest in guests:
            guest.remove()


def test_the_house_is_closed(fabric: LinuxFabric, real_box: RealBox) -> None:
    """A guest that may send what it likes knocks at the box's and the gateway's services: none but DNS, metadata and ping is there."""
    net = network(83)
    me = replace(port(net, 10), rules=None)
    fabric.apply(FabricSpec(networks=(net,), ports=(me,)))
    guest = Guest(real_box.name, me, net)
    try:
        guest.configure()
        for inside in (fabric.namespace_of(net.id), real_box.name):
            with netns.call(inside, lambda: socket.create_server(("0.0.0.0", 8000))):
                assert not guest.reaches(GATEWAY, 8000)
                assert not guest.reaches("169.254.169.254", 8000)
    finally:
        guest.remove()


def test_allowed_pairs(fabric: LinuxFabric, real_box: RealBox) -> None:
    """A port sends from an address and a range that are its allowed pairs, and from no other."""
    net = network(84)
    me = port(net, 10, OUT, pairs=(PairSpec(ip="192.168.0.100"), PairSpec(ip="192.168.0.128/26")))
    other = port(net, 11, OUT, ALL_IN)
    fabric.apply(FabricSpec(networks=(net,), ports=(me, other)))
    one, two = Guest(real_box.name, me, net), Guest(real_box.name, other, net)
    try:
        one.configure()
        two.configure()
        with two.listening(80):
            for address, passes in (("192.168.0.100", True), ("192.168.0.130", True), ("192.168.0.101", False), ("192.168.0.192", False)):
                one.ip(f"addr add {address}/24 dev {CARD}")
                assert one.reaches(VICTIM, 80, source=address) is passes, address
    finally:
        one.remove()
        two.remove()


def test_hits_and_caps(fabric: LinuxFabric, real_box: RealBox) -> None:
    """Each connection counts for the rule that let it pass, also across a change of the rules; and a capped card is slower by far."""
    net = network(85)
    web = RuleSpec(id=uuid4(), direction="ingress", protocol="tcp", port_min=80, port_max=80)
    other_door = replace(web, id=uuid4(), port_min=81, port_max=81)
    client, server = port(net, 10, OUT), port(net, 11, OUT, web, other_door)
    fabric.apply(FabricSpec(networks=(net,), ports=(client, server)))
    fabric.take_hits()
    one, two = Guest(real_box.name, client, net), Guest(real_box.name, server, net)
    try:
        one.configure()
        two.configure()
        with two.listening(80) as listener, two.listening(81):
            for _ in range(3):
                assert one.reaches(VICTIM, 80)
                listener.accept()[0].close()
            assert one.reaches(VICTIM, 81)
            capped = replace(server, rate_in_kbps=8000)
            fabric.apply(FabricSpec(networks=(net,), ports=(client, capped)))  # loads new rules, and with them new counters
            assert {rule: count for rule, count in fabric.take_hits().items() if rule != OUT.id} == {web.id: 3, other_door.id: 1}
            assert fabric.take_hits() == {}
            slow = _received(one, listener, seconds=1.5)
            fabric.apply(FabricSpec(networks=(net,), ports=(client, server)))
            fast = _received(one, listener, seconds=0.5)
            assert slow / 1.5 < 3 * 1_000_000 < fast / 0.5, (slow, fast)
    finally:
        one.remove()
        two.remove()


def _received(client: Guest, listener: socket.socket, *, seconds: float) -> int:
    """How many bytes come through one connection in a while."""
    sender = client.connect(VICTIM, 80)
    receiver = listener.accept()[0]
    sender.setblocking(False)
    receiver.setblocking(False)
    until, total, block = time.monotonic() + seconds, 0, bytes(65536)
    while time.monotonic() < until:
        for act in (lambda: sender.send(block), lambda: receiver.recv(262144)):
            try:
                got = act()
            except BlockingIOError:
                continue
            total += len(got) if isinstance(got, bytes) else 0
    for each in (sender, receiver):
        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        each.close()
    return total
