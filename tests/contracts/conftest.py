"""Each interface of compute.drivers.base as a fixture with two lives: the fake, and the real one (marked `machines`)."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from compute.drivers.base import Fabric, Hypervisor, ImageStore, VolumeStore
from compute.drivers.fabric import LinuxFabric
from compute.drivers.fake import FakeFabric, FakeHypervisor, FakeImages, FakeVolumes
from compute.drivers.libvirt import LibvirtHypervisor
from compute.drivers.qcow2 import FileImages, Qcow2Volumes
from compute.drivers.specs import FabricSpec, MachineSpec, Power
from tests.machines import RealBox, real_box, real_libvirt

__all__ = ["real_box", "real_libvirt"]

BOTH = ["fake", pytest.param("real", marks=pytest.mark.machines)]


@pytest.fixture(scope="session")
def empty_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A qcow2 file with nothing in it: a machine that starts, and finds no system."""
    path = tmp_path_factory.mktemp("disks") / "empty.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "16M"], check=True)
    return path


@pytest.fixture(params=BOTH)
def hypervisor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hypervisor]:
    driver: FakeHypervisor | LibvirtHypervisor
    if request.param == "fake":
        driver = FakeHypervisor(tmp_path)
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
def new_machine(hypervisor: Hypervisor, empty_disk: Path) -> Iterator[Callable[..., MachineSpec]]:
    """Makes the spec of a small machine with a disk of its own."""
    home = hypervisor.home  # type: ignore[attr-defined]
    volumes, images, made = Qcow2Volumes(home), FileImages(home), []
    image = uuid4()
    with empty_disk.open("rb") as source:
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


@pytest.fixture(params=["fake", "real"])
def volumes(request: pytest.FixtureRequest, tmp_path: Path) -> VolumeStore:
    return FakeVolumes(tmp_path) if request.param == "fake" else Qcow2Volumes(tmp_path)


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
