"""Where drives lie is written down; what is not mounted is missing, and is never made anew."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from uuid import UUID

import pytest

from cloudbox.common.errors import Conflict
from storage import dataplane, drive_list
from storage.engine import Store
from storage.engine.store import Settings

BUCKET = UUID(int=7)
SETTINGS = Settings(segment_bytes=1 << 20, fill_ahead=False, reserve_bytes=0, map_bytes=64 << 20)


async def _opened(config: dataplane.Config) -> Store:
    drives = drive_list.read(config.drive_list)
    assert drives is not None
    return await Store.open(drives.specs, index=config.index, settings=SETTINGS)


def _ids(store: Store) -> dict[Path, str]:
    return {bay.spec.path: id.hex() for id, bay in store.members.bays.items()}


def test_a_new_store_makes_its_own_folders_once(tmp_path: Path) -> None:
    """A fresh home gets four; a second start finds them written down and changes nothing."""
    config = dataplane.config_of(tmp_path, {})
    drives = dataplane.prepare(config)
    assert drives.paths == [tmp_path / "store" / f"drive-{n}" for n in range(1, 5)]
    assert all(path.is_dir() for path in drives.paths)
    assert all(entry.joins for entry in drives.entries)
    assert dataplane.prepare(config) == drives


def test_an_unmounted_drive_is_missing_and_not_made(tmp_path: Path) -> None:
    """A drive whose folder has vanished, or is an empty mount point, stays away: nothing is written there, and it comes back as it was."""

    async def run() -> None:
        config = dataplane.config_of(tmp_path, {})
        dataplane.prepare(config)
        store = await _opened(config)
        await store.put(BUCKET, b"a", b"before", etag="e")
        ids = _ids(store)
        drive_list.write(config.drive_list, drive_list.settled(dataplane.prepare(config), ids))
        await store.close()
        first, second = config.drives[0], config.drives[1]
        first.rename(tmp_path / "unplugged-1")
        second.rename(tmp_path / "unplugged-2")
        second.mkdir()  # The mount point.
        dataplane.prepare(config)
        store = await _opened(config)
        assert {id.hex() for id in store.members.missing} == {ids[first], ids[second]}
        await store.put(BUCKET, b"b", b"meanwhile", etag="e")
        await store.tend()
        assert not first.exists()
        assert list(second.iterdir()) == []
        second.rmdir()
        (tmp_path / "unplugged-1").rename(first)
        (tmp_path / "unplugged-2").rename(second)
        await store.tend()
        assert _ids(store) == ids
        found = store.get(BUCKET, b"b")
        assert found is not None
        assert await store.read(found) == b"meanwhile"
        await store.close()

    asyncio.run(run())


def test_a_store_that_lost_sight_of_all_drives_does_not_begin_anew(tmp_path: Path) -> None:
    """Neither the list nor a drive is found, but there is an index: an empty store in its place would look like a deletion of all."""
    config = dataplane.config_of(tmp_path, {})
    dataplane.prepare(config)

    async def fill() -> None:
        store = await _opened(config)
        await store.put(BUCKET, b"a", b"x", etag="e")
        await store.close()

    asyncio.run(fill())
    config.drive_list.unlink()
    for path in config.drives:
        shutil.rmtree(path)
    with pytest.raises(Conflict, match="None of the object store's drives"):
        dataplane.prepare(config)
    assert not any(path.exists() for path in config.drives)


def test_named_drives_must_exist(tmp_path: Path) -> None:
    """A disk that is named in the settings of a new store and is not mounted stops it, with its path in the sentence."""
    config = dataplane.config_of(tmp_path, {"store_drives": [str(tmp_path / "disk")]})
    with pytest.raises(Conflict, match=r"disk is no folder"):
        dataplane.prepare(config)
    (tmp_path / "disk").mkdir()
    assert dataplane.prepare(config).paths == [tmp_path / "disk"]


def test_the_list_is_found_again_on_the_drives(tmp_path: Path) -> None:
    """The home was lost and made anew: the copy with the greatest generation says where all drives are."""
    config = dataplane.config_of(tmp_path, {})
    drives = dataplane.prepare(config)
    elsewhere = drive_list.Entry(tmp_path / "elsewhere", weight=2.0, domain="shelf")
    newer = drives.changed((*drives.entries, elsewhere))
    for path, copy in zip(drives.paths, (drives, newer, drives, newer), strict=True):
        (path / "drive.json").write_text("{}")
        drive_list.write(path / drive_list.NAME, copy)
    config.drive_list.unlink()
    assert dataplane.prepare(config) == newer
    assert drive_list.read(config.drive_list) == newer
