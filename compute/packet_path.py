"""The path of a first packet through the fabric, step by step, as the fabric's own spec says: pure, so that it can be held against
real packets.

It follows what `drivers/fabric` makes of the same spec: what leaves a port is judged by that port's rules for the address as the
sender wrote it; it goes straight to a neighbour, or by the gateway to the network's router; there an outer address becomes an inner
one; and what comes to a port is judged by that port's rules for the sender as the port sees it. Answers need no rule."""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from uuid import UUID

from compute.drivers.router_specs import ExternalSpec, RouterSpec
from compute.drivers.specs import FabricSpec, NetworkSpec, PortSpec, RuleSpec

METADATA = IPv4Address("169.254.169.254")
DNS_PORT = 53
HTTP_PORT = 80
Address = IPv4Address | IPv6Address
PORTED = ("tcp", "udp", "sctp", "dccp", "udplite")


class Place(enum.StrEnum):
    """Where on its way a packet is judged."""

    LEAVES = "leaves"  # the sender's own rules
    ROUTE = "route"
    TRANSLATION = "translation"
    TARGET = "target"
    ENTERS = "enters"  # the receiver's rules


@dataclass(frozen=True, kw_only=True)
class Packet:
    """`source` None: from somewhere outside, nobody says where. `port` is the destination's; for icmp the type. `protocol` as in
    `RuleSpec`."""

    source: Address | None
    destination: Address
    protocol: str
    port: int | None = None


@dataclass(frozen=True, kw_only=True)
class Hop:
    """One step. `passes` False ends the path. `rule_id` is the rule that lets it pass."""

    place: Place
    passes: bool
    why: str  # a word for the reason: "rule", "no rule", "open", "neighbour", "no router", …
    rule_id: UUID | None = None
    port_id: UUID | None = None
    network_id: UUID | None = None
    router_id: UUID | None = None
    packet: Packet


@dataclass(frozen=True, kw_only=True)
class Path:
    """The hops in order. `target` is the port that it comes to, if it is one's; `is_outside`: it left the box, where nobody here sees."""

    hops: tuple[Hop, ...]
    target: UUID | None = None
    is_outside: bool = False

    @property
    def arrives(self) -> bool:
        return all(hop.passes for hop in self.hops)

    @property
    def blocked(self) -> Hop | None:
        return next((hop for hop in self.hops if not hop.passes), None)


