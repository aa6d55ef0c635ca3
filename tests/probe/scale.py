"""What many objects cost the object store's engine: `python -m tests.probe.scale [--objects 10000000] [--folder DIR]`.

Fills one bucket with small objects through `Store.put`, 1,000 folders in turn, so that the names of each batch are spread over the whole
index, as those of many tenants are. Then it measures, each in a process of its own: size of the index, memory, look-ups, pages of 1,000
at the beginning, in the middle and at the end, the 1,000 folders by a delimiter; the start after a clean stop, after a kill in the midst
of writing, and after the loss of the index with a checkpoint and a tail behind it (`--without-checkpoint`: reading every record). Each
start is followed by a count of objects, so that none is missing. It takes some 700 bytes of disk per object and copy of the index, and
removes what it made unless `--keep` is given. Figures are for comparing within a run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from storage.engine import STORAGE_CLASSES, Store, checkpoint
from storage.engine.store import Settings

BUCKET = UUID(int=0x5CA1E)
FOLDERS = 1000
TOGETHER = 2000  # Puts under way at once.
META = b'{"content-type": "image/jpeg"}'
ETAG = "9e107d9d372bb6826bd81d3542a419d6"
REPEATS = 50


def name_of(number: int) -> bytes:
    return b"%03d/photo-%08d.jpg" % (number % FOLDERS, number // FOLDERS)


def drives(folder: Path) -> list[Path]:
    found = sorted(folder.glob("drive*"))
    assert found, f"no drives in {folder}"
    return found


async def opened(folder: Path) -> tuple[Store, float]:
    """The store, and how long its start took."""
    began = time.perf_counter()
    store = await Store.open(list(drives(folder)), index=folder / "index", settings=Settings(reserve_bytes=0))
    return store, time.perf_counter() - began


# --- in a process of its own; each prints one line of JSON


async def fill(folder: Path, first: int, count: int, *, tail: bool = False) -> dict[str, Any]:
    """`tail`: go on until killed, telling how far it has come; nothing tends the store, so that no checkpoint is made."""
    store, _ = await opened(folder)
    storage_class = STORAGE_CLASSES[f"replicated-{min(3, len(drives(folder)))}"]
    began, cpu = time.perf_counter(), time.process_time()

    async def put(numbers: range) -> None:
        for number in numbers:
            await store.put(BUCKET, name_of(number), b"", etag=ETAG, meta=META, storage_class=storage_class)

    for start in range(first, first + count, TOGETHER * 10):
        end = min(start + TOGETHER * 10, first + count)
        await asyncio.gather(*(put(range(start + lane, end, TOGETHER)) for lane in range(TOGETHER)))
        if tail:
            print(end, flush=True)
        elif (end - first) % 500_000 < TOGETHER * 10:
            print(f"  {end:,} objects, {(end - first) / (time.perf_counter() - began):,.0f} a second", file=sys.stderr, flush=True)
    took, spent = time.perf_counter() - began, time.process_time() - cpu
    began = time.perf_counter()
    await store.close()
    return {"puts_a_second": count / took, "cpu_us_a_put": 1e6 * spent / count, "close_seconds": time.perf_counter() - began}


async def look(folder: Path, objects: int) -> dict[str, Any]:
    """A start, and what reading costs."""
    store, start = await opened(folder)
    counted = store.usage(BUCKET).objects
    report = store.recovered
    pages = {
        "first": b"",
        "middle": name_of(objects // FOLDERS // 2 * FOLDERS + FOLDERS // 2),
        "last": name_of((objects // FOLDERS - 900) * FOLDERS + FOLDERS - 1),
    }
    found: dict[str, Any] = {
        "start_seconds": start,
        "index": report.index,
        "records_replayed": report.records,
        "objects": counted,
        "memory_after_start": memory(),
    }
    for name, after in pages.items():
        found[f"list_{name}_ms"] = median_ms(lambda after=after: len(store.list(BUCKET, after=after).versions))  # type: ignore[misc]
    found["list_folders_ms"] = median_ms(lambda: len(store.list(BUCKET, delimiter=b"/").prefixes))
    found["list_one_folder_ms"] = median_ms(lambda: len(store.list(BUCKET, prefix=b"500/", delimiter=b"/").versions))
    chance = random.Random(1)
    numbers = [chance.randrange(objects) for _ in range(20_000)]
    began = time.process_time()
    missing = sum(store.get(BUCKET, name_of(number)) is None for number in numbers)
    found["get_cpu_us"] = 1e6 * (time.process_time() - began) / len(numbers)
    found["missing"] = missing
    found["memory_after_reading"] = memory()
    stat = {}
    with store.index.env.begin() as txn:
        for table in ("objects", "versions", "blobs", "shadows", "garbage"):
            seen = txn.stat(getattr(store.index, table))
            pages_used = seen["branch_pages"] + seen["leaf_pages"] + seen["overflow_pages"]  # type: ignore[operator]
            stat[table] = {"entries": seen["entries"], "bytes": pages_used * seen["psize"]}
    found["tables"] = stat
    found["index_file_bytes"] = (folder / "index" / "lmdb" / "data.mdb").stat().st_size
    began = time.perf_counter()
    await store.close()
    found["close_seconds"] = time.perf_counter() - began
    return found


async def make_checkpoint(folder: Path) -> dict[str, Any]:
    store, _ = await opened(folder)
    began, cpu = time.perf_counter(), time.process_time()
    written = await asyncio.to_thread(checkpoint.write, store.index, store.members, store.committer.clock.stamp())
    found = {"bytes": written, "seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}
    await store.close()
    return found


def median_ms(page: Callable[[], int]) -> dict[str, float]:
    """The first call, which may have to read the disk, and the median of the others."""
    samples = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        count = page()
        samples.append(1e3 * (time.perf_counter() - began))
        assert count, "an empty page"
    return {"first": round(samples[0], 2), "median": round(statistics.median(samples), 2), "rows": count}


def memory() -> dict[str, int]:
    """MiB of this process: its share of everything (PSS), of that its own (anonymous), and the most that was ever resident (RSS). The
    pages of the index are the system's page cache: they count in PSS while they are mapped, and go when memory is needed."""
    rows = dict(line.split(":") for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:] if ":" in line)
    mib = {name: int(rows[name].split()[0]) >> 10 for name in ("Pss", "Pss_Anon")}
    return {"pss": mib["Pss"], "own": mib["Pss_Anon"], "most": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10}


