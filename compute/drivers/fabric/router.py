"""A router's rules: which networks meet, and its NAT. Rendered whole from the spec and loaded by nft as one transaction.

NAT is decided once per connection and remembered by the kernel. So that a floating IP which goes to another instance takes its old
connections with it, every packet of one that was translated is held against the rules of now: what they would not translate in
the same way is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence

from compute.drivers.fabric import gateway
from compute.drivers.fabric.names import EXT, OWN_RANGE6, TRANSIT_RANGE, VPN, RouterNames, leg, outer_address6, outer_range6
from compute.drivers.router_specs import ExternalSpec, RouterSpec
from compute.drivers.specs import NetworkSpec


def ruleset(router: RouterSpec, networks: Sequence[NetworkSpec], external: ExternalSpec | None) -> str:
    return f"""flush ruleset
table ip router {{
  chain input {{
    type filter hook input priority filter
    policy drop
    iifname "lo" accept
    ct state established,related accept
    icmp type echo-request accept
{_entrance(router)}  }}
{_kept(router)}  chain forward {{
    type filter hook forward priority filter
    policy drop
{_forward(router, networks, external)}  }}
{_nat(router, networks) if external else ""}}}
{_ipv6(router, networks, external)}"""


def _entrance(router: RouterSpec) -> str:
    """How packets of WireGuard come in."""
    if router.vpn is None or router.external_ip is None:
        return ""
    return f'    iifname "{EXT}" ip daddr {router.external_ip} udp dport {router.vpn.port} accept\n'


def outer6(router: RouterSpec, external: ExternalSpec | None) -> str:
    """The address behind which the router's IPv6 hides outside, with its prefix length; empty where it leads nowhere outside: on a bridge
    of the host the IPv6 is somebody else's to give out, and a router that hides nobody has nothing to send from."""
    if external is None or external.bridge or router.external_ip is None or not router.snat:
        return ""
    return f"{outer_address6(external.id, router.external_ip)}/{outer_range6(external.id).prefixlen}"


def _ipv6(router: RouterSpec, networks: Sequence[NetworkSpec], external: ExternalSpec | None) -> str:
    """Networks meet under their own addresses; what leaves hides behind the router's (NAT66). Nothing leads in from outside."""
    forward, leave = [], []
    for network in networks:
        mine = {str(network.ipv6.cidr)} if network.ipv6 else set()
        forward.append(f'iifname "{leg(network).name}" ip6 saddr != {{ {", ".join(sorted({*mine, str(leg(network).near6)}))} }} drop')
    forward += ["ct state established,related accept", f"ip6 daddr {OWN_RANGE6} drop"]
    if outer := outer6(router, external):
        forward.append(f'iifname "leg*" oifname "{EXT}" accept')
        leave.append(f'oifname "{EXT}" snat to {outer.split("/")[0]}')
    forward.append('iifname "leg*" oifname "leg*" accept')
    return f"""table ip6 router {{
  chain input {{
    type filter hook input priority filter
    policy drop
    iifname "lo" accept
    ct state established,related accept
    icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} ip6 hoplimit 255 accept
    icmpv6 type echo-request accept
  }}
{_chain("forward", ["type filter hook forward priority filter", "policy drop", *forward])}{
        _chain("leave", leave, "type nat hook postrouting priority srcnat") if leave else ""
    }}}
"""


def _ranges(router: RouterSpec, network: NetworkSpec) -> list[str]:
    """The addresses that may come from a network: its own, its gateway's own (DNS), and what lies behind its guests."""
    behind = {route.destination for route in gateway.routes_of(network, router.routes)}
    return [str(network.cidr), str(leg(network).near), *sorted(map(str, behind))]


def _kept(router: RouterSpec) -> str:
    """Two chains that return for connections which the rules of now would translate in the same way."""
    inward = [f"ct original ip daddr {outer} ct reply ip saddr {inner} return" for outer, inner in router.floating]
    outward = [f"ct original ip saddr {inner} ct reply ip daddr {outer} return" for outer, inner in router.floating]
    inward += [
        f"ct original ip daddr {each.address} ct original protocol {each.protocol} ct original proto-dst {each.port} "
        f"ct reply ip saddr {each.to_address} ct reply proto-src {each.to_port} return"
        for each in router.forwards
    ]
    if router.external_ip is not None:
        outward.append(f"ct reply ip daddr {router.external_ip} return")
    return _chain("kept_inward", [*inward, "drop"]) + _chain("kept_outward", [*outward, "drop"])


