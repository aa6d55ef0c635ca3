"""Drives come, or are weighed anew, and what is stored spreads over them: evenly, with every copy apart, through power losses and kills."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from cloudbox.common.errors import CloudError
from storage.engine import STORAGE_CLASSES, DriveSpec, Store, census, rebalancer, repairer
from storage.engine.simulated import MemoryDrive, Platter
from tests.engine.test_faults import copies, fill, read_back
from tests.engine.world import BUCKET, Box, etag

TOTAL = 1 << 30


def box_of(folder: Path, drives: int, *, segment_bytes: int = 64 << 10) -> Box:
    return Box(folder, [Platter(TOTAL, seed=n) for n in range(drives)], segment_bytes=segment_bytes)


def held(store: Store) -> dict[str, int]:
    """Bytes on each drive, by its path."""
    counted = census.count(store.index, store.members)
    return {str(bay.spec.path): counted.on(id).size_bytes for id, bay in store.members.bays.items()}


async def settle(store: Store, rounds: int = 40) -> None:
    """Until a round finds nothing to move, and nothing that is to be written again."""
    for _ in range(rounds):
        done = {progress.what: progress for progress in await store.tend(hurry=True)}
        assert not done["repair"].lost
        if "rebalance" in done and done["rebalance"].idle and not done["compact"].left and not done["audit"].notes:
            return
    raise AssertionError(f"it does not come to rest: {held(store)}")


def spread(store: Store) -> float:
    """How far the fullest drive is above the mean."""
    sizes = list(held(store).values())
    return max(sizes) / (sum(sizes) / len(sizes)) - 1


def specs(box: Box, weights: dict[int, float] | None = None, domains: dict[int, str] | None = None) -> list[DriveSpec]:
    return [
        DriveSpec(Path(f"memory {n}"), drive=MemoryDrive(platter), weight=(weights or {}).get(n, 1.0), domain=(domains or {}).get(n, ""))
        for n, platter in enumerate(box.platters)
    ]


def test_new_drives_get_their_share(tmp_path: Path) -> None:
    async def scene() -> None:
        box = box_of(tmp_path, 4)
        store = await box.start()
        bodies = await fill(store, 120)
        box.platters += [Platter(TOTAL, seed=9), Platter(TOTAL, seed=10)]
        await store.configure(specs(box))
        before = spread(store)
        await settle(store)
        after = spread(store)
        assert before > 0.4 > 0.1 > after, (before, after)
        await read_back(store, bodies)
        found = copies(box)
        assert all(count == 3 for name, count in found.items() if name.startswith("extents/")), found
        assert all(len(row.replicas) == 3 for row in store.index.all_segments())
        assert all(count == 3 for name, count in found.items() if name.startswith("segments/")), "no file was left behind"
        await store.close()
        box.lose_index()
        store = await box.start()
        await read_back(store, bodies)
        await store.close()

    asyncio.run(scene())


def test_a_heavier_drive_holds_more(tmp_path: Path) -> None:
    async def scene() -> None:
        box = box_of(tmp_path, 6)
        store = await box.start()
        bodies = await fill(store, 120)
        await settle(store)
        await store.configure(specs(box, {0: 2.0, 1: 0.5}))
        await settle(store)
        sizes = held(store)
        mean = sum(sizes.values()) / 6.5
        assert sizes["memory 0"] / mean == pytest.approx(2.0, rel=0.2), sizes
        assert sizes["memory 1"] / mean == pytest.approx(0.5, rel=0.35), sizes
        await read_back(store, bodies)
        await store.close()

    asyncio.run(scene())


def test_copies_stay_in_different_domains(tmp_path: Path) -> None:
    """Two shelves of three drives become three of three: what moves goes to where no copy is yet."""

    async def scene() -> None:
        box = box_of(tmp_path, 6)
        shelves = {n: f"shelf {n % 3}" for n in range(9)}
        store = await box.start()
        await store.configure(specs(box, domains=shelves))
        bodies = await fill(store, 80)
        box.platters += [Platter(TOTAL, seed=20 + n) for n in range(3)]
        await store.configure(specs(box, domains=shelves))
        await settle(store)
        assert spread(store) < 0.15
        for row in store.index.all_segments():
            on = [store.members.bays[drive].spec.domain for drive, _ in row.replicas]
            assert len(set(on)) == 3, on
        await read_back(store, bodies)
        await store.close()

    asyncio.run(scene())


def test_fragments_move_as_well(tmp_path: Path) -> None:
    async def scene() -> None:
        box = box_of(tmp_path, 6)
        store = await box.start()
        bodies = {}
        for number in range(12):
            name, body = b"c%d" % number, bytes([number]) * 700_000
            async with await store.begin(BUCKET, name, storage_class=STORAGE_CLASSES["erasure-4-2"]) as writer:
                await writer.write(body)
                await writer.finish(etag=etag(body))
            bodies[name] = body
        box.platters += [Platter(TOTAL, seed=30 + n) for n in range(3)]
        await store.configure(specs(box))
        before = spread(store)
        await settle(store)
        assert before > 0.4
        assert spread(store) < 0.2
        assert all(count == 1 for name, count in copies(box).items() if name.startswith("extents/"))
        await read_back(store, bodies)
        await store.close()

    asyncio.run(scene())


def test_nothing_moves_while_copies_lack_or_a_drive_is_missing(tmp_path: Path) -> None:
    async def scene() -> None:
        box = box_of(tmp_path, 5)
        store = await box.start(without=(4,))
        await fill(store, 60)
        box.platters.append(Platter(TOTAL, seed=40))
        await store.configure(specs(box))
        del store.members.bays[next(iter(store.members.bays))]
        store.members.missing.add(b"x" * 16)
        assert rebalancer.rebalance(store.index, store.members, store.reader, least=0).idle
        box.abandon(store)

    asyncio.run(scene())


@pytest.mark.parametrize("then", ["sealed", "open"])
def test_a_power_loss_after_every_copy_has_moved_loses_nothing(tmp_path: Path, then: str) -> None:
    """The checkpoint knows none of the drives that have the segments now; what it knew of them was whole, or still being written."""

    async def scene() -> None:
        box = box_of(tmp_path, 3, segment_bytes=32 << 10)
        store = await box.start()
        bodies = await fill(store, 40)
        if then == "sealed":
            await store.close()
            store = await box.start()
        await store.tend(hurry=True)
        assert any(name.startswith("checkpoints/") for platter in box.platters for name in platter.files)
        if then == "open":
            await store.close()
            store = await box.start()
        before = {row.id for row in store.index.all_segments()}
        box.platters += [Platter(TOTAL, seed=70 + n) for n in range(3)]
        everything = specs(box)
        await store.configure([replace(spec, draining=n < 3) for n, spec in enumerate(everything)])
        for _ in range(6):
            repairer.repair(store.index, store.members, store.reader)
        assert before & {row.id for row in store.index.all_segments()}, "nothing was rewritten, only moved"
        assert not any(name.startswith(("segments/", "extents/")) for platter in box.platters[:3] for name in platter.files)
        box.abandon(store)
        box.power_loss()
        store = await box.start()
        await read_back(store, bodies)
        await settle(store)
        await read_back(store, bodies)
        assert all(count == 3 for count in copies(box).values()), copies(box)
        await store.close()

    asyncio.run(scene())


@pytest.mark.parametrize("index", ["kept", "lost"])
@pytest.mark.parametrize("seed", range(4))
def test_a_power_loss_at_any_moment_of_it_loses_nothing(tmp_path: Path, seed: int, index: str) -> None:
    """The power goes after ever more operations of the rebalancing, until it is through; with the index kept each time, or made anew."""

    async def scene() -> None:
        box = box_of(tmp_path, 4, segment_bytes=32 << 10)
        store = await box.start()
        bodies = await fill(store, 40)
        await store.close()
        box.platters += [Platter(TOTAL, seed=50), Platter(TOTAL, seed=51)]
        power = box.share_power()
        for life in range(12):
            store = await box.start()
            power.cut_after(3 + 7 * life + seed)
            try:
                for _ in range(3):
                    await store.tend(hurry=True)
            except (OSError, CloudError):
                pass
            box.abandon(store)
            box.power_loss()
            if index == "lost":
                box.lose_index()
            store = await box.start()
            await read_back(store, bodies)
            box.abandon(store)
        store = await box.start()
        await settle(store)
        await read_back(store, bodies)
        assert spread(store) < 0.25
        found = copies(box)
        assert all(count == 3 for count in found.values()), found
        await store.close()

    asyncio.run(scene())


def test_a_drive_that_vanishes_with_a_copy_that_was_moved_away_brings_nothing_back(tmp_path: Path) -> None:
    """The copy is noted as one that may be there until its file is gone, so the segment is not retired, and no tombstone forgotten."""

    async def scene() -> None:
        box = box_of(tmp_path, 4)
        store = await box.start()
        bodies = await fill(store, 60)
        box.platters += [Platter(TOTAL, seed=60), Platter(TOTAL, seed=61)]
        await store.configure(specs(box))
        for platter in box.platters[:4]:
            platter.fail("remove")
        rebalancer.rebalance(store.index, store.members, store.reader, least=0)
        for platter in box.platters:
            platter.heal()
        kept = [row for row in store.index.all_segments() if len(row.replicas) > 3]
        assert kept, "some were moved, and their old files are still there"
        for bay in store.members.bays.values():
            bay.suspect_until = 0.0
        await settle(store)
        assert all(len(row.replicas) == 3 for row in store.index.all_segments())
        found = copies(box)
        assert all(count == 3 for name, count in found.items() if name.startswith("segments/")), found
        await read_back(store, bodies)
        await store.close()

    asyncio.run(scene())
