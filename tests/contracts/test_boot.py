"""One real boot of the demo image, with everything real around it: network, DHCP, metadata, console hub. Shared by all tests here."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import subprocess
import threading
import time
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from cloudbox.common.errors import Conflict
from compute.agent.console_hub import ConsoleHub
from compute.agent.metadata_keeper import MetadataKeeper
from compute.demo_image.build import build
from compute.drivers import iso9660
from compute.drivers.conversion import Workshop
from compute.drivers.fabric import LinuxFabric
from compute.drivers.libvirt import LibvirtHypervisor
from compute.drivers.qcow2 import FileImages, Qcow2Volumes
from compute.drivers.specs import DiskSpec, FabricSpec, MachineEvent, MachineSpec, NetworkSpec, NicSpec, PortSpec, Power, RuleSpec
from compute.metadata_tree import InstanceMetadata
from tests.machines import RealBox, eventually

pytestmark = [pytest.mark.machines, pytest.mark.slow]

BOOT_SECONDS = 180
PROMPT = b"# "


@dataclass
class Booted:
    """A running machine, the loop in which its hub and metadata live, and what the drivers told."""

    box: RealBox
    spec: MachineSpec
    hypervisor: LibvirtHypervisor
    hub: Path
    loop: asyncio.AbstractEventLoop
    port: PortSpec
    asked: list[tuple[UUID, str]] = field(default_factory=list)
    told: list[MachineEvent] = field(default_factory=list)

    def run(self, coroutine: Coroutine[Any, Any, Any], seconds: float = BOOT_SECONDS) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(seconds)


class Viewer:
    """Somebody at the console, by way of the hub."""

    def __init__(self, booted: Booted) -> None:
        self.booted, self.seen = booted, b""

    async def open(self, kind: str = "serial") -> dict[str, object]:
        self.reader, self.writer = await asyncio.open_unix_connection(str(self.booted.hub))
        self.writer.write(json.dumps({"instance": str(self.booted.spec.id), "kind": kind, "write": True}).encode() + b"\n")
        answer: dict[str, object] = json.loads(await self.reader.readline())
        return answer

    async def until(self, words: bytes) -> bytes:
        """What comes until it contains the words; the rest is kept."""
        while words not in self.seen:
            data = await asyncio.wait_for(self.reader.read(65536), BOOT_SECONDS)
            assert data, f"the console ended; it said: {self.seen[-2000:]!r}"
            self.seen += data
        before, _, self.seen = self.seen.partition(words)
        return before

    async def type(self, line: str) -> None:
        self.writer.write(line.encode() + b"\r")
        await self.writer.drain()


@pytest.fixture(scope="module")
def booted(real_libvirt: RealBox) -> Iterator[Booted]:
    box, image, id = real_libvirt, uuid4(), uuid4()
    built = box.home / "demo.qcow2"
    build(Path("/var/cache/cloudbox/demo-image"), built, print)
    images, volumes = FileImages(box.home), Qcow2Volumes(box.home)
    fabric = LinuxFabric(box.home, box.name)
    hypervisor = LibvirtHypervisor(box.home, box.name, accelerator="tcg")
    # What is undone even if the next line fails, last first.
    with contextlib.ExitStack() as undo:
        undo.callback(images.delete, image)
        # As a stranger's file: what all of these tests run on has been a stream-optimized VMDK on its way.
        workshop = Workshop(box.home, image)
        undo.callback(workshop.clear)
        _convert(built, workshop.source, "vmdk", "-o", "subformat=streamOptimized")
        stream, _ = workshop.take(workshop.convert(workshop.inspect(), print, virtual_max=2**30))
        with stream:
            images.put(image, stream)
        undo.callback(fabric.apply, FabricSpec())
        net, port = a_network()
        fabric.apply(FabricSpec(networks=(net,), ports=(port,)))
        undo.callback(volumes.delete, id)
        disk = volumes.create_root(id, base=images.path(image), size_gib=1)
        nic = NicSpec(port_id=port.id, network_id=net.id, mac=port.mac)
        drive = volumes.put_config_drive(id, iso9660.disc("cidata", {"user-data": b"#!/bin/sh\n"}, at=datetime(2026, 11, 23, tzinfo=UTC)))
        spec = MachineSpec(id=id, name="first", vcpus=1, memory_mib=128, root_disk=disk, nics=(nic,), config_drive=drive)

        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        undo.callback(thread.join)
        undo.callback(loop.call_soon_threadsafe, loop.stop)
        booted = Booted(box, spec, hypervisor, box.home / "run" / "console.sock", loop, port)
        undo.callback(hypervisor.close)
        undo.callback(hypervisor.watch(booted.told.append))

        def lookup(network: UUID, ip: str) -> InstanceMetadata:
            booted.asked.append((network, ip))
            script = b"#!/bin/sh\necho it-came-by-user-data >/root/proof\n"
            return InstanceMetadata(id=id, name="first", hostname="first", project_id="p", ip=ip, mac=port.mac, user_data=script)

        hub, metadata = ConsoleHub(booted.hub, log_of=hypervisor.console_log), MetadataKeeper(lookup)
        undo.callback(lambda: booted.run(metadata.close()))
        booted.run(metadata.sync({net.id: fabric.namespace_of(net.id)}))
        undo.callback(lambda: booted.run(hub.close()))
        booted.run(hub.start())
        undo.callback(hypervisor.undefine, id)
        undo.callback(hypervisor.stop, id)
        hypervisor.define(spec)
        began = time.monotonic()
        hypervisor.start(id)
        print(f"start() took {time.monotonic() - began:.2f} s")
        places = {"serial": hypervisor.serial_socket(id), "vnc": hypervisor.vnc_socket(id), "log": hypervisor.console_log(id)}
        booted.run(hub.watch(id, **places))
        yield booted


def _convert(source: Path, to: Path, driver: str, *options: str) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["qemu-img", "convert", "-O", driver, *options, source, to], check=True)


def test_the_demo_image_by_vhdx(booted: Booted) -> None:
    """Brought in as VHDX it is the same disk, to the byte."""
    workshop, found = Workshop(booted.box.home, uuid4()), []
    built = booted.box.home / "demo.qcow2"
    try:
        _convert(built, workshop.source, "vhdx")
        out = workshop.convert(workshop.inspect(), print, virtual_max=2**30)
        for path in (built, out):
            _convert(path, raw := workshop.folder / "raw", "raw")
            with raw.open("rb") as stream:
                found.append(hashlib.file_digest(stream, "sha256").hexdigest())
    finally:
        workshop.clear()
    assert found[0] == found[1]


@pytest.mark.parametrize("model", ["e1000e", "e1000"])
def test_network_cards(booted: Booted, model: str) -> None:
    """QEMU takes a machine with a card of that make; it runs nothing, since its system has no driver for it."""
    store, images, id = Qcow2Volumes(booted.box.home), FileImages(booted.box.home), uuid4()
    disk = store.create_root(id, base=images.path(next(images.all())), size_gib=1)
    nic = NicSpec(port_id=uuid4(), network_id=booted.port.network_id, mac="52:54:00:66:00:07", model=model)
    try:
        booted.hypervisor.define(replace(booted.spec, id=id, name=model, memory_mib=64, root_disk=disk, nics=(nic,)))
        booted.hypervisor.start(id, paused=True)
        assert booted.hypervisor.nics(id) == {nic.mac}
    finally:
        booted.hypervisor.stop(id)
        booted.hypervisor.undefine(id)
        store.delete(id)


def a_network() -> tuple[NetworkSpec, PortSpec]:
    """One with the machine's port on it, which lets pings in."""
    cidr, gateway = IPv4Network("10.66.0.0/24"), IPv4Address("10.66.0.1")
    net = NetworkSpec(id=uuid4(), cidr=cidr, gateway=gateway, dns_domain="demo.internal", number=100)
    rules = (RuleSpec(id=uuid4(), direction="egress"), RuleSpec(id=uuid4(), direction="ingress", protocol="icmp", remote="0.0.0.0/0"))
    return net, PortSpec(id=uuid4(), network_id=net.id, mac="52:54:00:66:00:05", ip="10.66.0.5", hostname="first", rules=rules)


