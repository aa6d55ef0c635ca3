"""Security groups and anti-spoofing of the whole box, rendered whole from the spec: pure text, loaded atomically.

Bridged packets pass iptables by br_netfilter. A packet between two guests must be let out by the one and in by the other; the
first verdict of a connection holds for the rest of it. Since addresses of networks overlap, each network tracks connections in a
zone of its own. Ports with the same rules share a chain: a hundred ports of one group cost two lines each.
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
from compute.drivers.specs import FabricSpec, NetworkSpec, PortSpec, RuleSpec, tap_name

BRIDGED = "-m physdev --physdev-is-bridged"
PROTOCOL = re.compile(r"[a-z0-9-]{1,16}")


def security_groups(box: str, spec: FabricSpec) -> str:
    """The tables raw, nat and filter of the box's namespace, for iptables-restore."""
    by_network = {network.id: [port for port in spec.ports if port.network_id == network.id] for network in spec.networks}
    raw = [f"-A PREROUTING -i {names(box, each).bridge} -j CT --zone {names(box, each).zone}" for each in spec.networks]
    chains: dict[str, list[str]] = {}
    dispatch = []
    for network in spec.networks:
        chain = f"net-{network.id.hex[:12]}"
        dispatch.append(f"-A FORWARD {BRIDGED} -i {names(box, network).bridge} -g {chain}")
        chains[chain] = _network(box, network, by_network[network.id], chains)
    return "\n".join(
        [
            "*raw",
            ":PREROUTING ACCEPT [0:0]",
            ":OUTPUT ACCEPT [0:0]",
            *raw,
            "COMMIT",
            "*nat",
            ":PREROUTING ACCEPT [0:0]",
            ":INPUT ACCEPT [0:0]",
            ":OUTPUT ACCEPT [0:0]",
            ":POSTROUTING ACCEPT [0:0]",
            # Bridged packets come by here too; the interface tells them apart.
            f"-A POSTROUTING -o {UPLINK} -j MASQUERADE",
            "COMMIT",
            "*filter",
            ":INPUT DROP [0:0]",
            ":FORWARD DROP [0:0]",
            ":OUTPUT ACCEPT [0:0]",
            *(f":{chain} - [0:0]" for chain in chains),
            "-A INPUT -i lo -j ACCEPT",
            "-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
            f"-A INPUT -i {UPLINK} -p icmp --icmp-type echo-request -j ACCEPT",
            "-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
            *dispatch,
            # Routed: from a router to the outside, never to another network's router.
            f"-A FORWARD -i trn+ -o {UPLINK} -j ACCEPT",
            *(rule for rules in chains.values() for rule in rules),
            "COMMIT",
            "",
        ]
    )


def _network(box: str, network: NetworkSpec, ports: list[PortSpec], chains: dict[str, list[str]]) -> list[str]:
    """The chain of one network: what every port may do, then each port's own rules, out before in. Adds the shared chains."""
    here = f"-A net-{network.id.hex[:12]}"
    router = f"{BRIDGED} --physdev-out {names(box, network).router}"
    rules = [
        f"{here} {router} -p udp --sport 68 --dport 67 -j ACCEPT",
        f"{here} {router} -d {network.gateway} -p udp --dport 53 -j ACCEPT",
        f"{here} {router} -d {network.gateway} -p tcp --dport 53 -j ACCEPT",
        f"{here} {router} -d {METADATA_IP} -p tcp --dport 80 -j ACCEPT",
    ]
    guarded = [(port, port.rules) for port in ports if port.rules is not None]
    for port, own in guarded:
        chain = _shared(chains, "egress", own, "RETURN", [])
        rules.append(f"{here} {BRIDGED} --physdev-in {tap_name(port.id)} -j {chain}")
    for port, own in guarded:
        dhcp = [f"-s {network.gateway} -p udp --sport 67 --dport 68"]
        chain = _shared(chains, "ingress", own, "ACCEPT", dhcp)
        rules.append(f"{here} {BRIDGED} --physdev-out {tap_name(port.id)} -g {chain}")
    for port in ports:
        if port.rules is None:
            rules.append(f"{here} {BRIDGED} --physdev-out {tap_name(port.id)} -j ACCEPT")
    # What leaves by the router was let out above. A tap that no port names gets nothing.
    return [*rules, f"{here} {router} -j ACCEPT", f"{here} -j DROP"]


