"""The contract of VolumeStore on root disks that grow, are set aside, brought back, copied out and in; on the fake and with qemu-img."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from cloudbox.common.errors import Invalid, NotFound
from compute.drivers.base import VolumeStore
from compute.drivers.fake import FakeVolumes
from compute.drivers.qcow2 import Qcow2Volumes


def mark(volumes: VolumeStore, id: UUID, words: bytes) -> None:
    """Write to the disk as its guest would."""
    path = volumes.root_path(id)
    if isinstance(volumes, FakeVolumes):
        path.write_bytes(path.read_bytes()[:8] + words)
    else:
        pattern = f"write -P {words[0]} 1M 4k"
        subprocess.run(["qemu-io", "-f", "qcow2", "-c", pattern, path], check=True, capture_output=True)


def has(volumes: VolumeStore, id: UUID, words: bytes) -> bool:
    path = volumes.root_path(id)
    if isinstance(volumes, FakeVolumes):
        return path.read_bytes()[8:] == words
    done = subprocess.run(["qemu-io", "-f", "qcow2", "-c", f"read -P {words[0]} 1M 4k", path], check=True, capture_output=True, text=True)
    return "verification failed" not in done.stdout


def size_gib(volumes: VolumeStore, id: UUID) -> int:
    if isinstance(volumes, FakeVolumes):
        return volumes.root_gib(id)
    shown = subprocess.run(["qemu-img", "info", "-U", "--output=json", volumes.root_path(id)], check=True, capture_output=True).stdout
    return int(json.loads(shown)["virtual-size"]) // 2**30


@pytest.fixture
def root(volumes: VolumeStore, small_disk: Path) -> UUID:
    """A root disk with something written to it. Its image lies where QEMU's user may read it."""
    id, base = uuid4(), volumes.home / "base.qcow2"  # type: ignore[attr-defined]
    base.write_bytes(small_disk.read_bytes())
    base.chmod(0o644)
    volumes.create_root(id, base=base, size_gib=1)
    mark(volumes, id, b"A")
    return id


def test_it_grows_and_never_shrinks(volumes: VolumeStore, root: UUID) -> None:
    for wanted, is_then in ((2, 2), (2, 2), (1, 2)):
        volumes.grow_root(root, size_gib=wanted)
        assert size_gib(volumes, root) == is_then
    assert has(volumes, root, b"A")
    with pytest.raises(NotFound):
        volumes.grow_root(uuid4(), size_gib=1)


def twice(step: Callable[[UUID], None], id: UUID) -> None:
    step(id)
    step(id)


def test_set_aside_and_brought_back(volumes: VolumeStore, root: UUID, small_disk: Path) -> None:
    """Each step twice. The undoing of each finds what the step left, wherever it was cut off."""
    base = volumes.home / "base.qcow2"  # type: ignore[attr-defined]
    assert volumes.all_kept() == set()
    twice(volumes.set_aside, root)
    assert (volumes.has_kept(root), volumes.root_path(root).exists()) == (True, False)
    volumes.create_root(root, base=base, size_gib=1)
    mark(volumes, root, b"B")
    assert volumes.all_kept() == {root}
    twice(volumes.put_back, root)
    assert has(volumes, root, b"A")
    twice(volumes.take_back, root)
    assert (has(volumes, root, b"B"), volumes.has_kept(root)) == (True, True)
    volumes.put_back(root)
    twice(volumes.drop_kept, root)
    assert has(volumes, root, b"A")
    assert volumes.all_kept() == set()
    assert [path.name for path in volumes.root_path(root).parent.iterdir()] == ["root.qcow2"]


def test_nothing_to_set_aside(volumes: VolumeStore) -> None:
    id = uuid4()
    for step in (volumes.set_aside, volumes.put_back, volumes.take_back, volumes.drop_kept, volumes.drop_rescue):
        step(id)
    assert not volumes.has_kept(id)


def test_a_rescue_disk(volumes: VolumeStore, root: UUID) -> None:
    base = volumes.home / "base.qcow2"  # type: ignore[attr-defined]
    with pytest.raises(NotFound):
        volumes.create_rescue(root, base=base.with_name("none.qcow2"))
    path = volumes.create_rescue(root, base=base)
    assert volumes.create_rescue(root, base=base) == path == volumes.rescue_path(root)
    assert path.exists()
    assert has(volumes, root, b"A")
    volumes.drop_rescue(root)
    assert not path.exists()


def test_out_and_in(volumes: VolumeStore, root: UUID) -> None:
    """The copy needs no other file; brought in again it has the bytes, and the size that was asked for."""
    copy = volumes.export_root(root)
    kept = copy.with_name("kept")
    copy.rename(kept)
    target = volumes.home / "kept.qcow2"  # type: ignore[attr-defined]
    kept.rename(target)
    volumes.delete(root)
    (volumes.home / "base.qcow2").unlink()  # type: ignore[attr-defined]
    path = volumes.import_root(root, target, size_gib=3)
    assert volumes.import_root(root, target, size_gib=3) == path
    assert (has(volumes, root, b"A"), size_gib(volumes, root)) == (True, 3)
    with pytest.raises(NotFound):
        volumes.export_root(uuid4())


def test_a_copy_that_names_other_files(small_disk: Path, short_path: Path) -> None:
    """A file with a backing file is refused: QEMU would open whatever it names."""
    store, id = Qcow2Volumes(short_path), uuid4()
    hostile = short_path / "hostile.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", "/etc/passwd", hostile, "1M"], check=True)
    with pytest.raises(Invalid, match="refers to other files"):
        store.import_root(id, hostile, size_gib=1)
    assert not store.root_path(id).exists()
