"""Bridges, veth pairs and addresses as text for `ip -batch`. Written with `name X` throughout: a bare X may be read as a keyword."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from compute.drivers.commands import run
from compute.drivers.fabric.names import LAN, METADATA_IP, WAN, Names
from compute.drivers.specs import NetworkSpec

OURS = ("br-", "rtr", "trn")
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
    """In the box's namespace: a network from nothing. The router namespace is there already."""
    port = f"link add name {names.router} mtu {network.mtu} type veth"
    lines = [
        f"link add name {names.bridge} type bridge forward_delay 0 mcast_snooping 0",
        f"link set dev {names.bridge} mtu {network.mtu} up",
        f"{port} peer name {LAN} mtu {network.mtu} address {names.lan_mac} netns {names.namespace}",
        f"link set dev {names.router} master {names.bridge} up",
    ]
    if network.nat:
        lines += [
            f"link add name {names.transit} type veth peer name {WAN} netns {names.namespace}",
            f"addr add {names.transit_box}/31 dev {names.transit}",
            f"link set dev {names.transit} up",
        ]
    return lines


def make_router(network: NetworkSpec, names: Names) -> list[str]:
    """In the router namespace: its addresses and routes."""
    lines = [
        "link set dev lo up",
        f"addr add {METADATA_IP}/32 dev lo",
        f"addr add {network.gateway}/{network.cidr.prefixlen} dev {LAN}",
        f"link set dev {LAN} up",
    ]
    if network.nat:
        lines += [
            f"addr add {names.transit_router}/31 dev {WAN}",
            f"link set dev {WAN} up",
            f"route add default via {names.transit_box} dev {WAN}",
        ]
    return lines
