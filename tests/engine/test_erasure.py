"""Erasure-coded objects: as many drives as there is parity vanish, go bad or come back empty, and no byte is lost or wrong."""

from __future__ import annotations

import asyncio
import errno
import itertools
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cloudbox.common.errors import InsufficientCapacity, Unavailable
from storage.engine import STORAGE_CLASSES, Store
from storage.engine.census import count
from storage.engine.erasure import code
from storage.engine.extents import BLOCK_BYTES
from storage.engine.index import GOOD, Blob
from storage.engine.repairer import _extents
from storage.engine.simulated import Platter
from storage.engine.whereabouts import WHOLE
from tests.engine.world import BUCKET, Box, etag

FOUR_TWO = STORAGE_CLASSES["erasure-4-2"]
MIB = 1 << 20
# One byte, less than a page, just one stripe, one byte more, a buffer, several buffers with an odd end.
SIZES = (1, 4095, 4097, MIB - 1, MIB, MIB + 1, 4 * MIB, 9 * MIB + 777)


def body_of(size: int, seed: int = 1) -> bytes:
    return random.Random(seed * 1_000_003 + size).randbytes(size)


async def put(store: Store, name: bytes, body: bytes, of: str = "erasure-4-2") -> None:
    async with await store.begin(BUCKET, name, storage_class=STORAGE_CLASSES[of]) as writer:
        await writer.write(body)
        await writer.finish(etag=etag(body))


async def read(store: Store, name: bytes, start: int = 0, length: int | None = None) -> bytes:
    version = store.get(BUCKET, name)
    assert version is not None, name
    return b"".join([piece async for piece in store.stream(version, start, length)])


async def fill(store: Store) -> dict[bytes, bytes]:
    bodies = {b"%d" % size: body_of(size) for size in SIZES}
    for name, body in bodies.items():
        await put(store, name, body)
    return bodies


async def same(store: Store, bodies: dict[bytes, bytes]) -> None:
    for name, body in bodies.items():
        assert await read(store, name) == body, name


def fragments(platter: Platter) -> list[str]:
    return [name for name in platter.files if name.startswith("extents/")]


def run(scene: Callable[[Box], Awaitable[None]], folder: Path, *, drives: int = 7) -> None:
    asyncio.run(scene(Box(folder, [Platter(seed=n) for n in range(drives)])))  # type: ignore[arg-type]


@pytest.mark.parametrize(("data", "parity"), [(4, 2), (8, 4)])
def test_any_fragments_give_a_stripe_back(data: int, parity: int) -> None:
    coder = code(data, parity)
    for unit in (4096, 12_288, BLOCK_BYTES):
        stripe = body_of(data * unit)
        blocks = [stripe[n * unit : (n + 1) * unit] for n in range(data)] + [bytes(block) for block in coder.encode(stripe)]
        lost_sets = list(itertools.combinations(range(data + parity), parity))
        for lost in random.Random(unit).sample(lost_sets, min(15, len(lost_sets))):
            left = {n: block for n, block in enumerate(blocks) if n not in lost}
            assert coder.rebuild(left, lost) == {n: blocks[n] for n in lost}


def test_ranges_come_from_the_fragments_that_hold_them(tmp_path: Path) -> None:
    async def scene(box: Box) -> None:
        store = await box.start()
        bodies = await fill(store)
        await same(store, bodies)
        chance = random.Random(4)
        for name, body in bodies.items():
            for _ in range(12):
                start = chance.randrange(len(body))
                length = chance.randrange(1, len(body) - start + 1)
                assert await read(store, name, start, length) == body[start : start + length]
        # A block of 256 KiB costs one read of one drive.
        before = [bay.health.reads for bay in store.members.bays.values()]
        name, start = b"%d" % (4 * MIB), MIB + BLOCK_BYTES
        assert await read(store, name, start, BLOCK_BYTES) == bodies[name][start : start + BLOCK_BYTES]
        after = [bay.health.reads for bay in store.members.bays.values()]
        assert sum(after) - sum(before) == 1
        # The whole costs half as much again, not three times as much.
        used = sum(len(platter.files[name].seen) for platter in box.platters for name in fragments(platter))
        assert used < 1.75 * sum(len(body) for body in bodies.values())
        await store.close()

    run(scene, tmp_path)


