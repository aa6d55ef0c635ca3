"""Guests without QEMU: a network namespace on a port's tap, with a DHCP client and sockets, for tests of networks."""

from __future__ import annotations

import json
import secrets
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from compute.drivers import netns
from compute.drivers.commands import run
from compute.drivers.specs import NetworkSpec, PortSpec, bridge_name, tap_name

PATIENCE = 1.0  # A packet that is dropped answers never: how long a test waits to believe it.
CARD = "eth0"


@dataclass
class Lease:
    """What a DHCP server granted."""

    ip: str
    options: dict[int, bytes] = field(default_factory=dict)

    def address(self, code: int) -> str:
        return str(IPv4Address(self.options[code][:4]))


class Guest:
    """As a machine's card on its tap. Cheats (another MAC, another address) are made with `ip` by the tests."""

    def __init__(self, box: str, port: PortSpec, network: NetworkSpec) -> None:
        self.port, self.network = port, network
        self.name = f"guest-{secrets.token_hex(4)}"
        netns.create(self.name)
        # Its kernel asks for a router at once, and does not wait to hear whether somebody else has its address.
        settings = {"router_solicitation_delay": "0", "accept_dad": "0", "accept_ra": "1"}
        netns.set_kernel(self.name, {f"net/ipv6/conf/default/{key}": value for key, value in settings.items()})
        tap = tap_name(port.id)
        run(["ip", "-n", box, "link", "add", "name", tap, "type", "veth", "peer", "name", CARD, "netns", self.name])
        run(["ip", "-n", box, "link", "set", "dev", tap, "master", bridge_name(network.id), "up"])
        self.ip("link set dev lo up", f"link set dev {CARD} address {port.mac} up")

    def ip(self, *lines: str) -> None:
        run(["ip", "-n", self.name, "-batch", "-"], input="\n".join(lines) + "\n")

    def configure(self) -> None:
        """Take the address without asking."""
        self.ip(
            f"addr replace {self.port.ip}/{self.network.cidr.prefixlen} dev {CARD}", f"route replace default via {self.network.gateway}"
        )

    def remove(self) -> None:
        netns.delete(self.name)

    def addresses6(self) -> set[str]:
        """Its IPv6 addresses but for those of the link itself."""
        rows = json.loads(run(["ip", "-n", self.name, "-j", "-6", "addr", "show", "dev", CARD, "scope", "global"]) or "[]")
        return {each["local"] for row in rows for each in row.get("addr_info", []) if "local" in each}

    def has_router(self) -> bool:
        """Whether it has learnt a way over IPv6 where its network has a router."""
        return self.network.router_id is None or self.default_route6() is not None

    def default_route6(self) -> str | None:
        """Who its router is, over IPv6."""
        rows = json.loads(run(["ip", "-n", self.name, "-j", "-6", "route", "show", "default"]) or "[]")
        return rows[0]["gateway"] if rows else None

    @contextmanager
    def listening(self, number: int, kind: socket.SocketKind = socket.SOCK_STREAM, *, six: bool = False) -> Iterator[socket.socket]:
        def listen() -> socket.socket:
            sock = socket.socket(socket.AF_INET6 if six else socket.AF_INET, kind)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if six:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(("", number))
            if kind is socket.SOCK_STREAM:
                sock.listen()
            sock.settimeout(PATIENCE)
            return sock

        with netns.call(self.name, listen) as sock:
            yield sock

    def connect(self, ip: str, number: int, *, source: str = "", seconds: float = 10.0) -> socket.socket:
        return netns.call(self.name, lambda: socket.create_connection((ip, number), timeout=seconds, source_address=(source, 0)))

    def reaches(self, ip: str, number: int, *, source: str = "") -> bool:
        """Whether a TCP connection comes about."""
        try:
            self.connect(ip, number, source=source, seconds=PATIENCE).close()
        except Exception:  # Refused, timed out, no route: all the same to whoever asks.
            return False
        return True

    def sends(self, ip: str, number: int, *, to: Guest, source_port: int = 0) -> bool:
        """Whether a UDP packet arrives at the other guest."""
        with to.listening(number, socket.SOCK_DGRAM) as inbox:

            def send() -> None:
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                    sock.bind(("", source_port))
                    sock.sendto(b"hello", (ip, number))

            netns.call(self.name, send)
            try:
                return inbox.recv(16) == b"hello"
            except TimeoutError:
                return False

    def lease(self) -> Lease | None:
        """Ask for an address as any DHCP client does (RFC 2131): discover, offer, request, acknowledge."""

        def socket_of_client() -> socket.socket:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, CARD.encode())
            sock.bind(("", 68))
            sock.settimeout(PATIENCE)
            return sock

        with netns.call(self.name, socket_of_client) as sock:
            offer = self._ask(sock, 1, b"")
            if offer is None:
                return None
            return self._ask(sock, 3, _option(50, IPv4Address(offer.ip).packed) + _option(54, offer.options[54]))

    def _ask(self, sock: socket.socket, kind: int, more: bytes) -> Lease | None:
        number = secrets.randbits(32)
        mac = bytes.fromhex(self.port.mac.replace(":", ""))
        head = struct.pack(">BBBBIHH16s16s192x4s", 1, 1, 6, 0, number, 0, 0x8000, b"", mac, b"\x63\x82\x53\x63")
        wanted = _option(55, bytes([1, 3, 6, 12, 15, 26, 121]))
        for _ in range(3):
            sock.sendto(head + _option(53, bytes([kind])) + more + wanted + b"\xff", ("255.255.255.255", 67))
            try:
                answer = sock.recv(4096)
            except TimeoutError:
                continue
            if struct.unpack_from(">I", answer, 4)[0] == number:
                return Lease(str(IPv4Address(answer[16:20])), _options(answer[240:]))
        return None


