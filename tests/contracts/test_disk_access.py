"""The bytes of disks: read at a snapshot, compared between two, written into new ones; on the fake and on real qcow2 files."""

from __future__ import annotations

import subprocess
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest

from cloudbox.common.errors import NotFound, Unavailable
from compute import disk_files
from compute.drivers.base import VolumeStore
from compute.drivers.disk_access import filling
from compute.drivers.fake import FakeVolumes
from compute.drivers.qcow2 import Qcow2Volumes
from tests.filesystems.disks import ext, partitioned, tree

KIB, MIB, GIB = 2**10, 2**20, 2**30


@pytest.fixture(params=["fake", pytest.param("qcow2", marks=pytest.mark.machines)])
def store(request: pytest.FixtureRequest, short_path: Path) -> VolumeStore:
    short_path.chmod(0o711)
    return FakeVolumes(short_path) if request.param == "fake" else Qcow2Volumes(short_path)


def written(store: VolumeStore, id: UUID, text: bytes, offset: int = 0) -> None:
    with store.open_disk(id) as disk:
        disk.write(offset, text)


def half_filled(store: VolumeStore, id: UUID, is_root: bool) -> None:
    with store.new_disk(id, size_gib=1, is_root=is_root) as disk:
        disk.write(0, b"half")
        raise RuntimeError("the store of objects went away")


def test_a_disk_at_two_moments(store: VolumeStore) -> None:
    """Each snapshot reads as it was; what differs is told, and nothing that does not; the disk goes on."""
    volume, before, after = uuid4(), uuid4(), uuid4()
    store.create_volume(volume, size_gib=1)
    written(store, volume, b"first")
    store.snapshot(volume, before)
    written(store, volume, b"other")
    store.snapshot(volume, after)
    written(store, volume, b"later")
    for snapshot, text in ((before, b"first"), (after, b"other")):
        with store.open_snapshot(volume, snapshot) as disk:
            assert (disk.size_bytes, disk.read(0, 6)) == (GIB, text + b"\0")
            assert disk.is_zero(512 * MIB, 4 * MIB)
            assert not disk.is_zero(0, 4 * MIB)
    with store.open_disk(volume) as disk:
        assert disk.read(0, 5) == b"later"
    changed = store.changed_between(volume, before, after)
    assert changed is not None
    assert [offset for offset, _ in changed] == [0]
    assert sum(length for _, length in changed) <= 64 * KIB
    assert store.changed_between(volume, after, after) == []
    assert store.changed_between(volume, before, uuid4()) is None
    with pytest.raises(NotFound), store.open_snapshot(volume, uuid4()):
        pass


