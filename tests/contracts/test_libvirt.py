"""What LibvirtHypervisor promises beyond the contract: it survives its daemon, and QEMU is nobody of importance."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from cloudbox.common.errors import Unavailable
from compute.drivers.libvirt import LibvirtHypervisor
from compute.drivers.qemu_user import qemu_user
from compute.drivers.specs import MachineEvent, MachineSpec, Power
from tests.machines import RealBox, eventually

pytestmark = pytest.mark.machines


@pytest.fixture
def hypervisor(real_libvirt: RealBox) -> Iterator[LibvirtHypervisor]:
    driver = LibvirtHypervisor(real_libvirt.home, real_libvirt.name, accelerator="tcg")
    yield driver
    driver.close()


def process_of(box: RealBox, spec: MachineSpec) -> int:
    return int((box.home / "run" / "libvirt" / "qemu" / f"{box.name}-{spec.id}.pid").read_text())


def test_the_daemon_is_killed_and_comes_back(
    real_libvirt: RealBox, hypervisor: LibvirtHypervisor, new_machine: Callable[..., MachineSpec]
) -> None:
    """kill -9 of libvirtd under a running machine: calls are Unavailable; with the daemon back the same objects work, the machine
    never stopped, and the watcher reports it once more and goes on telling changes."""
    spec, told = new_machine(), list[MachineEvent]()
    hypervisor.define(spec)
    hypervisor.start(spec.id)
    end = hypervisor.watch(told.append)
    eventually(lambda: told)
    real_libvirt.kill_libvirtd()
    with pytest.raises(Unavailable):
        hypervisor.power(spec.id)
    with pytest.raises(Unavailable):
        hypervisor.all()
    told.clear()
    real_libvirt.start_libvirtd()
    assert hypervisor.power(spec.id) is Power.RUNNING
    eventually(lambda: [(each.id, each.power) for each in told] == [(spec.id, Power.RUNNING)])
    hypervisor.stop(spec.id)
    eventually(lambda: told[-1].power is Power.SHUTOFF)
    end()


@pytest.mark.parametrize("bus", ["scsi", "sata"])
def test_disk_buses(hypervisor: LibvirtHypervisor, new_machine: Callable[..., MachineSpec], bus: str) -> None:
    """QEMU takes a machine whose disk is on that bus, and its firmware boots from it."""
    spec = replace(new_machine(), disk_bus=bus)
    hypervisor.define(spec)
    hypervisor.start(spec.id)
    eventually(lambda: b">" in hypervisor.console_log(spec.id).read_bytes())
    hypervisor.stop(spec.id)


def test_qemu_dies(real_libvirt: RealBox, hypervisor: LibvirtHypervisor, new_machine: Callable[..., MachineSpec]) -> None:
    """kill -9 of QEMU is told as a crash, and the machine can be started again."""
    spec, told = new_machine(), list[MachineEvent]()
    end = hypervisor.watch(told.append)
    hypervisor.define(spec)
    hypervisor.start(spec.id)
    os.kill(process_of(real_libvirt, spec), signal.SIGKILL)
    eventually(lambda: told and told[-1].power is Power.CRASHED)
    assert hypervisor.power(spec.id) is Power.CRASHED
    hypervisor.start(spec.id)
    eventually(lambda: told[-1].power is Power.RUNNING)
    end()


def test_the_host_ends_qemu(real_libvirt: RealBox, hypervisor: LibvirtHypervisor, new_machine: Callable[..., MachineSpec]) -> None:
    """A host that goes down sends QEMU a SIGTERM, and libvirt then says what it says of a guest that powered itself off. It is told
    as a crash all the same: the guest did not want that. Started and powered off from inside, it is the guest's wish again."""
    spec, told = new_machine(), list[MachineEvent]()
    end = hypervisor.watch(told.append)
    hypervisor.define(spec)
    hypervisor.start(spec.id)
    os.kill(process_of(real_libvirt, spec), signal.SIGTERM)
    eventually(lambda: told and told[-1].power is Power.CRASHED)
    assert hypervisor.power(spec.id) is Power.CRASHED
    hypervisor.start(spec.id)
    assert hypervisor.power(spec.id) is Power.RUNNING
    end()


def test_powered_off_while_nobody_watched(
    real_libvirt: RealBox,
    hypervisor: LibvirtHypervisor,
    new_machine: Callable[..., MachineSpec],
    power_off_inside: Callable[[UUID], None],
) -> None:
    """The guest powers itself off, first while no worker runs, then while even libvirtd is down: who comes later still learns it."""
    spec = new_machine()
    hypervisor.define(spec)
    hypervisor.start(spec.id)
    power_off_inside(spec.id)
    later, told = LibvirtHypervisor(real_libvirt.home, real_libvirt.name, accelerator="tcg"), list[MachineEvent]()
    eventually(lambda: later.power(spec.id) is Power.POWERED_OFF)
    end = later.watch(told.append)
    eventually(lambda: [each.power for each in told if each.id == spec.id] == [Power.POWERED_OFF])
    end()
    later.start(spec.id)
    real_libvirt.kill_libvirtd()
    power_off_inside(spec.id)
    # QEMU stays, switched off, until libvirtd is there to take note.
    real_libvirt.start_libvirtd()
    eventually(lambda: later.power(spec.id) is Power.POWERED_OFF)
    later.close()


def test_qemu_is_unprivileged(real_libvirt: RealBox, hypervisor: LibvirtHypervisor, new_machine: Callable[..., MachineSpec]) -> None:
    """The process runs as QEMU's own user without capabilities, in the box's network namespace, and can write its own disk only."""
    spec = new_machine()
    hypervisor.define(spec)
    hypervisor.start(spec.id)
    pid = process_of(real_libvirt, spec)
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    assert {int(each) for each in status["Uid"].split()} == {qemu_user().uid}
    assert int(status["CapEff"].strip(), 16) == 0
    assert os.stat(f"/proc/{pid}/ns/net").st_ino == os.stat(f"/run/netns/{real_libvirt.name}").st_ino
    assert spec.root_disk.stat().st_uid == qemu_user().uid
    assert spec.root_disk.stat().st_mode & 0o777 == 0o600
    for image in (real_libvirt.home / "images").iterdir():
        assert image.stat().st_uid == 0
        assert image.stat().st_mode & 0o222 == 0


def test_without_a_daemon_nothing_hangs(tmp_path: Path) -> None:
    """A home where no libvirtd runs: Unavailable at once, and a watcher can still be made and ended."""
    driver = LibvirtHypervisor(tmp_path, "cbx-none", accelerator="tcg")
    with pytest.raises(Unavailable):
        driver.all()
    driver.watch(lambda event: None)()
