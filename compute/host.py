"""This host's drivers, as chosen in the settings. Only the worker touches them; web processes read files that it leaves."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from django.conf import settings

from compute.drivers.base import Fabric, Hypervisor, ImageStore, VolumeStore


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
