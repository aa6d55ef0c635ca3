"""The data plane put together: the parent that keeps N workers, and what each worker is made of.

Settings are read from the box's `box.json`: `store_port` (9000), `store_admin_port` (9001, on 127.0.0.1 only), `store_workers` (one a
core), `store_drives` (the folders that a new store begins with; by default four under the box's home), `store_domains` (host names
below which a bucket may be named), `store_website_domains` (below which it is shown as a website), `store_swift_domains` (of Swift's
accounts and containers), `store_region`, `store_class` (of new buckets), `bind`; and for TLS `store_tls_port`,
`store_tls_certificate` and `store_tls_key`, see certificates.py. Which drives there are now is in drives.json (drive_list.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from cloudbox.common.errors import Conflict, Invalid
from storage import certificates, drive_list, drive_rounds, rounds, traffic
from storage.api.s3 import portal
from storage.api.s3.app import S3
from storage.api.s3.auth import credential_of
from storage.api.sts.app import Sts, is_query
from storage.api.swift.app import Swift
from storage.directory import Directory
from storage.engine import STORAGE_CLASSES, DriveSpec, Store
from storage.generations import Generations
from storage.loading import TableLoader
from storage.notices import Notices
from storage.plane import THREADS, Plane
from storage.server import App, Request, Response, admin, nursery, worker, workers
from storage.server.access_log import AccessLog
from storage.server.tls import Following, Pair
from storage.server.worker import Listener

# A worker that replaces another one opens the store while the old one still drains: it takes the next number of its slot.
SLOTS = 32


@dataclass(frozen=True, slots=True)
class Config:
    """Where the data plane lives and how it is shaped."""

    home: Path
    drives: tuple[Path, ...]  # That a new store begins with; drives.json says which ones it has now.
    bind: str
    port: int
    admin_port: int
    workers: int
    domains: tuple[str, ...]
    sites: tuple[str, ...]
    swift_domains: tuple[str, ...]
    region: str
    storage_class: str
    tls_port: int | None = None
    tls: Pair | None = None
    own_drives: bool = True  # They are the box's own folders, which it makes.
    pages: portal.Portal = field(default_factory=portal.Portal)

    @property
    def index(self) -> Path:
        return self.home / "store" / "index"

    @property
    def drive_list(self) -> Path:
        return self.home / "store" / drive_list.NAME

    @property
    def generations(self) -> Path:
        return self.home / "run" / "store" / "generations"

    @property
    def metrics(self) -> Path:
        return self.home / "run" / "store" / "metrics"

    @property
    def access_log(self) -> Path:
        return self.home / "logs" / "store-access.log"


def config_of(home: Path, box: dict[str, Any]) -> Config:
    """From box.json. Raises Invalid with what is wrong."""
    drives = tuple(Path(one) for one in box.get("store_drives") or drive_list.default_folders(home))
    count = int(box.get("store_workers") or os.cpu_count() or 1)
    if not 1 <= count <= SLOTS:
        raise Invalid(f"store_workers is a number from 1 to {SLOTS}.", field="store_workers")
    storage_class = str(box.get("store_class", "replicated-3"))
    if storage_class not in STORAGE_CLASSES:
        raise Invalid(f"store_class is one of {', '.join(STORAGE_CLASSES)}.", field="store_class")
    return Config(
        home=home,
        drives=drives,
        bind=str(box.get("bind", "127.0.0.1")),
        port=int(box.get("store_port", 9000)),
        admin_port=int(box.get("store_admin_port", 9001)),
        workers=count,
        domains=tuple(box.get("store_domains", certificates.DOMAINS)),
        sites=tuple(box.get("store_website_domains", certificates.SITES)),
        swift_domains=tuple(box.get("store_swift_domains", certificates.SWIFT)),
        region=str(box.get("store_region", "us-east-1")),
        storage_class=storage_class,
        tls_port=int(box["store_tls_port"]) if box.get("store_tls_port") else None,
        tls=certificates.pair(home, box),
        own_drives=not box.get("store_drives"),
        pages=portal.of_box(box),
    )


def run_parent(config: Config) -> NoReturn:
    """Become the process that keeps the workers running until SIGTERM; SIGHUP replaces them without dropping a connection.

    It is another program, since it needs none of the 45 MiB that Django and the dialects take.
    """
    prepare(config)
    addresses = [workers.Address("http", config.bind, config.port), workers.Address("admin", "127.0.0.1", config.admin_port)]
    if config.tls_port:
        addresses.append(workers.Address("https", config.bind, config.tls_port))
    argv = [sys.executable, sys.argv[0], "dataplane", "--nursery"]
    code = str(Path(__file__).resolve().parents[1])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [code, os.environ.get("PYTHONPATH", "")]))}
    parent = workers.parent_argv(argv, addresses, config.workers, config.metrics)
    os.execve(parent[0], parent, environment)


def run_nursery(config: Config) -> NoReturn:
    """Be the process that workers are forked from: started by the parent, with everything imported, and nothing opened."""
    nursery.nurse(lambda: run_worker(config))


def prepare(config: Config) -> drive_list.DriveList:
    """The folders that the data plane keeps things in, and which drives it has. Raises Conflict if it has had drives and none is found."""
    made = (config.index / "state.json").exists() or (config.index / "lmdb").exists()
    for folder in (config.index, config.generations.parent, config.metrics):
        folder.mkdir(parents=True, exist_ok=True)
    return drive_list.begin(config.drive_list, config.drives, defaults=config.own_drives, made=made)


def run_worker(config: Config) -> None:
    """Be one worker, until it is told to stop."""
    access_log = AccessLog(config.access_log) if config.access_log.parent.is_dir() else None
    worker.run(lambda: open_worker(config, workers.inherited(), workers.slot()), metrics=workers.own_metrics(), access_log=access_log)


async def open_worker(config: Config, sockets: dict[str, Any], slot: int) -> tuple[list[Listener], Callable[[], Awaitable[None]]]:
    """The store, the directory, the application on its sockets; and how to close them."""
    plane, close = await open_plane(config, slot)
    app = front(
        S3(plane, domains=config.domains, sites=config.sites, pages=config.pages),
        Swift(plane, domains=config.swift_domains),
        Sts(plane, lookup=credential_of),
    )
    listeners = [Listener(sockets["http"], app)]
    if "admin" in sockets:
        listeners.append(Listener(sockets["admin"], admin.app(config.metrics), quiet=True))
    if "https" not in sockets or config.tls is None:
        return listeners, close
    shown = Following(config.tls)
    listeners.append(Listener(sockets["https"], app, shown.context))
    following = asyncio.get_running_loop().create_task(shown.follow())

    async def close_all() -> None:
        following.cancel()
        await close()

    return listeners, close_all


def front(s3: App, swift: Swift, sts: App) -> App:
    """All dialects on one port. Swift's addresses are none that a bucket of S3 can have, and S3 has no forms for "/"."""

    def either(request: Request) -> Coroutine[Any, Any, Response]:
        return swift(request) if swift.serves(request) else sts(request) if is_query(request) else s3(request)

    return either


