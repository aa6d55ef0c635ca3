"""A router's WireGuard entrance on real bridges, with a client in a network namespace of its own: every claim by packets through it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from secrets import token_hex
from uuid import uuid4

import pytest

from compute.desired_vpn import range_of
from compute.drivers import netns
from compute.drivers.commands import run
from compute.drivers.fabric import LinuxFabric, wireguard
from compute.drivers.specs import FabricSpec, RuleSpec
from compute.drivers.vpn_specs import VpnPeerSpec, VpnSpec
from compute.vpn import make_keys
from tests.contracts.test_linux_fabric import fabric, plug  # noqa: F401
from tests.contracts.test_routing import OUTSIDE, answering, calls, network, port, router
from tests.guests import Guest
from tests.machines import eventually

pytestmark = [pytest.mark.machines, pytest.mark.skipif(shutil.which("wireguard-go") is None, reason="there is no wireguard-go here")]


def _say(socket_path: Path, words: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(socket_path))
        sock.sendall(words.encode())
        assert b"errno=0" in sock.recv(4096)


def _hex(key: str) -> str:
    return wireguard._hex(key)


@contextmanager
def client(address: IPv4Address, private: str, server: str, endpoint: str, networks: list[IPv4Network]) -> Iterator[str]:
    """A device outside: its packets leave from the host, its programs live in the namespace that this gives."""
    name = f"wgt{token_hex(3)}"
    path = wireguard.SOCKETS / f"{name}.sock"
    netns.create(name)
    process = subprocess.Popen(
        [wireguard.PROGRAM, "-f", name], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        eventually(path.exists)
        run(["ip", "link", "set", "dev", name, "netns", name])
        allowed = "".join(f"allowed_ip={each}\n" for each in networks)
        _say(path, f"set=1\nprivate_key={_hex(private)}\npublic_key={_hex(server)}\nendpoint={endpoint}\n{allowed}\n")
        run(["ip", "-n", name, "addr", "add", f"{address}/32", "dev", name])
        run(["ip", "-n", name, "link", "set", "dev", name, "mtu", "1420", "up"])
        for each in networks:
            run(["ip", "-n", name, "route", "add", str(each), "dev", name])
        yield name
    finally:
        process.terminate()
        process.wait(10)
        netns.delete(name)
        path.unlink(missing_ok=True)


def test_an_entrance(fabric: LinuxFabric, plug: Callable[..., Guest]) -> None:  # noqa: F811
    """A device with a key reaches its network under its own address, as far as rules let it, and no other network; the process has no
    rights but those over its namespace's network; who stays is not disturbed by who comes; one that is revoked reaches nothing, at
    once; and without anybody's access nothing is left."""
    (server_private, server_public), (ada_private, ada_public), (_, bob_public) = make_keys(), make_keys(), make_keys()
    cidr = range_of(7)
    way = router(30)
    one, two = network(1, way), network(2, way, third=1)
    closed = port(one, 11, RuleSpec(id=uuid4(), direction="egress"))
    ports = (port(one, 10), closed, port(two, 10))
    ada = VpnPeerSpec(public_key=ada_public, address=cidr[2], network_id=one.id)
    bob = VpnPeerSpec(public_key=bob_public, address=cidr[3], network_id=two.id)

    def apply(*peers: VpnPeerSpec, entrance: bool = True) -> None:
        vpn = VpnSpec(private_key=server_private, port=51820, cidr=cidr, peers=peers) if entrance else None
        fabric.apply(FabricSpec(networks=(one, two), externals=(OUTSIDE,), routers=(replace(way, vpn=vpn),), ports=ports))

    apply(ada)
    (pid,) = wireguard.processes(way.id)
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    assert status["Uid"].split()[0] != "0"
    assert {int(status[name], 16) for name in ("CapEff", "CapBnd", "CapPrm", "CapAmb")} == {1 << 12}  # CAP_NET_ADMIN
    assert status["NoNewPrivs"] == "1"
    guests = [plug(each, net) for each, net in zip(ports, (one, one, two), strict=True)]
    endpoint = f"{way.external_ip}:51820"
    everything = [one.cidr, two.cidr]
    with answering(guests[0], 80), answering(guests[1], 80), answering(guests[2], 80):
        with client(ada.address, ada_private, server_public, endpoint, everything) as device:
            eventually(lambda: calls("192.168.0.10", 80, namespace=device, seconds=2) == b"host10 " + str(ada.address).encode())
            assert calls("192.168.0.11", 80, namespace=device, seconds=1) == b""
            assert calls("192.168.1.10", 80, namespace=device, seconds=1) == b""
            (fact,) = fabric.vpn_facts()[way.id]
            assert (fact.public_key, fact.handshake_at is not None) == (ada_public, True)
            assert min(fact.bytes_in, fact.bytes_out) > 0

            apply(ada, bob)
            assert wireguard.processes(way.id) == {pid}
            assert calls("192.168.0.10", 80, namespace=device) == b"host10 " + str(ada.address).encode()
            assert {each.handshake_at for each in fabric.vpn_facts()[way.id] if each.public_key == ada_public} == {fact.handshake_at}

            apply(bob)
            assert calls("192.168.0.10", 80, namespace=device, seconds=1) == b""
            assert [each.public_key for each in fabric.vpn_facts()[way.id]] == [bob_public]
    os.kill(pid, 9)
    eventually(lambda: not wireguard.processes(way.id))
    apply(bob)  # what ended is made again
    assert len(wireguard.processes(way.id)) == 1
    apply(entrance=False)
    assert wireguard.processes(way.id) == set()
    assert not (wireguard.SOCKETS / f"{wireguard.interface(way.id)}.sock").exists()
    assert fabric.vpn_facts() == {}
