"""What the tracer says against what packets do: random networks, routers, floating IPs and rules, every pair tried on real bridges."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from uuid import UUID

import pytest

from compute import packet_path
from compute.drivers.fabric import LinuxFabric
from compute.drivers.fabric.firewall import link_local
from compute.drivers.router_specs import ExternalSpec, ForwardSpec, RouterSpec
from compute.drivers.specs import FabricSpec, Ipv6Spec, NetworkSpec, PortSpec, RuleSpec
from compute.packet_path import Packet
from tests.guests import PATIENCE, Guest
from tests.machines import RealBox, eventually

pytestmark = [pytest.mark.machines, pytest.mark.slow]


def mac(number: int) -> str:
    return f"52:54:00:00:01:{number:02x}"


DOORS = (80, 81, 443)
CONFIGURATIONS = 6
EXTERNAL = IPv4Network("100.127.77.0/24")


class Drawer:
    """A random fabric of three networks with two ports each, by a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def id(self) -> UUID:
        return UUID(int=self.random.getrandbits(128), version=4)

    def some(self, chance: float) -> bool:
        return self.random.random() < chance

    def rule(self, direction: str, ips: list[str]) -> RuleSpec:
        remote, members = None, None
        match self.random.randrange(5):
            case 0:
                remote = self.random.choice(["10.1.1.0/24", "10.1.2.0/24", "10.1.0.0/16", "0.0.0.0/0", "::/0", "fd00:1:1:1::/64"])
            case 1:
                members = tuple(sorted(self.random.sample(ips, 2)))
            case 2:
                remote = self.random.choice(ips)
        protocol = self.random.choice(["tcp", "tcp", "tcp", "udp", "icmp", None])
        low = self.random.choice([*DOORS, 1]) if protocol in ("tcp", "udp") and self.some(0.7) else None
        high = low if low is None or self.some(0.5) else self.random.choice([low, 81, 65535])
        return RuleSpec(
            id=self.id(),
            direction=direction,
            ethertype=self.random.choice(["", "", "IPv4", "IPv6"]),
            protocol=protocol,
            port_min=low,
            port_max=max(low, high) if low is not None and high is not None else None,
            remote=remote,
            remote_ips=members,
        )

    def six(self, number: int) -> Ipv6Spec | None:
        cidr = IPv6Network(f"fd00:1:1:{number}::/64")
        return Ipv6Spec(cidr=cidr, gateway=cidr[1]) if self.some(0.7) else None

    def address6(self, net: NetworkSpec, mac: str) -> tuple[str, ...]:
        return (str(net.ipv6.cidr[int(IPv6Address(link_local(mac))) & (2**64 - 1)]),) if net.ipv6 else ()

    def rules(self, ips: list[str]) -> tuple[RuleSpec, ...] | None:
        if self.some(0.12):
            return None
        out = (RuleSpec(id=self.id(), direction="egress"),) if self.some(0.6) else tuple(self.rule("egress", ips) for _ in range(2))
        return out + tuple(self.rule("ingress", ips) for _ in range(self.random.randrange(1, 5)))

    def spec(self) -> FabricSpec:
        external = ExternalSpec(id=self.id(), cidr=EXTERNAL, gateway=EXTERNAL[1])
        routers = [self.id(), self.id()]
        networks = [
            NetworkSpec(
                id=self.id(),
                cidr=IPv4Network(f"10.1.{number}.0/24"),
                gateway=IPv4Address(f"10.1.{number}.1"),
                dns_domain="t.internal",
                number=60 + number,
                router_id=self.random.choice([*routers[:1], *routers, None]),
                ipv6=self.six(number),
            )
            for number in (1, 2, 3)
        ]
        ips = [f"10.1.{number}.{last}" for number in (1, 2, 3) for last in (10, 11)]
        six = [self.address6(net, mac(2 * n + k)) for n, net in enumerate(networks) for k in (0, 1)]
        members = [*ips, *(each for one in six for each in one)]
        ports = [
            PortSpec(
                id=self.id(), network_id=networks[n // 2].id, mac=mac(n), ip=ip, ip6=six[n], hostname=f"h{n}", rules=self.rules(members)
            )
            for n, ip in enumerate(ips)
        ]
        made = []
        for n, router in enumerate(routers):
            mine = [IPv4Address(p.ip) for p in ports for net in networks if net.id == p.network_id and net.router_id == router]
            outward = self.some(0.8)
            floating = tuple((EXTERNAL[20 + 10 * n + k], inner) for k, inner in enumerate(mine[:2])) if outward else ()
            forwards = tuple(
                ForwardSpec(protocol="tcp", address=EXTERNAL[10 + n], port=8000 + k, to_address=inner, to_port=80)
                for k, inner in enumerate(mine[:1])
            )
            made.append(
                RouterSpec(
                    id=router,
                    external_id=external.id if outward else None,
                    external_ip=EXTERNAL[10 + n] if outward else None,
                    snat=self.some(0.7),
                    floating=floating,
                    forwards=forwards if outward else (),
                )
            )
        return FabricSpec(networks=tuple(networks), externals=(external,), routers=tuple(made), ports=tuple(ports))


@dataclass(frozen=True)
class Question:
    sender: UUID | None
    address: str
    port: int


def questions(spec: FabricSpec, draw: random.Random) -> list[Question]:
    """Every guest to every other by its inner and outer address, and the outside to every outer address, each at one door."""
    outer = [(str(address), draw.choice(DOORS)) for router in spec.routers for address, _ in router.floating]
    outer += [(str(each.address), each.port) for router in spec.routers for each in router.forwards]
    inner = [(port.ip, draw.choice(DOORS)) for port in spec.ports]
    six = [(port.ip6[0], draw.choice(DOORS)) for port in spec.ports if port.ip6]
    asked = [Question(port.id, ip, door) for port in spec.ports for ip, door in (*inner, *outer) if ip != port.ip]
    asked += [Question(port.id, ip, door) for port in spec.ports if port.ip6 for ip, door in six if ip not in port.ip6]
    return asked + [Question(None, ip, door) for ip, door in outer]


@pytest.fixture
def fabric(real_box: RealBox) -> Iterator[LinuxFabric]:
    driver = LinuxFabric(real_box.home, real_box.name)
    yield driver
    driver.apply(FabricSpec())


@pytest.mark.parametrize("seed", range(CONFIGURATIONS))
def test_the_tracer_tells_the_truth(fabric: LinuxFabric, real_box: RealBox, seed: int) -> None:
    """For each question the verdict is that of a real connection. A guest that calls itself by its outer address is left out: its own
    kernel answers."""
    drawer = Drawer(seed)
    spec = drawer.spec()
    fabric.apply(spec)
    networks = {each.id: each for each in spec.networks}
    guests = {port.id: Guest(real_box.name, port, networks[port.network_id]) for port in spec.ports}
    try:
        listeners = []
        for guest in guests.values():
            guest.configure()
            for door in DOORS:
                for six in (False, True):
                    manager = guest.listening(door, six=six)
                    manager.__enter__()
                    listeners.append(manager)
        for guest in guests.values():
            for address in guest.port.ip6:
                eventually(lambda guest=guest, address=address: address in guest.addresses6() and guest.has_router())  # type: ignore[misc]
        asked = questions(spec, drawer.random)
        wrong, seen = [], {True: 0, False: 0}
        with ThreadPoolExecutor(24) as pool:
            for question, (said, did, path) in zip(asked, pool.map(lambda one: _try(spec, guests, one), asked), strict=True):
                seen[did] += 1
                # What goes out to look for a range that is not on its router has left, and finds nobody there.
                if said != did and (did or not path.is_outside):
                    wrong.append((question, said, did, [(hop.place, hop.why, hop.passes) for hop in path.hops]))
        for manager in listeners:
            manager.__exit__(None, None, None)
    finally:
        for guest in guests.values():
            guest.remove()
    assert not wrong, "\n".join(map(str, wrong))
    assert min(seen.values()) >= 3, f"too little to tell: {seen}"


def _try(spec: FabricSpec, guests: dict[UUID, Guest], question: Question) -> tuple[bool, bool, packet_path.Path]:
    packet = Packet(source=None, destination=ip_address(question.address), protocol="tcp", port=question.port)
    if question.sender is not None:
        path = packet_path.from_port(spec, question.sender, packet)
        return path.arrives, guests[question.sender].reaches(question.address, question.port), path
    path = packet_path.from_outside(spec, packet)  # the host calls from an address that no rule names
    try:
        socket.create_connection((question.address, question.port), timeout=PATIENCE).close()
    except OSError:
        return path.arrives, False, path
    return path.arrives, True, path
