"""A home for a test run: a real PostgreSQL and Redis on Unix sockets, fake machines, gone at the end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cloudbox.box import host, postgres, proc, programs, secret_files
from cloudbox.box.paths import Box
from cloudbox.box.shell import Failed, Log

START_SECONDS = 30.0
PREFIX = "cbx-test-"


@contextmanager
def running(*, log: Log = lambda line: None, port: int = 8000) -> Iterator[Box]:
    """The box of a new temporary home with both services up. Needs root, as they run under accounts of their own."""
    # Memory where there is some to spare, since a test database is written a lot and kept not at all.
    place = "/dev/shm" if Path("/dev/shm").is_dir() and shutil.disk_usage("/dev/shm").free > 2**30 else None
    remove_orphans(Path(place or tempfile.gettempdir()))
    home = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    (home / "owner").write_text(f"{os.getpid()} {proc.start_ticks(os.getpid())}")
    box = Box(home)
    processes: list[subprocess.Popen[bytes]] = []
    try:
        prepare(box, log=log, port=port)
        for name in ("postgres", "redis"):
            with (box.logs / f"{name}.log").open("ab") as out:
                processes.append(
                    subprocess.Popen(
                        programs.run_command(box, name),
                        # The code under test, not a copy of it.
                        env=programs.environment(box) | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
                        stdin=subprocess.DEVNULL,
                        stdout=out,
                        stderr=out,
                        start_new_session=True,
                    )
                )
        _wait(box, processes)
        postgres.create_database(box, log=log)
        yield box
    finally:
        for process in processes:
            process.send_signal(signal.SIGINT)
        for process in processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(home, ignore_errors=True)


def remove_orphans(place: Path) -> None:
    """The homes of runs that were killed before they could clean up, and the services that still run there."""
    for owner in place.glob(f"{PREFIX}*/owner"):
        try:
            pid, ticks = owner.read_text().split()
        except (OSError, ValueError):  # its run is removing it, or is just making it
            continue
        if proc.same(int(pid), int(ticks)):
            continue
        deadline = time.monotonic() + START_SECONDS
        while (left := proc.with_words(f"{owner.parent}/")) and time.monotonic() < deadline:
            for each in left:
                with suppress(ProcessLookupError):
                    os.kill(each, signal.SIGINT)
            time.sleep(0.05)
        shutil.rmtree(owner.parent, ignore_errors=True)


def prepare(box: Box, *, log: Log, port: int) -> None:
    """What `up` would make in the home, without machines."""
    if os.geteuid() != 0:
        raise Failed("the tests start PostgreSQL and Redis under their own accounts, which needs root", remedy="sudo bin/cloudbox test")
    host.make_accounts(log=log)
    host.make_home(box)
    secret_files.make(box, admin_email="admin@cloudbox.local")
    box.write_config(
        {"name": box.name, "port": port, "bind": "127.0.0.1", "hosts": ["*"], "accelerator": "tcg", "drivers": "fake", "demo_kernel": False}
        # Nothing listens there unless a test starts it; the catalogue names it.
        | {"store_port": 9000}
    )
    if (node := Path(__file__).resolve().parents[2] / "node_modules").is_dir():
        box.write_config({"node_modules": str(node)})
    postgres.create_cluster(box, log=log, fast=True)


def _wait(box: Box, processes: list[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not (postgres.answers(box) and programs.healthy(box, "redis")):
        if time.monotonic() > deadline or any(process.poll() is not None for process in processes):
            tail = [line for name in ("postgres", "redis") for line in (box.logs / f"{name}.log").read_text().splitlines()[-6:]]
            raise Failed("PostgreSQL and Redis of the test home did not start", tail=tail)
        time.sleep(0.05)
