"""The metadata service: what it says (on the fake network of one socket), and who it believes is asking (on real networks)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from compute.agent import metadata_server, metadata_wire
from compute.agent.metadata_keeper import MetadataKeeper
from compute.agent.metadata_server import MetadataServer
from compute.drivers.fabric import LinuxFabric
from compute.drivers.specs import FabricSpec, NetworkSpec, PortSpec, tap_name
from compute.metadata_tree import Card, InstanceMetadata, find
from tests.guests import Guest
from tests.machines import RealBox, eventually

INSTANCE = InstanceMetadata(
    id=UUID("0123456789abcdef0123456789abcdef"),
    name="web 1",
    hostname="web-1",
    project_id="p1",
    ip="192.168.0.10",
    mac="52:54:00:00:00:0a",
    public_keys=(("laptop", "ssh-ed25519 AAAA me"), ("desk", "ssh-rsa BBBB me")),
    user_data=b"#!/bin/sh\necho \xff\x00\n",
    instance_type="small",
    image_id="fedcba98-7654-3210-fedc-ba9876543210",
    security_groups=("default", "web"),
    dns_domain="lab.internal",
    tags={"role": "web", "a/b": "no place"},
    metadata={"shard": "7"},
    cards=(
        Card(
            port_id="aaaaaaaa-0000-4000-8000-000000000001",
            network_id="bbbbbbbb-0000-4000-8000-000000000001",
            mac="52:54:00:00:00:0a",
            ip="192.168.0.10",
            cidr="192.168.0.0/24",
            gateway="192.168.0.1",
            public_ip="203.0.113.9",
            dns_servers=("192.168.0.1",),
            security_groups=(("cccccccc-0000-4000-8000-000000000001", "default"),),
        ),
        Card(
            port_id="aaaaaaaa-0000-4000-8000-000000000002",
            network_id="bbbbbbbb-0000-4000-8000-000000000002",
            mac="52:54:00:00:00:0b",
            ip="10.9.0.10",
            cidr="10.9.0.0/16",
            mtu=1400,
            dhcp=False,
            dns_servers=("9.9.9.9",),
            routes=(("10.98.0.0/24", "10.9.0.1"),),
        ),
    ),
)


def test_ec2_tree() -> None:
    """What cloud-init and the demo image read, and that every listed name can be read in turn."""

    def get(path: str) -> str:
        answer = find(INSTANCE, path)
        assert answer is not None, path
        return answer.body.decode("latin-1")

    assert get("/latest/meta-data/instance-id") == "i-0123456789abcdef0"
    assert get("/2009-04-04/meta-data/local-hostname") == "web-1.lab.internal"
    assert get("/latest/meta-data/public-keys/") == "0=laptop\n1=desk"
    assert get("/latest/meta-data/public-keys/0/openssh-key") == "ssh-ed25519 AAAA me\n"
    assert get("/latest/meta-data/tags/instance/role") == "web"
    assert get("/latest/user-data").encode("latin-1") == INSTANCE.user_data
    assert get("/latest/meta-data/public-ipv4") == "203.0.113.9"
    macs = "/latest/meta-data/network/interfaces/macs/"
    assert get(macs).split() == ["52:54:00:00:00:0a/", "52:54:00:00:00:0b/"]
    assert get(macs + "52:54:00:00:00:0b/subnet-ipv4-cidr-block") == "10.9.0.0/16"
    assert get(macs + "52:54:00:00:00:0b/device-number") == "1"
    assert get(macs + "52:54:00:00:00:0a/ipv4-associations/203.0.113.9") == "192.168.0.10"
    assert "latest" in get("/").split()
    assert json.loads(get("/latest/dynamic/instance-identity/document"))["privateIp"] == INSTANCE.ip

    def walk(path: str) -> None:
        for name in get(path).splitlines():
            if name.endswith("/") and name != "public-keys/":
                walk(path + name)
            else:
                get(path + name)

    walk("/latest/")
    for path in (
        "/nothing",
        "/latest/meta-data/none",
        "/latest/meta-data/instance-id/x",
        "/latest/meta-data/../user-data",
        "/openstack/x/y",
    ):
        assert find(INSTANCE, path) is None
    bare = replace(INSTANCE, user_data=b"", public_keys=(), tags={})
    for path in ("/latest/user-data", "/openstack/latest/user_data", "/latest/meta-data/public-keys/", "/latest/meta-data/tags/"):
        assert find(bare, path) is None


def test_openstack_files() -> None:
    """The JSON that cloud-init's OpenStack source needs."""
    answer = find(INSTANCE, "/openstack/latest/meta_data.json")
    assert answer is not None
    facts = json.loads(answer.body)
    assert facts["uuid"] == str(INSTANCE.id)
    assert facts["public_keys"] == {"laptop": "ssh-ed25519 AAAA me", "desk": "ssh-rsa BBBB me"}
    assert facts["hostname"] == "web-1.lab.internal"
    assert find(INSTANCE, "/openstack/latest/user_data").body == INSTANCE.user_data  # type: ignore[union-attr]
    assert facts["meta"] == {"role": "web", "a/b": "no place", "shard": "7"}
    answer = find(INSTANCE, "/openstack/latest/network_data.json")
    assert answer is not None
    told = json.loads(answer.body)
    assert [link["ethernet_mac_address"] for link in told["links"]] == ["52:54:00:00:00:0a", "52:54:00:00:00:0b"]
    dynamic, static = told["networks"]
    assert (dynamic["type"], static["type"], static["ip_address"], static["netmask"]) == ("ipv4_dhcp", "ipv4", "10.9.0.10", "255.255.0.0")
    assert static["routes"] == [{"network": "10.98.0.0", "netmask": "255.255.255.0", "gateway": "10.9.0.1"}]
    assert {dynamic["link"], static["link"]} == {link["id"] for link in told["links"]}
    assert [service["address"] for service in told["services"]] == ["192.168.0.1", "9.9.9.9"]
    listed = find(INSTANCE, "/openstack/latest")
    assert listed is not None
    assert all(find(INSTANCE, f"/openstack/latest/{name}") is not None for name in listed.body.decode().split())
    assert find(INSTANCE, "/openstack/2018-08-27/vendor_data.json").body == b"{}"  # type: ignore[union-attr]
    assert "latest" in find(INSTANCE, "/openstack").body.decode().split()  # type: ignore[union-attr]