def test_two_drives_vanish_and_two_others_after_the_repair(tmp_path: Path) -> None:
    async def scene(box: Box) -> None:
        store = await box.start()
        bodies = await fill(store)
        for number in (0, 3):
            for verb in ("open", "read", "write", "sync", "load", "save", "names"):
                box.platters[number].fail(verb, errno.EIO)
        await same(store, bodies)
        for number in (0, 3):
            box.platters[number].heal()
        for bay in store.members.bays.values():
            bay.suspect_until = 0.0
        await store.close()
        store = await box.start()
        for _ in range(4):
            await store.tend(hurry=True)
        await store.close()
        # Two that were good all the time are replaced by empty ones.
        for number in (1, 4):
            box.platters[number] = Platter(seed=20 + number)
        store = await box.start()
        await same(store, bodies)
        for _ in range(6):
            await store.tend(hurry=True)
        for id, blob in blobs(store):
            assert [state for _, state in blob.replicas] == [GOOD] * 6, id.hex()
            assert all(store.members.bay(drive) is not None for drive, _ in blob.replicas)
            assert len({drive for drive, _ in blob.replicas}) == 6
        for number in (2, 5):
            box.platters[number] = Platter(seed=30 + number)
        await store.close()
        store = await box.start(accept_loss=True)
        await same(store, bodies)
        await store.close()

    run(scene, tmp_path)


def blobs(store: Store) -> list[tuple[bytes, Blob]]:
    return [(id, blob) for id, blob in _extents(store.index) if blob.data]


@pytest.mark.parametrize("index", ["kept", "lost"])
def test_flipped_bits_in_several_fragments_are_never_served_and_are_put_right(tmp_path: Path, index: str) -> None:
    async def scene(box: Box) -> None:
        store = await box.start()
        bodies = await fill(store)
        await store.close()
        if index == "lost":
            box.lose_index()
        for turn, pair in enumerate(((0, 3), (1, 5))):
            for number in pair:
                for name in fragments(box.platters[number]):
                    content = box.platters[number].files[name]
                    # In the second turn the tables as well.
                    for offset in range(17, len(content.seen) if turn else len(content.seen) - 8192, 99_991):
                        box.platters[number].flip(name, offset, 0x10)
                    if turn:
                        box.platters[number].flip(name, len(content.seen) - 30, 0x01)
            store = await box.start()
            await same(store, bodies)
            for _ in range(4):
                await store.tend(hurry=True)
            for id, blob in blobs(store):
                assert [state for _, state in blob.replicas] == [GOOD] * 6, id.hex()
            await store.close()
            if index == "lost":
                box.lose_index()
        store = await box.start()
        await same(store, bodies)
        await store.close()

    run(scene, tmp_path)


def test_a_drained_drive_is_emptied_of_fragments(tmp_path: Path) -> None:
    async def scene(box: Box) -> None:
        store = await box.start()
        bodies = await fill(store)
        await store.close()
        store = await box.start(draining=(2,))
        for _ in range(6):
            await store.tend(hurry=True)
        assert not fragments(box.platters[2])
        await same(store, bodies)
        await store.close()

    run(scene, tmp_path)


def test_fewer_drives_than_the_quorum_refuse_and_a_fragment_short_is_made_later(tmp_path: Path) -> None:
    async def scene(box: Box) -> None:
        store = await box.start(without=(5, 6))
        body = body_of(5 * MIB + 3)
        await put(store, b"short", body)  # Five of six fragments are the quorum.
        assert await read(store, b"short") == body
        census = count(store.index, store.members)
        assert census.drives.keys() <= store.members.bays.keys()
        version = store.get(BUCKET, b"short")
        assert version is not None
        assert [copy.state for copy in await store.replicas(version)] == [WHOLE] * 5
        with pytest.raises((Unavailable, InsufficientCapacity)):
            await put(store, b"wide", body, of="erasure-8-4")
        await store.close()
        store = await box.start()
        for _ in range(4):
            await store.tend(hurry=True)
        [(_, blob)] = blobs(store)
        assert [state for _, state in blob.replicas] == [GOOD] * 6
        assert await read(store, b"short") == body
        await store.close()

    run(scene, tmp_path)


def test_parts_copies_and_deletion_know_fragments(tmp_path: Path) -> None:
    async def scene(box: Box) -> None:
        store = await box.start()
        upload = await store.create_upload(BUCKET, b"parts", storage_class=FOUR_TWO)
        first, second = body_of(5 * MIB + 1), body_of(2 * MIB + 9, 2)
        parts = []
        for number, body in enumerate((first, second), 1):
            async with await store.begin_part(upload, number) as writer:
                await writer.write(body)
                parts.append(await writer.finish(etag=str(number)))
        small = await store.put_part(upload, 3, b"small", etag="3")
        version = await store.complete(upload, [*parts, small], etag="e-3")
        whole = first + second + b"small"
        assert version.storage_class is FOUR_TWO
        assert await read(store, b"parts") == whole
        assert await read(store, b"parts", 5 * MIB - 100, 900) == whole[5 * MIB - 100 :][:900]
        await store.update_meta(version, b"new")
        await store.put(BUCKET, b"tiny", b"tiny", etag="t", storage_class=FOUR_TWO)
        await store.close()
        box.lose_index()
        store = await box.start()
        assert await read(store, b"parts") == whole
        assert await read(store, b"tiny") == b"tiny"
        await store.delete(BUCKET, b"parts")
        for _ in range(4):
            await store.tend(hurry=True)
        assert not any(fragments(platter) for platter in box.platters)
        await store.close()

    run(scene, tmp_path)
