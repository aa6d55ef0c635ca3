"""Routers and external networks on Linux: from what there is to what there should be, without touching what stays.

    network's gateway | wan -- leg<number> | router | ext -- rex<router> -- ext<network> (bridge) -- uplink | host      (nat)
                                                                                   +-- hbr<network> -- a bridge of the host

What was done is remembered as the alias of a link that dies with it: of a router's port, of an external network's bridge.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address
from typing import Any

from cloudbox.common.errors import Unavailable
from compute.drivers import box_namespace, netns
from compute.drivers.box_namespace import UPLINK, host_interface
from compute.drivers.commands import run, works
from compute.drivers.fabric import gateway, links, router
from compute.drivers.fabric.names import EXT, WAN, ExternalNames, RouterNames, external_names, leg, namespace, outer_range6
from compute.drivers.router_specs import ExternalSpec, RouterSpec
from compute.drivers.specs import NetworkSpec

LEG = "leg"


def host_routes(box: str, externals: Iterable[ExternalSpec]) -> None:
    """Tell the host which ranges lie behind the box, and forget others."""
    port = host_interface(box)
    inside = next(
        (
            row["local"]
            for link in json.loads(run(["ip", "-n", box, "-j", "-4", "addr", "show", "dev", UPLINK]))
            for row in link["addr_info"]
        ),
        None,
    )
    if inside is None:
        raise Unavailable("The box's way out has no address; it gets one when the box starts.")
    wanted = {str(each.cidr) for each in externals if not each.bridge}
    there = {row["dst"] for row in json.loads(run(["ip", "-j", "-4", "route", "show", "dev", port])) if row.get("gateway") == inside}
    lines = [f"route del {dst} dev {port}" for dst in sorted(there - wanted)]
    lines += [f"route replace {dst} via {inside} dev {port}" for dst in sorted(wanted - there)]
    if lines:
        run(["ip", "-batch", "-"], input="\n".join(lines) + "\n")


def make_external(box: str, external: ExternalSpec, seen: dict[str, links.Link], alias: str) -> None:
    """The bridge is kept where it is: routers hang on it."""
    names = external_names(external.id)
    lines = [] if names.bridge in seen else [f"link add name {names.bridge} type bridge forward_delay 0 mcast_snooping 0"]
    lines += [f"link set dev {names.bridge} mtu {external.mtu} up", f"addr flush dev {names.bridge}"]
    if not external.bridge:
        lines.append(f"addr add {external.gateway}/{external.cidr.prefixlen} dev {names.bridge}")
    links.batch(box, lines)
    if not external.bridge and box_namespace.kernel_has_ipv6():
        box_namespace.switch_on_ipv6(box, names.bridge)
        links.batch(box, [f"addr replace {outer_range6(external.id)[1]}/64 dev {names.bridge} nodad"])
    if external.bridge:
        _map(box, external, names, seen)
    links.batch(box, [f'link set dev {names.bridge} alias "{alias}"'])


def _map(box: str, external: ExternalSpec, names: ExternalNames, seen: dict[str, links.Link]) -> None:
    """Join the bridge to the host's."""
    if not works(["ip", "link", "show", "dev", external.bridge, "type", "bridge"]):
        raise Unavailable(f"The host has no bridge {external.bridge}, which an external network is mapped to. Make it, or map another.")
    if names.uplink not in seen:
        works(["ip", "link", "delete", "dev", names.uplink])
        run(["ip", "link", "add", "name", names.uplink, "type", "veth", "peer", "name", names.uplink, "netns", box])
    run(["ip", "-batch", "-"], input=f"link set dev {names.uplink} mtu {external.mtu} master {external.bridge} up\n")
    links.batch(box, [f"link set dev {names.uplink} mtu {external.mtu} master {names.bridge} up"])


class Seen:
    """What is in a router's namespace, by two commands."""

    def __init__(self, namespace: str) -> None:
        rows: list[dict[str, Any]] = json.loads(run(["ip", "-n", namespace, "-j", "addr", "show"]) or "[]")
        links_ = json.loads(run(["ip", "-n", namespace, "-j", "link", "show"]) or "[]")
        self.interfaces: set[str] = {row["ifname"] for row in links_}
        there = [each for row in rows if row["ifname"] == EXT for each in row["addr_info"] if each.get("scope") != "link"]
        self.outer = {f"{each['local']}/{each['prefixlen']}" for each in there if each["family"] == "inet"}
        self.outer6 = {f"{each['local']}/{each['prefixlen']}" for each in there if each["family"] == "inet6"}


def give_up(spec: RouterSpec, networks: Sequence[NetworkSpec], external: ExternalSpec | None, names: RouterNames) -> None:
    """Let go of networks and outer addresses that are this router's no more. Done for all routers first, so that what moves from one to
    another is never held by two."""
    if not netns.exists(names.namespace):
        return
    seen = Seen(names.namespace)
    keep = {leg(network).name for network in networks}
    lines = [f"link delete dev {name}" for name in sorted(seen.interfaces) if name.startswith(LEG) and name not in keep]
    if EXT in seen.interfaces:
        gone = sorted(seen.outer - router.addresses(spec, external), key=lambda each: each.endswith("/32"), reverse=True)
        lines += [f"addr del {each} dev {EXT}" for each in gone]
        lines += [f"addr del {each} dev {EXT}" for each in sorted(seen.outer6 - {router.outer6(spec, external)})]
    links.batch(names.namespace, lines)


