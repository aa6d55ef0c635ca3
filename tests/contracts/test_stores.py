"""The contracts of VolumeStore and ImageStore, and what the qcow2 files promise beyond them."""

from __future__ import annotations

import io
import json
import struct
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from cloudbox.common.errors import CloudError, Invalid, NotFound
from compute.drivers.base import ImageStore, VolumeStore
from compute.drivers.qcow2 import FileImages, Qcow2Volumes


class Broken(io.RawIOBase):
    """A source that fails in the middle."""

    def __init__(self, head: bytes) -> None:
        self._head: list[bytes] = [head]

    def read(self, size: int = -1) -> bytes:
        if not self._head:
            raise ConnectionError("the sender is gone")
        return self._head.pop()


def test_images(images: ImageStore, small_disk: Path) -> None:
    """Put, read back, listed, deleted; deleting twice is fine, reading what is not there is NotFound."""
    id = uuid4()
    assert list(images.all()) == []
    with small_disk.open("rb") as source:
        assert images.put(id, source) == small_disk.stat().st_size
    assert images.path(id).read_bytes() == small_disk.read_bytes()
    assert list(images.all()) == [id]
    images.delete(id)
    images.delete(id)
    with pytest.raises(NotFound):
        images.path(id)


def test_what_disks_stand_on(volumes: VolumeStore, images: ImageStore, small_disk: Path) -> None:
    """The images below root disks, those set aside and those of rescue systems; volumes are copies, and stand on nothing."""
    ids = [uuid4() for _ in range(4)]
    for id in ids:
        with small_disk.open("rb") as source:
            images.put(id, source)
    one, two = uuid4(), uuid4()
    volumes.create_root(one, base=images.path(ids[0]), size_gib=1)
    volumes.set_aside(one)
    volumes.create_root(one, base=images.path(ids[1]), size_gib=1)
    volumes.create_rescue(one, base=images.path(ids[2]))
    volumes.create_volume_from(two, base=images.path(ids[3]), size_gib=1)
    assert volumes.bases() == set(ids[:3])
    volumes.delete(one)
    assert volumes.bases() == set()


def test_an_image_comes_whole_or_not_at_all(images: ImageStore, small_disk: Path) -> None:
    """The source breaks half-way: there is no image, and no part of one either."""
    id = uuid4()
    with pytest.raises((ConnectionError, CloudError)):
        images.put(id, Broken(small_disk.read_bytes()[:1000]))  # type: ignore[arg-type]
    assert list(images.all()) == []
    assert not list((images.home / "images").glob("*"))  # type: ignore[attr-defined]


def test_volumes(volumes: VolumeStore, small_disk: Path) -> None:
    """A root disk is made once, found again, measured and deleted; a base that is not there is NotFound."""
    id = uuid4()
    with pytest.raises(NotFound):
        volumes.create_root(id, base=small_disk.with_name("none.qcow2"), size_gib=1)
    path = volumes.create_root(id, base=small_disk, size_gib=1)
    assert path == volumes.root_path(id)
    before = path.stat().st_ino
    assert volumes.create_root(id, base=small_disk, size_gib=1) == path
    assert path.stat().st_ino == before
    assert volumes.all() == {id}
    assert volumes.used_bytes(id) > 0
    volumes.delete(id)
    volumes.delete(id)
    assert volumes.all() == set()
    with pytest.raises(NotFound):
        volumes.used_bytes(id)


def test_config_drives(volumes: VolumeStore) -> None:
    """Written, replaced, dropped; it goes with the root disk, and counts as one, so that what a crash left is found."""
    id = uuid4()
    path = volumes.put_config_drive(id, b"first")
    assert (path, path.read_bytes()) == (volumes.config_drive_path(id), b"first")
    with path.open("rb") as held:
        volumes.put_config_drive(id, b"second")
        assert (held.read(), path.read_bytes()) == (b"first", b"second")
    assert volumes.all() == {id}
    volumes.drop_config_drive(id)
    volumes.drop_config_drive(id)
    assert not path.exists()
    volumes.put_config_drive(id, b"third")
    volumes.delete(id)
    assert (volumes.all(), path.exists()) == (set(), False)


