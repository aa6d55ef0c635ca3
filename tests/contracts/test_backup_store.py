"""Backups with nothing standing in: qcow2 files read by qemu-nbd, the object store's own data plane, keys of the box."""

from __future__ import annotations

import io
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from cloudbox.common.errors import CloudError, NotFound
from compute import backup_vaults, backups, host, image_copies, volumes
from compute.backup_store import repository
from compute.drivers.qcow2 import Qcow2Volumes
from compute.models import Image, Volume
from tests.buckets import Buckets
from tests.fixtures import machine_home, plain_static, world
from tests.storage.conftest import Cloud, cloud
from tests.world import World, build, work

__all__ = ["cloud", "machine_home", "plain_static", "world"]
MIB = 2**20


def test_what_backups_ask_of_the_one_in_memory() -> None:
    asked(Buckets())


@pytest.mark.slow
def test_what_backups_ask_of_the_box_s_own(cloud: Cloud, settings: Any) -> None:
    cloud.client().create_bucket(Bucket="safe")
    settings.STORE_URL = cloud.url
    asked(repository.store_of(cloud.me.project.id))


@pytest.mark.slow
def test_images_in_the_box_s_own(cloud: Cloud, world: World, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in parts to a bucket that nobody made, in a project that nobody is in; away from the host, and back with the same bytes."""
    settings.STORE_URL = cloud.url
    monkeypatch.setattr(image_copies, "PART_BYTES", 5 * MIB)
    image_copies.reset()
    body = b"QFI\xfb" + os.urandom(12 * MIB)
    image = Image.objects.create(project=world.project, name="large", status=Image.Status.READY, size_bytes=len(body))
    image_copies.put(image.id, io.BytesIO(body))
    image_copies.tend()
    settings.IMAGE_CACHE_BYTES = 0
    image_copies.tend()
    assert image.id not in set(host.images().all())
    with image_copies.file(image.id) as path:
        assert path.read_bytes() == body
    image_copies.reset()
    image.status = Image.Status.DELETED
    image.save()
    image_copies.tend()
    place = image_copies.place()
    assert place is not None
    assert place.key(image.id) not in {each.key for each in place.store.walk(place.bucket)}
    image_copies.reset()


def asked(store: repository.Store) -> None:
    """The same of the one in memory and of the box's own: written, read, listed by folder, deleted, missing."""
    for name in ("a/vault.json", "a/one/chunks/ab/x", "a/one/chunks/cd/y", "a/two/backups/z"):
        store.put("safe", name, name.encode(), content_type="application/octet-stream")
    with store.get("safe", "a/one/chunks/ab/x") as download:
        assert download.read(100) == b"a/one/chunks/ab/x"
    with store.get("safe", "a/vault.json") as download, pytest.raises(CloudError, match="longer"):
        download.read(3)
    assert [(each.key, each.size) for each in store.walk("safe", prefix="a/one/")] == [("a/one/chunks/ab/x", 17), ("a/one/chunks/cd/y", 17)]
    assert store.list_objects("safe", prefix="a/", delimiter="/").prefixes == ["a/one/", "a/two/"]
    assert store.delete_many("safe", [("a/one/chunks/ab/x", ""), ("a/never/was", "")]) == []
    for bucket, name in (("safe", "a/one/chunks/ab/x"), ("no-such-bucket", "x")):
        with pytest.raises(NotFound), store.get(bucket, name):
            pass
    with pytest.raises(NotFound):
        next(iter(store.walk("no-such-bucket")))


@pytest.fixture
def real(cloud: Cloud, machine_home: Path, plain_static: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose volumes are qcow2 files, and whose buckets are those of a running data plane."""
    world = build()
    settings.STORE_URL = cloud.url
    machine_home.chmod(0o711)
    disks = Qcow2Volumes(machine_home)
    monkeypatch.setattr(host, "volumes", cache(lambda: disks))
    return world


def _io(volume: Volume, *commands: str) -> None:
    words = [word for command in commands for word in ("-c", command)]
    subprocess.run(["qemu-io", "-f", "qcow2", *words, str(host.volumes().volume_path(volume.id))], check=True, stdout=subprocess.DEVNULL)


def _same(one: Path, other: Path) -> bool:
    return subprocess.run(["qemu-img", "compare", "-q", "-f", "qcow2", "-F", "qcow2", str(one), str(other)], check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.machines
def test_every_byte_comes_back(real: World, tmp_path: Path) -> None:
    """Written, backed up, changed, backed up again, in a bucket, encrypted: both come back to the byte, as new volumes and over the old."""
    from storage import configurations

    ctx = real.ctx("owner")
    configurations.create(ctx, name="safe")
    volume = volumes.create(ctx, name="data", size_gib=1)
    work()
    noise = tmp_path / "noise"
    noise.write_bytes(bytes(range(256)) * 4096 * 8)
    _io(volume, f"write -s {noise} 0 8M", "write -P 3 300M 5M", "write -P 4 1023M 1M")
    vault = backup_vaults.create(ctx, name="Safe", bucket="safe", prefix="box", encrypted=True).vault
    originals = []
    for round in range(2):
        (row,) = backups.create(ctx, vault_id=vault.id, volume_id=volume.id)  # type: ignore[misc]
        work()
        row = backups.get(ctx, row.id)
        assert (row.status, row.error, row.is_full) == ("ready", "", round == 0)
        copy = tmp_path / f"{round}.qcow2"
        subprocess.run(["cp", "--sparse=always", str(host.volumes().volume_path(volume.id)), str(copy)], check=True)
        originals.append((row, copy))
        _io(volume, "write -P 5 302M 64k", "discard 1023M 1M", "write -P 6 600M 4k")
    first, second = (row for row, _ in originals)
    assert second.read_bytes <= 3 * 4 * MIB < first.read_bytes  # the chunks that three small changes touched, and no more
    for row, copy in originals:
        new = backups.restore_as_volume(ctx, row.id, name=f"back {uuid4().hex[:6]}")
        work()
        assert volumes.get(ctx, new.id).status == "available", volumes.get(ctx, new.id).error
        assert _same(host.volumes().volume_path(new.id), copy)
        backups.restore_over(ctx, row.id, volume_id=volume.id)
        work()
        assert volumes.get(ctx, volume.id).error == ""
        assert _same(host.volumes().volume_path(volume.id), copy)
    for row, _ in originals:
        backups.delete(ctx, row.id)
    work()
    assert [each.key for each in repository.store_of(real.project.id).walk("safe")] == ["box/vault.json"]
    assert host.volumes().snapshots(volume.id) == set()