class _Walk:
    def __init__(self, spec: FabricSpec) -> None:
        self.ports = spec.ports
        self.networks = {each.id: each for each in spec.networks}
        self.routers = {each.id: each for each in spec.routers}
        self.externals = {each.id: each for each in spec.externals}
        self.hops: list[Hop] = []

    def add(self, place: Place, passes: bool, why: str, packet: Packet, **more: UUID | None) -> bool:
        self.hops.append(Hop(place=place, passes=passes, why=why, packet=packet, **more))
        return passes

    def end(self, target: PortSpec | None = None, *, is_outside: bool = False) -> Path:
        return Path(hops=tuple(self.hops), target=target.id if target else None, is_outside=is_outside)

    def leave(self, port: PortSpec, packet: Packet) -> bool:
        network = self.networks[port.network_id]
        here = {"port_id": port.id}
        if port.rules is None:
            return self.add(Place.LEAVES, True, "open", packet, **here)
        if packet.destination in gateways(network) and packet.protocol in ("tcp", "udp") and packet.port == DNS_PORT:
            return self.add(Place.LEAVES, True, "house", packet, **here)
        if packet.destination == METADATA and packet.protocol == "tcp" and packet.port == HTTP_PORT:
            return self.add(Place.LEAVES, True, "house", packet, **here)
        rule = allowing(port.rules, "egress", packet.destination, packet)
        return self.add(Place.LEAVES, rule is not None, "rule" if rule else "no rule", packet, rule_id=rule.id if rule else None, **here)

    def enter(self, port: PortSpec, packet: Packet) -> Path:
        if port.rules is None:
            self.add(Place.ENTERS, True, "open", packet, port_id=port.id)
        else:
            rule = allowing(port.rules, "ingress", packet.source, packet)
            why = "rule" if rule else "no rule"
            self.add(Place.ENTERS, rule is not None, why, packet, rule_id=rule.id if rule else None, port_id=port.id)
        return self.end(port)

    def deliver(self, network: NetworkSpec, packet: Packet) -> Path:
        """On a network: to whoever has the address."""
        if packet.destination in gateways(network):
            served = packet.protocol == "icmp" or (packet.protocol in ("tcp", "udp") and packet.port == DNS_PORT)
            self.add(Place.TARGET, served, "gateway" if served else "gateway serves not", packet, network_id=network.id)
            return self.end()
        port = holder(self.ports, network.id, packet.destination)
        if port is None:
            self.add(Place.TARGET, False, "nobody", packet, network_id=network.id)
            return self.end()
        return self.enter(port, packet)

    def route(self, network: NetworkSpec, packet: Packet) -> Path:
        """From a guest's network to wherever the destination lies."""
        if lies_on(network, packet.destination):
            self.add(Place.ROUTE, True, "neighbour", packet, network_id=network.id)
            return self.deliver(network, packet)
        if packet.destination == METADATA:
            served = packet.protocol == "tcp" and packet.port == HTTP_PORT
            self.add(Place.TARGET, served, "metadata" if served else "gateway serves not", packet, network_id=network.id)
            return self.end()
        router = self.routers.get(network.router_id) if network.router_id else None
        if router is None:
            self.add(Place.ROUTE, False, "no router", packet, network_id=network.id)
            return self.end()
        joined = next((each for each in self._networks_of(router) if lies_on(each, packet.destination)), None)
        if joined is not None:
            self.add(Place.ROUTE, True, "router", packet, router_id=router.id, network_id=joined.id)
            return self.deliver(joined, packet)
        inner = self._inner(router, packet)
        if inner is not None:
            return self._back_in(network, router, packet, inner)
        static = self._static(router, packet.destination)
        if static is not None:
            self.add(Place.ROUTE, True, "static route", replace(packet, destination=static), router_id=router.id)
            return self.end(is_outside=True)
        return self._outward(network, router, packet)

    def _networks_of(self, router: RouterSpec) -> list[NetworkSpec]:
        return [each for each in self.networks.values() if each.router_id == router.id]

    def _static(self, router: RouterSpec, destination: Address) -> IPv4Address | None:
        fitting = [each for each in router.routes if destination in each.destination and each.destination.prefixlen > 0]
        return max(fitting, key=lambda each: each.destination.prefixlen).next_hop if fitting else None

    def _outward(self, network: NetworkSpec, router: RouterSpec, packet: Packet) -> Path:
        external = self.externals.get(router.external_id) if router.external_id else None
        if external is None:
            self.add(Place.ROUTE, False, "no way out", packet, router_id=router.id, network_id=network.id)
            return self.end()
        if packet.destination.version == 6:
            return self._outward6(network, router, external, packet)
        floating = {inner: outer for outer, inner in router.floating}
        outer = floating.get(packet.source) if isinstance(packet.source, IPv4Address) else None
        if outer is None and not router.snat and not external.bridge:
            self.add(Place.ROUTE, False, "no address outside", packet, router_id=router.id)
            return self.end()
        self.add(Place.ROUTE, True, "router", packet, router_id=router.id, network_id=network.id)
        hidden = outer or (router.external_ip if router.snat else packet.source)
        seen = replace(packet, source=hidden)
        self.add(Place.TRANSLATION, True, "floating" if outer else "snat" if router.snat else "as it is", seen, router_id=router.id)
        if packet.destination in external.cidr and not external.bridge:
            return self.arrive(external, seen)
        return self.end(is_outside=True)

    def _outward6(self, network: NetworkSpec, router: RouterSpec, external: ExternalSpec, packet: Packet) -> Path:
        """Over IPv6 only what hides leaves, and on a bridge of the host IPv6 is somebody else's."""
        if external.bridge or not router.snat:
            self.add(Place.ROUTE, False, "no way out over IPv6", packet, router_id=router.id, network_id=network.id)
            return self.end()
        self.add(Place.ROUTE, True, "router", packet, router_id=router.id, network_id=network.id)
        self.add(Place.TRANSLATION, True, "hidden", replace(packet, source=None), router_id=router.id)
        return self.end(is_outside=True)

    def _back_in(self, network: NetworkSpec, router: RouterSpec, packet: Packet, inner: tuple[IPv4Address, int | None]) -> Path:
        """To an outer address of the same router: it turns round there, and hides behind the router's own address."""
        self.add(Place.ROUTE, True, "router", packet, router_id=router.id, network_id=network.id)
        source = router.external_ip or packet.source
        led = replace(packet, source=source, destination=inner[0], port=inner[1])
        self.add(Place.TRANSLATION, True, "led on", led, router_id=router.id)
        return self._deliver_inside(router, led)

    def _deliver_inside(self, router: RouterSpec, packet: Packet) -> Path:
        network = next((each for each in self._networks_of(router) if packet.destination in each.cidr), None)
        if network is None:
            self.add(Place.TARGET, False, "nobody", packet, router_id=router.id)
            return self.end()
        return self.deliver(network, packet)

    def _inner(self, router: RouterSpec, packet: Packet) -> tuple[IPv4Address, int | None] | None:
        """The inner address and port that an outer one leads to."""
        for outer, inner in router.floating:
            if outer == packet.destination:
                return inner, packet.port
        for each in router.forwards:
            if (each.address, each.protocol, each.port) == (packet.destination, packet.protocol, packet.port):
                return each.to_address, each.to_port
        return None

    def arrive(self, external: ExternalSpec | None, packet: Packet) -> Path:
        """From outside, at an outer address."""
        for router in self.routers.values():
            if external is not None and router.external_id != external.id:
                continue
            inner = self._inner(router, packet)
            if inner is not None:
                led = replace(packet, destination=inner[0], port=inner[1])
                self.add(Place.TRANSLATION, True, "led on", led, router_id=router.id)
                return self._deliver_inside(router, led)
            if packet.destination == router.external_ip:
                answers = packet.protocol == "icmp"
                self.add(Place.TARGET, answers, "router" if answers else "no forward", packet, router_id=router.id)
                return self.end()
        self.add(Place.TARGET, False, "no outer address", packet)
        return self.end()


