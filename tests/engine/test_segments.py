"""Segments are filled with zeros ahead of use, or made of retired ones, which must never harm what is written to them."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from storage.engine import DriveSpec, Store
from storage.engine.clock import Clock
from storage.engine.drives import Drive, File
from storage.engine.members import Bay, Members
from storage.engine.records import MAGIC, SEGMENT_HEADER_BYTES, scan
from storage.engine.segments import OpenSegment, fill, path_of
from storage.engine.simulated import MemoryDrive, Platter
from storage.engine.spares import KEPT_MAX, Spares
from storage.engine.store import Settings
from tests.engine.world import BUCKET, Box


class SlowFile:
    """Its first write stays under way until it is let go."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.bytes = bytearray(8 << 20)

    def write(self, buffers: Sequence[Any], offset: int, *, durable: bool = False) -> None:
        self.begun.set()
        self.go_on.wait(10)
        for buffer in buffers:
            self.bytes[offset : offset + len(buffer)] = buffer
            offset += len(buffer)

    def sync(self) -> None: ...


def test_zeros_under_way_do_not_land_on_the_first_record() -> None:
    """A segment is wanted while its first MiB of zeros is being written: `end_filling` returns only after that write."""
    file = SlowFile()
    segment = OpenSegment(1, 0, 8 << 20, [(Bay(b"drive", DriveSpec(Path("none")), MemoryDrive()), file)])  # type: ignore[list-item]
    filler = threading.Thread(target=fill, args=(segment,), kwargs={"pause": 0})
    filler.start()
    assert file.begun.wait(10)
    ended = threading.Event()

    def take() -> None:
        segment.end_filling()
        ended.set()

    taker = threading.Thread(target=take)
    taker.start()
    assert not ended.wait(0.1)
    file.go_on.set()
    assert ended.wait(10)
    file.write([b"record"], SEGMENT_HEADER_BYTES, durable=True)
    filler.join(10)
    taker.join(10)
    assert not filler.is_alive()
    assert file.bytes[SEGMENT_HEADER_BYTES : SEGMENT_HEADER_BYTES + 6] == b"record"


# --- spares

SEGMENT_BYTES = 1 << 20


def bay_of(drive: Drive) -> Bay:
    return Bay(b"d" * 16, DriveSpec(Path("memory")), drive)


def retired(bay: Bay, number: int, *, written: int = SEGMENT_BYTES) -> None:
    bay.drive.create(path_of(number), SEGMENT_BYTES).close()
    pool = Spares(Members(b"", {bay.id: bay}), Clock(0, 0))
    pool.retire(bay, path_of(number), capacity=SEGMENT_BYTES, written=written)


