"""Kill the object store's workers under load, again and again, and look whether an acknowledged change was lost or a wrong byte served.

`python -m tests.probe.store [--trials N] [--workers W] [--seed S] [--folder DIR]` starts W worker processes with one index and seven
drives in a folder, lets clients in each do everything the store can (small and large bodies, parts, versions, markers, deletions,
conditional changes, changes of properties) while checkpoints, compaction, audit and collection go on, kills all of them at a random
moment with SIGKILL, and starts again: with the index as it was left, and every fourth time without it. What each client was told is in
its journal, a pipe that outlives it; the judge (tests/engine/workload.py) compares. Prints a line per trial and a sum.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from storage.engine import Store
from storage.engine.store import Settings
from tests.engine.workload import Judge, parse, run_clients

CLIENTS = 6
DRIVES = 7  # So many that half of the large bodies are erasure-coded.


def settings() -> Settings:
    return Settings(segment_bytes=1 << 20, fill_ahead=True, spares_quiet_seconds=0.1, reserve_bytes=0, map_bytes=1 << 30)


def drives(folder: Path) -> list[Path]:
    return [folder / f"drive{n}" for n in range(DRIVES)]


# --- in a worker process


async def work(folder: Path, worker: int, seed: int, fd: int) -> None:
    store = await Store.open(drives(folder), index=folder / "index", worker=worker, settings=settings())

    def journal(line: list[Any]) -> None:
        os.write(fd, json.dumps(line).encode() + b"\n")

    journal(["ready"])
    rounds = asyncio.ensure_future(background(store, random.Random(seed)))
    # The clients of each worker have names of their own, and keep them from trial to trial.
    await run_clients(store, CLIENTS, journal, seed=seed, label=f"w{worker}.", first=seed % 100_003 * 100_000)
    rounds.cancel()


async def background(store: Store, chance: random.Random) -> None:
    """What goes on in a box beside the requests, in every worker, faster than there."""
    while True:
        await asyncio.sleep(chance.random() * 0.2)
        await store.tend(hurry=True)


# --- in the probe


class Workers:
    """Processes that will be killed."""

    def __init__(self, folder: Path, count: int, seed: int, *, module: str = "tests.probe.store") -> None:
        self._readers, self._processes = [], []
        for worker in range(count):
            reader, writer = os.pipe()
            argv = [
                sys.executable,
                "-m",
                module,
                "--work",
                str(worker),
                "--folder",
                str(folder),
                "--seed",
                str(seed),
                "--fd",
                str(writer),
            ]
            self._processes.append(subprocess.Popen(argv, pass_fds=[writer]))
            os.close(writer)
            self._readers.append(reader)
        self._raw = dict.fromkeys(self._readers, b"")
        for reader in self._readers:
            os.set_blocking(reader, False)

    def read(self) -> None:
        for reader in self._readers:
            with contextlib.suppress(BlockingIOError):
                while chunk := os.read(reader, 1 << 16):
                    self._raw[reader] += chunk

    def ready(self) -> bool:
        self.read()
        return all(b"\n" in raw for raw in self._raw.values())

    def wait(self, seconds: float) -> None:
        """Let them work, and keep their pipes from filling."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.read()
            time.sleep(0.005)

    def kill(self) -> list[list[Any]]:
        """At once; what they had been told."""
        failed = [p.args for p in self._processes if p.poll() is not None]
        for process in self._processes:
            process.send_signal(signal.SIGKILL)
        for process in self._processes:
            process.wait()
        self.read()
        for reader in self._readers:
            os.close(reader)
        if failed:
            raise RuntimeError(f"a worker ended by itself: {failed}")
        return [line for raw in self._raw.values() for line in parse(raw) if line[0] != "ready"]


async def look(folder: Path, judge: Judge) -> str:
    """Open the store with one process, and hold it against what was acknowledged."""
    store = await Store.open(drives(folder), index=folder / "index", settings=settings())
    try:
        await judge.check(store)
        return f"index {store.recovered.index}, {store.recovered.records} records replayed, {store.recovered.mended_records} mended"
    finally:
        await store.close()


def trials(folder: Path, count: int, workers: int, seed: int) -> int:
    """Returns how many changes were acknowledged; raises AssertionError for one that was lost."""
    chance, judge = random.Random(seed), Judge()
    for drive in drives(folder):
        drive.mkdir(parents=True, exist_ok=True)
    for trial in range(count):
        running = Workers(folder, workers, seed * 100_003 + trial)
        deadline = time.monotonic() + 60
        while not running.ready():
            if time.monotonic() > deadline:
                running.kill()
                raise TimeoutError("the workers did not start within a minute")
            time.sleep(0.01)
        running.wait(chance.random() * 1.5)
        judge.read(running.kill())
        open_changes = len(judge.open)
        if trial % 4 == 3:
            shutil.rmtree(folder / "index")
        said = asyncio.run(look(folder, judge))
        print(f"trial {trial}: {judge.acknowledged} acknowledged so far, {open_changes} open at the kill, {said}", flush=True)
    return judge.acknowledged


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
    print(f"{arguments.trials} trials, {done} changes acknowledged, none lost, no wrong byte")


if __name__ == "__main__":
    main()
