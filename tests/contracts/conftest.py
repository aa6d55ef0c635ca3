"""Each interface of compute.drivers.base as a fixture with two lives: the fake, and the real one (marked `machines`)."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from compute.drivers.base import Fabric, Hypervisor, ImageStore, VolumeStore
from compute.drivers.fabric import LinuxFabric
from compute.drivers.fake import FakeFabric, FakeHypervisor, FakeImages, FakeVolumes
from compute.drivers.libvirt import LibvirtHypervisor
from compute.drivers.qcow2 import FileImages, Qcow2Volumes
from compute.drivers.specs import FabricSpec, MachineSpec, Power
from tests.machines import RealBox, eventually, real_box, real_libvirt

__all__ = ["real_box", "real_libvirt"]

BOTH = ["fake", pytest.param("real", marks=pytest.mark.machines)]


# Says ">" on the serial line (data port 0x3f8), waits for a byte there (status port 0x3fd, bit 0), says "<" and powers the machine off
# by ACPI: 0x604 is where SeaBIOS puts the control register of a q35, 0x2000 its "sleep now", with S5 as type 0.
BOOT_SECTOR = (
    bytes.fromhex(
        "ba f803 b0 3e ee  ba fd03 ec a801 74fb  ba f803 b0 3c ee  ba 0406 b8 0020 ef f4 ebfd",
    ).ljust(510, b"\0")
    + b"\x55\xaa"
)


@pytest.fixture(scope="session")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A qcow2 file with the smallest of systems: it does nothing but power off when it gets a byte."""
    folder = tmp_path_factory.mktemp("disks")
    (folder / "raw").write_bytes(BOOT_SECTOR.ljust(16 * 1024**2, b"\0"))
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", folder / "raw", folder / "small.qcow2"], check=True)
    return folder / "small.qcow2"


@pytest.fixture(params=BOTH)
def hypervisor(request: pytest.FixtureRequest, short_path: Path) -> Iterator[Hypervisor]:
    driver: FakeHypervisor | LibvirtHypervisor
    if request.param == "fake":
        driver = FakeHypervisor(short_path)
    else:
        box: RealBox = request.getfixturevalue("real_libvirt")
        driver = LibvirtHypervisor(box.home, box.name, accelerator="tcg")
    yield driver
    for id, power in driver.all().items():
        if power in (Power.RUNNING, Power.PAUSED):
            driver.stop(id)
        driver.undefine(id)
    driver.close()


@pytest.fixture
def new_machine(hypervisor: Hypervisor, small_disk: Path) -> Iterator[Callable[..., MachineSpec]]:
    """Makes the spec of a small machine with a disk of its own."""
    home = hypervisor.home  # type: ignore[attr-defined]
    volumes, images, made = Qcow2Volumes(home), FileImages(home), []
    image = uuid4()
    with small_disk.open("rb") as source:
        images.put(image, source)

    def make(name: str = "one") -> MachineSpec:
        id = uuid4()
        made.append(id)
        return MachineSpec(id=id, name=name, vcpus=1, memory_mib=32, root_disk=volumes.create_root(id, base=images.path(image), size_gib=1))

    yield make
    for id in made:
        if hypervisor.power(id) in (Power.RUNNING, Power.PAUSED):
            hypervisor.stop(id)
        hypervisor.undefine(id)
        volumes.delete(id)
    images.delete(image)


@pytest.fixture
def power_off_inside(hypervisor: Hypervisor) -> Callable[[UUID], None]:
    """What somebody does who types `poweroff` in the guest."""

    def power_off(id: UUID) -> None:
        if isinstance(hypervisor, FakeHypervisor):
            hypervisor.guest_poweroff(id)
            return
        log = hypervisor.console_log(id)
        eventually(lambda: log.exists() and log.read_bytes().endswith(b">"))  # else the byte could come before who waits for it
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(hypervisor.serial_socket(id)))
            line.sendall(b"x")
            eventually(lambda: log.read_bytes().endswith(b"<"))

    return power_off


@pytest.fixture(params=["fake", "real"])
def volumes(request: pytest.FixtureRequest, short_path: Path) -> VolumeStore:
    short_path.chmod(0o711)  # as a box's home: QEMU's user passes through
    return FakeVolumes(short_path) if request.param == "fake" else Qcow2Volumes(short_path)


@pytest.fixture(params=["fake", "real"])
def images(request: pytest.FixtureRequest, tmp_path: Path) -> ImageStore:
    return FakeImages(tmp_path) if request.param == "fake" else FileImages(tmp_path)


@pytest.fixture(params=BOTH)
def fabric(request: pytest.FixtureRequest) -> Iterator[Fabric]:
    if request.param == "fake":
        yield FakeFabric()
        return
    box: RealBox = request.getfixturevalue("real_box")
    driver = LinuxFabric(box.home, box.name)
    yield driver
    driver.apply(FabricSpec())
