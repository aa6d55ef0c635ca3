"""Why can't I reach it? A first packet is followed through the fabric as the tables have it (packet_path.py), and each step is told in a
sentence: the rule that lets it pass, or what stops it, and what to do about that.

Nothing of another project is told: where a path comes to one, it has left this project, and that is the end of what is seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address
from uuid import UUID

from cloudbox.common.errors import Invalid
from compute import desired, instances, packet_path, rule_fields
from compute.drivers.specs import FabricSpec
from compute.models import FloatingIp, Instance, Network, Port, Router, SecurityGroup, SecurityGroupRule
from compute.packet_path import Address, Hop, Packet, Path, Place
from identity.context import Context

PROTOCOLS = (*rule_fields.PORTED, "icmp")
ECHO_REQUEST = {4: 8, 6: 128}  # of ICMP and of ICMPv6: what ping sends


@dataclass(frozen=True, kw_only=True)
class Thing:
    """What a step or a remedy is about: `noun` and id as the portal's addresses have them."""

    noun: str
    id: UUID
    name: str


@dataclass(frozen=True, kw_only=True)
class Step:
    title: str
    sentence: str
    passes: bool
    about: Thing | None = None
    rule: SecurityGroupRule | None = None


@dataclass(frozen=True, kw_only=True)
class Fix:
    """What to do: where, and with which fields of the form there."""

    sentence: str
    about: Thing | None
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """`verdict`: reaches, blocked, or leaves (it goes where the project does not see)."""

    verdict: str
    sentence: str
    steps: tuple[Step, ...]
    fix: Fix | None = None


def ask(
    ctx: Context,
    *,
    from_instance_id: UUID | None = None,
    from_address: str = "",
    to_instance_id: UUID | None = None,
    to_address: str = "",
    protocol: str = "tcp",
    port: int | None = None,
) -> Answer:
    """From an instance, or from outside (from somewhere, or from an address), to an instance or an address."""
    ctx.require("networks.list")
    if from_instance_id and from_address.strip():
        raise Invalid("It comes from an instance or from an address, not from both.", field="from_address")
    if bool(to_instance_id) == bool(to_address.strip()):
        raise Invalid("Say where it goes: to an instance, or to an address.", field="to_address")
    if protocol not in PROTOCOLS:
        raise Invalid(f"Ask about one of {', '.join(PROTOCOLS)}.", field="protocol")
    if protocol == "icmp":
        port = None
    elif port is None or not 1 <= port <= rule_fields.PORT_MAX:
        raise Invalid("Which port? 1 to 65535.", field="port")
    source = instances.get(ctx, from_instance_id) if from_instance_id else None
    target = instances.get(ctx, to_instance_id) if to_instance_id else None
    from_, to = _address(from_address, "from_address"), _address(to_address, "to_address")
    if from_ is not None and to is not None and from_.version != to.version:
        raise Invalid("One address is of IPv4, the other of IPv6: no packet goes from one to the other.", field="to_address")
    return _Trace(ctx, source, target, protocol, port).answer(from_, to)


def _address(text: str, name: str) -> Address | None:
    try:
        return ip_address(text.strip()) if text.strip() else None
    except ValueError as error:
        raise Invalid(f"{text.strip()[:50]!r} is not an IP address.", field=name) from error


def _without_router(network: Network | None) -> str:
    """Why nothing leads on from it."""
    if network is None or network.router is None:
        return f"{network.name if network else 'this one'} has no router"
    return f"{network.name if not network.is_up else network.router.name} is switched off"


def _range_of(network: Network, address: Address) -> str:
    return network.ipv6_cidr if address.version == 6 else network.cidr


