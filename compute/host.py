"""This host's drivers, as chosen in the settings. Only the worker touches them; web processes read files that it leaves."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from uuid import UUID

from django.conf import settings

from compute.drivers.base import Fabric, Hypervisor, ImageStore, VolumeStore
from compute.drivers.conversion import Workshop
from compute.drivers.uploads import Uploads


def _home() -> Path:
    return Path(settings.HOME)


@cache
def hypervisor() -> Hypervisor:
    if settings.DRIVERS == "fake":
        from compute.drivers.fake import FakeHypervisor

        return FakeHypervisor(_home())
    from compute.drivers.libvirt import LibvirtHypervisor

    return LibvirtHypervisor(_home(), settings.BOX_NAME, accelerator=settings.ACCELERATOR)


@cache
def volumes() -> VolumeStore:
    if settings.DRIVERS == "fake":
        from compute.drivers.fake import FakeVolumes

        return FakeVolumes(_home())
    from compute.drivers.qcow2 import Qcow2Volumes

    return Qcow2Volumes(_home())


@cache
def images() -> ImageStore:
    if settings.DRIVERS == "fake":
        from compute.drivers.fake import FakeImages

        return FakeImages(_home())
    from compute.drivers.qcow2 import FileImages

    return FileImages(_home())


def workshop(id: UUID) -> Workshop:
    """Where the file of an image is worked on until it is one."""
    return Workshop(_home(), id)


def uploads() -> Uploads:
    """What web processes took in for images. They write it, and give it back to who asks for it."""
    return Uploads(_home())


def workshops() -> set[UUID]:
    """Those that were begun and not cleared."""
    folder = _home() / "imports"
    return {UUID(each.name) for each in folder.iterdir() if len(each.name) == 36} if folder.exists() else set()


@cache
def fabric() -> Fabric:
    if settings.DRIVERS == "fake":
        from compute.drivers.fake import FakeFabric

        return FakeFabric()
    from compute.drivers.fabric import LinuxFabric

    return LinuxFabric(_home(), settings.BOX_NAME)


def reset() -> None:
    """Forget the drivers, so that a test starts with new ones."""
    for driver in (hypervisor, volumes, images, fabric):
        driver.cache_clear()
