"""Load balancers on real bridges: HAProxy in the gateway's namespace, members behind taps; every claim by connections."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from cloudbox.common.errors import Unavailable
from compute.drivers import commands, netns
from compute.drivers.balancer_specs import BalancerSpec, ListenerSpec, MemberSpec, PoolSpec
from compute.drivers.fabric import LinuxFabric
from compute.drivers.fabric.haproxy import Haproxy
from compute.drivers.router_specs import ExternalSpec, RouterSpec
from compute.drivers.specs import FabricSpec, NetworkSpec, PortSpec, RuleSpec
from tests.certificates import certificate, pem
from tests.contracts.test_linux_fabric import fabric, plug  # noqa: F401
from tests.guests import Guest
from tests.machines import RealBox, eventually

pytestmark = pytest.mark.machines

OUTSIDE = ExternalSpec(id=uuid4(), cidr=IPv4Network("100.126.244.0/24"), gateway=IPv4Address("100.126.244.1"))
ROUTER = RouterSpec(id=uuid4(), external_id=OUTSIDE.id, external_ip=IPv4Address("100.126.244.20"))
NET = NetworkSpec(
    id=uuid4(), cidr=IPv4Network("192.168.0.0/24"), gateway=IPv4Address("192.168.0.1"), dns_domain="x", number=61, router_id=ROUTER.id
)
VIP = IPv4Address("192.168.0.5")
OUT = RuleSpec(id=uuid4(), direction="egress")
# Members let in nobody but the balancer.
FROM_VIP = RuleSpec(id=uuid4(), direction="ingress", remote_ips=(str(VIP),))


def port(last: int, *rules: RuleSpec) -> PortSpec:
    return PortSpec(id=uuid4(), network_id=NET.id, mac=f"52:54:00:0b:00:{last:02x}", ip=f"192.168.0.{last}", rules=rules or (OUT,))


PORTS = (port(10), port(11, OUT, FROM_VIP), port(12, OUT, FROM_VIP))
MEMBERS = tuple(MemberSpec(id=uuid4(), address=IPv4Address(each.ip), port=8080) for each in PORTS[1:])
WEB = PoolSpec(id=uuid4(), http=True, check_path="/health", check_seconds=1, check_falls=1, check_rises=1, members=MEMBERS)
RAW_MEMBERS = tuple(replace(each, id=uuid4()) for each in MEMBERS)
RAW = PoolSpec(id=uuid4(), http=False, check_seconds=1, check_falls=1, check_rises=1, members=RAW_MEMBERS)
LISTENERS = (
    ListenerSpec(id=uuid4(), port=80, http=True, pool_id=WEB.id),
    ListenerSpec(id=uuid4(), port=7000, http=False, pool_id=RAW.id),
)
BALANCER = BalancerSpec(id=uuid4(), network_id=NET.id, address=VIP, listeners=LISTENERS, pools=(WEB, RAW))


@contextmanager
def serving(guest: Guest) -> Iterator[list[bytes]]:
    """A web server in the guest that answers each request with its own address; gives the requests it has got."""
    heard: list[bytes] = []
    over = threading.Event()

    def talk(call: socket.socket) -> None:
        with call:
            call.settimeout(0.1)
            while not over.is_set():
                try:
                    data = call.recv(4096)
                    if not data:
                        return
                    heard.append(data)
                    body = guest.port.ip.encode()
                    call.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                    if b"Connection: close" in data:
                        return
                except TimeoutError:
                    continue
                except OSError:
                    return

    with guest.listening(8080) as sock:

        def accept() -> None:
            while not over.is_set():
                try:
                    call, _ = sock.accept()
                except OSError:
                    continue
                threading.Thread(target=talk, args=(call,), daemon=True).start()

        sock.settimeout(0.1)
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield heard
        finally:
            over.set()
            thread.join()


def get(guest: Guest, *, number: int = 80, more: bytes = b"", tls: ssl.SSLContext | None = None) -> tuple[int, bytes]:
    """Status and whole answer of one request to the balancer; 0 when nobody answers."""
    try:
        with ExitStack() as stack:
            call = stack.enter_context(guest.connect(str(VIP), number, seconds=3))
            if tls is not None:
                call = stack.enter_context(tls.wrap_socket(call))
            call.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + more + b"\r\n")
            answer = b""
            while data := call.recv(4096):
                answer += data
    except (OSError, Unavailable):
        return 0, b""
    return (int(answer.split()[1]), answer) if answer else (0, b"")


def spec(*balancers: BalancerSpec) -> FabricSpec:
    return FabricSpec(networks=(NET,), externals=(OUTSIDE,), routers=(ROUTER,), ports=PORTS, balancers=balancers)


def answered_by(client: Guest, count: int = 6, **more: int) -> set[bytes]:
    return {get(client, **more)[1].rpartition(b"\r\n\r\n")[2] for _ in range(count)}


def test_it_deals_out_and_heals(fabric: LinuxFabric, plug: Callable[..., Guest], real_box: RealBox) -> None:  # noqa: F811
    """Both members answer in turn though they let in nobody else; one that falls ill gets nothing until it is well; the process has no
    rights; new settings leave open connections alone; a killed process is there again with the next round; then nothing remains."""
    haproxy = Haproxy(real_box.home / "run" / "balancers" / BALANCER.id.hex)
    fabric.apply(spec(BALANCER))
    client, one, two = (plug(each, NET) for each in PORTS)

    def states() -> set[tuple[str, str]]:
        addresses = {each.id: str(each.address) for each in MEMBERS + RAW_MEMBERS}
        return {(addresses[each.id], each.status) for each in fabric.balancer_facts()[BALANCER.id].members}

    with serving(one) as heard:
        with serving(two):
            eventually(lambda: states() == {("192.168.0.11", "up"), ("192.168.0.12", "up")})
            assert answered_by(client) == {b"192.168.0.11", b"192.168.0.12"}
            assert answered_by(client, number=7000) == {b"192.168.0.11", b"192.168.0.12"}
            get(client, more=b"X-Forwarded-For: 6.6.6.6\r\n")
            get(client, more=b"X-Forwarded-For: 6.6.6.6\r\n")
            asked = [each.lower() for each in heard if b"GET / " in each and b"forwarded" in each.lower()]
            assert asked
            assert all(b"x-forwarded-for: 192.168.0.10\r\n" in each and b"6.6.6.6" not in each for each in asked)
            assert not client.reaches(str(MEMBERS[0].address), 8080)
            assert not client.reaches(str(VIP), 8080)
        eventually(lambda: states() == {("192.168.0.11", "up"), ("192.168.0.12", "down")})
        assert answered_by(client) == {b"192.168.0.11"}
        check_rights(haproxy)
        before = commands.runs
        fabric.apply(spec(BALANCER))
        assert commands.runs == before + 1, "nothing has changed, so nothing is done"
        # Another setting, while a connection is open.
        with client.connect(str(VIP), 7000, seconds=5) as call:
            call.sendall(b"hello\r\n")
            assert b"192.168.0.11" in call.recv(4096)
            master = haproxy.master()
            key = ec.generate_private_key(ec.SECP256R1())
            secure = ListenerSpec(id=uuid4(), port=443, http=True, pool_id=WEB.id, pem=certificate(key) + pem(key))
            sticky = replace(BALANCER, listeners=(*LISTENERS, secure), pools=(replace(WEB, sticky=True), RAW))
            fabric.apply(spec(sticky))
            trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
            eventually(lambda: get(client, number=443, tls=trusting)[0] == 200)
            assert b"CBXSRV=" in get(client)[1]
            assert haproxy.master() == master
            call.sendall(b"again\r\n")
            assert b"192.168.0.11" in call.recv(4096)
        for pid in haproxy.processes():
            with suppress(ProcessLookupError):  # the worker of the settings before, which ended by itself just now
                os.kill(pid, signal.SIGKILL)
        eventually(lambda: not haproxy.processes())
        assert fabric.balancer_facts() == {}
        fabric.apply(spec(sticky))
        eventually(lambda: get(client)[0] == 200)
        # From outside, by a floating IP.
        outer = IPv4Address("100.126.244.30")
        fabric.apply(replace(spec(sticky), routers=(replace(ROUTER, floating=((outer, VIP),)),)))
        eventually(lambda: outside(outer) == b"HTTP/1.1 200")
    fabric.apply(spec())
    assert not haproxy.processes()
    assert not haproxy.folder.exists()
    assert not client.reaches(str(VIP), 80)
    assert str(VIP) not in commands.run(["ip", "-n", fabric.namespace_of(NET.id), "addr", "show"])


def outside(address: IPv4Address) -> bytes:
    try:
        with socket.create_connection((str(address), 80), timeout=2) as call:
            call.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return call.recv(12)
    except OSError:
        return b""


def check_rights(haproxy: Haproxy) -> None:
    """Neither root nor any capability in master and worker; the keys and settings are not theirs to change."""
    assert len(haproxy.processes()) == 2
    for pid in haproxy.processes():
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        assert 0 not in {int(each) for name in ("Uid", "Gid") for each in status[name].split()}
        assert status["Groups"].split() == []
        assert {int(status[name].strip(), 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
        assert status["NoNewPrivs"].strip() == "1"
    assert haproxy.folder.stat().st_uid == 0
    assert not haproxy.folder.stat().st_mode & 0o027


def test_one_that_cannot_start_stops_no_other(fabric: LinuxFabric, plug: Callable[..., Guest]) -> None:  # noqa: F811
    """A balancer whose settings HAProxy refuses is logged and tried again; its neighbour, and the network, go on. One without listeners
    holds its address and runs nothing; two on one network have each their own."""
    bad = BalancerSpec(
        id=uuid4(),
        network_id=NET.id,
        address=IPv4Address("192.168.0.6"),
        listeners=(ListenerSpec(id=uuid4(), port=443, http=True, pool_id=WEB.id, pem="no certificate"),),
        pools=(WEB,),
    )
    idle = BalancerSpec(id=uuid4(), network_id=NET.id, address=IPv4Address("192.168.0.7"))
    fabric.apply(spec(bad, BALANCER, idle))
    client, one = plug(PORTS[0], NET), plug(PORTS[1], NET)
    with serving(one):
        eventually(lambda: get(client)[0] == 200)
        assert set(fabric.balancer_facts()) == {BALANCER.id}
        assert "192.168.0.7/32" in commands.run(["ip", "-n", fabric.namespace_of(NET.id), "addr", "show"])
    fabric.apply(FabricSpec())
    assert netns.all(f"{fabric.box}-") == set()
