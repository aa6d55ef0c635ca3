"""What a network's gateway namespace lets through. It decides nothing about connections: security groups and routers do."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network

from compute.drivers.balancer_specs import BalancerSpec
from compute.drivers.fabric.names import LAN, METADATA_IP, WAN
from compute.drivers.router_specs import RouteSpec
from compute.drivers.specs import NetworkSpec


def routes_of(network: NetworkSpec, routes: Sequence[RouteSpec]) -> list[RouteSpec]:
    """Those of its router whose next hop is one of its guests."""
    return [route for route in routes if route.next_hop in network.cidr]


def ruleset(network: NetworkSpec, routes: Sequence[RouteSpec], balancers: Sequence[BalancerSpec] = ()) -> str:
    """Guests reach the gateway's DHCP, DNS, ping and the metadata address. Between them and a router passes what has an address of
    the network, or of what `routes` say lies behind one of its guests. Whoever reaches the network reaches its load balancers."""
    ranges = ", ".join(map(str, sorted({network.cidr, *(route.destination for route in routes)}, key=_key)))
    behind = ", ".join(map(str, sorted({route.destination for route in routes}, key=_key)))
    forward = ""
    if network.router_id is not None:
        forward += f'    iifname "{LAN}" oifname "{WAN}" ip saddr {{ {ranges} }} accept\n'
        forward += f'    iifname "{WAN}" oifname "{LAN}" ip daddr {{ {ranges} }} accept\n'
    if behind:
        forward += f'    iifname "{LAN}" oifname "{LAN}" ip daddr {{ {behind} }} accept\n'
        forward += f'    iifname "{LAN}" oifname "{LAN}" ip saddr {{ {behind} }} accept\n'
    return f"""flush ruleset
table ip gateway {{
  chain input {{
    type filter hook input priority filter
    policy drop
    iifname "lo" accept
    ct state established,related accept
    iifname "{LAN}" udp dport {{ 53, 67 }} accept
    iifname "{LAN}" tcp dport 53 accept
    iifname "{LAN}" ip daddr {METADATA_IP} tcp dport 80 accept
    iifname "{LAN}" icmp type echo-request accept
{"".join(_listening(each) for each in balancers)}  }}
  chain forward {{
    type filter hook forward priority filter
    policy drop
{forward}  }}
}}
{_ipv6(network)}"""


def _ipv6(network: NetworkSpec) -> str:
    """The same in IPv6, where neighbours are found by ICMPv6 (RFC 4861), which must pass on both sides."""
    forward = ""
    if network.ipv6 is not None and network.router_id is not None:
        forward = (
            f'    iifname "{LAN}" oifname "{WAN}" ip6 saddr {network.ipv6.cidr} accept\n'
            f'    iifname "{WAN}" oifname "{LAN}" ip6 daddr {network.ipv6.cidr} accept\n'
        )
    return f"""table ip6 gateway {{
  chain input {{
    type filter hook input priority filter
    policy drop
    iifname "lo" accept
    ct state established,related accept
    icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} ip6 hoplimit 255 accept
    iifname "{LAN}" icmpv6 type {{ echo-request, nd-router-solicit, mld-listener-report, mld2-listener-report }} accept
    iifname "{LAN}" udp dport {{ 53, 547 }} accept
    iifname "{LAN}" tcp dport 53 accept
  }}
  chain forward {{
    type filter hook forward priority filter
    policy drop
{forward}  }}
}}
"""


def _listening(balancer: BalancerSpec) -> str:
    ports = ", ".join(str(each.port) for each in sorted(balancer.listeners, key=lambda each: each.port))
    ping = f"    ip daddr {balancer.address} icmp type echo-request accept\n"
    return ping + (f"    ip daddr {balancer.address} tcp dport {{ {ports} }} accept\n" if ports else "")


def _key(network: IPv4Network) -> tuple[int, int]:
    return int(network.network_address), network.prefixlen