def _forward(router: RouterSpec, networks: Sequence[NetworkSpec], external: ExternalSpec | None) -> str:
    lines = ["ct status dnat jump kept_inward", "ct status snat jump kept_outward"]
    for network in networks:
        lines.append(f'iifname "{leg(network).name}" ip saddr != {{ {", ".join(_ranges(router, network))} }} drop')
    # Gateways and routers are nobody's to talk to, here or behind another router.
    lines += ["ct state established,related accept", f"ip daddr {TRANSIT_RANGE} drop"]
    if router.vpn is not None:
        by_id = {network.id: network for network in networks}
        for peer in router.vpn.peers:
            if (theirs := by_id.get(peer.network_id)) is not None:
                way = f'iifname "{VPN}*" oifname "{leg(theirs).name}"'
                lines.append(f"{way} ip saddr {peer.address} ip daddr {theirs.cidr} accept")
    if external is not None:
        hidden = router.snat or external.bridge
        inner = ", ".join(str(inner) for _, inner in router.floating)
        if hidden:
            lines.append(f'iifname "leg*" oifname "{EXT}" accept')
        else:
            # Nobody outside knows the way back to a tenant's addresses, so only what has an outer address leaves.
            lines.append(f'iifname "leg*" oifname "{EXT}" ip saddr {TRANSIT_RANGE} accept')
            if inner:
                lines.append(f'iifname "leg*" oifname "{EXT}" ip saddr {{ {inner} }} accept')
        lines.append(f'iifname "{EXT}" oifname "leg*" ct status dnat accept')
        if external.bridge and not router.snat:
            lines.append(f'iifname "{EXT}" oifname "leg*" accept')
    lines.append('iifname "leg*" oifname "leg*" accept')
    return "".join(f"    {line}\n" for line in lines)


def _nat(router: RouterSpec, networks: Sequence[NetworkSpec]) -> str:
    come, leave = [], []
    if router.floating:
        pairs = ", ".join(f"{outer} : {inner}" for outer, inner in router.floating)
        back = ", ".join(f"{inner} : {outer}" for outer, inner in router.floating)
        come.append(f"dnat to ip daddr map {{ {pairs} }}")
        leave.append(f'oifname "{EXT}" snat to ip saddr map {{ {back} }}')
    come += [
        f"ip daddr {each.address} {each.protocol} dport {each.port} dnat to {each.to_address}:{each.to_port}" for each in router.forwards
    ]
    if router.external_ip is not None:
        what = "" if router.snat else f" ip saddr {TRANSIT_RANGE}"
        leave.append(f'oifname "{EXT}"{what} snat to {router.external_ip}')
        # A guest that calls another by its outer address: the answer must come back this way, and not straight over their network.
        for network in networks:
            leave.append(f'oifname "leg*" ct status dnat ip saddr {network.cidr} snat to {router.external_ip}')
    return _chain("come", come, "type nat hook prerouting priority dstnat") + _chain(
        "leave", leave, "type nat hook postrouting priority srcnat"
    )


def _chain(name: str, lines: Sequence[str], hook: str = "") -> str:
    return f"  chain {name} {{\n" + "".join(f"    {line}\n" for line in (*((hook,) if hook else ()), *lines)) + "  }\n"


def addresses(router: RouterSpec, external: ExternalSpec | None) -> set[str]:
    """What the router answers to outside, with prefix lengths: its own address, floating ones, and shared ones."""
    if external is None or router.external_ip is None:
        return set()
    others = {outer for outer, _ in router.floating} | {each.address for each in router.forwards}
    return {f"{router.external_ip}/{external.cidr.prefixlen}", *(f"{each}/32" for each in others - {router.external_ip})}


def routes(router: RouterSpec, networks: Sequence[NetworkSpec], external: ExternalSpec | None) -> dict[str, str]:
    """Destination -> the rest of the line, as `ip route` takes it. The most particular ones are the networks' own."""
    wanted = {}
    if external is not None:
        wanted["default"] = f"via {external.gateway} dev {EXT}"
    for route in router.routes:
        through = next((network for network in networks if route.next_hop in network.cidr), None)
        if through is not None:
            wanted[_name(route.destination)] = f"via {leg(through).near} dev {leg(through).name}"
        elif external is not None and route.next_hop in external.cidr:
            wanted[_name(route.destination)] = f"via {route.next_hop} dev {EXT}"
    return wanted | {str(network.cidr): f"via {leg(network).near} dev {leg(network).name}" for network in networks}


def routes6(router: RouterSpec, networks: Sequence[NetworkSpec], external: ExternalSpec | None) -> dict[str, str]:
    """The same in IPv6."""
    wanted = {}
    if outer6(router, external) and external is not None:
        wanted["default"] = f"via {outer_range6(external.id)[1]} dev {EXT}"
    for network in networks:
        if network.ipv6 is not None:
            wanted[str(network.ipv6.cidr)] = f"via {leg(network).near6} dev {leg(network).name}"
    return wanted


def _name(destination: object) -> str:
    """As `ip route` shows it."""
    text = str(destination)
    return "default" if text == "0.0.0.0/0" else text.removesuffix("/32")


def fingerprint(router: RouterSpec, networks: Sequence[NetworkSpec], external: ExternalSpec | None, names: RouterNames) -> str:
    """All that `converge` makes, as text."""
    legs = [(leg(network), network.mtu) for network in networks]
    six = (outer6(router, external), routes6(router, networks, external))
    return repr((names, external, sorted(addresses(router, external)), routes(router, networks, external), legs, six)) + ruleset(
        router, networks, external
    )