def test_a_shell_on_the_console(booted: Booted) -> None:
    """The guest boots by its own GRUB to a shell on the serial line; typed through the hub, it answers, and a second viewer who comes
    late sees what was said before and the same words since."""

    async def scene() -> None:
        first = Viewer(booted)
        assert (await first.open())["ok"] is True
        began = time.monotonic()
        await first.until(PROMPT)
        print(f"a prompt after {time.monotonic() - began:.1f} s")
        await first.type("echo $((6 * 7))-is-the-answer")
        await first.until(b"42-is-the-answer")
        late = Viewer(booted)
        answer = await late.open()
        assert isinstance(answer["history"], int)
        await late.until(b"42-is-the-answer")
        await late.type("echo $((6 * 9))-from-the-second")
        await first.until(b"54-from-the-second")
        await late.until(b"54-from-the-second")

    booted.run(scene())


def test_what_the_guest_found(booted: Booted) -> None:
    """By DHCP its reserved address, by metadata its name and user-data, by the grown root file system its disk, by DNS the box's."""

    async def scene() -> None:
        viewer = Viewer(booted)
        await viewer.open()
        await viewer.type(
            "until [ -e /root/proof ]; do usleep 200000; done; cat /root/proof; hostname; ip -4 addr show dev eth0; echo done-$((1+1))"
        )
        said = await viewer.until(b"done-2\r\n")
        assert b"it-came-by-user-data\r\n" in said
        assert b"\nfirst\r\n" in said
        assert b"inet 10.66.0.5/24" in said
        await viewer.type(
            "df -m / | tail -1 | awk '{print \"size-\" ($2 > 900)}'; nslookup first.demo.internal; ping -c1 10.66.0.1; echo ping-$?"
        )
        said = await viewer.until(b"ping-0\r\n")
        assert b"size-1\r\n" in said
        assert said.count(b"10.66.0.5") >= 1

    booted.run(scene())
    assert set(booted.asked) == {(booted.port.network_id, "10.66.0.5")}