async def open_plane(config: Config, slot: int) -> tuple[Plane, Callable[[], Awaitable[None]]]:
    """A worker's tools, without a front."""
    store = await _open_store(config, slot)
    store.start_tending()
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="control")
    generations = Generations(config.generations)
    loop = asyncio.get_running_loop()

    async def in_pool(function: Callable[..., Any], *args: Any) -> Any:
        return await loop.run_in_executor(pool, function, *args)

    directory = Directory(TableLoader(), generations, run=in_pool)
    notices = Notices(directory, loop)
    notices.start()
    plane = Plane(store, directory, pool, region=config.region, storage_class=config.storage_class)

    watch = drive_rounds.DriveRounds(plane, config.drive_list, config.generations.parent / "drives", leads=slot == 0)
    leading = [rounds.run(plane), rounds.forward(plane)] if slot == 0 else []
    beside = [loop.create_task(work) for work in (watch.run(), plane.traffic.keep(plane.run, traffic.write), *leading)]

    async def close() -> None:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        with contextlib.suppress(Exception):  # PostgreSQL may be gone before us; the last seconds' counts go with it.
            await plane.traffic.flush(plane.run, traffic.write)
        notices.stop()
        await store.close()
        pool.shutdown(wait=False, cancel_futures=True)
        generations.close()

    return plane, close


async def _open_store(config: Config, slot: int) -> Store:
    drives = drive_list.read(config.drive_list)
    specs = drives.specs if drives is not None else [DriveSpec(path) for path in config.drives]
    error: Conflict | None = None
    for number in range(slot, 256, SLOTS):
        try:
            return await Store.open(specs, index=config.index, worker=number)
        except Conflict as taken:
            error = taken
    assert error is not None
    raise error