def test_data_volumes(volumes: VolumeStore) -> None:
    """A volume is made once, grows and never shrinks, is measured and deleted; one that is not there is NotFound."""
    id = uuid4()
    with pytest.raises(NotFound):
        volumes.volume_bytes(id)
    with pytest.raises(NotFound):
        volumes.grow_volume(id, size_gib=2)
    assert volumes.all_volumes() == set()
    path = volumes.create_volume(id, size_gib=1)
    assert path == volumes.volume_path(id)
    assert volumes.create_volume(id, size_gib=1) == path
    assert volumes.volume_bytes(id)[0] == 2**30
    for size_gib in (3, 3, 2):
        volumes.grow_volume(id, size_gib=size_gib)
        assert volumes.volume_bytes(id)[0] == 3 * 2**30
    assert 0 < volumes.volume_bytes(id)[1] < 2**20
    assert (volumes.all_volumes(), volumes.all()) == ({id}, set())
    volumes.delete_volume(id)
    volumes.delete_volume(id)
    assert volumes.all_volumes() == set()


def test_a_root_disk_is_an_overlay(tmp_path: Path, small_disk: Path) -> None:
    """The disk has the size asked for, lies on the image by its absolute path and format, and the image is read-only."""
    images, volumes, id = FileImages(tmp_path), Qcow2Volumes(tmp_path), uuid4()
    with small_disk.open("rb") as source:
        images.put(id, source)
    assert images.path(id).stat().st_mode & 0o222 == 0
    path = volumes.create_root(id, base=images.path(id), size_gib=3)
    facts = json.loads(subprocess.run(["qemu-img", "info", "--output=json", path], capture_output=True, check=True).stdout)
    assert facts["virtual-size"] == 3 * 1024**3
    assert facts["full-backing-filename"] == str(images.path(id))
    assert facts["backing-filename-format"] == "qcow2"


def test_a_disk_smaller_than_its_image_is_refused(tmp_path: Path) -> None:
    """It would cut the image's end off."""
    base = tmp_path / "big.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", base, "2G"], check=True)
    with pytest.raises(Invalid):
        Qcow2Volumes(tmp_path).create_root(uuid4(), base=base, size_gib=1)


def test_what_a_crash_left_is_found(tmp_path: Path, small_disk: Path) -> None:
    """A directory with a half-made disk is listed, is no disk, and is deleted whole; names that are no ids are not ours."""
    volumes, id = Qcow2Volumes(tmp_path), uuid4()
    volumes.root_path(id).parent.mkdir(parents=True)
    volumes.root_path(id).with_name("root.qcow2.1234.part").write_bytes(b"half")
    (tmp_path / "instances" / "lost+found").mkdir()
    assert volumes.all() == {id}
    assert volumes.create_root(id, base=small_disk, size_gib=1).exists()
    volumes.delete(id)
    assert volumes.all() == set()


@pytest.mark.parametrize("what", ["backing", "data-file", "raw", "short", "huge", "version"])
def test_dangerous_images_are_refused(tmp_path: Path, small_disk: Path, what: str) -> None:
    """An image that names other files would let its tenant read any file of the host; refused, as is what is no qcow2."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"root:x:0:0" * 100)
    evil = tmp_path / "evil.qcow2"
    data = bytearray(small_disk.read_bytes())
    match what:
        case "backing":
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", secret, evil, "1G"], check=True)
        case "data-file":
            options = f"data_file={tmp_path / 'data.raw'},data_file_raw=on"
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", options, evil, "1M"], check=True)
        case "raw":
            evil.write_bytes(bytes(1024 * 1024))
        case "short":
            evil.write_bytes(data[:20])
        case "huge":
            struct.pack_into(">Q", data, 24, 1 << 60)
            evil.write_bytes(data)
        case "version":
            struct.pack_into(">I", data, 4, 9)
            evil.write_bytes(data)
    images = FileImages(tmp_path / "home")
    with evil.open("rb") as source, pytest.raises(CloudError):
        images.put(uuid4(), source)
    assert list(images.all()) == []
