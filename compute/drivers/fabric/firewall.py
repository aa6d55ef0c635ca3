"""Security groups and anti-spoofing of the whole box, rendered whole from the spec: pure text, loaded by nft as one transaction.

A frame passes two families. `bridge` knows the ports: it drops what a port may not send or get at all, and marks the rest with the
number of the chain that judges it. `inet` (bridged packets come by there through br_netfilter) knows the connections: it looks the
mark up and asks that chain (rules.py). So the cost of a packet does not grow with the ports, and ports in the same groups share a
chain.

Each connection is judged once per ruleset. The one that passed carries the ruleset's generation as its connection mark, and the
rest of it passes by that. A new ruleset has another generation, so the next packet of the side that began is judged again: if
no rule allows it any more, the connection is marked as refused, and from then on neither direction passes. Answers never need a
rule, so what is still allowed goes on without a pause. Since addresses of networks overlap, each network tracks its
connections in a zone of its own. The rule that lets a connection pass counts it, once per ruleset.

Caps are limits in the same ruleset, on frames as they leave a port or are about to reach it: what is over the cap is dropped, and
TCP finds its pace by that. So a cap holds from the first packet of a tap that appears later, and needs no queue on the tap.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable

from compute.drivers.box_namespace import UPLINK
from compute.drivers.fabric.names import METADATA_IP, names
from compute.drivers.fabric.rules import Chains
from compute.drivers.specs import FabricSpec, PortSpec, tap_name

# Connection marks. Everything above REFUSED is a generation.
REFUSED = 1
GENERATIONS = 2**31 - 2
# Packet marks: the number of an egress chain when a frame comes in, that of an ingress chain when it goes out. TO_ROUTER and
# TO_OPEN are no chains: what goes there was judged when it came in, or comes from outside and is what an open port wants.
TO_ROUTER, TO_OPEN, INGRESS = 0x10000, 0x10001, 0x10002
# A cap lets this much pass at once: a quarter of a second's worth, and never less than a few large segments.
BURST_KBYTES_MIN = 256
# What a card may send before it has an address: is mine free (RFC 4862, 5.4), is there a router, what do I listen to.
UNNAMED = "{ nd-neighbor-solicit, nd-router-solicit, mld-listener-report, mld2-listener-report }"
# ICMPv6 that makes a link work (RFC 4890, 4.4.1): a guest may ask, answer for itself, and join groups of listeners.
NEIGHBOURS = "{ 130, 131, 132, 133, 135, 136, 143 }"


def render(box: str, spec: FabricSpec) -> str:
    """The whole ruleset of the box's namespace, for `nft -f`."""
    chains = Chains(spec.ports, ingress_from=INGRESS)
    body = _connections(box, spec, chains)
    generation = REFUSED + 1 + int.from_bytes(hashlib.sha256(body.encode()).digest()[:4]) % GENERATIONS
    return "flush ruleset\n" + _frames(box, spec, chains) + body.replace("@generation", str(generation))