KEPT: list[str] = []  # passwords left by the guest of `Service`


class Service:
    """A metadata server in a loop of its own thread."""

    def __init__(self, lookup: Callable[[UUID, str], InstanceMetadata | None]) -> None:
        KEPT.clear()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

        async def answer(network: UUID, ip: str) -> InstanceMetadata | None:
            return lookup(network, ip)

        async def keep(network: UUID, ip: str, password: str) -> bool:
            KEPT.append(password)
            return True

        self.server = MetadataServer(answer, keep)

    def listen(self, network: UUID, sock: socket.socket) -> None:
        asyncio.run_coroutine_threadsafe(self.server.listen(network, sock), self.loop).result(10)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.server.close(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


def talk(call: socket.socket, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """One request, one response."""
    call.sendall(request)
    file = call.makefile("rb")
    status = int(file.readline().split()[1])
    headers = {}
    while (line := file.readline().decode().strip()) != "":
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return status, headers, file.read(int(headers["content-length"]))


@pytest.fixture
def local() -> Iterator[Callable[[], socket.socket]]:
    """The service on a loopback port of this host instead of a namespace; gives new connections to it."""
    listener = socket.create_server(("127.0.0.1", 0))
    service = Service(lambda network, ip: replace(INSTANCE, password="".join(KEPT)))
    service.listen(uuid4(), listener)
    calls: list[socket.socket] = []

    def connect() -> socket.socket:
        calls.append(socket.create_connection(listener.getsockname(), timeout=5))
        return calls[-1]

    yield connect
    for call in calls:
        call.close()
    service.close()


def test_tokens(local: Callable[[], socket.socket]) -> None:
    """IMDSv2: a token by PUT, good for later requests; a forged one, a missing lifetime and a proxied request are refused."""
    call = local()
    put = b"PUT /latest/api/token HTTP/1.1\r\nHost: x\r\n"
    status, headers, token = talk(call, put + b"X-aws-ec2-metadata-token-ttl-seconds: 60\r\n\r\n")
    assert (status, headers["x-aws-ec2-metadata-token-ttl-seconds"]) == (200, "60")
    get = b"GET /latest/meta-data/instance-id HTTP/1.1\r\nX-aws-ec2-metadata-token: %s\r\n\r\n"
    assert talk(call, get % token)[::2] == (200, b"i-0123456789abcdef0")
    assert talk(call, get % token.swapcase())[0] == 401
    assert talk(call, get % b"\xff*")[0] == 401
    assert talk(call, put + b"\r\n")[0] == 400
    assert talk(call, put + b"X-aws-ec2-metadata-token-ttl-seconds: 21601\r\n\r\n")[0] == 400
    assert talk(call, put + b"X-Forwarded-For: 1.2.3.4\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\n\r\n")[0] == 403
    assert talk(call, b"GET /latest/api/token HTTP/1.1\r\n\r\n")[0] == 405


def test_tokens_can_be_required() -> None:
    """Then nothing is told without one, in either dialect, and a token's answer travels as far as the instance allows."""
    listener = socket.create_server(("127.0.0.1", 0))
    service = Service(lambda network, ip: replace(INSTANCE, tokens_required=True, token_hops=3))
    service.listen(uuid4(), listener)
    try:
        with socket.create_connection(listener.getsockname(), timeout=5) as call:
            for path in (b"/latest/user-data", b"/openstack/latest/user_data", b"/"):
                assert talk(call, b"GET " + path + b" HTTP/1.1\r\n\r\n")[0] == 401
            put = b"PUT /latest/api/token HTTP/1.1\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\n\r\n"
            status, _, token = talk(call, put)
            assert status == 200
            head = b" HTTP/1.1\r\nX-aws-ec2-metadata-token: " + token + b"\r\n\r\n"
            assert talk(call, b"GET /latest/user-data" + head)[::2] == (200, INSTANCE.user_data)
            assert talk(call, b"GET /openstack/latest/user_data" + head)[::2] == (200, INSTANCE.user_data)
    finally:
        service.close()


def test_a_password_is_left_once(local: Callable[[], socket.socket]) -> None:
    """By POST, where OpenStack has it; what is too long, empty or no text is refused, a second one is a conflict, and other paths take
    none."""
    post = b"POST /openstack/latest/password HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s"
    assert talk(local(), post % (4, b"aaaa"))[0] == 200
    assert KEPT == ["aaaa"]
    assert talk(local(), post % (4, b"bbbb"))[0] == 409
    assert talk(local(), b"GET /openstack/latest/password HTTP/1.1\r\n\r\n")[::2] == (200, b"aaaa")
    KEPT.clear()
    assert talk(local(), post % (4, b"\xff\x00a\n"))[0] == 400
    assert talk(local(), post % (2000, b"a" * 2000))[0] == 413
    assert talk(local(), b"POST /openstack/latest/user_data HTTP/1.1\r\nContent-Length: 1\r\n\r\na")[0] == 413
    assert KEPT == []


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /latest/meta-data/ HTTP/1.1\r\n\r\n", 200),
        (b"HEAD /latest/user-data HTTP/1.0\r\n\r\n", 200),
        (b"POST / HTTP/1.1\r\n\r\n", 405),
        (b"DELETE /latest HTTP/1.1\r\n\r\n", 405),
        (b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 413),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 413),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET /%00%ff%2e%2e HTTP/1.1\r\n\r\n", 404),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 20000 + b"\r\n\r\n", 431),
    ],
)
def test_requests(local: Callable[[], socket.socket], request_: bytes, status: int) -> None:
    """Good, odd and hostile requests get a plain answer each."""
    call = local()
    call.sendall(request_)
    assert int(call.makefile("rb").readline().split()[1]) == status