@dataclass
class Lease6:
    """What a DHCPv6 server told."""

    ip: str | None
    options: dict[int, bytes]


def dhcp6(guest: Guest, *, wants_address: bool) -> Lease6 | None:
    """Ask a DHCPv6 server as a client does (RFC 8415): for an address at once (18.2.1, Rapid Commit), or for the rest alone (18.2.6)."""
    mac = bytes.fromhex(guest.port.mac.replace(":", ""))
    number = secrets.token_bytes(3)
    identity = _option6(1, struct.pack(">HH", 3, 1) + mac) + _option6(6, struct.pack(">HH", 23, 24)) + _option6(8, b"\0\0")
    address = _option6(3, mac[2:] + bytes(8)) + _option6(14, b"")
    message = (b"\x01" + number + identity + address) if wants_address else b"\x0b" + number + identity

    def ask() -> bytes | None:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::", 546))
            sock.settimeout(PATIENCE)
            card = socket.if_nametoindex(CARD)
            for _ in range(3):
                sock.sendto(message, ("ff02::1:2", 547, 0, card))
                try:
                    answer = sock.recv(4096)
                except TimeoutError:
                    continue
                if answer[:4] == b"\x07" + number:
                    return answer
        return None

    answer = netns.call(guest.name, ask)
    if answer is None:
        return None
    found = _options6(answer[4:])
    given = _options6(found[3][12:]).get(5) if 3 in found else None
    return Lease6(str(IPv6Address(given[:16])) if given else None, found)


def _option6(code: int, value: bytes) -> bytes:
    return struct.pack(">HH", code, len(value)) + value


def _options6(data: bytes) -> dict[int, bytes]:
    found = {}
    while len(data) >= 4:
        code, length = struct.unpack_from(">HH", data)
        found[code], data = data[4 : 4 + length], data[4 + length :]
    return found


def _option(code: int, value: bytes) -> bytes:
    return bytes([code, len(value)]) + value


def _options(data: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at < len(data) and data[at] != 255:
        if data[at] == 0:
            at += 1
            continue
        length = data[at + 1]
        found[data[at]] = data[at + 2 : at + 2 + length]
        at += 2 + length
    return found


def dns_query(name: str, *, kind: int = 1) -> bytes:
    """A question for an A record, or one of another kind (RFC 1035, 3.2.2; AAAA is 28)."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)
