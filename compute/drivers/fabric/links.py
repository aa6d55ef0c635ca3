"""Bridges, veth pairs and addresses as text for `ip -batch`. Written with `name X` throughout: a bare X may be read as a keyword."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from compute.drivers.commands import run
from compute.drivers.fabric.names import LAN, METADATA_IP, Names
from compute.drivers.specs import NetworkSpec

OURS = ("br-", "rtr", "trn", "ext", "rex", "hbr")
TAP = "tap"


@dataclass(frozen=True)
class Link:
    name: str
    alias: str
    master: str
    up: bool


def observe(box: str) -> dict[str, Link]:
    """Every interface in the box's namespace, by one command."""
    rows: list[dict[str, Any]] = json.loads(run(["ip", "-n", box, "-j", "link", "show"]) or "[]")
    return {row["ifname"]: Link(row["ifname"], row.get("ifalias", ""), row.get("master", ""), "UP" in row.get("flags", [])) for row in rows}


def batch(namespace: str, lines: list[str]) -> None:
    if lines:
        run(["ip", "-n", namespace, "-batch", "-"], input="\n".join(lines) + "\n")


def make(network: NetworkSpec, names: Names) -> list[str]:
    """In the box's namespace: a network from nothing. The gateway namespace is there already."""
    port = f"link add name {names.router} mtu {network.mtu} type veth"
    return [
        f"link add name {names.bridge} type bridge forward_delay 0 mcast_snooping 0",
        f"link set dev {names.bridge} mtu {network.mtu} up",
        f"{port} peer name {LAN} mtu {network.mtu} address {names.lan_mac} netns {names.namespace}",
        f"link set dev {names.router} master {names.bridge} up",
    ]


def make_gateway(network: NetworkSpec) -> list[str]:
    """In the gateway namespace: its addresses. The way to a router is the router's to make."""
    # Nobody else may claim the gateway's address, so it need not wait to hear whether somebody does (RFC 4862, 5.4).
    six = [f"addr add {network.ipv6.gateway}/{network.ipv6.cidr.prefixlen} dev {LAN} nodad"] if network.ipv6 else []
    return [
        "link set dev lo up",
        f"addr add {METADATA_IP}/32 dev lo",
        f"addr add {network.gateway}/{network.cidr.prefixlen} dev {LAN}",
        *six,
        f"link set dev {LAN} up",
    ]


def kernel(*, speaks_ipv6: bool) -> dict[str, str]:
    """Settings of a namespace that forwards: for its links there are and those to come. It takes nobody's advertisements, and uses its
    addresses at once."""
    if not speaks_ipv6:
        return {"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/disable_ipv6": "1"}
    settings = {"net/ipv4/ip_forward": "1"}
    for which in ("default", "all"):
        settings |= {f"net/ipv6/conf/{which}/{key}": "0" for key in ("accept_ra", "accept_dad", "accept_redirects", "disable_ipv6")}
    return settings | {"net/ipv6/conf/all/forwarding": "1"}