def converge(
    box: str, spec: RouterSpec, networks: Sequence[NetworkSpec], external: ExternalSpec | None, names: RouterNames, present: set[str]
) -> None:
    """Make a router what it should be, after `give_up`. `present`: the links of the box."""
    if not netns.exists(names.namespace):
        netns.create(names.namespace)
        netns.set_kernel(names.namespace, {"net/ipv4/conf/all/promote_secondaries": "1"})
        links.batch(names.namespace, ["link set dev lo up"])
    # Its rules before anything can pass.
    run([*netns.enter(names.namespace), "nft", "-f", "-"], input=router.ruleset(spec, networks, external))
    six = any(network.ipv6 for network in networks)
    netns.set_kernel(names.namespace, links.kernel(speaks_ipv6=six))
    seen = Seen(names.namespace)
    _way_out(box, external, names, seen, present)
    _legs(box, spec, networks, names, seen)
    wanted = router.addresses(spec, external)
    # The one with the whole prefix first: it is the primary one, by which the router itself speaks.
    fresh = sorted(wanted - seen.outer, key=lambda each: each.endswith("/32"))
    outer6 = router.outer6(spec, external) if six else ""
    links.batch(
        names.namespace,
        [
            *(f"addr add {each} dev {EXT}" for each in fresh),
            *([f"addr replace {outer6} dev {EXT} nodad"] if outer6 else []),
            *_routes(spec, networks, external, names),
        ],
    )
    if fresh:
        announce(names.namespace, names.mac, [IPv4Address(each.split("/")[0]) for each in fresh])


def _way_out(box: str, external: ExternalSpec | None, names: RouterNames, seen: Seen, present: set[str]) -> None:
    if names.port not in present or EXT not in seen.interfaces:
        works(["ip", "-n", box, "link", "delete", "dev", names.port])
        links.batch(box, [f"link add name {names.port} type veth peer name {EXT} address {names.mac} netns {names.namespace}"])
        seen.outer.clear()
        seen.outer6.clear()
    if external is None:
        links.batch(box, [f"link set dev {names.port} nomaster down"])
        return
    links.batch(box, [f"link set dev {names.port} mtu {external.mtu} master {external_names(external.id).bridge} up"])
    links.batch(names.namespace, [f"link set dev {EXT} mtu {external.mtu} up"])


def _legs(box: str, spec: RouterSpec, networks: Sequence[NetworkSpec], names: RouterNames, seen: Seen) -> None:
    for network in networks:
        mine, theirs = leg(network), namespace(box, network.id.hex)
        if mine.name not in seen.interfaces:
            links.batch(
                names.namespace, [f"link add name {mine.name} mtu {network.mtu} type veth peer name {WAN} mtu {network.mtu} netns {theirs}"]
            )
        links.batch(names.namespace, [f"addr replace {mine.far}/31 dev {mine.name}", f"link set dev {mine.name} up"])
        # What lies behind a guest of the network is reached over the network.
        behind = [f"route replace {route.destination} via {route.next_hop}" for route in gateway.routes_of(network, spec.routes)]
        stale = _stale(theirs, {str(route.destination): "" for route in gateway.routes_of(network, spec.routes)} | {"default": ""})
        links.batch(
            theirs,
            [
                f"addr replace {mine.near}/31 dev {WAN}",
                f"link set dev {WAN} up",
                f"route replace default via {mine.far} dev {WAN}",
                *stale,
                *behind,
            ],
        )
        if network.ipv6 is not None:
            links.batch(names.namespace, [f"addr replace {mine.far6}/127 dev {mine.name} nodad"])
            lines = [f"addr replace {mine.near6}/127 dev {WAN} nodad", f"route replace default via {mine.far6} dev {WAN}"]
            links.batch(theirs, lines)


def _routes(spec: RouterSpec, networks: Sequence[NetworkSpec], external: ExternalSpec | None, names: RouterNames) -> list[str]:
    wanted, wanted6 = router.routes(spec, networks, external), router.routes6(spec, networks, external)
    lines = [*_stale(names.namespace, wanted), *(f"route replace {destination} {rest}" for destination, rest in wanted.items())]
    if any(network.ipv6 for network in networks):
        lines += _stale(names.namespace, wanted6, family="-6")
        lines += [f"route replace {destination} {rest}" for destination, rest in wanted6.items()]
    return lines


def _stale(namespace: str, wanted: dict[str, str], *, family: str = "-4") -> list[str]:
    """Lines that remove routes which somebody made and nobody wants any more; the kernel's own stay."""
    rows = json.loads(run(["ip", "-n", namespace, "-j", family, "route", "show"]) or "[]")
    gone = [row for row in rows if row.get("protocol") != "kernel" and row["dst"] not in wanted]
    # Without a device `ip` would take a default route for one of IPv4.
    return [
        f"route del {row['dst']} via {row['gateway']} dev {row['dev']}" if "gateway" in row else f"route del {row['dst']}" for row in gone
    ]


def announce(namespace: str, mac: str, addresses: Sequence[IPv4Address]) -> None:
    """Tell the external network at once where these addresses are now (gratuitous ARP, RFC 5227): it may remember another router."""
    own = bytes.fromhex(mac.replace(":", ""))

    def send() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806)) as card:
            card.bind((EXT, 0x0806))
            for address in addresses:
                body = struct.pack(">HHBBH", 1, 0x0800, 6, 4, 1) + own + address.packed + b"\0" * 6 + address.packed
                card.send(b"\xff" * 6 + own + b"\x08\x06" + body)

    try:
        netns.call(namespace, send)
    except Unavailable:
        return  # The link may be down for now; whoever asks for the address learns it then.