def test_the_config_drive(booted: Booted) -> None:
    """The guest has the disc as a disk behind its own: read-only, with its label, and of its length."""
    told = run_inside(booted, "cat /sys/block/vdb/ro /sys/block/vdb/size; dd if=/dev/vdb bs=1 skip=32808 count=6 2>/dev/null; echo")
    read_only, sectors, label = told.split()
    assert (read_only, label) == (b"1", b"cidata")
    assert booted.spec.config_drive is not None
    assert int(sectors) * 512 == booted.spec.config_drive.stat().st_size


def test_the_picture(booted: Booted) -> None:
    """VNC passes through the hub: the server greets with its protocol version; and the screen is a PNG of a text console's size."""

    async def scene() -> bytes:
        viewer = Viewer(booted)
        assert (await viewer.open("vnc"))["ok"] is True
        return await viewer.until(b"\n")

    assert booted.run(scene()).startswith(b"RFB 003.00")
    assert booted.hypervisor.screenshot(booted.spec.id).startswith(b"\x89PNG")


def test_memory_is_measured(booted: Booted) -> None:
    """The guest's balloon driver says what it uses."""

    def used() -> int | None:
        return next(row.memory_used_mib for row in booted.hypervisor.stats() if row.id == booted.spec.id)

    eventually(lambda: used() is not None)
    assert 0 < (used() or 0) < 128


