"""One process of the front: its listeners, the clockwork of its connections, and how it stops."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import uvloop

from storage.server.access_log import AccessLog
from storage.server.answers import Clock
from storage.server.limits import DEFAULT, Limits
from storage.server.messages import App, Request
from storage.server.metrics import Metrics
from storage.server.protocol import APP, Connection
from storage.server.workers import BACKLOG, READY_FD

log = logging.getLogger("storage.server")
SWEEP_SECONDS = 1.0
THREADS = 16  # for large bodies: each is either busy with bytes or gone within direct.SLICE_SECONDS


class Front:
    """What the connections of one worker share."""

    def __init__(
        self,
        app: App,
        *,
        limits: Limits = DEFAULT,
        metrics: Metrics | None = None,
        access_log: AccessLog | None = None,
        sweep_seconds: float = SWEEP_SECONDS,
    ) -> None:
        self.app = app
        self.sweep_seconds = sweep_seconds
        self.limits = limits
        self.metrics = metrics or Metrics()
        self.access_log = access_log
        self.loop = asyncio.get_running_loop()
        self.clock = Clock()
        self.now = time.monotonic()  # as of the last sweep: exact enough for deadlines, and free
        self.draining = False
        self.connections: set[Connection] = set()
        self._orphans: set[asyncio.Task[None]] = set()  # requests whose client has hung up
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="body")
        self._id_prefix = secrets.token_hex(5).upper()
        self._id_count = 0
        self._servers: list[asyncio.Server] = []
        self._idle = asyncio.Event()
        self._sweeper = self.loop.call_later(self.sweep_seconds, self._sweep)

    # --- what connections call

    def admit(self, connection: Connection) -> bool:
        self.connections.add(connection)
        self.metrics.connections.add()
        self.metrics.accepted.add()
        return len(self.connections) <= self.limits.connections_max

    def leave(self, connection: Connection) -> None:
        if connection in self.connections:
            self.connections.discard(connection)
            self.metrics.connections.add(-1)
            self._count(connection)
            if connection.task is not None:
                # Nobody waits for the answer any more, but what was begun is ended, and waited for when the worker stops.
                self._orphans.add(connection.task)
                connection.task.add_done_callback(self._ended)
        self._check_idle()

    def _count(self, connection: Connection) -> None:
        self.metrics.received.add(connection.bytes_in - connection.counted)
        connection.counted = connection.bytes_in

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._orphans.discard(task)
        self._check_idle()

    def _check_idle(self) -> None:
        if self.draining and not self.connections and not self._orphans:
            self._idle.set()

    def next_id(self) -> str:
        self._id_count += 1
        return f"{self._id_prefix}{self._id_count:08X}"

    def account(self, request: Request, status: int, sent: int) -> None:
        """A request has been answered."""
        seconds = time.monotonic() - request.received
        self.metrics.request(request.method, status, seconds)
        if sent:
            self.metrics.sent.add(sent)
        if request.tally is not None:
            request.tally.add(request.method, status, request.body.length or 0, sent)
        if self.access_log is not None:
            self.access_log.add(request, status, sent, seconds)

    # --- the clockwork

    def _sweep(self) -> None:
        """Once a second over all connections: cheaper than a timer for each request, and exact enough for limits in seconds."""
        self._sweeper = self.loop.call_later(self.sweep_seconds, self._sweep)
        now = self.now = time.monotonic()
        self.clock.tick()
        for connection in tuple(self.connections):
            if connection.counted != connection.bytes_in:
                self._count(connection)
            if now >= connection.deadline and connection.phase is not APP:
                try:
                    connection.sweep(now)
                except Exception:
                    log.exception("a connection could not be swept")
        if self.access_log is not None:
            self.access_log.flush()

    # --- life

    async def listen(self, sock: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Accept connections from a listening socket. It stays the caller's, who may hand it to the next worker as well."""
        server = await self.loop.create_server(
            lambda: Connection(self, tls=tls is not None),
            sock=sock.dup(),
            ssl=tls,
            backlog=BACKLOG,
            ssl_handshake_timeout=self.limits.handshake_seconds if tls else None,
            ssl_shutdown_timeout=self.limits.linger_seconds if tls else None,
        )
        self._servers.append(server)

    async def drain(self, seconds: float, *, idle_seconds: float = 0.0) -> None:
        """Accept nothing more, let requests end, then close. Idle connections may go on for `idle_seconds`: whoever uses one in that
        time is answered, and told that this was the last. What is not done after `seconds` is cut off."""
        self.draining = True
        for server in self._servers:
            server.close()
        end = self.loop.time() + seconds
        self._check_idle()
        if idle_seconds:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(idle_seconds, seconds)):
                    await self._idle.wait()
        for connection in tuple(self.connections):
            connection.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(end):
                await self._idle.wait()
        await self._cut()

    async def _cut(self) -> None:
        tasks = [*self._orphans, *(connection.task for connection in self.connections if connection.task is not None)]
        if tasks:
            log.warning("%d requests did not end in time and were cut off", len(tasks))
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=5)
        for connection in tuple(self.connections):
            connection.transport.abort()
        await asyncio.sleep(0)
        self._sweeper.cancel()
        self.threads.shutdown(wait=False, cancel_futures=True)
        if self.access_log is not None:
            self.access_log.close()


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket, what answers there, and whether by TLS. What is asked of a quiet one is neither counted nor logged."""

    sock: socket.socket
    app: App
    tls: ssl.SSLContext | None = None
    quiet: bool = False


Opening = Callable[[], Awaitable[tuple[list[Listener], Callable[[], Awaitable[None]]]]]


def run(open_: Opening, *, limits: Limits = DEFAULT, metrics: Metrics | None = None, access_log: AccessLog | None = None) -> None:
    """Be a worker until SIGTERM or SIGINT (end soon) or SIGQUIT (a successor is there: idle connections may take their time).

    `open_` is awaited in the event loop; it gives the listeners, and what is to be awaited at the end (closing the store, say).
    When all listen, readiness is told to who started this process, see workers.py. SIGUSR1 opens the access log anew.
    """
    uvloop.run(_run(open_, limits, metrics or Metrics(), access_log))


async def _run(open_: Opening, limits: Limits, metrics: Metrics, access_log: AccessLog | None) -> None:
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[float] = loop.create_future()

    def ask(idle_seconds: float) -> None:
        if not stop.done():
            stop.set_result(idle_seconds)

    loop.add_signal_handler(signal.SIGTERM, ask, 0.0)
    loop.add_signal_handler(signal.SIGINT, ask, 0.0)
    loop.add_signal_handler(signal.SIGQUIT, ask, limits.idle_seconds / 5)
    if access_log is not None:
        loop.add_signal_handler(signal.SIGUSR1, access_log.reopen)
    listeners, close = await open_()
    fronts: list[Front] = []
    try:
        by_app: dict[App, Front] = {}
        for listener in listeners:
            front = by_app.get(listener.app)
            if front is None:
                seen = (Metrics(), None) if listener.quiet else (metrics, access_log)
                front = by_app[listener.app] = Front(listener.app, limits=limits, metrics=seen[0], access_log=seen[1])
                fronts.append(front)
            await front.listen(listener.sock, listener.tls)
        tell_ready()
        idle_seconds = await stop
        await asyncio.gather(*(front.drain(limits.stop_seconds + idle_seconds, idle_seconds=idle_seconds) for front in fronts))
    finally:
        await close()


def tell_ready() -> None:
    """Tell whoever started this process that it serves."""
    number = os.environ.pop(READY_FD, "")
    if number:
        os.write(int(number), b"1")
        os.close(int(number))
