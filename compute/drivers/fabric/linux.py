"""Make the machine's network match the spec: observe, compare, change.

What was done is remembered in the kernel itself, as the alias of an interface that dies with what it vouches for: the uplink's
alias is the hash of the loaded firewall, the alias of a router's port the hash of its network. So when nothing changed, `apply`
runs one command; and when the kernel forgot (a reboot, a lost namespace), it knows.
"""

from __future__ import annotations

import hashlib
import socket
import threading
from pathlib import Path
from uuid import UUID

from cloudbox.common.errors import Unavailable
from compute.drivers import netns
from compute.drivers.box_namespace import UPLINK
from compute.drivers.commands import run, works
from compute.drivers.fabric import firewall, links, router
from compute.drivers.fabric.dnsmasq import Dnsmasq, upstream_servers
from compute.drivers.fabric.names import Names, names, namespace
from compute.drivers.specs import FabricSpec, NetworkSpec


class LinuxFabric:
    def __init__(self, home: Path, box: str, *, upstream_dns: tuple[str, ...] = ()) -> None:
        self.home = home
        self.box = box
        self._upstream = upstream_dns
        self._folder = home / "run" / "networks"
        self._lock = threading.Lock()

    def apply(self, spec: FabricSpec) -> None:
        with self._lock:
            seen = links.observe(self.box)
            # Rules before taps can carry a packet, and old rules gone only when new ones are in: one atomic swap.
            self._load_firewall(spec, seen)
            wanted = {each.id: names(self.box, each) for each in spec.networks}
            self._remove_others(set(wanted.values()), seen)
            for network in spec.networks:
                self._network(network, wanted[network.id], seen)
            upstream = self._upstream or upstream_servers()
            for network in spec.networks:
                ports = [port for port in spec.ports if port.network_id == network.id]
                self._dnsmasq(wanted[network.id].namespace).apply(network, ports, upstream)

    def networks(self) -> set[str]:
        return {name for name in self._interfaces() if name.startswith("br-")} | netns.all(f"{self.box}-")

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
        alias = f"firewall {_hash(rules)}"
        if UPLINK not in seen:
            raise Unavailable("The box's way out is missing; it is made when the box starts.")
        if seen[UPLINK].alias == alias:
            return
        run([*netns.enter(self.box), "nft", "-f", "-"], input=rules)
        run(["ip", "-n", self.box, "link", "set", "dev", UPLINK, "alias", alias])

    def _remove_others(self, wanted: set[Names], seen: dict[str, links.Link]) -> None:
        namespaces = {each.namespace for each in wanted}
        for name in netns.all(f"{self.box}-") - namespaces:
            self._remove_namespace(name)
        # A directory without its namespace: what a crash between the two left.
        if self._folder.exists():
            for folder in self._folder.iterdir():
                if folder.name not in namespaces:
                    self._dnsmasq(folder.name).remove()
        keep = {name for each in wanted for name in (each.bridge, each.router, each.transit)}
        # The other ends of veth pairs went with their namespaces, so some may be gone by now.
        for name in sorted(seen):
            if name.startswith(links.OURS) and name not in keep:
                works(["ip", "-n", self.box, "link", "delete", "dev", name])

    def _remove_namespace(self, name: str) -> None:
        self._dnsmasq(name).remove()
        netns.end_processes([name])
        netns.delete(name)

    def _network(self, network: NetworkSpec, names: Names, seen: dict[str, links.Link]) -> None:
        alias = f"network {_hash(repr((network.cidr, network.gateway, network.nat, network.mtu, names, router.ruleset(network))))}"
        port, bridge = seen.get(names.router), seen.get(names.bridge)
        if port and bridge and port.alias == alias and port.master == names.bridge and netns.exists(names.namespace):
            return
        self._make(network, names, seen, alias)

    def _make(self, network: NetworkSpec, names: Names, seen: dict[str, links.Link], alias: str) -> None:
        """The router from nothing; the bridge is kept, since running machines hang on it."""
        if netns.exists(names.namespace):
            self._dnsmasq(names.namespace).stop()
            netns.end_processes([names.namespace])
            netns.delete(names.namespace)
        netns.create(names.namespace)
        for name in (names.router, names.transit):
            if name in seen:
                works(["ip", "-n", self.box, "link", "delete", "dev", name])
        lines = links.make(network, names)
        links.batch(self.box, lines[1:] if names.bridge in seen else lines)
        netns.set_kernel(names.namespace, {"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/disable_ipv6": "1"})
        links.batch(names.namespace, links.make_router(network, names))
        run([*netns.enter(names.namespace), "nft", "-f", "-"], input=router.ruleset(network))
        links.batch(self.box, [f'link set dev {names.router} alias "{alias}"'])


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
