"""Security-group rules as nft matches: the chains that judge connections, the sets that they look into, the counters of their hits."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterable
from uuid import UUID

from cloudbox.common.errors import Invalid
from compute.drivers.specs import PortSpec, RuleSpec, tap_name

# nft's word for each family, and how it asks for it.
FAMILIES = {"IPv4": "ip", "IPv6": "ip6"}
_NFPROTO = {"ip": "ipv4", "ip6": "ipv6"}
_SET_TYPE = {"ip": "ipv4_addr", "ip6": "ipv6_addr"}
_WIDTH = {"ip": 4, "ip6": 6}
PORTED = ("tcp", "udp", "sctp", "dccp", "udplite")
PROTOCOL = re.compile(rf"{'|'.join(PORTED)}|icmp|[0-9]{{1,3}}")
# A list this short stands in the rule itself; a longer one is a set of its own, which all rules that mean it share.
INLINE_MAX = 4


def counter_name(rule_id: UUID) -> str:
    return f"r{rule_id.hex}"


def rule_of(counter: str) -> UUID | None:
    """The rule whose hits a counter counts; None when it is no such counter."""
    try:
        return UUID(counter[1:]) if counter.startswith("r") else None
    except ValueError:
        return None


class Chains:
    """The distinct rule sets of all guarded ports, each as one chain, with its number. Ports in the same groups share their chains;
    ports of different groups never do, since each rule counts its own hits."""

    def __init__(self, ports: Iterable[PortSpec], *, ingress_from: int) -> None:
        self.sets: dict[str, str] = {}
        self.counters: set[str] = set()
        self.bodies: dict[str, list[str]] = {}
        self._members: dict[tuple[int, str], str | None] = {}
        self._known: dict[tuple[int, str], tuple[object, str]] = {}
        guarded = [(tap_name(port.id), port.rules) for port in ports if port.rules is not None]
        out = {tap: self._add("out", "egress", rules, "return") for tap, rules in guarded}
        into = {tap: self._add("in", "ingress", rules, "goto pass") for tap, rules in guarded}
        # Sorted, so that the same spec always gives the same text.
        self.egress = {name: number for number, name in enumerate(sorted(set(out.values())), start=1)}
        self.ingress = {name: number for number, name in enumerate(sorted(set(into.values())), start=ingress_from)}
        self.marks_in = {tap: self.egress[name] for tap, name in out.items()}
        self.marks_out = {tap: self.ingress[name] for tap, name in into.items()}

    def _add(self, prefix: str, direction: str, rules: tuple[RuleSpec, ...], verdict: str) -> str:
        known = self._known.get((id(rules), direction))
        if known is not None:
            return known[1]
        lines = set()
        for rule in rules:
            if rule.direction == direction:
                counter = counter_name(rule.id)
                for match in self._matches(rule):
                    self.counters.add(counter)
                    lines.add(f'{match} counter name "{counter}" {verdict}'.strip())
        body = [*sorted(lines), "goto refuse"]
        name = f"{prefix}-{hashlib.sha256(repr(body).encode()).hexdigest()[:16]}"
        self.bodies[name] = body
        self._known[id(rules), direction] = (rules, name)  # holds on to the tuple: its id stays its own
        return name

    def _matches(self, rule: RuleSpec) -> list[str]:
        """One rule as nft matches it, for each family that it speaks of; none where it can match nothing."""
        side = "saddr" if rule.direction == "ingress" else "daddr"
        found = []
        for family in [FAMILIES[rule.ethertype]] if rule.ethertype else FAMILIES.values():
            remotes = self._remotes(rule, family)
            if remotes is not None:
                found.append((f"{family} {side} {remotes}" if remotes else "", f"meta nfproto {_NFPROTO[family]}", _protocol(rule, family)))
        if len(found) == 2 and found[0][0] == found[1][0] == "" and found[0][2] == found[1][2]:
            return [found[0][2]]  # anybody, over whichever family
        return [" ".join(filter(None, (where or which, what))) for where, which, what in found]

    def _remotes(self, rule: RuleSpec, family: str) -> str | None:
        """The other sides in one family; an empty text is anybody, None is nobody."""
        if rule.remote_ips is not None:
            key = (id(rule.remote_ips), family)
            if key not in self._members:
                self._members[key] = self._set(rule, rule.remote_ips, family)
            return self._members[key]
        if not rule.remote:
            return ""
        network = _network(rule, rule.remote)
        if FAMILIES[f"IPv{network.version}"] != family:
            return None
        return str(network) if network.prefixlen > 0 else ""

    def _set(self, rule: RuleSpec, remotes: Iterable[str], family: str) -> str | None:
        networks = {_network(rule, each) for each in remotes}
        merged = [*ipaddress.collapse_addresses(each for each in networks if FAMILIES[f"IPv{each.version}"] == family)]  # type: ignore[type-var]
        if not merged:
            return None
        whole = all(each.prefixlen == each.max_prefixlen for each in merged)
        texts = [str(each.network_address) if each.prefixlen == each.max_prefixlen else str(each) for each in merged]
        if len(texts) <= INLINE_MAX:
            return f"{{ {', '.join(texts)} }}"
        joined = ", ".join(texts)
        name = f"m{_WIDTH[family]}-{hashlib.sha256(joined.encode()).hexdigest()[:16]}"
        flags = "" if whole else "    flags interval\n"
        self.sets[name] = f"  set {name} {{\n    type {_SET_TYPE[family]}\n{flags}    elements = {{ {joined} }}\n  }}\n"
        return f"@{name}"

    def render(self) -> str:
        """Counters, sets and chains, to stand in the table of connections."""
        counters = "".join(f"  counter {name} {{\n  }}\n" for name in sorted(self.counters))
        sets = "".join(text for _, text in sorted(self.sets.items()))
        chains = "".join(
            f"  chain {name} {{\n" + "".join(f"    {line}\n" for line in body) + "  }\n" for name, body in sorted(self.bodies.items())
        )
        return counters + sets + chains


def _network(rule: RuleSpec, text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise Invalid("The remote of a rule is a range of addresses.", resource=str(rule.id), field="remote") from error


def _protocol(rule: RuleSpec, family: str) -> str:
    protocol = rule.protocol
    if not protocol:
        return ""
    if not PROTOCOL.fullmatch(protocol) or (protocol.isdigit() and int(protocol) > 255):
        raise Invalid("The protocol of a rule is a known name or a number.", resource=str(rule.id), field="protocol")
    low, high = rule.port_min, rule.port_max
    if protocol == "icmp":
        word = "icmp" if family == "ip" else "icmpv6"
        if low is None:
            return f"meta l4proto {word}"
        return f"{word} type {int(low)}" + ("" if high is None else f" {word} code {int(high)}")
    if low is None or protocol.isdigit():
        return f"meta l4proto {protocol}"
    return f"{protocol} dport {int(low)}" + ("" if high in (None, low) else f"-{int(high)}")  # type: ignore[arg-type]
