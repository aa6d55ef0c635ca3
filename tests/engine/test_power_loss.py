"""The power goes in the middle of everything: what was acknowledged is there afterwards, byte for byte, and nothing else is."""

from __future__ import annotations

import asyncio
import contextlib
import random
import tempfile
from pathlib import Path
from typing import Any

import pytest

from cloudbox.common.errors import CloudError
from storage.engine import Store
from storage.engine.simulated import Platter
from tests.engine.workload import Judge, run_clients
from tests.engine.world import Box


async def background(store: Store, chance: random.Random, stop: asyncio.Event) -> None:
    """What goes on in a box beside the requests."""
    while not stop.is_set():
        await asyncio.sleep(chance.random() * 0.02)
        with contextlib.suppress(OSError, CloudError):
            await store.tend(hurry=True)


async def trial(seed: int, folder: Path, drives: int = 4) -> int:
    """Three power losses in one life of a box, with a different moment each; returns how many changes had been acknowledged."""
    chance = random.Random(seed)
    box, judge = Box(folder, [Platter(seed=n) for n in range(drives)], segment_bytes=128 << 10), Judge()
    power = box.share_power()
    store = await box.start()
    for life in range(3):
        lines: list[list[Any]] = []
        power.cut_after(chance.randrange(1, 900))
        stop = asyncio.Event()
        rounds = asyncio.ensure_future(background(store, chance, stop))
        await run_clients(store, 6, lines.append, seed=seed * 10 + life, first=life * 100_000)
        stop.set()
        await rounds
        judge.read(lines)
        Box.abandon(store)
        box.power_loss()
        store = await box.start()
        await judge.check(store)
    await store.close()
    return judge.acknowledged


@pytest.mark.parametrize("seed", range(8))
def test_a_power_loss_loses_nothing_acknowledged(seed: int) -> None:
    """Unsynced sectors are kept or dropped at random on each drive; all drives stop at one moment; the index is discarded."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(trial(seed, Path(folder)))


@pytest.mark.parametrize("seed", range(20, 26))
def test_nor_of_erasure_coded_objects(seed: int) -> None:
    """On seven drives, where the clients write half of the large bodies in fragments."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(trial(seed, Path(folder), drives=7))
