"""Names on a real network: forwards, backwards, and what is nobody's."""

from __future__ import annotations

import socket
import struct
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from uuid import uuid4

import pytest

from compute.drivers import netns
from compute.drivers.fabric import LinuxFabric
from compute.drivers.specs import FabricSpec, NetworkSpec, PortSpec
from tests.guests import Guest, dns_query
from tests.machines import RealBox, eventually

pytestmark = pytest.mark.machines

PTR = struct.pack(">HH", 12, 1)
NO_SUCH_NAME = 3


def test_names_forwards_and_backwards(real_box: RealBox) -> None:
    """A guest asks the gateway for a neighbour's name, and for the name of its address; a new domain is known after one apply, by
    both; an address that nobody has has no name."""
    cidr = IPv4Network("192.168.0.0/24")
    net = NetworkSpec(id=uuid4(), cidr=cidr, gateway=cidr[1], dns_domain="lab.example.org", number=90)
    ports = tuple(
        PortSpec(id=uuid4(), network_id=net.id, mac=f"52:54:00:00:90:{last:02x}", ip=f"192.168.0.{last}", hostname=name)
        for last, name in ((10, "alpha"), (11, "beta"))
    )
    fabric = LinuxFabric(real_box.home, real_box.name)
    fabric.apply(FabricSpec(networks=(net,), ports=ports))
    guest = Guest(real_box.name, ports[0], net)
    try:
        guest.configure()

        def ask(query: bytes) -> bytes:
            def call() -> bytes:
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                    sock.settimeout(3)
                    sock.sendto(query, (str(net.gateway), 53))
                    return sock.recv(512)

            return netns.call(guest.name, call)

        def name_of(ip: str) -> bytes:
            return ask(dns_query(IPv4Address(ip).reverse_pointer)[:-4] + PTR)

        assert ask(dns_query("beta.lab.example.org")).endswith(IPv4Address("192.168.0.11").packed)
        assert b"\x04beta\x03lab\x07example\x03org\x00" in name_of("192.168.0.11")
        assert name_of("192.168.0.99")[3] & 0xF == NO_SUCH_NAME
        fabric.apply(FabricSpec(networks=(replace(net, dns_domain="other.internal"),), ports=ports))
        eventually(lambda: b"\x04beta\x05other\x08internal\x00" in name_of("192.168.0.11"), seconds=10)
        assert ask(dns_query("beta.other.internal")).endswith(IPv4Address("192.168.0.11").packed)
    finally:
        guest.remove()
        fabric.apply(FabricSpec())
