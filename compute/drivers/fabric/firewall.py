"""Security groups and anti-spoofing of the whole box, rendered whole from the spec: pure text, loaded by nft as one transaction.

A frame passes two families. `bridge` knows the ports: it drops what a port may not send or get at all, and marks the rest with the
number of the chain that judges it. `ip` (bridged packets come by there through br_netfilter) knows the connections: it looks the
mark up and asks that chain. So the cost of a packet does not grow with the ports, and ports with the same rules share a chain.

Each connection is judged once per ruleset. The one that passed carries the ruleset's generation as its connection mark, and the
rest of it passes by that. A new ruleset has another generation, so the next packet of the side that began is judged again: if
no rule allows it any more, the connection is marked as refused, and from then on neither direction passes. Answers never need a
rule, so what is still allowed goes on without a pause. Since addresses of networks overlap, each network tracks its
connections in a zone of its own.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterable
from ipaddress import IPv4Network

from cloudbox.common.errors import Invalid
from compute.drivers.box_namespace import UPLINK
from compute.drivers.fabric.names import METADATA_IP, names
from compute.drivers.specs import FabricSpec, RuleSpec, tap_name

# Connection marks. Everything above REFUSED is a generation.
REFUSED = 1
GENERATIONS = 2**31 - 2
# Packet marks: the number of an egress chain when a frame comes in, that of an ingress chain when it goes out. TO_ROUTER and
# TO_OPEN are no chains: what goes there was judged when it came in, or comes from outside and is what an open port wants.
TO_ROUTER, TO_OPEN, INGRESS = 0x10000, 0x10001, 0x10002
PROTOCOL = re.compile(r"tcp|udp|icmp|[0-9]{1,3}")


def render(box: str, spec: FabricSpec) -> str:
    """The whole ruleset of the box's namespace, for `nft -f`."""
    chains = _Chains(spec)
    body = _connections(box, spec, chains)
    generation = REFUSED + 1 + int.from_bytes(hashlib.sha256(body.encode()).digest()[:4]) % GENERATIONS
    return "flush ruleset\n" + _frames(box, spec, chains) + body.replace("@generation", str(generation))


class _Chains:
    """The distinct rule sets of all guarded ports, each as one chain, with its number."""

    def __init__(self, spec: FabricSpec) -> None:
        self.guarded = [(port, port.rules) for port in spec.ports if port.rules is not None]
        self.bodies: dict[str, list[str]] = {}
        out = {tap_name(port.id): self._add("out", "egress", rules, "return") for port, rules in self.guarded}
        into = {tap_name(port.id): self._add("in", "ingress", rules, "goto pass") for port, rules in self.guarded}
        # Sorted, so that the same spec always gives the same text.
        self.egress = {name: number for number, name in enumerate(sorted(set(out.values())), start=1)}
        self.ingress = {name: number for number, name in enumerate(sorted(set(into.values())), start=INGRESS)}
        self.marks_in = {tap: self.egress[name] for tap, name in out.items()}
        self.marks_out = {tap: self.ingress[name] for tap, name in into.items()}

    def _add(self, prefix: str, direction: str, rules: Iterable[RuleSpec], verdict: str) -> str:
        matches = sorted({match for rule in rules if rule.direction == direction for match in _matches(rule)})
        body = [*(f"{match} {verdict}".strip() for match in matches), "goto refuse"]
        name = f"{prefix}-{hashlib.sha256(repr(body).encode()).hexdigest()[:16]}"
        self.bodies[name] = body
        return name


def _frames(box: str, spec: FabricSpec, chains: _Chains) -> str:
    """What a port may send at all: its own MAC, its own address in IPv4 and ARP, no answers of a DHCP server, nothing else. What
    it gets: IPv4 and ARP meant for it. So IPv6 neither leaves a guarded port nor reaches it, be it from an open port."""
    is_open = [tap_name(port.id) for port in spec.ports if port.rules is None]
    macs = [f'"{tap_name(port.id)}" . {port.mac}' for port, _ in chains.guarded]
    ips = [f'"{tap_name(port.id)}" . {port.mac} . {ipaddress.IPv4Address(port.ip)}' for port, _ in chains.guarded]
    marks_out = chains.marks_out | dict.fromkeys(is_open, TO_OPEN) | {names(box, each).router: TO_ROUTER for each in spec.networks}
    return f"""table bridge ports {{
  set is_open {{
    type ifname
{_elements(f'"{tap}"' for tap in is_open)}  }}
  set macs {{
    type ifname . ether_addr
{_elements(macs)}  }}
  set ips {{
    type ifname . ether_addr . ipv4_addr
{_elements(ips)}  }}
  map marks_in {{
    type ifname : mark
{_elements(f'"{tap}" : {mark}' for tap, mark in chains.marks_in.items())}  }}
  map marks_out {{
    type ifname : mark
{_elements(f'"{port}" : {mark}' for port, mark in marks_out.items())}  }}
  chain come {{
    type filter hook prerouting priority -300
    meta mark set 0
    iifname != "tap*" accept
    iifname @is_open accept
    iifname . ether saddr != @macs drop
    meta mark set iifname map @marks_in
    ether type arp jump arp_packets
    ether type ip jump ip_packets
    drop
  }}
  chain arp_packets {{
    arp saddr ip 0.0.0.0 accept
    iifname . ether saddr . arp saddr ip != @ips drop
    iifname . arp saddr ether != @macs drop
    accept
  }}
  chain ip_packets {{
    ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept
    iifname . ether saddr . ip saddr != @ips drop
    udp sport 67 drop
    accept
  }}
  chain go {{
    type filter hook forward priority -300
    meta mark set 0
    oifname "rex*" accept
    oifname "hbr*" accept
    meta mark set oifname map @marks_out
    meta mark 0 drop
    oifname != "tap*" accept
    oifname @is_open accept
    ether type != {{ ip, arp }} drop
    ether daddr & 01:00:00:00:00:00 == 00:00:00:00:00:00 oifname . ether daddr != @macs drop
  }}
}}
"""


