"""The box's network namespace: all its bridges, taps and its libvirtd live there, one veth pair leads out.

So the host's firewall, bridges and libvirt stay as they are, and two boxes live side by side. On the host a box is one
interface `<box>-up`, one nft table named after the box, and IPv4 forwarding switched on.

Addresses: the pair has a /30 out of 100.127.0.0/16 (RFC 6598, shared address space), chosen by a hash of the box's name and
moved on while the host already uses it. Everything inside the box hides behind it by NAT, so nothing else can collide.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import socket
from collections.abc import Iterable
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path

from cloudbox.common.errors import Unavailable
from compute.drivers import libvirt_daemon, netns, paths
from compute.drivers.commands import run, works

UPLINK = "uplink"  # inside the box
UPLINK_RANGE = IPv4Network("100.127.0.0/16")
SLICES = 2**14
SLICE_ATTEMPTS = 256


def host_interface(box: str) -> str:
    return f"{box}-up"


def prepare(home: Path, box: str, *, open_ports: Iterable[int] = ()) -> None:
    """Make the namespace, its way out and libvirt's files; the same again changes nothing. Guests may reach `open_ports` of the
    host itself (the portal's), by TCP, and nothing else of it."""
    works(["modprobe", "br_netfilter"])  # Built in on some kernels, and in a container there is no modprobe: checked below.
    netns.create(box)
    ours = _uplink(box)
    netns.set_kernel(
        box,
        {
            "net/ipv4/ip_forward": "1",
            "net/bridge/bridge-nf-call-iptables": "1",
            "net/ipv6/conf/all/disable_ipv6": "1",
            "net/ipv6/conf/default/disable_ipv6": "1",
        },
    )
    if not netns.call(box, lambda: Path("/proc/sys/net/bridge/bridge-nf-call-iptables").exists()):
        raise Unavailable("The kernel module br_netfilter is missing: load it with `modprobe br_netfilter`; security groups need it.")
    forwarding = Path("/proc/sys/net/ipv4/ip_forward")
    if forwarding.read_text().strip() != "1":
        forwarding.write_text("1")
    run(["nft", "-f", "-"], input=_host_table(box, ours.network, sorted(set(open_ports))))
    _let_through(box)
    libvirt_daemon.write_files(home, box)


def enter(box: str) -> list[str]:
    """The beginning of a command line that runs the rest in the box's network namespace."""
    return netns.enter(box)


def libvirtd_command(home: Path, box: str) -> list[str]:
    """What the supervisor runs, in the foreground, after `prepare`."""
    return libvirt_daemon.command(home, box)


def libvirtd_ready(home: Path, box: str) -> bool:
    """Whether the daemon accepts connections."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(2)
        try:
            client.connect(str(paths.libvirt_socket(home)))
        except OSError:
            return False
    return True


def teardown(home: Path, box: str) -> None:
    """End every process in the box's namespaces (machines too), and remove the namespaces and the traces on the host."""
    names = [*netns.all(f"{box}-"), *([box] if netns.exists(box) else [])]
    netns.end_processes(names)
    for name in names:
        netns.delete(name)
    for chain in ("-i", "-o"):
        rule = ["FORWARD", chain, host_interface(box), "-j", "ACCEPT"]
        while works(["iptables", "-w", "-C", *rule]):
            run(["iptables", "-w", "-D", *rule])
    works(["nft", "delete", "table", "ip", box])
    works(["ip", "link", "delete", "dev", host_interface(box)])  # Gone with its peer, unless the namespace was half made.


def _uplink(box: str) -> IPv4Interface:
    """Make the veth pair if it is not there; returns the host's address on it."""
    name = host_interface(box)
    addresses = json.loads(run(["ip", "-j", "-4", "addr"]))
    for link in addresses:
        if link["ifname"] == name and link["addr_info"] and netns.call(box, lambda: UPLINK in _interfaces()):
            first = link["addr_info"][0]
            return IPv4Interface(f"{first['local']}/{first['prefixlen']}")
    works(["ip", "link", "delete", "dev", name])
    routes = json.loads(run(["ip", "-j", "-4", "route", "show", "table", "all"]))
    slice = _free_slice(box, _used(addresses, routes))
    host, inside = IPv4Interface((slice[1], 30)), IPv4Interface((slice[2], 30))
    run(
        ["ip", "-batch", "-"],
        input=f"link add name {name} type veth peer name {UPLINK} netns {box}\naddr add {host} dev {name}\nlink set dev {name} up\n",
    )
    run(
        ["ip", "-n", box, "-batch", "-"],
        input=f"link set dev lo up\naddr replace {inside} dev {UPLINK}\nlink set dev {UPLINK} up\nroute replace default via {host.ip}\n",
    )
    return host


def _interfaces() -> set[str]:
    return {name for _, name in socket.if_nameindex()}


def _used(addresses: list[dict], routes: list[dict]) -> list[IPv4Network]:  # type: ignore[type-arg]
    """Every network that the host has an address in or a route to."""
    used = [IPv4Network(f"{each['local']}/{each['prefixlen']}", strict=False) for link in addresses for each in link.get("addr_info", [])]
    for route in routes:
        try:
            network = IPv4Network(route["dst"], strict=False)
        except (ipaddress.AddressValueError, ValueError):
            continue  # "default" and the like cover everything and mean nothing here.
        if network.prefixlen > 0:
            used.append(network)
    return used


def _free_slice(box: str, used: list[IPv4Network]) -> IPv4Network:
    start = int.from_bytes(hashlib.sha256(box.encode()).digest()[:4]) % SLICES
    for step in range(SLICE_ATTEMPTS):
        offset = (start + step) % SLICES * 4
        candidate = IPv4Network((int(UPLINK_RANGE.network_address) + offset, 30))
        if not any(candidate.overlaps(other) for other in used):
            return candidate
    raise Unavailable(f"The host already uses the addresses {UPLINK_RANGE} that the box needs for its way out.")


def _host_table(box: str, slice: IPv4Network, open_ports: list[int]) -> str:
    """The host's part of the firewall, replaced whole in one transaction."""
    up = host_interface(box)
    ports = f"    tcp dport {{ {', '.join(map(str, open_ports))} }} accept\n" if open_ports else ""
    return f"""
table ip {box}
delete table ip {box}
table ip {box} {{
  chain leave {{
    type nat hook postrouting priority srcnat
    ip saddr {slice} oifname != "{up}" masquerade
  }}
  chain input {{
    type filter hook input priority filter
    iifname "{up}" jump from_box
  }}
  chain from_box {{
    ct state established,related accept
    icmp type echo-request accept
{ports}    drop
  }}
}}
"""


def _let_through(box: str) -> None:
    """Docker and some firewalls drop whatever is forwarded and not theirs; a rule in their own chain is the only way past."""
    if not works(["iptables", "-w", "-S", "FORWARD"]) or "-P FORWARD DROP" not in run(["iptables", "-w", "-S", "FORWARD"]):
        return
    for direction in ("-i", "-o"):
        rule = [direction, host_interface(box), "-j", "ACCEPT"]
        if not works(["iptables", "-w", "-C", "FORWARD", *rule]):
            run(["iptables", "-w", "-I", "FORWARD", "1", *rule])