class _Trace:
    def __init__(self, ctx: Context, source: Instance | None, target: Instance | None, protocol: str, port: int | None) -> None:
        self.ctx, self.source, self.target, self.protocol, self.port = ctx, source, target, protocol, port
        self.spec: FabricSpec = desired.fabric()
        self.ports = {row.id: row for row in Port.objects.filter(project=ctx.project).select_related("instance", "network")}
        self.networks = {row.id: row for row in Network.objects.filter(project=ctx.project)}
        self.routers = {row.id: row for row in Router.objects.filter(project=ctx.project)}
        rows = SecurityGroupRule.objects.filter(group__project=ctx.project)
        self.rules = {row.id: row for row in rows.select_related("group", "remote_group", "remote_address_group")}

    def answer(self, from_address: Address | None, to_address: Address | None) -> Answer:
        if self.source is None and from_address is not None:
            # An address inside is somebody's: then it is they who ask.
            mine = (row for row in self.ports.values() if row.instance is not None)
            inside = next((row for row in mine if str(from_address) in (row.ip, row.ip6)), None)
            self.source = inside.instance if inside else None
        if self.source is not None and self.source.status != Instance.Status.RUNNING:
            return self._not_running(self.source, ())
        starts = [row.id for row in self.ports.values() if self.source is not None and row.instance_id == self.source.id]
        if self.source is not None and not starts:
            about = Thing(noun="instances", id=self.source.id, name=self.source.name)
            step = Step(title=self.source.name, sentence="It has no network card.", passes=False, about=about)
            return self._blocked((step,), Fix(sentence="Give it a card on a network.", about=about))
        six = from_address is not None and from_address.version == 6
        ends = [to_address] if to_address is not None else self._ends(from_outside=self.source is None, six=six)
        if not ends:
            return self._unreachable_from_outside()
        begin: list[UUID | None] = [*starts] or [None]
        paths = [self._path(start, from_address, end) for end in ends for start in begin]
        # The first that gets through; else the one that comes furthest.
        path = next((each for each in paths if each.arrives), None) or max(paths, key=lambda each: len(each.hops))
        return self._told(path)

    def _ends(self, *, from_outside: bool, six: bool) -> list[Address]:
        """The addresses by which the target may be reached, nearest first; over IPv6 none from outside."""
        assert self.target is not None
        mine = [row for row in self.ports.values() if row.instance_id == self.target.id]
        if not from_outside:
            near = {row.network_id for row in self.ports.values() if self.source and row.instance_id == self.source.id}
            rows = sorted(mine, key=lambda row: (row.network_id not in near, row.index))
            return [ip_address(row.ip6 if six else row.ip) for row in rows if row.ip6 or not six]
        if six:
            return []
        outer = [IPv4Address(each.address) for each in FloatingIp.objects.filter(port__in=mine)]
        inner = {IPv4Address(row.ip) for row in mine}
        forwards = [
            each for router in self.spec.routers if router.id in self.routers for each in router.forwards if each.to_address in inner
        ]
        fitting = [each.address for each in forwards if (each.protocol, each.port) == (self.protocol, self.port)]
        return [*outer, *fitting]

    def _path(self, start: UUID | None, from_address: Address | None, end: Address) -> Path:
        port = ECHO_REQUEST[end.version] if self.protocol == "icmp" else self.port
        packet = Packet(source=from_address, destination=end, protocol=self.protocol, port=port)
        if start is None:
            return self._own_part(packet_path.from_outside(self.spec, packet))
        if not any(each.id == start for each in self.spec.ports):
            return Path(hops=(), is_outside=True)
        return self._own_part(packet_path.from_port(self.spec, start, packet))

    def _own_part(self, path: Path) -> Path:
        """The path up to where it comes to another project's router or port."""
        for place, hop in enumerate(path.hops):
            strange = (hop.router_id and hop.router_id not in self.routers) or (hop.port_id and hop.port_id not in self.ports)
            if strange or (hop.network_id and hop.network_id not in self.networks):
                return Path(hops=path.hops[:place], is_outside=True)
        return path

    def _told(self, path: Path) -> Answer:
        steps = tuple(self._step(hop) for hop in path.hops)
        blocked = path.blocked
        if blocked is not None:
            return self._blocked(steps, self._fix(blocked))
        if path.target is not None:
            row = self.ports[path.target]
            assert row.instance is not None
            if row.instance.status != Instance.Status.RUNNING:
                return self._not_running(row.instance, steps)
            what = "ping" if self.protocol == "icmp" else f"{self.protocol.upper()} {path.hops[-1].packet.port}"
            at = path.hops[-1].packet.destination
            sentence = (
                f"{row.instance.name} gets {what} at {at}. If nothing answers, no program listens there, or the guest's own firewall."
            )
            return Answer(verdict="reaches", sentence=sentence, steps=steps)
        if path.is_outside:
            where = "It leaves the project; what happens further on is not seen here."
            if not path.hops:
                where = "That is no address of this project: what happens there is not seen here."
            return Answer(verdict="leaves", sentence=where, steps=steps)
        return Answer(verdict="reaches", sentence="The network's own services answer there.", steps=steps)

    def _blocked(self, steps: tuple[Step, ...], fix: Fix | None) -> Answer:
        return Answer(verdict="blocked", sentence=f"Blocked: {steps[-1].sentence}", steps=steps, fix=fix)

    def _not_running(self, instance: Instance, steps: tuple[Step, ...]) -> Answer:
        about = Thing(noun="instances", id=instance.id, name=instance.name)
        sentence = f"{instance.name} is {instance.get_status_display().lower()}."
        step = Step(title=instance.name, sentence=sentence, passes=False, about=about)
        return self._blocked((*steps, step), Fix(sentence=f"Start {instance.name}.", about=about))

    def _unreachable_from_outside(self) -> Answer:
        assert self.target is not None
        about = Thing(noun="instances", id=self.target.id, name=self.target.name)
        sentence = f"{self.target.name} has no address outside, and no port is forwarded to it for this."
        step = Step(title="From outside", sentence=sentence, passes=False, about=about)
        return self._blocked((step,), Fix(sentence=f"Give {self.target.name} a floating IP, or forward a port to it.", about=None))

    def _step(self, hop: Hop) -> Step:
        title, about = self._place(hop)
        rule = self.rules.get(hop.rule_id) if hop.rule_id else None
        return Step(title=title, sentence=self._sentence(hop, rule), passes=hop.passes, about=about, rule=rule)

    def _place(self, hop: Hop) -> tuple[str, Thing | None]:
        if hop.port_id is not None:
            row = self.ports[hop.port_id]
            name = row.instance.name if row.instance else row.ip
            way = "out of" if hop.place == Place.LEAVES else "into"
            return f"Security groups, {way} {name}", Thing(noun="ports", id=row.id, name=row.ip)
        if hop.router_id is not None:
            router = self.routers[hop.router_id]
            return f"Router {router.name}", Thing(noun="routers", id=router.id, name=router.name)
        if hop.network_id is not None:
            network = self.networks[hop.network_id]
            return f"Network {network.name}", Thing(noun="networks", id=network.id, name=network.name)
        return "From outside", None

    def _sentence(self, hop: Hop, rule: SecurityGroupRule | None) -> str:
        at, packet = hop.packet.destination, hop.packet
        what = "ICMP echo" if packet.protocol == "icmp" else f"{packet.protocol.upper()} {packet.port}"
        other = at if hop.place == Place.LEAVES else packet.source or "anywhere"
        if hop.why == "rule" and rule is not None:
            return f"The group {rule.group.name} allows it: {rule_fields.sentence(rule)}."
        network = self.networks.get(hop.network_id) if hop.network_id else None
        return {
            "rule": "A rule allows it.",
            "open": "Port security is off here: everything passes.",
            "house": "The network's own services are always allowed.",
            "no rule": f"No rule allows {what} {'out to' if hop.place == Place.LEAVES else 'in from'} {other}.",
            "neighbour": f"{at} is on the same network, {_range_of(network, at) if network else ''}.",
            "no IPv6": f"{at} is of IPv6, and {network.name if network else 'the network'} has IPv4 alone.",
            "no way out over IPv6": "Over IPv6 the router leads nowhere outside.",
            "hidden": "It goes on under an address of the box, if the machine that the box runs on has IPv6.",
            "no router": f"{at} is on another network, and {_without_router(network)}.",
            "no way out": f"{at} lies outside, and the router leads nowhere outside.",
            "no address outside": "The router hides nobody (SNAT is off), and the sender has no floating IP.",
            "router": f"The router knows the way to {at}.",
            "static route": f"A static route leads on by {at}.",
            "floating": f"It goes on as {packet.source}, its floating IP.",
            "snat": f"It goes on as {packet.source}, the router's address.",
            "as it is": "It goes on under its own address.",
            "led on": f"The address outside leads to {at}" + (f", port {packet.port}." if packet.protocol in ("tcp", "udp") else "."),
            "gateway": "The network's gateway answers.",
            "metadata": "The metadata service answers.",
            "gateway serves not": f"The gateway answers ping and DNS, not {what}.",
            "nobody": f"No running port has the address {at}.",
            "no forward": f"{at} is the router's own address, and {what} is not forwarded to any port.",
            "no outer address": f"{at} is no address that leads into the box.",
        }.get(hop.why, hop.why)

    def _fix(self, hop: Hop) -> Fix | None:
        about = self._place(hop)[1]
        if hop.why == "no rule" and hop.port_id is not None:
            return self._rule_to_add(hop)
        if hop.why == "no router" and (network := self.networks.get(hop.network_id or UUID(int=0))) and network.router:
            return Fix(sentence="Switch it on through the API that switched it off (OpenStack's admin_state_up).", about=about)
        if hop.why == "no router":
            return Fix(sentence="Join the network to a router.", about=about)
        if hop.why == "no way out":
            return Fix(sentence="Give the router a way outside.", about=about)
        if hop.why == "no IPv6":
            return Fix(sentence="Give the network IPv6.", about=about)
        if hop.why == "no address outside":
            return Fix(sentence="Switch SNAT on, or give the sender a floating IP.", about=about)
        if hop.why == "nobody":
            return Fix(sentence="Look up the address that you mean among the ports of the network.", about=about)
        if hop.why == "no forward":
            return Fix(sentence="Forward that port to a port of an instance, or give the instance a floating IP.", about=about)
        return None

    def _rule_to_add(self, hop: Hop) -> Fix:
        """The rule that would let it pass, as narrow as the question."""
        assert hop.port_id is not None
        leaves = hop.place == Place.LEAVES
        other = hop.packet.destination if leaves else hop.packet.source
        fields = {"direction": "egress" if leaves else "ingress", "protocol": hop.packet.protocol}
        if hop.packet.protocol != "icmp":
            fields["port_min"] = str(hop.packet.port)
        fields |= {"remote": "cidr", "remote_cidr": f"{other}/{other.max_prefixlen}"} if other is not None else {"remote": "any"}
        group = self._group_of(self.ports[hop.port_id])
        what = "ICMP" if hop.packet.protocol == "icmp" else f"{hop.packet.protocol.upper()} {hop.packet.port}"
        rule = f"{what} {'out to' if leaves else 'in from'} {other or 'anywhere'}"
        if group is None:
            row = self.ports[hop.port_id]
            return Fix(
                sentence=f"Put the port into a security group with the rule {rule}.", about=Thing(noun="ports", id=row.id, name=row.ip)
            )
        return Fix(
            sentence=f"Add to the group {group.name}: {rule}.",
            about=Thing(noun="security-groups", id=group.id, name=group.name),
            fields=fields,
        )

    def _group_of(self, port: Port) -> SecurityGroup | None:
        """The group to add a rule to: the one that has the fewest other members."""
        groups: Iterable[SecurityGroup] = port.security_groups.all()
        return min(groups, key=lambda group: (group.ports.count(), group.name), default=None)
