"""A real cloud-init in a real Debian: told by the metadata service, and by a disk on a network where nothing else tells.

Each boot takes minutes where the processor is a program (TCG), so they are one after the other, and end after a quarter of an hour.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from compute import config_drives, first_boot
from compute.agent.metadata_keeper import MetadataKeeper
from compute.drivers import iso9660
from compute.drivers.fabric import LinuxFabric
from compute.drivers.libvirt import LibvirtHypervisor
from compute.drivers.qcow2 import FileImages, Qcow2Volumes
from compute.drivers.specs import FabricSpec, MachineSpec, NicSpec
from compute.metadata_tree import Card, InstanceMetadata
from compute.models import ConfigDrive
from tests.contracts.test_boot import a_network
from tests.long import cloud_image
from tests.machines import RealBox

pytestmark = [
    pytest.mark.machines,
    pytest.mark.slow,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(shutil.which("mmdebstrap") is None, reason="there is no mmdebstrap here (apt-get install mmdebstrap)"),
]

BOOT_SECONDS = 900
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ9b1yAE7Ae1Wi1pY9H9dIRK0Y5BtVg2YdB8SF2gKXpW me@laptop"
SCRIPT = b"""#!/bin/sh
{
  echo "proof-host $(hostname) of $(hostname -f)"
  echo "proof-keys $(cat /root/.ssh/authorized_keys /home/*/.ssh/authorized_keys 2>/dev/null | grep -c ' me@laptop')"
  echo "proof-address $(ip -4 -o addr show dev eth0 | sed 's/.*inet //;s/ .*//')"
  echo "proof-id $(cat /run/cloud-init/cloud-id)"
  echo proof-end
} > /dev/console
"""


@pytest.fixture(scope="module")
def image(real_libvirt: RealBox) -> Iterator[UUID]:
    id, images = uuid4(), FileImages(real_libvirt.home)
    began = time.monotonic()
    with cloud_image.image().open("rb") as stream:
        images.put(id, stream)
    print(f"the image was there after {time.monotonic() - began:.0f} s")
    yield id
    images.delete(id)


def _boot(box: RealBox, image: UUID, *, drive: ConfigDrive | None) -> tuple[str, bool]:
    """Boot once; what the console said until cloud-init was done, and whether the metadata service was asked. With a drive, the network
    has neither DHCP nor that service."""
    id = uuid4()
    network, port = a_network()
    network = replace(network, dhcp=drive is None)
    told = InstanceMetadata(
        id=id,
        name="first",
        hostname="first",
        project_id="p",
        ip=port.ip,
        mac=port.mac,
        public_keys=(("laptop", KEY),),
        user_data=SCRIPT,
        dns_domain=network.dns_domain,
        cards=(
            Card(
                port_id=str(port.id),
                network_id=str(network.id),
                mac=port.mac,
                ip=port.ip,
                cidr=str(network.cidr),
                gateway=str(network.gateway),
                dhcp=network.dhcp,
                dns_servers=(str(network.gateway),),
            ),
        ),
    )
    asked: list[str] = []

    def lookup(_: UUID, ip: str) -> InstanceMetadata:
        asked.append(ip)
        return told

    volumes, images, fabric = Qcow2Volumes(box.home), FileImages(box.home), LinuxFabric(box.home, box.name)
    hypervisor = LibvirtHypervisor(box.home, box.name, accelerator="tcg")
    with contextlib.ExitStack() as undo:
        undo.callback(hypervisor.close)
        undo.callback(fabric.apply, FabricSpec())
        fabric.apply(FabricSpec(networks=(network,), ports=(port,)))
        undo.callback(volumes.delete, id)
        disk = volumes.create_root(id, base=images.path(image), size_gib=3)
        path = None
        if drive is not None:
            disc = iso9660.disc(config_drives.LABELS[drive], config_drives.files(told, drive), at=datetime.now(UTC))
            path = volumes.put_config_drive(id, disc)
        nic = NicSpec(port_id=port.id, network_id=network.id, mac=port.mac)
        spec = MachineSpec(id=id, name="first", vcpus=1, memory_mib=512, root_disk=disk, nics=(nic,), config_drive=path)
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        undo.callback(thread.join)
        undo.callback(loop.call_soon_threadsafe, loop.stop)
        if drive is None:
            metadata = MetadataKeeper(lookup)
            undo.callback(lambda: asyncio.run_coroutine_threadsafe(metadata.close(), loop).result(30))
            served = {network.id: fabric.namespace_of(network.id)}
            asyncio.run_coroutine_threadsafe(metadata.sync(served), loop).result(30)
        undo.callback(hypervisor.undefine, id)
        undo.callback(hypervisor.stop, id)
        hypervisor.define(spec)
        began = time.monotonic()
        hypervisor.start(id)
        said = _until_done(hypervisor.console_log(id))
        stats = next((each for each in hypervisor.stats() if each.id == id), None)
        cpu = stats.cpu_ns / 1e9 if stats else 0
        print(f"{drive or 'the metadata service'}: done after {time.monotonic() - began:.0f} s, {cpu:.0f} of its processor")
        print(first_boot.read(said).sentence, re.findall(r"proof-[^\r\n]*", said))
    return said, bool(asked)


def _until_done(log: Path) -> str:
    until, said = time.monotonic() + BOOT_SECONDS, ""
    while time.monotonic() < until:
        said = log.read_text(errors="replace") if log.exists() else ""
        if first_boot.read(said).seconds is not None and "proof-end" in said:
            return said
        time.sleep(1)
    raise AssertionError(f"cloud-init was not done in {BOOT_SECONDS} s. The console said: {said[-6000:]}")


def _check(said: str, *, source: str, id: str) -> None:
    told = first_boot.read(said)
    assert (told.status, told.datasource) == ("done", source), (told.sentence, [line.text for line in told.lines if line.is_trouble])
    proofs = dict(re.findall(r"proof-(\w+) ([^\r\n]*)", said))
    assert proofs["host"].split()[0].partition(".")[0] == "first", proofs
    assert proofs["keys"] != "0", proofs
    assert (proofs["address"], proofs["id"]) == ("10.66.0.5/24", id), proofs


def test_by_the_metadata_service(real_libvirt: RealBox, image: UUID) -> None:
    """DHCP gives the address; name, key and script come from 169.254.169.254, which cloud-init finds by itself."""
    said, asked = _boot(real_libvirt, image, drive=None)
    assert asked
    _check(said, source="DataSourceOpenStackLocal", id="openstack")


def test_by_nocloud(real_libvirt: RealBox, image: UUID) -> None:
    """No DHCP and no metadata service: address, name, key and script are all on the disk labelled cidata."""
    said, _ = _boot(real_libvirt, image, drive=ConfigDrive.NOCLOUD)
    _check(said, source="DataSourceNoCloud", id="cloudbox")


def test_by_openstacks_drive(real_libvirt: RealBox, image: UUID) -> None:
    """The same from the disk labelled config-2."""
    said, _ = _boot(real_libvirt, image, drive=ConfigDrive.OPENSTACK)
    _check(said, source="DataSourceConfigDrive", id="configdrive")