def test_the_agent(booted: Booted) -> None:
    """The demo image's agent tells its system, its addresses and its disk; holds its file systems still, twice as well as once, so that a
    program that writes waits until they are thawed; and sets a password."""
    machine, hypervisor = booted.spec.id, booted.hypervisor
    eventually(lambda: hypervisor.guest(machine) is not None, seconds=60)

    def addresses() -> list[str]:
        told = hypervisor.guest(machine)
        return [address for card in (told.cards if told else ()) for address in card.addresses]

    eventually(lambda: "10.66.0.5/24" in addresses(), seconds=60)
    told = hypervisor.guest(machine)
    assert told is not None
    print(told)
    assert told.hostname
    assert "Cloudbox" in told.os
    assert told.kernel.startswith("6.")
    root = next(each for each in told.file_systems if each.mountpoint == "/")
    assert (root.type, root.used_bytes is not None and 0 < root.used_bytes < (root.total_bytes or 0)) == ("ext4", True)

    async def scene() -> None:
        viewer = Viewer(booted)
        await viewer.open()
        await viewer.until(PROMPT)
        assert await asyncio.to_thread(hypervisor.freeze, machine)
        assert await asyncio.to_thread(hypervisor.freeze, machine)
        await viewer.type("echo asked-$((1+1)); echo x >/root/frozen; echo written-$((1+1))")
        await viewer.until(b"asked-2\r\n")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                while True:  # what is typed is told back; the last words are not said
                    viewer.seen += await viewer.reader.read(65536)
        assert b"written-2" not in viewer.seen
        await asyncio.to_thread(hypervisor.thaw, machine)
        await viewer.until(b"written-2\r\n")

    try:
        booted.run(scene())
    finally:
        hypervisor.thaw(machine)
    hypervisor.set_password(machine, "root", "a new 'pass\"word")
    with pytest.raises(Conflict, match="Does that account exist"):
        hypervisor.set_password(machine, "nobody-of-that-name", "x")


def test_a_card_in_the_guest(booted: Booted) -> None:
    """Put in while it runs, with its firewall there before it: the guest gets its address by DHCP. Taken out again, it is gone."""
    machine, hypervisor = booted.spec.id, booted.hypervisor
    fabric = LinuxFabric(booted.box.home, booted.box.name)
    net, _ = a_network()
    net = replace(net, id=booted.port.network_id)
    second = replace(booted.port, id=uuid4(), mac="52:54:00:66:00:06", ip="10.66.0.6", hostname="first-1")
    fabric.apply(FabricSpec(networks=(net,), ports=(booted.port, second)))
    nic = NicSpec(port_id=second.id, network_id=net.id, mac=second.mac)
    hypervisor.attach_nic(machine, nic)
    hypervisor.attach_nic(machine, nic)
    assert len(hypervisor.nics(machine)) == 2

    def addresses() -> list[str]:
        told = hypervisor.guest(machine)
        return [address for card in (told.cards if told else ()) for address in card.addresses]

    eventually(lambda: "10.66.0.6/24" in addresses(), seconds=60)
    eventually(lambda: hypervisor.detach_nic(machine, second.mac), seconds=60)
    eventually(lambda: "10.66.0.6/24" not in addresses())
    assert hypervisor.nics(machine) == {booted.port.mac}
    fabric.apply(FabricSpec(networks=(net,), ports=(booted.port,)))


def test_a_volume_in_the_guest(booted: Booted) -> None:
    """Attached while it runs, found by its serial, written to, grown under the guest's feet, let go and attached again: the same bytes."""
    store, id = Qcow2Volumes(booted.box.home), uuid4()
    disk = DiskSpec(volume_id=id, path=store.create_volume(id, size_gib=1))
    machine = booted.spec.id
    # By the serial, as the kernel tells it: this small guest has no udev.
    device = f"$(basename $(dirname $(grep -l {disk.serial} /sys/block/*/serial)))"
    there, gone = f"grep -q {disk.serial} /sys/block/*/serial", f"! grep -q {disk.serial} /sys/block/*/serial"

    async def told(viewer: Viewer, line: str, mark: str) -> bytes:
        await viewer.type(f"{line}; echo {mark}-$((1+1))")
        return await viewer.until(f"{mark}-2\r\n".encode())

    async def scene() -> None:
        viewer = Viewer(booted)
        await viewer.open()
        await asyncio.to_thread(booted.hypervisor.attach_disk, machine, disk)
        await told(viewer, f"until {there}; do usleep 200000; done; echo kept-by-the-volume | dd of=/dev/{device} conv=fsync", "written")
        assert await asyncio.to_thread(booted.hypervisor.resize_disk, machine, id, 2)
        await told(viewer, f"until [ $(cat /sys/block/{device}/size) = {2 * 2**30 // 512} ]; do usleep 200000; done", "grown")
        # The guest's answer comes with its next breath, or in five seconds if it blinks its lamp first.
        await asyncio.to_thread(eventually, lambda: booted.hypervisor.detach_disk(machine, id))
        await told(viewer, f"until {gone}; do usleep 200000; done", "gone")
        await asyncio.to_thread(booted.hypervisor.attach_disk, machine, disk)
        said = await told(viewer, f"until {there}; do usleep 200000; done; head -c 18 /dev/{device}", "read")
        assert b"kept-by-the-volume" in said

    booted.run(scene())
    eventually(lambda: booted.hypervisor.detach_disk(machine, id), seconds=30)
    store.delete_volume(id)


