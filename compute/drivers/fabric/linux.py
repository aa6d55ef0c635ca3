"""Make the machine's network match the spec: observe, compare, change.

What was done is remembered in the kernel itself, as the alias of an interface that dies with what it vouches for: the uplink's
alias is the hash of the loaded firewall, the alias of a gateway's port the hash of its network, and so on (routing.py). So when
nothing changed, `apply` runs one command; and when the kernel forgot (a reboot, a lost namespace), it knows.
"""

from __future__ import annotations

import hashlib
import logging
import socket
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from uuid import UUID

from cloudbox.common.errors import Unavailable
from compute.drivers import box_namespace, netns
from compute.drivers.balancer_specs import BalancerFacts, BalancerSpec
from compute.drivers.box_namespace import UPLINK
from compute.drivers.commands import run, works
from compute.drivers.fabric import counters, firewall, gateway, links, router, routing, wireguard
from compute.drivers.fabric.dnsmasq import Dnsmasq, upstream_servers
from compute.drivers.fabric.haproxy import Haproxies
from compute.drivers.fabric.names import Names, RouterNames, external_names, names, namespace, router_names
from compute.drivers.fabric.wireguard import Wireguards
from compute.drivers.router_specs import ExternalSpec, RouterSpec, RouteSpec
from compute.drivers.specs import FabricSpec, NetworkSpec
from compute.drivers.vpn_specs import VpnPeerFacts

log = logging.getLogger(__name__)


