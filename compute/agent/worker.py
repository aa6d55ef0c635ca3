"""The worker: the one privileged process of the box. Jobs, machine events, consoles, samples and the schedule; and, in a child
without rights, the metadata service, since that reads what guests send.

One process, so that an idle box stays small; one asyncio loop for waiting, threads for what blocks. Exactly one worker runs in
a box: a lock in PostgreSQL says so. Since it is the only one, jobs that were `doing` when it starts were cut off by a crash
of its predecessor, and are given back to the queue at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import grp
import logging
import pwd
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.cache import cache
from django.db import close_old_connections, connection
from procrastinate import PsycopgConnector
from procrastinate.contrib.django import app as jobs_app
from procrastinate.contrib.django.utils import connector_params
from procrastinate.jobs import Status

from cloudbox.common.errors import CloudError
from compute import host, metrics
from compute.agent import screens
from compute.agent.console_hub import ConsoleHub
from compute.agent.disk_server import DiskServer
from compute.agent.metadata import keep_password, lookup
from compute.agent.metadata_keeper import MetadataKeeper
from compute.agent.sampler import Sampler
from compute.drivers.specs import ON, MachineEvent, Power
from compute.health import HEARTBEAT
from compute.lifecycle import observe
from compute.models import Network

log = logging.getLogger(__name__)

CONCURRENT_JOBS = 4
# Rounds that take turns need fewer database connections, of which each costs PostgreSQL 4 MiB. Those that are urgent take none.
CONCURRENT_ROUNDS = 3
URGENT_SECONDS = 2.0
LIVE_SECONDS = 2.0
CALM_SECONDS = 10.0
WEB_USER = "cloudbox"
_LOCK = 0xB0C5  # any number: the advisory lock of the one worker

Periodics = Sequence[tuple[str, float, Callable[[], Any]]]


def _in_thread(function: Callable[..., Any], *args: Any) -> Any:
    """Call in a pool thread with a database connection that goes back when it is done."""

    def call() -> Any:
        close_old_connections()
        try:
            return function(*args)
        finally:
            connection.close()

    return asyncio.to_thread(call)


class Worker:
    def __init__(self, periodics: Periodics) -> None:
        self._periodics = periodics
        self._started = time.time()
        self._rounds: dict[str, dict[str, Any]] = {}
        self._events: asyncio.Queue[MachineEvent] = asyncio.Queue()
        self._running: set[UUID] = set()
        self._turns = asyncio.Semaphore(CONCURRENT_ROUNDS)
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Until SIGTERM. Jobs that are under way are given ten seconds, then left to the next worker: steps may be repeated."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        await _in_thread(give_back_jobs)
        self._hub = ConsoleHub(settings.RUN_DIR / "console.sock", log_of=host.hypervisor().console_log, owner=_web_owner())
        await self._hub.start()
        disks = DiskServer(settings.RUN_DIR / "disks.sock", opener=host.volumes().open_snapshot, owner=_web_owner())
        await disks.start()
        self._metadata = MetadataKeeper(_lookup_closing, _keep_password_closing)
        end_watch = await asyncio.to_thread(host.hypervisor().watch, self._tell(loop))
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(task) for task in (self._jobs(), self._observe(), self._sample(), self._heartbeat(), self._screens())
        ]
        tasks += [asyncio.create_task(self._periodic(*row)) for row in self._periodics]
        stop: asyncio.Task[Any] = asyncio.create_task(self._stop.wait())
        done, _ = await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(end_watch)
        await self._hub.close()
        await disks.close()
        await self._metadata.close()
        for task in done - {stop}:
            task.result()  # a part that ended by itself has failed: let its error end the process, to be started anew

    def _tell(self, loop: asyncio.AbstractEventLoop) -> Callable[[MachineEvent], None]:
        """From the driver's thread to the loop."""

        def tell(event: MachineEvent) -> None:
            loop.call_soon_threadsafe(self._events.put_nowait, event)

        return tell

    async def _jobs(self) -> None:
        # Its own pool would hold four connections from the start, of which each costs PostgreSQL 4 MiB; one listens, one fetches.
        pool = PsycopgConnector(kwargs=connector_params(), min_size=1, max_size=CONCURRENT_JOBS + 2, max_idle=60)
        worker_app = jobs_app.with_connector(pool)
        async with worker_app.open_async():
            await worker_app.run_worker_async(
                concurrency=CONCURRENT_JOBS,
                queues=["box"],
                install_signal_handlers=False,
                fetch_job_polling_interval=5,
                shutdown_graceful_timeout=10,
                delete_jobs="successful",
            )

    async def _observe(self) -> None:
        """Machine events, in their order: the row first, then consoles and metadata."""
        while True:
            event = await self._events.get()
            try:
                await _in_thread(lambda event=event: observe(event.id, event.power))
                await self._follow(event.id, event.power)
            except Exception:
                log.exception("the event %s was not taken in; the reconciler will", event)

    async def _follow(self, id: UUID, power: Power) -> None:
        """Keep the console hub on machines that run."""
        hypervisor = host.hypervisor()
        if power in ON:
            fresh = id not in self._running
            self._running.add(id)
            if fresh:  # a fast guest asks for its metadata before the next heartbeat
                await self._metadata.sync(await _in_thread(_namespaces))
            await self._hub.watch(id, serial=hypervisor.serial_socket(id), vnc=hypervisor.vnc_socket(id), log=hypervisor.console_log(id))
            if fresh:
                await self._hub.mark(id, time.strftime("Started %d %B %Y %H:%M:%S UTC", time.gmtime()))
        else:
            self._running.discard(id)
            await self._hub.unwatch(id)

    async def _follow_all(self) -> None:
        """Once at the start and then as a safety net: hub and metadata as the hypervisor and the tables say."""
        powers = await asyncio.to_thread(host.hypervisor().all)
        for id in self._running - powers.keys():
            await self._follow(id, Power.ABSENT)
        for id, power in powers.items():
            if (power in ON) != (id in self._running):
                if id not in self._running:
                    self._running.add(id)  # it ran before this worker did: no boot to mark
                await self._follow(id, power)
        await self._metadata.sync(await _in_thread(_namespaces))

    async def _sample(self) -> None:
        """Every two seconds while somebody looks at live charts, else every ten."""
        sampler = Sampler()
        while True:
            started = time.monotonic()
            watched = await _in_thread(metrics.is_watched)
            try:
                await _in_thread(sampler.sample)
            except CloudError as error:
                log.info("no samples: %s", error)
            pause = LIVE_SECONDS if watched else CALM_SECONDS
            while time.monotonic() - started < pause:
                await asyncio.sleep(min(LIVE_SECONDS, pause))
                if await _in_thread(metrics.is_watched):
                    break

    async def _screens(self) -> None:
        while True:
            try:
                await _in_thread(screens.refresh)
            except Exception:
                log.exception("no pictures")
            await asyncio.sleep(5)

    async def _heartbeat(self) -> None:
        """What the health page and `bin/cloudbox status` read; also keeps consoles and metadata in step."""
        facts: dict[str, str] = {}
        while True:
            alive = True
            try:
                if not facts:
                    about = await asyncio.to_thread(host.hypervisor().host)
                    facts = {"hostname": about.hostname, "hypervisor": about.hypervisor_version}
                await self._follow_all()
            except (CloudError, OSError) as error:
                alive, facts = False, {}
                log.warning("the hypervisor does not answer: %s", error)
            beat = {
                "at": time.time(),
                "up": time.time() - self._started,
                "libvirt": alive,
                "metadata": {"pid": self._metadata.pid, "restarts": self._metadata.restarts},
                "rounds": self._rounds,
                "hostname": "",
                "hypervisor": "The hypervisor",
            } | facts
            with contextlib.suppress(Exception):  # Redis may be restarting; the next beat comes soon
                await asyncio.to_thread(cache.set, HEARTBEAT, beat, 60)
            await asyncio.sleep(3)

    async def _periodic(self, name: str, every_seconds: float, function: Callable[[], Any]) -> None:
        """One row of the schedule, for ever. An error is kept for the health page and does not end the rounds."""
        while True:
            started, error = time.monotonic(), ""
            try:
                async with contextlib.nullcontext() if every_seconds <= URGENT_SECONDS else self._turns:
                    await _in_thread(function)
            except CloudError as problem:
                error = str(problem)
                log.warning("%s: %s", name, problem)
            except Exception as problem:
                error = str(problem) or type(problem).__name__
                log.exception("%s failed", name)
            self._rounds[name] = {"at": time.time(), "seconds": time.monotonic() - started, "error": error[:300]}
            await asyncio.sleep(every_seconds)