def test_reboot_and_power_off(booted: Booted) -> None:
    """A soft reboot comes up again on the same console, whose log keeps both boots; the power button then ends it, and that is told as
    the guest's own doing."""

    async def scene() -> None:
        viewer = Viewer(booted)
        await viewer.open()
        await viewer.type("echo before-$((1+1)); uname -s >/dev/null")
        await viewer.until(b"before-2\r\n")
        await asyncio.to_thread(booted.hypervisor.reboot, booted.spec.id)
        # The greeting comes once a boot; the first boot's has gone by before this viewer typed.
        await viewer.until(b"Cloudbox demo image")
        await viewer.until(PROMPT)
        await viewer.type("echo after-$((1+1))")
        await viewer.until(b"after-2\r\n")

    booted.run(scene())
    log = booted.hypervisor.console_log(booted.spec.id)
    eventually(lambda: b"after-2\r\n" in log.read_bytes())  # QEMU writes the log after it has told the viewers
    assert log.read_bytes().index(b"before-2\r\n") < log.read_bytes().index(b"after-2\r\n")
    booted.hypervisor.shutdown(booted.spec.id)
    eventually(lambda: booted.told[-1].power is Power.POWERED_OFF, seconds=90)
    assert booted.told[-1].why == "guest powered off"
    booted.hypervisor.start(booted.spec.id)


def run_inside(booted: Booted, line: str) -> bytes:
    """What a shell line in the guest prints, by way of its agent."""
    import libvirt_qemu

    def ask(order: str, **arguments: Any) -> Any:
        with booted.hypervisor._domain(booted.spec.id) as domain:
            return json.loads(libvirt_qemu.qemuAgentCommand(domain, json.dumps({"execute": order, "arguments": arguments}), 20, 0))[
                "return"
            ]

    pid = ask("guest-exec", path="/bin/sh", arg=["-c", line], **{"capture-output": True})["pid"]
    while not (done := ask("guest-exec-status", pid=pid))["exited"]:
        time.sleep(0.1)
    return base64.b64decode(done.get("out-data", ""))


def test_rescue(booted: Booted) -> None:
    """Defined with a rescue disk of its own image, whose labels are the same as its disk's, it boots from the rescue disk; and the own
    disk is the second, with all that was on it."""
    images, store = FileImages(booted.box.home), Qcow2Volumes(booted.box.home)
    machine, hypervisor = booted.spec.id, booted.hypervisor
    rescue = store.create_rescue(machine, base=images.path(next(images.all())))
    eventually(lambda: hypervisor.guest(machine) is not None, seconds=BOOT_SECONDS)
    run_inside(booted, "echo of-the-own-disk >/root/kept; sync")
    hypervisor.stop(machine)
    hypervisor.define(replace(booted.spec, rescue_disk=rescue))
    hypervisor.start(machine)
    eventually(lambda: hypervisor.guest(machine) is not None, seconds=BOOT_SECONDS)
    told = hypervisor.guest(machine)
    assert told is not None
    assert [each.disk for each in told.file_systems if each.mountpoint == "/"] == ["vda1"]
    assert run_inside(booted, "cat /sys/block/vda/serial") == b"rescue"
    assert run_inside(booted, "mount /dev/vdb1 /mnt; cat /mnt/root/kept; umount /mnt") == b"of-the-own-disk\n"
    hypervisor.stop(machine)
    hypervisor.define(booted.spec)
    store.drop_rescue(machine)
    hypervisor.start(machine)