# --- the run


def step(folder: Path, *words: str) -> dict[str, Any]:
    argv = [sys.executable, "-m", "tests.probe.scale", "--folder", str(folder), "--step", *words]
    said = subprocess.run(argv, stdout=subprocess.PIPE, check=True, text=True).stdout
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


def kill_while_writing(folder: Path, first: int, seconds: float) -> int:
    """Write on for a while, end with SIGKILL; the least that must be there afterwards."""
    argv = [sys.executable, "-m", "tests.probe.scale", "--folder", str(folder), "--step", "tail", str(first), str(1 << 30)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    least, until = first, time.monotonic() + seconds
    for line in process.stdout:
        least = int(line)
        if time.monotonic() > until:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    return least


def look_for(folder: Path, objects: int, least: int) -> dict[str, Any]:
    """What `look` finds; none of these may be missing."""
    found = step(folder, "look", str(objects))
    assert found["objects"] >= least, f"{found['objects']} objects, {least} had been acknowledged"
    assert not found["missing"]
    return found


def tell(what: str, found: dict[str, Any]) -> None:
    print(json.dumps({what: found}, indent=1), flush=True)


def run(folder: Path, objects: int, *, copies: int, tail_seconds: float, without_checkpoint: bool) -> None:
    if not (folder / "index").exists():
        for number in range(copies):
            (folder / f"drive{number}").mkdir(parents=True, exist_ok=True)
        tell("fill", step(folder, "fill", "0", str(objects)))
    tell("after a clean stop", step(folder, "look", str(objects)))
    least = kill_while_writing(folder, objects, tail_seconds)
    tell("after a kill", look_for(folder, objects, least))
    tell("checkpoint", step(folder, "checkpoint"))
    least = kill_while_writing(folder, least, tail_seconds)
    shutil.rmtree(folder / "index")
    found = look_for(folder, objects, least)
    assert found["index"] == "checkpoint"
    tell("after the loss of the index", found)
    if without_checkpoint:
        shutil.rmtree(folder / "index")
        for drive in drives(folder):
            shutil.rmtree(drive / "checkpoints")
        tell("after the loss of the index and of every checkpoint", look_for(folder, objects, least))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=10_000_000)
    parser.add_argument("--copies", type=int, default=1, choices=(1, 2, 3), help="drives, and copies of each record (default: %(default)s)")
    parser.add_argument("--tail-seconds", type=float, default=10, help="how long to write before each crash (default: %(default)s)")
    parser.add_argument("--without-checkpoint", action="store_true", help="in the end, read everything anew")
    parser.add_argument("--folder", type=Path, help="on the file system to measure; what is there from a run with --keep is used again")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        what, *words = arguments.step
        numbers = [int(word) for word in words]
        if what in ("fill", "tail"):
            found = asyncio.run(fill(arguments.folder, *numbers, tail=what == "tail"))
        elif what == "look":
            found = asyncio.run(look(arguments.folder, *numbers))
        else:
            found = asyncio.run(make_checkpoint(arguments.folder))
        print(json.dumps(found))
        return
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="cloudbox-scale-"))
    print(
        f"{arguments.objects:,} objects, {arguments.copies} copies, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors",
        flush=True,
    )
    try:
        run(
            folder,
            arguments.objects,
            copies=arguments.copies,
            tail_seconds=arguments.tail_seconds,
            without_checkpoint=arguments.without_checkpoint,
        )
    finally:
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