def _connections(box: str, spec: FabricSpec, chains: _Chains) -> str:
    """The table of connections, with `@generation` where the number of this ruleset goes."""
    zones = [f'"{names(box, each).bridge}" : {names(box, each).zone}' for each in spec.networks]
    gateways = [f'"{names(box, each).bridge}" . {each.gateway}' for each in spec.networks]
    out = [f"{number} : jump {name}" for name, number in chains.egress.items()]
    into = [f"{number} : goto {name}" for name, number in chains.ingress.items()]
    shared = "".join(f"  chain {name} {{\n{_lines(body)}  }}\n" for name, body in sorted(chains.bodies.items()))
    return f"""table ip connections {{
  set gateways {{
    type ifname . ipv4_addr
{_elements(gateways)}  }}
  chain zones {{
    type filter hook prerouting priority raw
{_look_up("ct zone set iifname map", zones)}  }}
  chain pass {{
    ct mark set @generation
    accept
  }}
  chain refuse {{
    ct state established ct mark set {REFUSED}
    drop
  }}
{shared}  chain come {{
    type filter hook prerouting priority mangle
    iifname != "br-*" accept
    ct mark @generation ct state established accept
    ct state established ct direction reply accept
    ct state related accept
    udp sport 68 udp dport 67 accept
    iifname . ip daddr @gateways meta l4proto {{ tcp, udp }} th dport 53 accept
    ip daddr {METADATA_IP} tcp dport 80 accept
{_look_up("meta mark vmap", out)}  }}
  chain go {{
    type filter hook forward priority filter
    policy drop
    iifname "br-*" goto bridged
    iifname "ext*" oifname {{ "{UPLINK}", "ext*" }} accept
    iifname "{UPLINK}" oifname "ext*" accept
  }}
  chain bridged {{
    meta mark < {TO_ROUTER} drop
    ct mark {REFUSED} ct state established ct direction reply drop
    ct mark {REFUSED} ct state related drop
    ct mark @generation ct state established accept
    ct state established ct direction reply accept
    ct state related accept
    meta mark {{ {TO_ROUTER}, {TO_OPEN} }} goto pass
    iifname . ip saddr @gateways udp sport 67 udp dport 68 accept
{_look_up("meta mark vmap", into)}    drop
  }}
  chain input {{
    type filter hook input priority filter
    policy drop
    iifname "lo" accept
    ct state established,related accept
    iifname {{ "{UPLINK}", "ext*" }} icmp type echo-request accept
  }}
  chain leave {{
    type nat hook postrouting priority srcnat
    oifname "{UPLINK}" masquerade
  }}
}}
"""


def _matches(rule: RuleSpec) -> list[str]:
    """One rule as nft matches it; none where it can match nothing. IPv6 never passes, so its rules say nothing."""
    if rule.ethertype != "IPv4":
        return []
    remotes = _remotes(rule)
    if remotes is None:
        return []
    side = "saddr" if rule.direction == "ingress" else "daddr"
    return [" ".join(filter(None, (f"ip {side} {remotes}" if remotes else "", _protocol(rule))))]


def _remotes(rule: RuleSpec) -> str | None:
    """The other sides; an empty text is anybody, None is nobody."""
    try:
        if rule.remote_ips is not None:
            members = sorted({ipaddress.IPv4Address(each) for each in rule.remote_ips})
            return f"{{ {', '.join(map(str, members))} }}" if members else None
        network = IPv4Network(rule.remote or "0.0.0.0/0", strict=False)
    except ValueError as error:
        raise Invalid("The remote of a rule is an IPv4 range.", resource=str(rule.id), field="remote") from error
    return str(network) if network.prefixlen > 0 else ""


def _protocol(rule: RuleSpec) -> str:
    protocol = rule.protocol
    if not protocol:
        return ""
    if not PROTOCOL.fullmatch(protocol) or (protocol.isdigit() and int(protocol) > 255):
        raise Invalid("The protocol of a rule is tcp, udp, icmp or a number.", resource=str(rule.id), field="protocol")
    low, high = rule.port_min, rule.port_max
    if low is None or protocol.isdigit():
        return f"meta l4proto {protocol}"
    if protocol == "icmp":
        return f"icmp type {int(low)}" + ("" if high is None else f" icmp code {int(high)}")
    return f"{protocol} dport {int(low)}" + ("" if high in (None, low) else f"-{int(high)}")  # type: ignore[arg-type]


def _elements(items: Iterable[str]) -> str:
    joined = ", ".join(items)
    return f"    elements = {{ {joined} }}\n" if joined else ""


def _look_up(statement: str, items: list[str]) -> str:
    """A rule that looks something up in a map of its own; none when the map would be empty, which nft does not take."""
    return f"    {statement} {{ {', '.join(items)} }}\n" if items else ""


def _lines(rules: Iterable[str]) -> str:
    return "".join(f"    {rule}\n" for rule in rules)
