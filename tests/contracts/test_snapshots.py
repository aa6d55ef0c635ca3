"""The contracts of snapshots and copies: of stores (fake, qcow2), and of machines that are on (fake, QEMU), with what is on the disks."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from cloudbox.common.errors import Conflict, NotFound, Unavailable
from compute.drivers import fake_disks
from compute.drivers.base import Hypervisor, VolumeStore
from compute.drivers.fake import FakeHypervisor, FakeVolumes
from compute.drivers.qcow2 import Qcow2Volumes
from compute.drivers.qemu_user import as_qemu_user
from compute.drivers.specs import DiskSpec, MachineSpec
from tests.machines import eventually

NewMachine = Callable[..., MachineSpec]
MIB = 2**20


def _io(path: Path, command: str) -> str:
    argv = as_qemu_user(["qemu-io", "-f", "qcow2", "-c", command, str(path)])
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def write(store: Any, path: Path, letter: str) -> None:
    """What a guest does: the first MiB is full of this letter."""
    if isinstance(store, FakeVolumes | FakeHypervisor):
        fake_disks.scribble(path, letter)
    else:
        _io(path, f"write -P {ord(letter)} 0 1M")


def holds(store: Any, path: Path, letter: str) -> bool:
    if isinstance(store, FakeVolumes | FakeHypervisor):
        return fake_disks.text(path) == letter
    return "Pattern verification failed" not in _io(path, f"read -P {ord(letter)} 0 1M")


def test_snapshots(volumes: VolumeStore) -> None:
    """Taken twice as well as once, gone back to and forth, deleted in any order; the name of the disk stays, and what grew stays large."""
    disk, first, second = uuid4(), uuid4(), uuid4()
    with pytest.raises(NotFound):
        volumes.disk_path(disk)
    path = volumes.create_volume(disk, size_gib=1)
    assert volumes.disk_path(disk) == path
    write(volumes, path, "a")
    for _ in range(2):
        volumes.snapshot(disk, first)
    write(volumes, path, "b")
    volumes.grow_volume(disk, size_gib=2)
    volumes.snapshot(disk, second)
    assert volumes.snapshots(disk) == {first, second}
    write(volumes, path, "c")
    for snapshot, letter in ((first, "a"), (second, "b"), (first, "a")):
        for _ in range(2):
            volumes.restore(disk, snapshot, size_gib=2)
        assert holds(volumes, path, letter)
        assert volumes.volume_bytes(disk)[0] == 2 * 2**30
    for _ in range(2):
        volumes.delete_snapshot(disk, first)
    assert volumes.snapshots(disk) == {second}
    assert holds(volumes, path, "a")
    with pytest.raises(NotFound, match="no longer holds"):
        volumes.restore(disk, first, size_gib=2)
    volumes.restore(disk, second, size_gib=2)
    assert holds(volumes, path, "b")
    volumes.delete_snapshot(uuid4(), second)
    volumes.delete_volume(disk)
    assert volumes.all_volumes() == set()


def test_copies(volumes: VolumeStore, small_disk: Path) -> None:
    """A copy holds what the snapshot held, is as large as asked, and needs its source no more; a root disk is copied the same way."""
    disk, snapshot, copy, root = (uuid4() for _ in range(4))
    path = volumes.create_volume(disk, size_gib=1)
    write(volumes, path, "a")
    volumes.snapshot(disk, snapshot)
    write(volumes, path, "b")
    with pytest.raises(NotFound):
        volumes.copy_volume(copy, source=disk, snapshot_id=uuid4(), size_gib=2)
    assert volumes.all_volumes() == {disk}
    for _ in range(2):
        made = volumes.copy_volume(copy, source=disk, snapshot_id=snapshot, size_gib=2)
        volumes.copy_root(root, source=disk, snapshot_id=snapshot, size_gib=1)
    assert made == volumes.volume_path(copy)
    assert volumes.volume_bytes(copy)[0] == 2 * 2**30
    assert volumes.volume_bytes(copy)[1] < 4 * MIB
    volumes.delete_volume(disk)
    assert holds(volumes, made, "a")
    assert holds(volumes, volumes.root_path(root), "a")
    assert (volumes.snapshots(copy), volumes.all()) == (set(), {root})
    volumes.delete(root)


def test_a_volume_that_begins_as_an_image(volumes: VolumeStore, small_disk: Path) -> None:
    """Whole or not at all; the image may go."""
    id = uuid4()
    with pytest.raises(NotFound):
        volumes.create_volume_from(id, base=small_disk.with_name("none.qcow2"), size_gib=1)
    assert volumes.all_volumes() == set()
    for _ in range(2):
        path = volumes.create_volume_from(id, base=small_disk, size_gib=1)
    assert volumes.volume_bytes(id)[0] == 2**30
    if isinstance(volumes, Qcow2Volumes):
        compared = subprocess.run(["qemu-img", "compare", "-f", "qcow2", "-F", "qcow2", small_disk, path], capture_output=True, text=True)
        assert "Images are identical" in compared.stdout, compared


def test_going_back_forgets_what_was_changed_since(short_path: Path) -> None:
    """A dirty bitmap knows nothing of going back: it is removed, so that the next backup is a full one and not a wrong one."""
    store, disk, snapshot = Qcow2Volumes(short_path), uuid4(), uuid4()
    short_path.chmod(0o711)
    path = store.create_volume(disk, size_gib=1)
    store.snapshot(disk, snapshot)
    subprocess.run(as_qemu_user(["qemu-img", "bitmap", "--add", "-f", "qcow2", str(path), "since-monday"]), check=True)
    store.restore(disk, snapshot, size_gib=1)
    info = subprocess.run(as_qemu_user(["qemu-img", "info", str(path)]), capture_output=True, text=True, check=True).stdout
    assert "since-monday" not in info


def test_a_machine_that_is_on(hypervisor: Hypervisor, new_machine: NewMachine) -> None:
    """Root disk and volume at one moment, again without harm; the store is kept away, may copy, and the rest goes while it runs.

    Off, the machine has no say, and the store finds what was taken.
    """
    home = hypervisor.home  # type: ignore[attr-defined]
    store: Any = FakeVolumes(home) if isinstance(hypervisor, FakeHypervisor) else Qcow2Volumes(home)
    disk, first, second, copy = (uuid4() for _ in range(4))
    path = store.create_volume(disk, size_gib=1)
    write(store, path, "a")
    spec = replace(new_machine(), disks=(DiskSpec(volume_id=disk, path=path),))
    assert not hypervisor.snapshot_disks(spec.id, {disk: first})
    assert not hypervisor.delete_snapshot(spec.id, disk, first)
    hypervisor.define(spec)
    assert not hypervisor.snapshot_disks(spec.id, {disk: first})
    if isinstance(hypervisor, FakeHypervisor):
        fake_disks.write(spec.root_disk, 1, {})
    hypervisor.start(spec.id)
    with pytest.raises(Conflict, match="does not have"):
        hypervisor.snapshot_disks(spec.id, {disk: first, uuid4(): first})
    assert store.snapshots(disk) == set()
    for _ in range(2):
        assert hypervisor.snapshot_disks(spec.id, {disk: first, spec.id: first})
    assert hypervisor.snapshot_disks(spec.id, {disk: second})
    assert store.snapshots(disk) == {first, second}
    if not isinstance(hypervisor, FakeHypervisor):
        assert store.snapshots(spec.id) == {first}
        with pytest.raises(Unavailable, match="using the disk"):
            store.snapshot(disk, uuid4())
    made = store.copy_volume(copy, source=disk, snapshot_id=first, size_gib=1)
    assert holds(store, made, "a")
    for _ in range(2):
        assert hypervisor.delete_snapshot(spec.id, disk, first)
    assert not hypervisor.delete_snapshot(spec.id, uuid4(), first)
    hypervisor.limit_disk(spec.id, DiskSpec(volume_id=disk, path=path, iops_max=200, bytes_per_second_max=4 * MIB))
    hypervisor.limit_disk(spec.id, DiskSpec(volume_id=uuid4(), path=path, iops_max=200))
    if not isinstance(hypervisor, FakeHypervisor):
        with hypervisor._domain(spec.id) as domain:  # type: ignore[attr-defined]
            live = domain.blockIoTune("vdb", 0)
            assert (live["total_iops_sec"], live["total_bytes_sec"]) == (200, 4 * MIB)
            hypervisor.limit_disk(spec.id, DiskSpec(volume_id=disk, path=path))
            assert domain.blockIoTune("vdb", 0)["total_iops_sec"] == 0
            assert "iotune" not in domain.XMLDesc(2)
    hypervisor.stop(spec.id)
    assert store.snapshots(disk) == {second}
    store.restore(disk, second, size_gib=1)
    assert holds(store, path, "a")
    for id in (disk, copy):
        store.delete_volume(id)


def test_a_machine_that_boots_from_a_volume(hypervisor: Hypervisor, new_machine: NewMachine, small_disk: Path) -> None:
    """The volume is its first disk and no other is there; the system on it comes up, and it is remembered like any volume."""
    home = hypervisor.home  # type: ignore[attr-defined]
    store: Any = FakeVolumes(home) if isinstance(hypervisor, FakeHypervisor) else Qcow2Volumes(home)
    id, snapshot = uuid4(), uuid4()
    path = store.create_volume_from(id, base=small_disk, size_gib=1)
    spec = replace(new_machine(), root_disk=path, boot=DiskSpec(volume_id=id, path=path, iops_max=1000))
    hypervisor.define(spec)
    hypervisor.start(spec.id)
    if not isinstance(hypervisor, FakeHypervisor):
        log = hypervisor.console_log(spec.id)
        eventually(lambda: log.exists() and log.read_bytes().endswith(b">"))
    assert hypervisor.disks(spec.id) == {id}
    assert hypervisor.snapshot_disks(spec.id, {id: snapshot})
    assert store.snapshots(id) == {snapshot}
    hypervisor.stop(spec.id)
    store.delete_volume(id)