def test_connections_are_limited(local: Callable[[], socket.socket]) -> None:
    """A guest that opens connections without end is shut out, and let in again when it closes some."""
    many = [local() for _ in range(metadata_server.CONNECTIONS_PER_CALLER_MAX)]
    for call in many:
        assert talk(call, b"GET / HTTP/1.1\r\n\r\n")[0] == 200
    with pytest.raises((ConnectionError, IndexError)):
        talk(local(), b"GET / HTTP/1.1\r\n\r\n")
    many[0].close()
    assert talk(many[1], b"GET / HTTP/1.1\r\n\r\n")[0] == 200


def test_an_instance_travels_unchanged() -> None:
    """Over the line between the worker and its metadata process, with every field set and with none; the longest fits in a message."""
    bare = InstanceMetadata(id=uuid4(), name="", hostname="", project_id="", ip="", mac="")
    full = replace(INSTANCE, user_data=bytes(range(256)) * 255, launched_at=datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC))
    for instance in (bare, full):
        packed = metadata_wire.pack({"answer": 1, "instance": metadata_wire.instance_to_wire(instance)})
        assert len(packed) < metadata_wire.MESSAGE_BYTES_MAX
        assert metadata_wire.instance_from_wire(json.loads(packed)["instance"]) == instance


def check_rights(pid: int | None) -> None:
    """Neither root nor any capability, nor a way to get them back; no file open but its log, its sockets and its loop."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    ids = {int(each) for name in ("Uid", "Gid") for each in status[name].split()}
    assert 0 not in ids
    assert status["Groups"].split() == []
    assert {int(status[name].strip(), 16) for name in ("CapPrm", "CapEff", "CapAmb")} == {0}
    assert status["NoNewPrivs"].strip() == "1"
    opened = {os.readlink(each).partition(":")[0] for each in Path(f"/proc/{pid}/fd").iterdir() if int(each.name) > 2}
    assert opened <= {"socket", "anon_inode"}


@pytest.mark.machines
def test_nobody_asks_what_is_no_question() -> None:
    """A process that was taken over says what it likes: wrong questions go unanswered, what is no message ends it, and the next one
    serves."""
    asked: list[tuple[UUID, str]] = []
    kept: list[tuple[UUID, str, str]] = []
    keeper = MetadataKeeper(lambda network, ip: asked.append((network, ip)), lambda *said: bool(kept.append(said)))
    try:
        eventually(lambda: keeper.pid is not None)
        assert keeper._line is not None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener = threading.Thread(target=keeper._listen_to, args=(ours,))
        listener.start()
        for bad in (b"{}", b'{"ask": "x"}', b'{"ask": 1, "network": "no", "ip": "1.2.3.4"}', b'{"ask": 1, "network": 7, "ip": []}'):
            theirs.send(bad)
        good = {"ask": 1, "network": str(uuid4()), "ip": "10.0.0.1"}
        theirs.send(metadata_wire.pack(good | {"ip": "10.0.0.1; drop"}))
        theirs.send(metadata_wire.pack(good))
        eventually(lambda: asked)
        assert asked == [(UUID(str(good["network"])), "10.0.0.1")]
        theirs.send(metadata_wire.pack(good | {"password": "x"}))
        eventually(lambda: kept)
        assert kept == [(asked[0][0], "10.0.0.1", "x")]
        theirs.send(b"[" * 200)
        listener.join(10)
        assert not listener.is_alive()
        ours.close()
        theirs.close()
    finally:
        asyncio.run(keeper.close())


@pytest.mark.machines
def test_who_asks(real_box: RealBox) -> None:
    """Two networks of the same addresses: guests of the same address get each their own answer; a listener goes with its network, and
    comes again when the network's namespace was made anew. Who answers has no rights at all, and is there again when killed."""
    fabric = LinuxFabric(real_box.home, real_box.name)
    cidr, gateway = IPv4Network("192.168.0.0/24"), IPv4Address("192.168.0.1")
    nets = [NetworkSpec(id=uuid4(), cidr=cidr, gateway=gateway, dns_domain="x", number=number) for number in (50, 51)]
    ports = [PortSpec(id=uuid4(), network_id=net.id, mac="52:54:00:00:00:0a", ip="192.168.0.10") for net in nets]
    spec = FabricSpec(networks=tuple(nets), ports=tuple(ports))
    fabric.apply(spec)
    keeper = MetadataKeeper(lambda network, ip: replace(INSTANCE, name=f"{network} {ip}"))
    guests = [Guest(real_box.name, port, net) for port, net in zip(ports, nets, strict=True)]
    names = {net.id: fabric.namespace_of(net.id) for net in nets}

    def name(guest: Guest) -> str:
        with guest.connect("169.254.169.254", 80) as call:
            return str(json.loads(talk(call, b"GET /openstack/latest/meta_data.json HTTP/1.1\r\n\r\n")[2])["name"])

    def sync(networks: dict[UUID, str]) -> None:
        asyncio.run(keeper.sync(networks))

    try:
        sync(names)
        for guest, net in zip(guests, nets, strict=True):
            guest.configure()
            assert name(guest) == f"{net.id} 192.168.0.10"
        check_rights(keeper.pid)
        sync({nets[0].id: names[nets[0].id]})
        assert guests[0].reaches("169.254.169.254", 80)
        assert not guests[1].reaches("169.254.169.254", 80)
        fabric.apply(FabricSpec(networks=(nets[0],), ports=(ports[0],)))
        fabric.apply(spec)
        sync(names)
        guests[1].remove()
        eventually(lambda: tap_name(ports[1].id) not in fabric.taps())
        guests[1] = Guest(real_box.name, ports[1], nets[1])
        guests[1].configure()
        assert name(guests[1]) == f"{nets[1].id} 192.168.0.10"
        before = keeper.pid
        assert before is not None
        os.kill(before, signal.SIGKILL)
        eventually(lambda: keeper.pid not in (before, None) and guests[0].reaches("169.254.169.254", 80))
        assert name(guests[0]) == f"{nets[0].id} 192.168.0.10"
        assert keeper.restarts == 1
    finally:
        last = keeper.pid
        asyncio.run(keeper.close())
        assert not Path(f"/proc/{last}").exists()
        for guest in guests:
            guest.remove()
        fabric.apply(FabricSpec())
