"""DHCP and DNS of a network: one dnsmasq in its router namespace.

It outlives the worker: a daemon of its own, found again by its pid file. Hosts are read anew on SIGHUP; only a change of the
network itself restarts it. Addresses are given to known cards only, so it needs no lease file.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from cloudbox.common.errors import Unavailable
from compute.drivers import netns
from compute.drivers.commands import run
from compute.drivers.fabric.names import LAN, METADATA_IP
from compute.drivers.specs import Ipv6Mode, Ipv6Spec, NetworkSpec, PortSpec

LEASE = "12h"
LEASES_MAX = 65536
# Router advertisements: how often, and for how long a guest believes one (RFC 4861, 6.2.1), in seconds.
ADVERTISE_SECONDS, BELIEVE_SECONDS = 60, 1800
END_SECONDS = 5.0
HOSTNAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)
DOMAIN = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", re.IGNORECASE)


def upstream_servers() -> tuple[str, ...]:
    """The host's DNS servers as a network can reach them: one on the host's own loopback is out of reach, and systemd's tells what
    lies behind it."""
    for path in (Path("/run/systemd/resolve/resolv.conf"), Path("/etc/resolv.conf")):
        try:
            words = [line.split() for line in path.read_text().splitlines()]
        except OSError:
            continue
        servers = [word[1] for word in words if len(word) > 1 and word[0] == "nameserver"]
        found = [each for each in servers if _is_reachable(each)]
        if found:
            return tuple(found[:3])
    return ()


def _is_reachable(server: str) -> bool:
    try:
        return not IPv4Address(server).is_loopback
    except ValueError:
        return False  # IPv6 does not leave the box.


def config(network: NetworkSpec, folder: Path, upstream: Iterable[str]) -> str:
    domain = network.dns_domain if DOMAIN.fullmatch(network.dns_domain) else ""
    lines = [
        f"pid-file={folder}/pid",
        f"dhcp-hostsfile={folder}/dhcp",
        f"addn-hosts={folder}/hosts",
        "leasefile-ro",
        f"interface={LAN}",
        "except-interface=lo",
        "bind-interfaces",
        "no-resolv",
        "no-hosts",
        "no-poll",
        "domain-needed",
        "bogus-priv",
        "cache-size=500",
        "dns-forward-max=150",
        *(f"server={each}" for each in upstream),
        *(_dhcp(network) if network.dhcp else ()),
        *(_ipv6(network, network.ipv6) if network.ipv6 else ()),
    ]
    if domain:
        lines += [f"domain={domain}", f"local=/{domain}/", "expand-hosts"]
    return "\n".join(lines) + "\n"


def _dhcp(network: NetworkSpec) -> list[str]:
    lines = [
        "dhcp-authoritative",
        "no-ping",
        f"dhcp-lease-max={LEASES_MAX}",
        f"dhcp-range={network.cidr.network_address},static,{network.cidr.netmask},{LEASE}",
        "dhcp-ignore=tag:!known",
        f"dhcp-option=option:mtu,{network.mtu}",
        f"dhcp-option=option:dns-server,{','.join(map(str, network.dns_servers)) or network.gateway}",
    ]
    ways = [f"{route.destination},{route.next_hop}" for route in network.host_routes]
    if network.router_id is None:
        # No way out, hence no default route; the metadata address is reached through the gateway all the same (RFC 3442).
        lines.append("dhcp-option=option:router")
        ways.insert(0, f"{METADATA_IP}/32,{network.gateway}")
    elif ways:
        ways.append(f"0.0.0.0/0,{network.gateway}")  # Who takes these routes takes no other (RFC 3442).
    return [*lines, f"dhcp-option=option:classless-static-route,{','.join(ways)}"] if ways else lines


def _ipv6(network: NetworkSpec, six: Ipv6Spec) -> list[str]:
    """Advertisements of the prefix, and of a default route only where a router leads on; DHCPv6 for those modes that have it."""
    first = six.cidr.network_address
    believe = BELIEVE_SECONDS if network.router_id is not None else 0
    ways = {Ipv6Mode.SLAAC: "ra-only", Ipv6Mode.STATELESS: "ra-stateless", Ipv6Mode.STATEFUL: "static"}
    lines = [
        "enable-ra",
        f"ra-param={LAN},mtu:{network.mtu},{ADVERTISE_SECONDS},{believe}",
        f"dhcp-range={first},{ways[six.mode]},{six.cidr.prefixlen},{LEASE}",
        f"dhcp-option=option6:dns-server,[{six.gateway}]",
    ]
    # With IPv4's DHCP off these have not been said yet.
    return lines if network.dhcp else ["dhcp-authoritative", f"dhcp-lease-max={LEASES_MAX}", "dhcp-ignore=tag:!known", *lines]


def hosts(network: NetworkSpec, ports: Iterable[PortSpec]) -> tuple[str, str]:
    """The reservations, and the names; a tenant's name that is no host name is left out."""
    reservations, names = [], []
    taken: set[str] = set()
    for port in sorted(ports, key=lambda each: IPv4Address(each.ip)):
        name = port.hostname.lower() if HOSTNAME.fullmatch(port.hostname) else ""
        if name in taken:
            name = ""  # Two of one name: the first keeps it, for dnsmasq would refuse the second its address.
        taken.add(name)
        fixed = [IPv6Address(each) for each in port.ip6] if network.ipv6 and network.ipv6.mode == Ipv6Mode.STATEFUL else []
        addresses = [str(IPv4Address(port.ip)), *(f"[{each}]" for each in fixed)]
        reservations.append(f"{port.mac},{','.join(addresses)},{name + ',' if name else ''}{LEASE}")
        if name:
            names += [f"{each} {name}" for each in (IPv4Address(port.ip), *map(IPv6Address, port.ip6))]
    return "\n".join(reservations) + "\n", "\n".join(names) + "\n"


