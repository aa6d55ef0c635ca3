"""Drives vanish, fill up, turn read-only, give errors, flip bits, come back stale: nothing acknowledged is lost, no wrong byte served."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

import pytest

from cloudbox.common.errors import Conflict, InsufficientCapacity, Unavailable
from storage.engine import Mode, Store
from storage.engine.simulated import Platter
from tests.engine.world import BUCKET, Box, etag

LARGE = bytes(range(256)) * 3000  # Three blocks.


def run(scene: Callable[[Box], Awaitable[None]], folder: Path, *, drives: int = 4) -> None:
    asyncio.run(scene(Box(folder, [Platter(seed=n) for n in range(drives)])))  # type: ignore[arg-type]


async def fill(store: Store, count: int = 30, *, label: bytes = b"o") -> dict[bytes, bytes]:
    """Small and large objects; what they hold."""
    bodies: dict[bytes, bytes] = {}
    for number in range(count):
        name = b"%b%d" % (label, number)
        body = LARGE[number:] if number % 5 == 0 else b"%d" % number * (number * 37)
        if number % 5 == 0:
            async with await store.begin(BUCKET, name) as writer:
                await writer.write(body)
                await writer.finish(etag=etag(body))
        else:
            await store.put(BUCKET, name, body, etag=etag(body))
        bodies[name] = body
    return bodies


async def read_back(store: Store, bodies: dict[bytes, bytes]) -> None:
    for name, body in bodies.items():
        version = store.get(BUCKET, name)
        assert version is not None, name
        assert b"".join([piece async for piece in store.stream(version)]) == body, name


def known(store: Store, name: str) -> bool:
    return store.index.segment(int(name.removeprefix("segments/"), 16)) is not None


def copies(box: Box) -> dict[str, int]:
    """How many drives have each segment and extent."""
    found: dict[str, int] = {}
    for platter in box.platters:
        for name in platter.files:
            if name.startswith(("segments/", "extents/")):
                found[name] = found.get(name, 0) + 1
    return found


def test_a_drive_that_fails_writes_costs_nothing(tmp_path: Path) -> None:
    """Writing goes on with the others, first with a quorum, then on fresh segments; afterwards everything has three good copies again."""

    async def scene(box: Box) -> None:
        store = await box.start()
        bodies = await fill(store, 10)
        for number in (errno.EIO, errno.EROFS):
            box.platters[1].fail("write", number)
            box.platters[1].fail("sync", number)
            bodies |= await fill(store, 20, label=b"e%d" % number)
            await read_back(store, bodies)
            box.platters[1].heal()
        for bay in store.members.bays.values():
            bay.suspect_until = 0.0
        bodies |= await fill(store, 10, label=b"z")
        await store.close()
        store = await box.start()
        for _ in range(4):
            await store.tend(hurry=True)
        await read_back(store, bodies)
        for row in store.index.all_segments():
            assert row.state == 0 or [state for _, state in row.replicas] == [0, 0, 0], row
        await store.close()

    run(scene, tmp_path)


@pytest.mark.parametrize("mask", [0x01, 0xFF])
def test_a_flipped_bit_is_never_served_and_is_put_right(tmp_path: Path, mask: int) -> None:
    """Every byte of one drive's objects goes bad at places; reads come from the others, and rewrite the bad ones."""

    async def scene(box: Box) -> None:
        store = await box.start()
        bodies = await fill(store)
        await store.close()
        for number in (0, 2):
            platter = box.platters[number]
            for name, content in platter.files.items():
                if name.startswith("extents/") or (name.startswith("segments/") and number == 0):
                    for offset in range(5000 % len(content.seen), len(content.seen), 9973):
                        platter.flip(name, offset, mask)
        store = await box.start()
        await read_back(store, bodies)
        for _ in range(3):
            await store.tend(hurry=True)
        # Now that all is mended, any two drives may go bad instead.
        for number in (1, 3):
            for name, content in box.platters[number].files.items():
                for offset in range(4200, len(content.seen), 4096):
                    if name.startswith("segments/"):
                        box.platters[number].flip(name, offset, mask)
        await store.close()
        store = await box.start()
        await read_back(store, bodies)
        await store.close()

    run(scene, tmp_path, drives=4)


def test_a_drive_that_is_replaced_is_filled_again(tmp_path: Path) -> None:
    """One of three is swapped for an empty one: the box gives the old one up and copies everything to the new one, unasked."""

    async def scene(box: Box) -> None:
        store = await box.start()
        bodies = await fill(store)
        await store.close()
        before = copies(box)
        assert set(before.values()) == {3}
        box.platters[0] = Platter(seed=9)
        store = await box.start()
        await read_back(store, bodies)
        for _ in range(4):
            await store.tend(hurry=True)
        assert all(
            count == 3 for name, count in copies(box).items() if store.index.segment(int(name.split("/")[-1][:16], 16)) or "extents" in name
        )
        await store.close()
        box.platters[1] = Platter(seed=10)
        store = await box.start()
        await read_back(store, bodies)
        for _ in range(4):
            await store.tend(hurry=True)
        await store.close()
        box.platters[2] = Platter(seed=11)
        store = await box.start()
        await read_back(store, bodies)
        await store.close()

    run(scene, tmp_path, drives=3)