def from_port(spec: FabricSpec, port_id: UUID, packet: Packet) -> Path:
    """What becomes of a packet that a port sends from its own address."""
    walk = _Walk(spec)
    port = next(each for each in spec.ports if each.id == port_id)
    source = next((each for each in addresses_of(port) if each.version == packet.destination.version), None)
    if source is None:
        walk.add(Place.LEAVES, False, "no IPv6", packet, network_id=port.network_id)
        return walk.end()
    packet = replace(packet, source=source)
    if not walk.leave(port, packet):
        return walk.end()
    return walk.route(walk.networks[port.network_id], packet)


def from_outside(spec: FabricSpec, packet: Packet) -> Path:
    """What becomes of a packet that comes to the box from outside."""
    return _Walk(spec).arrive(None, packet)


def gateways(network: NetworkSpec) -> tuple[Address, ...]:
    return (network.gateway, network.ipv6.gateway) if network.ipv6 else (network.gateway,)


def lies_on(network: NetworkSpec, address: Address) -> bool:
    return address in network.cidr or (network.ipv6 is not None and address in network.ipv6.cidr)


def addresses_of(port: PortSpec) -> tuple[Address, ...]:
    return (IPv4Address(port.ip), *map(IPv6Address, port.ip6))


def holder(ports: Iterable[PortSpec], network_id: UUID, address: Address) -> PortSpec | None:
    """Whose address it is on a network."""
    return next((each for each in ports if each.network_id == network_id and address in addresses_of(each)), None)


def allowing(rules: Iterable[RuleSpec], direction: str, other: Address | None, packet: Packet) -> RuleSpec | None:
    """The first rule that lets it pass. `other` None is somebody of whom nothing is known: only rules for anybody are for them."""
    return next((rule for rule in rules if rule.direction == direction and _fits(rule, other, packet)), None)


def _fits(rule: RuleSpec, other: Address | None, packet: Packet) -> bool:
    version = packet.destination.version
    return rule.ethertype in ("", f"IPv{version}") and _is_for(rule, other, version) and _is_of(rule, packet)


def _is_for(rule: RuleSpec, other: Address | None, version: int) -> bool:
    if rule.remote_ips is None and not rule.remote:
        return True
    ranges = [
        ipaddress.ip_network(each, strict=False) for each in (rule.remote_ips if rule.remote_ips is not None else [rule.remote or ""])
    ]
    if other is None:
        return any(each.version == version and each.prefixlen == 0 for each in ranges)
    return any(other in each for each in ranges)


def _is_of(rule: RuleSpec, packet: Packet) -> bool:
    if not rule.protocol:
        return True
    if rule.protocol != packet.protocol:
        return False
    if rule.port_min is None:
        return True
    if packet.protocol == "icmp":
        return rule.port_min == packet.port and rule.port_max in (None, 0)  # a ping's code is 0
    return packet.port is not None and rule.port_min <= packet.port <= (rule.port_max if rule.port_max is not None else rule.port_min)