def link_local(mac: str) -> str:
    """The address that a card gives itself (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    return str(ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]))


class _Senders:
    """What guarded ports may send from: exact addresses in sets that are looked up at once, ranges in sets of intervals."""

    def __init__(self, ports: Iterable[PortSpec]) -> None:
        self.macs: list[str] = []
        self.exact: dict[int, list[str]] = {4: [], 6: []}
        self.ranges: dict[int, list[str]] = {4: [], 6: []}
        self.targets: dict[str, list[str]] = {}
        for port in ports:
            self._add(port)

    def _add(self, port: PortSpec) -> None:
        tap = tap_name(port.id)
        pairs = {(port.mac.lower(), ipaddress.ip_network(each)) for each in (port.ip, *port.ip6)}
        pairs |= {((pair.mac or port.mac).lower(), ipaddress.ip_network(pair.ip, strict=False)) for pair in port.pairs}
        macs = {port.mac.lower(), *(mac for mac, _ in pairs)}
        six = {network for _, network in pairs if isinstance(network, ipaddress.IPv6Network)}
        if six:
            pairs |= {(mac, ipaddress.ip_network(link_local(mac))) for mac in macs}
            six |= {ipaddress.IPv6Network(link_local(mac)) for mac in macs}
            self.targets[tap] = sorted(_hex_range(network) for network in ipaddress.collapse_addresses(six))
        self.macs += [f'"{tap}" . {mac}' for mac in sorted(macs)]
        for mac, network in sorted(pairs, key=str):
            whole = network.prefixlen == network.max_prefixlen
            place = (self.exact if whole else self.ranges)[network.version]
            place.append(f'"{tap}" . {mac} . {network.network_address if whole else network}')


def _hex_range(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str:
    first, last = int(network.network_address), int(network.broadcast_address)
    return f"{first:#x}" if first == last else f"{first:#x}-{last:#x}"


def _frames(box: str, spec: FabricSpec, chains: Chains) -> str:
    """What a port may send at all: its own MACs, its own addresses in IP and ARP, no answers of a DHCP server, no router's
    advertisements, nothing else (no tags of VLANs either). What it gets: IP and ARP meant for it, and none of the answers that
    only the house gives. A port without an IPv6 address neither sends IPv6 nor gets it, be it from an open port."""
    is_open = [tap_name(port.id) for port in spec.ports if port.rules is None]
    guarded = [port for port in spec.ports if port.rules is not None]
    senders = _Senders(guarded)
    marks_out = chains.marks_out | dict.fromkeys(is_open, TO_OPEN) | {names(box, each).router: TO_ROUTER for each in spec.networks}
    speak_six = ", ".join(f'"{tap}" : jump nd-{tap}' for tap in senders.targets)
    nd = "".join(
        f"  chain nd-{tap} {{\n    icmpv6 type nd-neighbor-advert @th,64,128 != {{ {', '.join(targets)} }} drop\n"
        f"    ip6 saddr :: icmpv6 type nd-neighbor-solicit @th,64,128 != {{ {', '.join(targets)} }} drop\n  }}\n"
        for tap, targets in senders.targets.items()
    )
    return f"""table bridge ports {{
{_caps(spec)}  set is_open {{
    type ifname
{_elements(f'"{tap}"' for tap in is_open)}  }}
  set six {{
    type ifname
{_elements(f'"{tap}"' for tap in senders.targets)}  }}
  set macs {{
    type ifname . ether_addr
{_elements(senders.macs)}  }}
  set ips {{
    type ifname . ether_addr . ipv4_addr
{_elements(senders.exact[4])}  }}
  set ranges {{
    type ifname . ether_addr . ipv4_addr
    flags interval
{_elements(senders.ranges[4])}  }}
  set ips6 {{
    type ifname . ether_addr . ipv6_addr
{_elements(senders.exact[6])}  }}
  set ranges6 {{
    type ifname . ether_addr . ipv6_addr
    flags interval
{_elements(senders.ranges[6])}  }}
  map marks_in {{
    type ifname : mark
{_elements(f'"{tap}" : {mark}' for tap, mark in chains.marks_in.items())}  }}
  map marks_out {{
    type ifname : mark
{_elements(f'"{port}" : {mark}' for port, mark in marks_out.items())}  }}
{nd}  chain come {{
    type filter hook prerouting priority -300
    meta mark set 0
    iifname != "tap*" accept
    limit name iifname map @caps_out drop
    iifname @is_open accept
    iifname . ether saddr != @macs drop
    meta mark set iifname map @marks_in
    ether type arp jump arp_packets
    ether type ip jump ip_packets
    ether type ip6 iifname @six jump ip6_packets
    drop
  }}
  chain arp_packets {{
    iifname . arp saddr ether != @macs drop
    arp saddr ip 0.0.0.0 accept
    iifname . ether saddr . arp saddr ip @ips accept
    iifname . ether saddr . arp saddr ip @ranges accept
    drop
  }}
  chain ip_packets {{
    ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept
    udp sport 67 drop
    iifname . ether saddr . ip saddr @ips accept
    iifname . ether saddr . ip saddr @ranges accept
    drop
  }}
  chain ip6_packets {{
    icmpv6 type {{ nd-router-advert, nd-redirect }} drop
    udp sport 547 drop
{_look_up("iifname vmap", speak_six)}    ip6 saddr :: icmpv6 type {UNNAMED} accept
    iifname . ether saddr . ip6 saddr @ips6 accept
    iifname . ether saddr . ip6 saddr @ranges6 accept
    drop
  }}
  chain go {{
    type filter hook forward priority -300
    meta mark set 0
    oifname "rex*" accept
    oifname "hbr*" accept
    meta mark set oifname map @marks_out
    meta mark 0 drop
    limit name oifname map @caps_in drop
    oifname != "tap*" accept
    oifname @is_open accept
    ether type != {{ ip, ip6, arp }} drop
    ether type ip6 oifname != @six drop
    iifname "tap*" udp sport 67 udp dport 68 drop
    iifname "tap*" udp sport 547 udp dport 546 drop
    iifname "tap*" icmpv6 type {{ nd-router-advert, nd-redirect }} drop
    ether daddr & 01:00:00:00:00:00 == 00:00:00:00:00:00 oifname . ether daddr != @macs drop
  }}
}}
"""


def _caps(spec: FabricSpec) -> str:
    """A limit for each way of each port that has one, and the maps that find it."""
    limits, maps = [], {"caps_in": [], "caps_out": []}  # type: ignore[var-annotated]
    for port in spec.ports:
        for way, kbps in (("in", port.rate_in_kbps), ("out", port.rate_out_kbps)):
            if kbps:
                bytes_per_second = kbps * 125
                burst = max(BURST_KBYTES_MIN, bytes_per_second // 4096)
                name = f"{way}-{tap_name(port.id)}"
                limits.append(f"  limit {name} {{\n    rate over {bytes_per_second} bytes/second burst {burst} kbytes\n  }}\n")
                maps[f"caps_{way}"].append(f'"{tap_name(port.id)}" : "{name}"')
    return "".join(limits) + "".join(f"  map {key} {{\n    type ifname : limit\n{_elements(each)}  }}\n" for key, each in maps.items())


def _connections(box: str, spec: FabricSpec, chains: Chains) -> str:
    """The table of connections, with `@generation` where the number of this ruleset goes."""
    zones = ", ".join(f'"{names(box, each).bridge}" : {names(box, each).zone}' for each in spec.networks)
    gateways = [f'"{names(box, each).bridge}" . {each.gateway}' for each in spec.networks]
    gateways6 = [f'"{names(box, each).bridge}" . {each.ipv6.gateway}' for each in spec.networks if each.ipv6]
    out = ", ".join(f"{number} : jump {name}" for name, number in chains.egress.items())
    into = ", ".join(f"{number} : goto {name}" for name, number in chains.ingress.items())
    return f"""table inet connections {{
  set gateways {{
    type ifname . ipv4_addr
{_elements(gateways)}  }}
  set gateways6 {{
    type ifname . ipv6_addr
{_elements(gateways6)}  }}
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
{chains.render()}  chain come {{
    type filter hook prerouting priority mangle
    iifname != "br-*" accept
    ct mark @generation ct state established accept
    ct state established ct direction reply accept
    ct state related accept
    udp sport 68 udp dport 67 accept
    icmpv6 type {NEIGHBOURS} accept
    ip6 saddr fe80::/10 udp sport 546 udp dport 547 accept
    iifname . ip daddr @gateways meta l4proto {{ tcp, udp }} th dport 53 accept
    iifname . ip6 daddr @gateways6 meta l4proto {{ tcp, udp }} th dport 53 accept
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
    icmpv6 type {NEIGHBOURS} accept
    icmpv6 type nd-router-advert accept
    ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept
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
    iifname {{ "{UPLINK}", "ext*" }} icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} ip6 hoplimit 255 accept
    iifname {{ "{UPLINK}", "ext*" }} icmpv6 type echo-request accept
  }}
}}
table ip leave {{
  chain leave {{
    type nat hook postrouting priority srcnat
    oifname "{UPLINK}" masquerade
  }}
}}
table ip6 leave {{
  chain leave {{
    type nat hook postrouting priority srcnat
    oifname "{UPLINK}" masquerade
  }}
}}
"""


def _elements(items: Iterable[str]) -> str:
    joined = ", ".join(items)
    return f"    elements = {{ {joined} }}\n" if joined else ""


def _look_up(statement: str, items: str) -> str:
    """A rule that looks something up in a map of its own; none when the map would be empty, which nft does not take."""
    return f"    {statement} {{ {items} }}\n" if items else ""
