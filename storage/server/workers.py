"""The parent of the workers: starts them, starts them again when they fall, and replaces them without dropping a connection.

Every worker has a slot, and every slot a listening socket per address that this process opened and never closes (SO_REUSEPORT: the
kernel spreads connections over the slots). A worker inherits its slot's sockets, so connections that come while it restarts wait in
the socket's queue for its successor: there is no moment at which one could be refused, and none can be lost with a closing socket.

Workers are forked by a nursery (nursery.py), so that they share what they imported; it goes when all of them serve, and another comes
when one has fallen. SIGHUP starts one with the code and the configuration of now, and then replaces the workers one slot after the
other: the new one says that it serves, then the old one is asked to drain.
SIGTERM or SIGINT stops all; SIGUSR1 is passed on (access logs are opened anew). Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from storage.server import metrics
from storage.server.nursery import Nursery, Process, adopt_orphans

log = logging.getLogger("storage.server")
READY_SECONDS = 120.0  # a store that recovers from a crash may take its time
PAUSE_MAX_SECONDS = 10.0
BACKLOG = 1024
READY_FD = "CLOUDBOX_READY_FD"
SOCKETS = "CLOUDBOX_LISTEN_FDS"
SLOT = "CLOUDBOX_WORKER"
METRICS = "CLOUDBOX_METRICS"


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. `name` tells the worker which of its listeners this is ("http", "https", "metrics")."""

    name: str
    host: str
    port: int


def inherited() -> dict[str, socket.socket]:
    """In a worker: its listening sockets, by name."""
    pairs = (item.split("=") for item in os.environ.get(SOCKETS, "").split(",") if item)
    return {name: socket.socket(fileno=int(number)) for name, number in pairs}


def slot() -> int:
    """In a worker: its number, from 0."""
    return int(os.environ.get(SLOT, "0"))


def own_metrics() -> metrics.Metrics:
    """In a worker: its counters, in the folder that the parent named."""
    folder = os.environ.get(METRICS)
    return metrics.Metrics(Path(folder) if folder else None)


