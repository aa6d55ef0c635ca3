"""Kill workers while they write and delete in a bucket whose events are told, and look whether an acknowledged change lacks its event.

`python -m tests.probe.outbox [--trials N] [--workers W] [--seed S]` starts W processes on one store, whose clients put, overwrite, delete
and tag objects by the verbs of the data plane, and kills all with SIGKILL at a random moment; then holds the queue of events against
what was acknowledged: an event of each put by its etag, of each tagging, and as many removals of a name as were acknowledged; and no
removal that counts while its version is still there. Prints a line per trial and a sum.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

from storage import objects, outbox
from storage.directory import Account, BucketInfo, BucketRow, info_of
from storage.engine import Store
from storage.notifications import Cause
from storage.objects import Write
from storage.plane import Plane
from storage.properties import Properties
from tests.probe.store import Workers, drives, settings

PROJECT = UUID(int=0x51)
CLIENTS = 6
RULE = {"id": "all", "webhook": "ear", "events": ["ObjectCreated:*", "ObjectRemoved:*", "ObjectTagging:*"]}


def bucket() -> BucketInfo:
    row = BucketRow(
        UUID(int=0x52), "probe", PROJECT, "Probe", "us-east-1", "replicated-3", "off", "enforced", False, 0.0, {"notification": [RULE]}
    )
    return info_of(row)


class _Accounts:
    """A directory that knows one project without limits."""

    async def find_account(self, project: str) -> Account:
        return Account(PROJECT, "Probe", "probe", False, (), None, None, None)


class _Md5:
    def __init__(self) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self.size = 0

    def update(self, data: bytes | memoryview) -> None:
        self._md5.update(data)
        self.size += len(data)

    def hex(self, name: str) -> str:
        return self._md5.hexdigest()


class _Body:
    def __init__(self, data: bytes) -> None:
        self._data, self.length = data, len(data)

    async def read(self, limit: int = objects.PIECE_BYTES) -> bytes:
        piece, self._data = self._data[:limit], self._data[limit:]
        return piece

    async def read_all(self, limit: int) -> bytes:
        return await self.read(limit)


async def opened(folder: Path, worker: int) -> Plane:
    store = await Store.open(drives(folder), index=folder / "index", worker=worker, settings=settings())
    return Plane(store, _Accounts(), ThreadPoolExecutor(2))  # type: ignore[arg-type]


# --- in a worker process


async def work(folder: Path, worker: int, seed: int, fd: int) -> None:
    plane = await opened(folder, worker)

    def journal(*line: Any) -> None:
        os.write(fd, json.dumps(line).encode() + b"\n")

    journal("ready")
    await asyncio.gather(*(client(plane, f"w{worker}.{n}", random.Random(seed * 100 + n), journal) for n in range(CLIENTS)))


async def client(plane: Plane, label: str, chance: random.Random, journal: Any) -> None:
    """One thing at a time; each is written down when it is acknowledged."""
    info = bucket()
    while True:
        name = f"{label}/{chance.randrange(4)}".encode()
        seen = plane.store.get(info.id, name)
        what = chance.choice(("put", "put", "large", "delete", "tag"))
        if what in ("put", "large"):
            body = os.urandom(40) * (1 if what == "put" else 40_000)
            version = await objects.put(plane, info, name, _Body(body), _Md5(), Write())
            journal("put", name.decode(), version.etag)
        elif seen is not None and what == "delete":
            await objects.delete(plane, info, name)
            journal("delete", name.decode(), seen.stamp)
        elif seen is not None:
            changed = await objects.change(plane, seen, _tag, told=(info, Cause("ObjectTagging:Put")))
            journal("tag", name.decode(), changed.changed)


def _tag(properties: Properties) -> None:
    properties.tags = {"a": os.urandom(2).hex()}


# --- in the probe


async def look(folder: Path, lines: list[list[Any]]) -> int:
    """How many events there are for these acknowledged changes; AssertionError if one lacks its own."""
    plane = await opened(folder, 0)
    try:
        events: list[dict[str, Any]] = []
        after = b""
        while True:
            ready, _, more = outbox.waiting(plane, after=after)
            for line in ready:
                gone = line.event.get("gone")
                now = plane.store.get(bucket().id, bytes.fromhex(line.event["name"]), gone[0]) if gone else None
                assert now is None or now.stamp != gone[1], "a removal counts whose version is there"
            events += [line.event for line in ready]
            if more is None:
                break
            after = more
        made = {(bytes.fromhex(one["name"]).decode(), one["etag"]) for one in events if one["event"] == "ObjectCreated:Put"}
        tagged = {(bytes.fromhex(one["name"]).decode(), int(one["sequencer"], 16)) for one in events if one["event"] == "ObjectTagging:Put"}
        removed = Counter((bytes.fromhex(one["name"]).decode(), one["gone"][1]) for one in events if "gone" in one)
        for what, name, fact in lines:
            found = {"put": (name, fact) in made, "tag": (name, fact) in tagged, "delete": removed[name, fact] > 0}[what]
            assert found, f"{what} of {name} was acknowledged, and has no event"
        return len(events)
    finally:
        await plane.store.close()
        plane.pool.shutdown()


def trials(folder: Path, count: int, workers: int, seed: int) -> int:
    """Returns how many changes were acknowledged. Events stay in the queue: at the end it is held against all of them."""
    chance, lines = random.Random(seed), list[list[Any]]()
    for drive in drives(folder):
        drive.mkdir(parents=True, exist_ok=True)
    for trial in range(count):
        running = Workers(folder, workers, seed * 100_003 + trial, module="tests.probe.outbox")
        deadline = time.monotonic() + 60
        while not running.ready():
            if time.monotonic() > deadline:
                running.kill()
                raise TimeoutError("the workers did not start within a minute")
            time.sleep(0.01)
        running.wait(0.1 + chance.random() * 0.8)
        lines += running.kill()
        found = asyncio.run(look(folder, lines))
        print(f"trial {trial}: {len(lines)} acknowledged so far, {found} events", flush=True)
    return len(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--fd", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work is not None:
        asyncio.run(work(arguments.folder, arguments.work, arguments.seed, arguments.fd))
        return
    with tempfile.TemporaryDirectory(prefix="cloudbox-probe-") as scratch:
        done = trials(arguments.folder or Path(scratch), arguments.trials, arguments.workers, arguments.seed)
    print(f"{arguments.trials} trials, {done} changes acknowledged, none without its event")


if __name__ == "__main__":
    sys.exit(main())