def _shared(chains: dict[str, list[str]], direction: str, rules: Iterable[RuleSpec], verdict: str, always: list[str]) -> str:
    """The chain of these rules, which ports with the same rules share; its name is a hash of its text."""
    matches = sorted({match for rule in rules if rule.direction == direction for match in _matches(rule)})
    body = [*(f"{match} -j {verdict}".strip() for match in (*always, *matches)), "-j DROP"]
    digest = hashlib.sha256("\n".join(body).encode()).hexdigest()[:16]
    name = f"{'in' if direction == 'ingress' else 'out'}-{digest}"
    chains.setdefault(name, [f"-A {name} {line}" for line in body])
    return name


def _matches(rule: RuleSpec) -> list[str]:
    """One rule as iptables matches: one, or one per remote address. IPv6 never passes, so its rules say nothing."""
    if rule.ethertype != "IPv4":
        return []
    side = "-s" if rule.direction == "ingress" else "-d"
    what = _protocol(rule)
    return [f"{side} {remote} {what}".strip() if remote else what for remote in _remotes(rule)]


def _remotes(rule: RuleSpec) -> list[str]:
    """The other sides; an empty text is anybody."""
    try:
        if rule.remote_ips is not None:
            return [str(ipaddress.IPv4Address(each)) for each in rule.remote_ips]
        network = IPv4Network(rule.remote or "0.0.0.0/0", strict=False)
    except ValueError as error:
        raise Invalid("The remote of a rule is an IPv4 range.", resource=str(rule.id), field="remote") from error
    return [str(network) if network.prefixlen > 0 else ""]


def _protocol(rule: RuleSpec) -> str:
    protocol = rule.protocol
    if not protocol:
        return ""
    if not PROTOCOL.fullmatch(protocol):
        raise Invalid("The protocol of a rule is tcp, udp, icmp or a number.", resource=str(rule.id), field="protocol")
    low, high = rule.port_min, rule.port_max
    if low is None or protocol not in ("tcp", "udp", "icmp"):
        return f"-p {protocol}"
    if protocol == "icmp":
        return f"-p icmp --icmp-type {int(low)}" + ("" if high is None else f"/{int(high)}")
    return f"-p {protocol} --dport {int(low)}:{int(low if high is None else high)}"


def anti_spoofing(spec: FabricSpec) -> str:
    """What a tap may send at all: its own MAC, its own address in IPv4 and ARP, no answers of a DHCP server, nothing else."""
    guarded = [port for port in spec.ports if port.rules is not None]
    is_open = [f'"{tap_name(port.id)}"' for port in spec.ports if port.rules is None]
    macs = [f'"{tap_name(port.id)}" . {port.mac}' for port in guarded]
    ips = [f'"{tap_name(port.id)}" . {port.mac} . {ipaddress.IPv4Address(port.ip)}' for port in guarded]
    return f"""table bridge guard
delete table bridge guard
table bridge guard {{
  set is_open {{
    type ifname
{_elements(is_open)}  }}
  set macs {{
    type ifname . ether_addr
{_elements(macs)}  }}
  set ips {{
    type ifname . ether_addr . ipv4_addr
{_elements(ips)}  }}
  chain taps {{
    type filter hook prerouting priority -300
    iifname != "tap*" accept
    iifname @is_open accept
    iifname . ether saddr != @macs drop
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
}}
"""


def _elements(items: list[str]) -> str:
    return f"    elements = {{ {', '.join(items)} }}\n" if items else ""