def test_a_drive_that_is_drained_ends_up_empty(tmp_path: Path) -> None:
    """Everything on it is copied elsewhere before it is let go of there, and nothing new is put on it."""

    async def scene(box: Box) -> None:
        store = await box.start()
        bodies = await fill(store)
        await store.close()
        store = await box.start(draining=(0,))
        bodies |= await fill(store, 10, label=b"new")
        for _ in range(6):
            await store.tend(hurry=True)
        left = [name for name in box.platters[0].files if name.startswith(("segments/", "extents/"))]
        assert left == []
        await read_back(store, bodies)
        await store.close()
        store = await box.start(without=(0, 1))  # Two of the three that are left are enough to read everything.
        await read_back(store, bodies)
        await store.close()

    run(scene, tmp_path)


def test_the_store_tends_itself(tmp_path: Path) -> None:
    """Once told to, it copies what lacks copies without being asked, and stops when it is closed."""

    async def scene(box: Box) -> None:
        store = await box.start()
        bodies = await fill(store)
        await store.close()
        lost = [name for name in box.platters[0].files if name.startswith("extents/")]
        for name in lost:
            del box.platters[0].files[name]
        store = await box.start()
        store.start_tending(seconds=0.01)
        async with asyncio.timeout(30):
            while any(name not in box.platters[0].files for name in lost):  # noqa: ASYNC110 - a drive has no event to wait for
                await asyncio.sleep(0.01)
        await store.close()
        store = await box.start()
        await read_back(store, bodies)
        await store.close()

    run(scene, tmp_path, drives=3)


def test_a_drive_that_returns_stale_brings_nothing_back(tmp_path: Path) -> None:
    """It was away while objects were replaced and deleted, and the index is lost as well: still nothing old is seen."""

    async def scene(box: Box) -> None:
        store = await box.start()
        bodies = await fill(store)
        await store.close()
        old = box.platters[2].snapshot()
        store = await box.start(without=(2,))
        for number, name in enumerate(list(bodies)):
            if number % 2:
                assert await store.delete(BUCKET, name) is not None
                del bodies[name]
            else:
                bodies[name] = b"new"
                await store.put(BUCKET, name, b"new", etag="n")
        await store.close()
        box.platters[2].restore(old)
        box.lose_index()
        store = await box.start()
        await read_back(store, bodies)
        assert [v.name for v in store.list(BUCKET).versions] == sorted(bodies)
        for _ in range(3):
            await store.tend(hurry=True)
        await read_back(store, bodies)
        await store.close()

    run(scene, tmp_path)


def test_a_drive_that_was_given_up_comes_back_empty(tmp_path: Path) -> None:
    """Nothing it held counts any more, even where its tombstones are long forgotten."""

    async def scene(box: Box) -> None:
        store = await box.start()
        bodies = await fill(store, 10)
        await store.close()
        store = await box.start(without=(3,))
        for _ in range(3):
            await store.tend(hurry=True)  # Gives it up, since it is in a hurry.
        for name in list(bodies):
            await store.delete(BUCKET, name)
        for _ in range(6):
            await store.tend(hurry=True)
        await store.close()
        box.lose_index()
        store = await box.start()
        assert store.list(BUCKET).versions == []
        assert not [
            name for name in box.platters[3].files if name.startswith("segments/") and store.index.segment(int(name[9:], 16)) is None
        ]
        await store.close()

    run(scene, tmp_path)


def test_missing_drives_that_may_know_more_stop_a_rebuild(tmp_path: Path) -> None:
    """Without the index and without two of four drives, what they alone may know is not silently left out; on demand it is."""

    async def scene(box: Box) -> None:
        store = await box.start()
        await fill(store, 10)
        await store.close()
        box.lose_index()
        with pytest.raises(Unavailable, match="2 of 4 drives are missing"):
            await box.start(without=(0, 1))
        store = await box.start(without=(0, 1), accept_loss=True)
        await store.close()

    run(scene, tmp_path)


def test_drives_that_were_given_up_are_waited_for_no_longer(tmp_path: Path) -> None:
    """Somebody has said that two of five are gone for good; then the index is lost before everything has three copies again."""

    async def scene(box: Box) -> None:
        store = await box.start()
        bodies = await fill(store, 30)
        await store.close()
        store = await box.start(without=(0, 1))
        for drive in sorted(store.members.missing):
            await store.give_up(drive)
        box.abandon(store)
        box.lose_index()
        store = await box.start(without=(0, 1))
        kept = {name: body for name, body in bodies.items() if store.get(BUCKET, name) is not None}
        assert len(kept) > 20, "of most something is on the three that are left"
        await store.tend(hurry=True)
        await store.close()

    run(scene, tmp_path, drives=5)