class LinuxFabric:
    def __init__(self, home: Path, box: str, *, upstream_dns: tuple[str, ...] = ()) -> None:
        self.home = home
        self.box = box
        self._upstream = upstream_dns
        self._folder = home / "run" / "networks"
        self._haproxies = Haproxies(home / "run" / "balancers")
        self._wireguards = Wireguards(home / "run" / "vpn")
        self._lock = threading.Lock()
        self._hits: Counter[UUID] = Counter()

    def apply(self, spec: FabricSpec) -> None:
        if not box_namespace.kernel_has_ipv6() and any(each.ipv6 for each in spec.networks):
            log.warning("This kernel has no IPv6 (it was started with ipv6.disable=1, or built without): networks have IPv4 alone.")
            spec = replace(spec, networks=tuple(replace(each, ipv6=None) for each in spec.networks))
        with self._lock:
            seen = links.observe(self.box)
            # Rules before taps can carry a packet, and old rules gone only when new ones are in: one atomic swap.
            self._load_firewall(spec, seen)
            wanted = {each.id: names(self.box, each) for each in spec.networks}
            routers = {each.id: router_names(self.box, each.id) for each in spec.routers}
            self._remove_others(spec, set(wanted.values()), set(routers.values()), seen)
            routes = {each.id: each.routes for each in spec.routers}
            made = set()
            for network in spec.networks:
                ways = routes.get(network.router_id, ()) if network.router_id else ()
                balancers = [each for each in spec.balancers if each.network_id == network.id]
                if self._network(network, wanted[network.id], ways, balancers, seen):
                    made.add(network.id)
            self._externals(spec, seen)
            self._routers(spec, routers, made, seen)
            self._wireguards.apply({each.id: (each.vpn, routers[each.id].namespace) for each in spec.routers if each.vpn})
            upstream = self._upstream or upstream_servers()
            for network in spec.networks:
                ports = [port for port in spec.ports if port.network_id == network.id]
                self._dnsmasq(wanted[network.id].namespace).apply(network, ports, upstream)
            self._haproxies.apply({each.id: (each, wanted[each.network_id].namespace) for each in spec.balancers})

    def balancer_facts(self) -> dict[UUID, BalancerFacts]:
        return self._haproxies.facts()

    def vpn_facts(self) -> dict[UUID, tuple[VpnPeerFacts, ...]]:
        return self._wireguards.facts()

    def why_no_vpn(self) -> str:
        return wireguard.why_not()

    def take_hits(self) -> dict[UUID, int]:
        with self._lock:
            hits, self._hits = self._hits, Counter()
            if netns.exists(self.box):
                try:
                    hits.update(counters.take(self.box))
                except BaseException:
                    self._hits = hits  # for the next call
                    raise
            return dict(hits)

    def networks(self) -> set[str]:
        return {name for name in self._interfaces() if name.startswith("br-")} | (netns.all(f"{self.box}-") - self._router_namespaces())

    def routers(self) -> set[str]:
        return {name for name in self._interfaces() if name.startswith(("ext", "rex"))} | self._router_namespaces()

    def _router_namespaces(self) -> set[str]:
        return netns.all(f"{self.box}-r")

    def host_ranges(self) -> list[IPv4Network]:
        return box_namespace.used_by_host()

    def host_bridges(self) -> set[str]:
        return {path.parent.name for path in Path("/sys/class/net").glob("*/bridge")}

    def taps(self) -> set[str]:
        return {name for name in self._interfaces() if name.startswith(links.TAP)}

    def _interfaces(self) -> set[str]:
        """Asked of the kernel itself: a launch waits for this, and a program would take ten times as long."""
        if not netns.exists(self.box):
            return set()
        return netns.call(self.box, lambda: {name for _, name in socket.if_nameindex()})

    def namespace_of(self, network_id: UUID) -> str:
        return namespace(self.box, network_id.hex)

    def _dnsmasq(self, namespace: str) -> Dnsmasq:
        return Dnsmasq(self._folder / namespace, namespace)

    def _load_firewall(self, spec: FabricSpec, seen: dict[str, links.Link]) -> None:
        rules = firewall.render(self.box, spec)
        alias = f"firewall {_hash(rules + repr([each.cidr for each in spec.externals if not each.bridge]))}"
        if UPLINK not in seen:
            raise Unavailable("The box's way out is missing; it is made when the box starts.")
        if seen[UPLINK].alias == alias:
            return
        self._hits.update(counters.take(self.box))  # The old counters go with the old rules.
        run([*netns.enter(self.box), "nft", "-f", "-"], input=rules)
        routing.host_routes(self.box, spec.externals)
        run(["ip", "-n", self.box, "link", "set", "dev", UPLINK, "alias", alias])

    def _remove_others(self, spec: FabricSpec, wanted: set[Names], routers: set[RouterNames], seen: dict[str, links.Link]) -> None:
        namespaces = {each.namespace for each in wanted}
        # Routers first: their legs end in gateways.
        gone = netns.all(f"{self.box}-") - namespaces - {each.namespace for each in routers}
        for name in sorted(gone, key=lambda name: name not in self._router_namespaces()):
            self._remove_namespace(name)
        # A directory without its namespace: what a crash between the two left.
        if self._folder.exists():
            for folder in self._folder.iterdir():
                if folder.name not in namespaces:
                    self._dnsmasq(folder.name).remove()
        externals = {name for each in spec.externals for name in _external_links(each)}
        keep = {name for each in wanted for name in (each.bridge, each.router)} | {each.port for each in routers} | externals
        # The other ends of veth pairs went with their namespaces, so some may be gone by now.
        for name in sorted(seen):
            if name.startswith(links.OURS) and name not in keep:
                works(["ip", "-n", self.box, "link", "delete", "dev", name])

    def _remove_namespace(self, name: str) -> None:
        self._dnsmasq(name).remove()
        netns.end_processes([name])
        netns.delete(name)

    def _network(
        self,
        network: NetworkSpec,
        names: Names,
        routes: Sequence[RouteSpec],
        balancers: Sequence[BalancerSpec],
        seen: dict[str, links.Link],
    ) -> bool:
        """True when its gateway was made anew, and so has lost its way to a router."""
        rules = gateway.ruleset(network, gateway.routes_of(network, routes), balancers)
        facts = (network.cidr, network.gateway, network.mtu, names)
        # Without IPv6 the same as before there was any: a box that is updated keeps its gateways.
        made = f"network {_hash(repr((*facts, network.ipv6.cidr, network.ipv6.gateway) if network.ipv6 else facts))}"
        alias = f"{made} {_hash(rules)}"
        port, bridge = seen.get(names.router), seen.get(names.bridge)
        if port and bridge and port.alias.startswith(made) and port.master == names.bridge and netns.exists(names.namespace):
            if port.alias != alias:
                run([*netns.enter(names.namespace), "nft", "-f", "-"], input=rules)
                links.batch(self.box, [f'link set dev {names.router} alias "{alias}"'])
            return False
        self._make(network, names, rules, seen, alias)
        return True

    def _make(self, network: NetworkSpec, names: Names, rules: str, seen: dict[str, links.Link], alias: str) -> None:
        """The gateway from nothing; the bridge is kept, since running machines hang on it."""
        if netns.exists(names.namespace):
            self._dnsmasq(names.namespace).stop()
            netns.end_processes([names.namespace])
            netns.delete(names.namespace)
        netns.create(names.namespace)
        netns.set_kernel(names.namespace, links.kernel(speaks_ipv6=network.ipv6 is not None))
        if names.router in seen:
            works(["ip", "-n", self.box, "link", "delete", "dev", names.router])
        lines = links.make(network, names)
        if names.bridge in seen:
            lines[0] = f"link set dev {names.bridge} mtu {network.mtu}"
        links.batch(self.box, lines)
        # Its rules before its addresses.
        run([*netns.enter(names.namespace), "nft", "-f", "-"], input=rules)
        links.batch(names.namespace, links.make_gateway(network))
        links.batch(self.box, [f'link set dev {names.router} alias "{alias}"'])

    def _externals(self, spec: FabricSpec, seen: dict[str, links.Link]) -> None:
        for external in spec.externals:
            alias, bridge = f"external {_hash(repr(external))}", seen.get(external_names(external.id).bridge)
            if bridge is None or bridge.alias != alias or any(name not in seen for name in _external_links(external)):
                try:
                    routing.make_external(self.box, external, seen, alias)
                except Unavailable as error:
                    # One network that the host cannot carry must not stop all others; it is tried again every round.
                    log.warning("external network %s: %s", external.id, error)

    def _routers(self, spec: FabricSpec, names: dict[UUID, RouterNames], made: set[UUID], seen: dict[str, links.Link]) -> None:
        externals = {each.id: each for each in spec.externals}
        changed: list[tuple[RouterSpec, list[NetworkSpec], ExternalSpec | None, str]] = []
        for each in spec.routers:
            networks = [network for network in spec.networks if network.router_id == each.id]
            external = externals[each.external_id] if each.external_id else None
            alias = f"router {_hash(router.fingerprint(each, networks, external, names[each.id]))}"
            port = seen.get(names[each.id].port)
            is_new = port is None or port.alias != alias or not netns.exists(names[each.id].namespace)
            if is_new or any(network.id in made for network in networks) or (external and port and not port.master):
                changed.append((each, networks, external, alias))
        for each, networks, external, _ in changed:
            routing.give_up(each, networks, external, names[each.id])
        for each, networks, external, alias in changed:
            routing.converge(self.box, each, networks, external, names[each.id], set(seen))
            links.batch(self.box, [f'link set dev {names[each.id].port} alias "{alias}"'])


def _external_links(external: ExternalSpec) -> tuple[str, ...]:
    names = external_names(external.id)
    return (names.bridge, names.uplink) if external.bridge else (names.bridge,)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