def _lookup_closing(network_id: UUID, ip: str) -> Any:
    try:
        return lookup(network_id, ip)
    finally:
        connection.close()


def _keep_password_closing(network_id: UUID, ip: str, password: str) -> bool:
    try:
        return keep_password(network_id, ip, password)
    finally:
        connection.close()


def _namespaces() -> dict[UUID, str]:
    """Where to listen for metadata requests: the router namespaces that exist already."""
    there = set(host.fabric().networks())
    wanted = {id: host.fabric().namespace_of(id) for id in Network.objects.values_list("id", flat=True)}
    return {id: name for id, name in wanted.items() if name in there}


def _web_owner() -> tuple[int, int] | None:
    """The user that web processes run as, where `up` has made one."""
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(WEB_USER).pw_uid, grp.getgrnam(WEB_USER).gr_gid
    return None


def give_back_jobs() -> int:
    """Return to the queue what a crashed worker was doing. Only right because there is one worker: `take_the_lock` first."""
    doing = jobs_app.job_manager.list_jobs(queue="box", status=Status.DOING.value)
    from cloudbox.common import clock

    for job in doing:
        assert job.id is not None
        jobs_app.job_manager.retry_job_by_id(job.id, retry_at=clock.now())
        log.warning("job %s %s was cut off; it goes on", job.task_name, job.task_kwargs)
    return len(doing)


def take_the_lock() -> Any:
    """A connection that holds the box's worker lock, kept open for the life of the process; waits for a predecessor to end."""
    import psycopg

    params = connection.get_connection_params()
    for key in ("pool", "cursor_factory", "context", "prepare_threshold"):
        params.pop(key, None)
    conn = psycopg.connect(**params, autocommit=True)
    conn.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
    return conn


def ensure_folders() -> None:
    for name in ("run", "console", "screens", "images", "instances"):
        (Path(settings.HOME) / name).mkdir(parents=True, exist_ok=True)