def test_full_drives_refuse_puts_but_not_deletions(tmp_path: Path) -> None:
    """Then the clear error, nothing half written, reads as before; and after deletions and rounds there is room again."""

    async def scene(box: Box) -> None:
        for platter in box.platters:
            platter.capacity = 6 << 20
        box.reserve_bytes = 1 << 20
        store = await box.start()
        bodies: dict[bytes, bytes] = {}
        body = b"f" * 100_000
        refused = 0
        for number in range(200):
            name = b"f%03d" % number
            try:
                await store.put(BUCKET, name, body, etag="f")
                bodies[name] = body
            except (InsufficientCapacity, Unavailable):
                refused += 1
        assert refused
        assert bodies
        with pytest.raises(InsufficientCapacity):
            await store.begin(BUCKET, b"large", size=64 << 20)
        with pytest.raises(InsufficientCapacity):
            await store.put(BUCKET, b"one more", body, etag="f")
        await read_back(store, bodies)
        for name in list(bodies)[: len(bodies) * 3 // 4]:
            assert await store.delete(BUCKET, name) is not None
            del bodies[name]
        for _ in range(12):
            await store.tend(hurry=True)
        await store.put(BUCKET, b"one more", body, etag="f")
        await read_back(store, bodies)
        await store.close()

    run(scene, tmp_path)


def test_no_quorum_is_said_and_heals(tmp_path: Path) -> None:
    """With too few drives a write is refused as Unavailable; reads go on; and when the drives answer again so does it."""

    async def scene(box: Box) -> None:
        store = await box.start()
        bodies = await fill(store, 10)
        for number in (0, 1, 2):
            box.platters[number].fail("write")
            box.platters[number].fail("sync")
        for _ in range(3):
            with pytest.raises(Unavailable):
                await store.put(BUCKET, b"never", b"x", etag="x")
        await read_back(store, bodies)
        for platter in box.platters:
            platter.heal()
        for bay in store.members.bays.values():
            bay.suspect_until = 0.0
        await store.put(BUCKET, b"now", b"x", etag="x")
        bodies[b"now"] = b"x"
        await read_back(store, bodies)
        await store.close()
        box.lose_index()
        store = await box.start()
        await read_back(store, bodies)
        await store.close()

    run(scene, tmp_path)


def test_two_stores_do_not_mix(tmp_path: Path) -> None:
    """A drive of another store is refused, and a worker's number is taken once."""

    async def scene(box: Box) -> None:
        other = Box(tmp_path / "other")
        await (await other.start()).close()
        store = await box.start()
        with pytest.raises(Conflict, match="Another process is worker 0"):
            await box.start()
        second = await box.start(worker=1)
        await second.put(BUCKET, b"a", b"1", etag="1")
        assert store.get(BUCKET, b"a") is not None
        await second.close()
        await store.close()
        box.platters[0] = other.platters[0]
        with pytest.raises(Conflict, match="belongs to another"):
            await box.start()

    run(scene, tmp_path)


def test_workers_race_for_one_name(tmp_path: Path) -> None:
    """Two workers put, delete and add under a condition at once: of many `absent` puts one wins, and no update is lost between them."""

    async def scene(box: Box) -> None:
        from cloudbox.common.errors import PreconditionFailed
        from storage.engine import absent, unchanged

        workers = [await box.start(worker=0), await box.start(worker=1)]
        counter = UUID(int=5)
        for turn in range(20):
            name = b"n%d" % turn

            async def attempt(store: Store, mark: bytes, name: bytes = name) -> bool:
                try:
                    await store.put(counter, name, mark, etag="m", condition=absent)
                except PreconditionFailed:
                    return False
                return True

            won = await asyncio.gather(*(attempt(workers[n % 2], b"%d" % n) for n in range(8)))
            assert sum(won) == 1
            version = workers[0].get(counter, name)
            assert version is not None
            assert await workers[1].read(version) == b"%d" % won.index(True)

        await workers[0].put(counter, b"total", b"0", etag="0")

        async def add(store: Store) -> None:
            done = 0
            while done < 10:
                seen = store.get(counter, b"total")
                assert seen is not None
                value = int(await store.read(seen)) + 1
                try:
                    await store.put(counter, b"total", b"%d" % value, etag="t", condition=unchanged(seen))
                except PreconditionFailed:
                    continue
                done += 1

        await asyncio.gather(*(add(store) for store in workers for _ in range(2)))
        version = workers[1].get(counter, b"total")
        assert version is not None
        assert await workers[0].read(version) == b"40"
        await asyncio.gather(*(store.put(counter, b"v", b"x", etag="x", mode=Mode.ADD) for store in workers for _ in range(50)))
        assert workers[0].usage(counter).versions == 20 + 1 + 100
        for store in workers:
            await store.close()

    run(scene, tmp_path)