@pytest.mark.machines
def test_the_files_on_a_snapshot(short_path: Path) -> None:
    """Of a real qcow2 file that has been written over since: its folders and a file are as they were."""
    short_path.chmod(0o711)
    store, volume, snapshot = Qcow2Volumes(short_path), uuid4(), uuid4()
    files = tree(short_path / "tree")
    data = partitioned(short_path / "disk", "gpt", ext(short_path / "part", short_path / "tree")).read_bytes()
    store.create_volume(volume, size_gib=1)
    with store.open_disk(volume) as disk:
        for offset in range(0, len(data), 4 * MIB):
            disk.write(offset, data[offset : offset + 4 * MIB])
    store.snapshot(volume, snapshot)
    with store.open_disk(volume) as disk:
        disk.write(0, bytes(len(data) // 2))
    with store.open_snapshot(volume, snapshot) as disk:
        look = disk_files.look(disk, part=2, path="/many")
        assert [node.name for node in look.entries] == [f"{number:04}.txt" for number in range(300)]
        found = disk_files.read(disk, part=2, path="/var/lib/app/large.bin")
        assert b"".join(found.body) == files["var/lib/app/large.bin"]


def test_a_disk_that_grew(store: VolumeStore) -> None:
    """All behind the old end may differ."""
    volume, before, after = uuid4(), uuid4(), uuid4()
    store.create_volume(volume, size_gib=1)
    written(store, volume, b"x")
    store.snapshot(volume, before)
    store.grow_volume(volume, size_gib=2)
    store.snapshot(volume, after)
    assert store.changed_between(volume, before, after) == [(GIB, GIB)]
    with store.open_snapshot(volume, before) as disk:
        assert disk.size_bytes == GIB


@pytest.mark.parametrize("is_root", [False, True])
def test_a_new_disk_is_whole_or_not_there(store: VolumeStore, is_root: bool) -> None:
    id = uuid4()
    path = store.root_path(id) if is_root else store.volume_path(id)
    with pytest.raises(RuntimeError):
        half_filled(store, id, is_root)
    assert not path.exists()
    with store.new_disk(id, size_gib=1, is_root=is_root) as disk:
        disk.write(0, b"whole" + bytes(MIB))
    assert path.exists()
    with store.open_disk(id) as disk:
        assert (disk.size_bytes, disk.read(0, 5)) == (GIB, b"whole")
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.machines
def test_what_a_crash_left_half_filled_is_found(short_path: Path) -> None:
    store, id = Qcow2Volumes(short_path), uuid4()
    path = filling(store.volume_path(id))
    path.parent.mkdir()
    path.write_bytes(b"half")
    assert store.all_volumes() == {id}
    store.delete_volume(id)
    assert store.all_volumes() == set()


@pytest.mark.machines
def test_changes_of_many_writes(short_path: Path) -> None:
    """Random writes, zeros and discards between snapshots: every byte that differs lies in a part that was told, and little else does."""
    short_path.chmod(0o711)
    store, volume, random = Qcow2Volumes(short_path), uuid4(), Random(7)
    store.create_volume(volume, size_gib=1)
    snapshots: list[UUID] = []
    for round in range(4):
        commands: list[Any] = []
        for _ in range(30):
            offset, length = random.randrange(0, 960) * MIB + random.choice((0, 4096, 60 * KIB)), random.choice((4 * KIB, 64 * KIB, MIB))
            verb = random.choice((f"write -P {round + 1}", f"write -P {round + 1}", "write -z", "discard"))
            commands += ["-c", f"{verb} {offset} {length}"]
        subprocess.run(["qemu-io", "-f", "qcow2", *commands, str(store.volume_path(volume))], check=True, stdout=subprocess.DEVNULL)
        snapshots.append(uuid4())
        store.snapshot(volume, snapshots[-1])
    for before, after in ((0, 1), (1, 2), (0, 3), (3, 0)):
        parts = store.changed_between(volume, snapshots[before], snapshots[after])
        assert parts is not None
        told = {place for offset, length in parts for place in range(offset // (64 * KIB), -(-(offset + length) // (64 * KIB)))}
        differing = set()
        with store.open_snapshot(volume, snapshots[before]) as old, store.open_snapshot(volume, snapshots[after]) as new:
            for start in range(0, GIB, MIB):
                if old.is_zero(start, MIB) and new.is_zero(start, MIB):
                    continue
                mine, theirs = old.read(start, MIB), new.read(start, MIB)
                for at in range(0, MIB, 64 * KIB):
                    if mine[at : at + 64 * KIB] != theirs[at : at + 64 * KIB]:
                        differing.add((start + at) // (64 * KIB))
        assert differing
        assert differing <= told
        assert len(told) < 4000  # of 16384: about what was written to


@pytest.mark.machines
def test_a_disk_in_use_is_not_written_to(short_path: Path) -> None:
    short_path.chmod(0o711)
    store, volume = Qcow2Volumes(short_path), uuid4()
    store.create_volume(volume, size_gib=1)
    with store.open_disk(volume), pytest.raises(Unavailable, match="using the disk"), store.open_disk(volume):
        pass