def listening(address: Address) -> socket.socket:
    """One of several sockets on the same address."""
    info = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    sock = socket.socket(info[0], socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if info[0] == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(info[4])
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


@dataclass
class Worker:
    """A process, from its start to its end."""

    slot: int
    process: Process
    ready_fd: int
    started: float
    ready: bool = False
    replaces: Worker | None = None
    stopping: bool = False


@dataclass
class Slot:
    sockets: dict[str, socket.socket]
    pause: float = 0.5
    start_at: float = 0.0
    current: Worker | None = None


@dataclass
class Workers:
    """Runs `count` workers, forked by the nursery that `argv` starts, until it is told to stop."""

    argv: Sequence[str]
    addresses: Sequence[Address]
    count: int
    metrics_folder: Path | None = None
    stop_seconds: float = 45.0
    on_ready: Callable[[], None] = lambda: None
    _slots: list[Slot] = field(default_factory=list)
    _all: list[Worker] = field(default_factory=list)
    _nursery: Nursery | None = None
    _next: Nursery | None = None  # The one that takes its place when it is ready.
    _gone: list[Nursery] = field(default_factory=list)  # Those that may take a moment to end.
    _renew: bool = False  # Every worker is to be replaced by one from the next nursery.
    _nursery_at: float = 0.0
    _nursery_pause: float = 0.5
    _wanted: set[signal.Signals] = field(default_factory=set)
    _reload: list[int] = field(default_factory=list)
    _told: bool = False

    def run(self) -> int:
        """Returns 0 after a stop that was asked for. Raises OSError if an address cannot be had."""
        self._slots = [Slot({address.name: listening(address) for address in self.addresses}) for _ in range(self.count)]
        if self.metrics_folder is not None:
            metrics.fold(self.metrics_folder, ())
        adopt_orphans()
        wake_r, wake_w = os.pipe()
        os.set_blocking(wake_w, False)
        os.set_blocking(wake_r, False)
        before = signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
        handlers = {
            number: signal.signal(number, self._signal)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD)
        }
        try:
            while signal.SIGTERM not in self._wanted and signal.SIGINT not in self._wanted:
                self._round()
                self._wait(wake_r)
            self._stop()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(before)
            os.close(wake_r)
            os.close(wake_w)
            for worker in self._all:
                worker.process.kill()
                worker.process.wait()
            for nursery in filter(None, (self._nursery, self._next, *self._gone)):
                nursery.kill()
            for each in self._slots:
                for sock in each.sockets.values():
                    sock.close()
        return 0

    def _signal(self, number: int, frame: object) -> None:
        self._wanted.add(signal.Signals(number))

    def _round(self) -> None:
        now = time.monotonic()
        if signal.SIGHUP in self._wanted:
            self._wanted.discard(signal.SIGHUP)
            if self._next is not None:
                self._next.kill()
            self._next = Nursery(self.argv, os.environ)
            self._renew = True
        if signal.SIGUSR1 in self._wanted:
            self._wanted.discard(signal.SIGUSR1)
            for worker in self._all:
                if worker.ready:
                    worker.process.send_signal(signal.SIGUSR1)
        self._wanted.discard(signal.SIGCHLD)
        self._reap(now)
        missing = any(each.current is None for each in self._slots)
        if missing and self._nursery is None and self._next is None and now >= self._nursery_at:
            self._next = Nursery(self.argv, os.environ)
        for number, each in enumerate(self._slots):
            if each.current is None and now >= each.start_at:
                each.current = self._start(number)
        self._replace()
        if not self._told and all(each.current is not None and each.current.ready for each in self._slots):
            self._told = True
            self.on_ready()
        self._rest()

    def _rest(self) -> None:
        """While nothing is to be forked no nursery is kept: it would hold some 15 MiB that no worker shares any more."""
        serving = all(each.current is not None and each.current.ready for each in self._slots)
        if self._nursery is not None and serving and not self._reload:
            self._nursery.close()
            self._gone.append(self._nursery)
            self._nursery = None

    def _replace(self) -> None:
        """Begin with the next slot when the one before is through."""
        if any(worker.replaces is not None and not worker.ready for worker in self._all) or not self._reload:
            return
        number = self._reload.pop(0)
        old = self._slots[number].current
        if old is None:
            return  # It is about to be started anyway.
        new = self._start(number)
        if new is None:
            self._reload.clear()
            return
        new.replaces = old
        self._slots[number].current = new

    def _start(self, number: int) -> Worker | None:
        """None while there is no nursery: it is on its way (see `_round`)."""
        if self._nursery is None:
            return None
        read, write = os.pipe()
        sockets = self._slots[number].sockets
        asked = {SOCKETS: ",".join(f"{name}={{{place}}}" for place, name in enumerate(sockets, 1)), SLOT: str(number), READY_FD: "{0}"}
        if self.metrics_folder is not None:
            asked[METRICS] = str(self.metrics_folder)
        try:
            process = self._nursery.fork(asked, [write, *(sock.fileno() for sock in sockets.values())])
        except OSError as error:
            log.error("no worker could be forked: %s", error)
            os.close(read)
            self._lost()
            return None
        finally:
            os.close(write)
        os.set_blocking(read, False)
        worker = Worker(number, process, read, time.monotonic())
        self._all.append(worker)
        return worker

    def _lost(self) -> None:
        """The nursery has ended, or does not answer. Workers go on; the next one is started in a moment."""
        if self._nursery is not None:
            self._nursery.kill()
            self._nursery = None
            self._nursery_at = time.monotonic() + self._nursery_pause

    def _arrived(self, nursery: Nursery) -> None:
        """The next nursery is ready, or has ended before it was."""
        self._next = None
        if not nursery.hear():
            nursery.kill()
            self._nursery_pause = min(self._nursery_pause * 2, PAUSE_MAX_SECONDS)
            self._nursery_at = time.monotonic() + self._nursery_pause
            stays = "; the old workers stay" if self._renew else ""
            self._renew = False
            log.error("what workers are forked from ended with %s before it was ready%s", nursery.process.returncode, stays)
            return
        if self._nursery is not None:
            self._nursery.close()
            self._gone.append(self._nursery)
        if self._renew:
            self._renew, self._reload = False, list(range(self.count))
        self._nursery, self._nursery_pause = nursery, 0.5

    def _wait(self, wake: int) -> None:
        waiting = [worker.ready_fd for worker in self._all if not worker.ready and worker.ready_fd >= 0]
        nurseries = {nursery.control.fileno(): nursery for nursery in (self._nursery, self._next) if nursery is not None}
        now = time.monotonic()
        pauses = [each.start_at - now for each in self._slots if each.current is None and self._nursery is not None]
        readable, _, _ = select.select([wake, *waiting, *nurseries], [], [], max(0.01, min([1.0, *pauses])))
        if wake in readable:
            with contextlib.suppress(BlockingIOError):
                os.read(wake, 4096)
        for fd, nursery in nurseries.items():
            if fd in readable and nursery is self._nursery:
                log.error("what workers are forked from has ended; it is started again")
                self._lost()
            elif fd in readable:
                self._arrived(nursery)
        if self._next is not None and time.monotonic() - self._next.started > READY_SECONDS:
            self._next.process.kill()  # Its end is heard in the next round.
        for worker in self._all:
            if worker.ready_fd in readable:
                self._heard(worker)
            elif not worker.ready and not worker.stopping and time.monotonic() - worker.started > READY_SECONDS:
                log.error("worker %d did not begin to serve within %g seconds; it is killed", worker.slot, READY_SECONDS)
                worker.stopping = True
                worker.process.kill()

    def _heard(self, worker: Worker) -> None:
        word = os.read(worker.ready_fd, 1)
        os.close(worker.ready_fd)
        worker.ready_fd = -1
        if not word:  # It ended before; SIGCHLD tells the rest.
            return
        worker.ready = True
        self._slots[worker.slot].pause = 0.5
        if worker.replaces is not None:
            self._ask(worker.replaces, signal.SIGQUIT)
            worker.replaces = None

    @staticmethod
    def _ask(worker: Worker, number: signal.Signals) -> None:
        worker.stopping = True
        with contextlib.suppress(ProcessLookupError):
            worker.process.send_signal(number)

    def _reap(self, now: float) -> None:
        self._gone = [nursery for nursery in self._gone if nursery.process.poll() is None]
        ended = [worker for worker in self._all if worker.process.poll() is not None]
        for worker in ended:
            self._all.remove(worker)
            if worker.ready_fd >= 0:
                os.close(worker.ready_fd)
            each = self._slots[worker.slot]
            if each.current is not worker:
                continue
            if worker.replaces is not None and worker.replaces in self._all:
                log.error(
                    "worker %d: the new one ended with %s before it served; the old one stays", worker.slot, worker.process.returncode
                )
                each.current = worker.replaces
                self._reload.clear()
                continue
            log.error("worker %d ended with %s; it is started again in %g seconds", worker.slot, worker.process.returncode, each.pause)
            each.current = None
            each.start_at = now + each.pause
            each.pause = min(each.pause * 2, PAUSE_MAX_SECONDS)
        if ended and self.metrics_folder is not None:
            metrics.fold(self.metrics_folder, [str(worker.process.pid) for worker in self._all])

    def _stop(self) -> None:
        for worker in self._all:
            self._ask(worker, signal.SIGTERM)
        end = time.monotonic() + self.stop_seconds
        for worker in self._all:
            with contextlib.suppress(TimeoutError):
                worker.process.wait(max(0.0, end - time.monotonic()))
        left = [worker for worker in self._all if worker.process.poll() is None]
        if left:
            log.error("%d workers did not end within %g seconds and are killed", len(left), self.stop_seconds)


def main_argv(module: str, *words: str) -> list[str]:
    """How to start a program that is a module of ours."""
    return [sys.executable, "-m", module, *words]


def parent_argv(argv: Sequence[str], addresses: Sequence[Address], count: int, metrics_folder: Path) -> list[str]:
    """How to start the parent as a program: in an interpreter that holds nothing but this module."""
    told = {"argv": list(argv), "addresses": [asdict(each) for each in addresses], "count": count, "metrics": str(metrics_folder)}
    return main_argv("storage.server.workers", json.dumps(told))


def main(told: str) -> int:
    """The parent, told by `parent_argv` what to run."""
    logging.basicConfig(level=logging.INFO, format="{asctime} {levelname} {name} {message}", style="{")
    asked = json.loads(told)
    addresses = [Address(**each) for each in asked["addresses"]]
    return Workers(asked["argv"], addresses, asked["count"], Path(asked["metrics"])).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