class Dnsmasq:
    """The one of a network, by the directory of its files."""

    def __init__(self, folder: Path, namespace: str) -> None:
        self.folder = folder
        self.namespace = namespace

    def apply(self, network: NetworkSpec, ports: Iterable[PortSpec], upstream: Iterable[str]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        # dnsmasq reads the hosts files again as the unprivileged user that it becomes.
        self.folder.chmod(0o755)
        reservations, names = hosts(network, ports)
        renewed = _write(self.folder / "dhcp", reservations) | _write(self.folder / "hosts", names)
        changed = _write(self.folder / "conf", config(network, self.folder, upstream))
        changed |= self._has_moved(reservations)
        pid = self.pid()
        if pid is not None and changed:
            self.stop()
            pid = None
        if pid is None:
            # One that lost its pid file would still hold the port.
            self._end_strays()
            run([*netns.enter(self.namespace), "dnsmasq", f"--conf-file={self.folder}/conf"])
        elif renewed:
            os.kill(pid, signal.SIGHUP)

    def _has_moved(self, reservations: str) -> bool:
        """Has an address another card than it had at any time since the start? A card that went without a word (an instance that was
        deleted) has its lease for hours yet, and dnsmasq gives the address to nobody else. Begun anew, it knows of no leases."""
        path = self.folder / "given"
        now: dict[str, str] = {}
        for line in reservations.splitlines():
            mac, *rest = line.split(",")
            now |= {each: mac for each in rest if each[:1] == "[" or each.count(".") == 3}
        try:
            before = dict(line.split(" ", 1) for line in path.read_text().splitlines())
            moved = any(before.get(address, mac) != mac for address, mac in now.items())
        except FileNotFoundError:
            before, moved = {}, True  # one that an earlier release has started
        _write(path, "".join(f"{address} {mac}\n" for address, mac in (now if moved else before | now).items()))
        return moved

    def pid(self) -> int | None:
        """Its process, if that runs."""
        try:
            pid = int((self.folder / "pid").read_text())
            return pid if f"{self.folder}/conf" in Path(f"/proc/{pid}/cmdline").read_text() else None
        except (OSError, ValueError):
            return None

    def _end_strays(self) -> None:
        """Any dnsmasq here; load balancers live in the namespace, too."""
        for pid in netns.processes([self.namespace]):
            try:
                if Path(f"/proc/{pid}/comm").read_text().strip() == "dnsmasq":
                    os.kill(pid, signal.SIGKILL)
            except OSError:
                continue

    def stop(self) -> None:
        pid = self.pid()
        if pid is None:
            return
        os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + END_SECONDS
        while self.pid() is not None:
            if time.monotonic() > until:
                raise Unavailable("The DHCP server of a network does not end.")
            time.sleep(0.01)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def _write(path: Path, text: str) -> bool:
    """Replace the file if it differs; true when it did."""
    try:
        if path.read_text() == text:
            return False
    except FileNotFoundError:
        pass
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    new.chmod(0o644)
    os.replace(new, path)
    return True