def test_spares_are_few_and_only_of_what_has_been_written() -> None:
    """More than a handful, one that was barely written, one whose length is another, and any on a drive with little room are removed."""
    bay = bay_of(MemoryDrive())
    retired(bay, 1, written=SEGMENT_BYTES // 2)
    assert bay.drive.names("spares") == []
    for number in range(2, 4 + KEPT_MAX):
        retired(bay, number)
    assert len(bay.drive.names("spares")) == KEPT_MAX
    assert bay.drive.names("segments") == []
    retired(bay, 1)  # Nor is it an error that one is gone.
    Spares(Members(b"", {bay.id: bay}), Clock(0, 0)).retire(bay, path_of(99), capacity=SEGMENT_BYTES, written=SEGMENT_BYTES)
    small = bay_of(MemoryDrive(Platter(10 * SEGMENT_BYTES)))
    retired(small, 1)
    assert small.drive.names("spares") == small.drive.names("segments") == []


def test_a_spare_is_left_alone_at_first_and_taken_once() -> None:
    bay = bay_of(MemoryDrive())
    members = Members(b"", {bay.id: bay})
    retired(bay, 1)
    assert Spares(members, Clock(0, 0)).take(bay, path_of(2), SEGMENT_BYTES) is None
    later = Spares(members, Clock(61_000_000_000, 1))
    assert later.take(bay, path_of(2), SEGMENT_BYTES) is not None
    assert later.take(bay, path_of(3), SEGMENT_BYTES) is None
    assert bay.drive.names("segments") == [path_of(2)]
    retired(bay, 4)
    assert later.take(bay, path_of(5), SEGMENT_BYTES * 2) is None, "of another size"
    assert bay.drive.names("spares") == [], "and so it is no use"


def test_spares_give_their_room_back() -> None:
    """When a drive is getting full, and when there is no room for a segment."""
    platter = Platter(100 * SEGMENT_BYTES)
    bay = bay_of(MemoryDrive(platter))
    pool = Spares(Members(b"", {bay.id: bay}), Clock(0, 0))
    retired(bay, 1)
    retired(bay, 2)
    assert pool.release() == 0
    platter.capacity = 12 * SEGMENT_BYTES
    assert pool.release() == 2
    platter.capacity = 100 * SEGMENT_BYTES
    retired(bay, 3)
    assert pool.release(all=True) == 1
    platter.fail("list", errno.EIO)
    assert pool.take(bay, path_of(4), SEGMENT_BYTES) is None, "a drive that fails gives none, and that is all"


async def wear_out(store: Store, rounds: int = 6) -> int:
    """Write the same names over and over, and let the compactor follow; how many files of segments were spares."""
    taken = 0
    take = store.committer.spares.take

    def count(bay: Bay, path: str, capacity: int) -> File | None:
        nonlocal taken
        file = take(bay, path, capacity)
        taken += file is not None
        return file

    store.committer.spares.take = count  # type: ignore[method-assign]
    for number in range(rounds):
        for name in range(40):
            await store.put(BUCKET, b"%d" % name, body_of(name, number), etag="e")
        for _ in range(4):
            await store.tend(hurry=True)
    return taken


def body_of(name: int, number: int) -> bytes:
    return b"%d of %d " % (name, number) * 900


def with_old_records(box: Box) -> int:
    """Segments in which records of the segment that the file was lie behind their own."""
    found = 0
    for platter in box.platters:
        for path, content in platter.files.items():
            if path.startswith("segments/"):
                id, data = int(path.rpartition("/")[2], 16), bytes(content.seen)
                own = list(scan(lambda offset, length, data=data: data[offset : offset + length], id, 0, len(data)))  # type: ignore[misc]
                found += bool(own) and MAGIC in data[own[-1].end :]
    return found


@pytest.mark.parametrize("loss", ["kill", "power loss", "index"])
def test_a_segment_made_of_a_retired_one_brings_nothing_back(loss: str, tmp_path: Path) -> None:
    """Old records stay behind the new ones, and count for nothing: not in a replay, not in a new index, not for audit and compaction."""

    async def scene() -> None:
        box = Box(tmp_path)
        store = await box.start()
        assert await wear_out(store) > 10
        assert 0 < sum(name.startswith("spares/") for platter in box.platters for name in platter.files) <= KEPT_MAX * len(box.platters)
        for name in range(10):
            assert await store.delete(BUCKET, b"%d" % name) is not None
        Box.abandon(store)
        assert with_old_records(box)
        if loss == "power loss":
            box.power_loss()
        elif loss == "index":
            box.lose_index()
            for platter in box.platters:
                platter.files = {name: content for name, content in platter.files.items() if not name.startswith("checkpoints")}
        store = await box.start()
        for _ in range(2):
            assert [v.name for v in store.list(BUCKET).versions] == sorted(b"%d" % name for name in range(10, 40))
            for version in store.list(BUCKET).versions:
                assert await store.read(version) == body_of(int(version.name), 5)
            lost = [progress for _ in range(4) for progress in await store.tend(hurry=True) if progress.lost]
            assert not lost
        await store.close()

    asyncio.run(scene())


def test_no_worker_holds_on_to_what_another_retired(tmp_path: Path) -> None:
    """On real folders: the room of a removed file would stay taken for as long as somebody has it open."""

    def held() -> list[str]:
        links = [link for fd in Path("/proc/self/fd").iterdir() if (link := os.readlink(fd) if fd.is_symlink() else "")]
        return [link for link in links if link.startswith(str(tmp_path)) and (link.endswith("(deleted)") or "/spares/" in link)]

    async def scene() -> None:
        drives = [tmp_path / f"drive{number}" for number in range(3)]
        for drive in drives:
            drive.mkdir()
        settings = Settings(segment_bytes=64 << 10, fill_ahead=False, reserve_bytes=0, map_bytes=64 << 20)
        tending, other = [await Store.open(list(drives), index=tmp_path / "index", worker=n, settings=settings) for n in range(2)]
        for number in range(4):
            for name in range(20):
                await tending.put(BUCKET, b"%d" % name, body_of(name, number), etag="e")
                version = other.get(BUCKET, b"%d" % name)
                assert version is not None
                await other.read(version)
        for _ in range(8):
            await tending.tend(hurry=True)
        assert held(), "the other worker has read from them"
        await other.tend()
        gc.collect()
        assert not held()
        await other.close()
        await tending.close()

    asyncio.run(scene())
