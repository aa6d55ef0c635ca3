"""The box's network namespace: all its bridges, taps and its libvirtd live there, one veth pair leads out.

So the host's firewall, bridges and libvirt stay as they are, and two boxes live side by side. On the host a box is one
interface `<box>-up`, two nft tables named after the box (IPv4 and IPv6), and forwarding switched on.

Addresses: the pair has a /30 out of 100.127.0.0/16 (RFC 6598, shared address space), chosen by a hash of the box's name and
moved on while the host already uses it. Everything inside the box hides behind it by NAT, so nothing else can collide.

IPv6 leads out in the same way, where the host itself has a default route over IPv6 when the box starts: the pair has unique local
addresses (RFC 4193) that end in those of IPv4, and what leaves hides behind the host's own. Elsewhere IPv6 ends in the box.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from pathlib import Path

from cloudbox.common.errors import Unavailable
from compute.drivers import libvirt_daemon, netns, paths
from compute.drivers.commands import run, works

UPLINK = "uplink"  # inside the box
UPLINK_RANGE = IPv4Network("100.127.0.0/16")
OUTER_RANGE = IPv4Network("100.126.0.0/16")  # of which a box's first external network takes a part
# A /48 of our own (RFC 4193) beside the one inside the box (fabric/names.py); the low half of an address is that of IPv4.
UPLINK_RANGE6 = IPv6Network("fd63:6c6f:7565::/64")
_SIX = Path("/proc/sys/net/ipv6/conf")
SLICES = 2**14
SLICE_ATTEMPTS = 256
IPTABLES = ("iptables", "ip6tables")


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
            "net/bridge/bridge-nf-call-ip6tables": "1",
            # Only the interfaces that carry IPv6 outside speak it themselves; bridges pass it on without.
            "net/ipv6/conf/all/disable_ipv6": "1",
            "net/ipv6/conf/default/disable_ipv6": "1",
            "net/ipv6/conf/all/forwarding": "1",
        },
    )
    if not netns.call(box, lambda: Path("/proc/sys/net/bridge/bridge-nf-call-iptables").exists()):
        raise Unavailable("The kernel module br_netfilter is missing: load it with `modprobe br_netfilter`; security groups need it.")
    forwarding = Path("/proc/sys/net/ipv4/ip_forward")
    if forwarding.read_text().strip() != "1":
        forwarding.write_text("1")
    run(["nft", "-f", "-"], input=_host_table(box, ours.network, sorted(set(open_ports))))
    _lead_ipv6_out(box, ours.ip)
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
    for tables in IPTABLES:
        for chain in ("-i", "-o"):
            rule = ["FORWARD", chain, host_interface(box), "-j", "ACCEPT"]
            while works([tables, "-w", "-C", *rule]):
                run([tables, "-w", "-D", *rule])
    for family in ("ip", "ip6"):
        works(["nft", "delete", "table", family, box])
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
    slice = _free_slice(box, used_by_host())
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


def kernel_has_ipv6() -> bool:
    return _SIX.exists()


def switch_on_ipv6(box: str, interface: str) -> None:
    """On one interface of the box, with fixed addresses and nobody's advertisements."""
    settings = {"accept_ra": "0", "accept_dad": "0", "disable_ipv6": "0"}
    netns.set_kernel(box, {f"net/ipv6/conf/{interface}/{key}": value for key, value in settings.items()})


def address6(inner: IPv4Address) -> IPv6Interface:
    """Of an end of the way out, by its IPv4 address."""
    return IPv6Interface((UPLINK_RANGE6[int(inner)], 126))


def _lead_ipv6_out(box: str, host: IPv4Address) -> None:
    """Give the way out IPv6 where the host has a way on; where it has none any more, take it off."""
    if not kernel_has_ipv6():
        return
    ours, inside, port = address6(host), address6(host + 1), host_interface(box)
    if not any(row.get("dst") == "default" for row in json.loads(run(["ip", "-j", "-6", "route", "show", "default"]) or "[]")):
        netns.set_kernel(box, {f"net/ipv6/conf/{UPLINK}/disable_ipv6": "1"})
        return
    _forward_ipv6()
    switch_on_ipv6(box, UPLINK)
    run(["ip", "-batch", "-"], input=f"addr replace {ours} dev {port} nodad\n")
    lines = f"addr replace {inside} dev {UPLINK} nodad\nroute replace default via {ours.ip} dev {UPLINK}\n"
    run(["ip", "-n", box, "-batch", "-"], input=lines)


def _forward_ipv6() -> None:
    """A host that forwards stops to hear routers (accept_ra 1 means: unless forwarding) and would lose its own way out: the kernel's
    documentation of ip-sysctl says that 2 keeps it."""
    if (_SIX / "all" / "forwarding").read_text().strip() == "1":
        return
    for each in _SIX.glob("*/accept_ra"):
        if each.read_text().strip() == "1":
            each.write_text("2")
    (_SIX / "all" / "forwarding").write_text("1")


def _interfaces() -> set[str]:
    return {name for _, name in socket.if_nameindex()}


def used_by_host() -> list[IPv4Network]:
    """Every network that the host has an address in or a route to."""
    addresses = json.loads(run(["ip", "-j", "-4", "addr"]))
    routes = json.loads(run(["ip", "-j", "-4", "route", "show", "table", "all"]))
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
    slice6 = address6(slice[1]).network
    return f"""
table ip6 {box}
delete table ip6 {box}
table ip6 {box} {{
  chain leave {{
    type nat hook postrouting priority srcnat
    ip6 saddr {slice6} oifname != "{up}" masquerade
  }}
  chain input {{
    type filter hook input priority filter
    iifname "{up}" jump from_box
  }}
  chain from_box {{
    ct state established,related accept
    icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert, echo-request }} accept
{ports}    drop
  }}
}}
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
    for tables in IPTABLES:
        if not works([tables, "-w", "-S", "FORWARD"]) or "-P FORWARD DROP" not in run([tables, "-w", "-S", "FORWARD"]):
            continue
        for direction in ("-i", "-o"):
            rule = [direction, host_interface(box), "-j", "ACCEPT"]
            if not works([tables, "-w", "-C", "FORWARD", *rule]):
                run([tables, "-w", "-I", "FORWARD", "1", *rule])
