"""The worker's half of the metadata service: opens the sockets, which takes rights, and keeps the process that serves them, which
has none. It answers that process's questions, and starts it again with growing pauses when it dies.

The process is a child on a socket pair, so neither outlives the other, and nobody else can speak on the line. What comes from it is
taken as coming from a guest: at worst it reads what guests may read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pwd
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from uuid import UUID

from cloudbox.common.errors import CloudError
from compute.agent import metadata_wire as wire
from compute.drivers import netns
from compute.metadata_tree import InstanceMetadata

log = logging.getLogger(__name__)

Lookup = Callable[[UUID, str], InstanceMetadata | None]
Keep = Callable[[UUID, str, str], bool]

ADDRESS = ("169.254.169.254", 80)
# An account of its own, made by `up`; in a test, or where it is missing, the one that owns nothing by custom.
ACCOUNTS = ("cloudbox-metadata", "nobody")
LOOKUPS_AT_ONCE = 4
SEND_SECONDS = 10.0
END_SECONDS = 5.0
PAUSES_SECONDS = (0.2, 1.0, 5.0, 15.0, 30.0)
STEADY_SECONDS = 60.0


class MetadataKeeper:
    def __init__(self, lookup: Lookup, keep: Keep = lambda network, ip, password: False) -> None:
        """`keep` stores a password that a guest has left, and says whether it did."""
        self._lookup = lookup
        self._keep_password = keep
        self._lock = threading.Lock()  # over all below, and over sending
        self._wanted: dict[UUID, str] = {}
        # What the present process serves: the namespace, and which one, for one made anew under its name needs a new socket.
        self._served: dict[UUID, tuple[str, int]] = {}
        self._line: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ending = threading.Event()
        self._slots = threading.BoundedSemaphore(LOOKUPS_AT_ONCE)
        self._lookups = ThreadPoolExecutor(LOOKUPS_AT_ONCE, thread_name_prefix="metadata")
        self.restarts = 0
        self._thread = threading.Thread(target=self._keep, name="metadata-keeper", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int | None:
        """Of the process that serves now."""
        return self._process.pid if self._process is not None else None

    async def sync(self, networks: Mapping[UUID, str]) -> None:
        """Listen on these networks (id to router namespace) and no others. One whose namespace is not there is left for next time."""
        await asyncio.to_thread(self._sync, dict(networks))

    async def close(self) -> None:
        await asyncio.to_thread(self._close)

    def _sync(self, networks: dict[UUID, str]) -> None:
        with self._lock:
            self._wanted = networks
            self._hand_over()

    def _close(self) -> None:
        self._ending.set()
        with self._lock:
            self._hang_up()
        self._thread.join()
        self._lookups.shutdown()

    # --- the process

    def _keep(self) -> None:
        """One process after the other."""
        failures = 0
        while not self._ending.is_set():
            started = time.monotonic()
            try:
                line, process = _spawn()
            except OSError:
                log.exception("the metadata process cannot be started")
            else:
                with self._lock:
                    self._line, self._process, self._served = line, process, {}
                    self._hand_over()
                self._listen_to(line)
                with self._lock:
                    self._hang_up()
                _end(process)
            if self._ending.is_set():
                return
            failures = 0 if time.monotonic() - started >= STEADY_SECONDS else failures
            pause = PAUSES_SECONDS[min(failures, len(PAUSES_SECONDS) - 1)]
            failures += 1
            self.restarts += 1
            log.error("the metadata process has ended; again in %s s", pause)
            self._ending.wait(pause)

    def _hang_up(self) -> None:
        """The process ends when its line does, and so does who listens to it."""
        if self._line is not None:
            with contextlib.suppress(OSError):
                self._line.shutdown(socket.SHUT_RDWR)
            self._line.close()
        self._line, self._process, self._served = None, None, {}

    # --- sockets

    def _hand_over(self) -> None:
        """Bring what the process serves in line with what is wanted."""
        for id, (namespace, identity) in list(self._served.items()):
            if self._wanted.get(id) != namespace or _identity(namespace) != identity:
                del self._served[id]
                self._send({"shut": str(id)})
        for id, namespace in self._wanted.items():
            current = _identity(namespace)
            if self._line is None or id in self._served or current is None:
                continue
            try:
                with netns.call(namespace, _listening_socket) as sock:
                    if self._send({"listen": str(id)}, sock):
                        self._served[id] = (namespace, current)
            except (OSError, CloudError) as error:
                log.warning("The metadata service cannot listen in %s: %s", namespace, error)

    def _send(self, message: dict[str, Any], sock: socket.socket | None = None) -> bool:
        """False when the process does not take it; then it is given up, and the next one gets everything."""
        if self._line is None:
            return False
        try:
            socket.send_fds(self._line, [wire.pack(message)], [sock.fileno()] if sock else [])
        except OSError as error:
            log.warning("the metadata process does not listen: %s", error)
            self._hang_up()
            return False
        return True

    # --- questions

    def _listen_to(self, line: socket.socket) -> None:
        """Its questions, each answered by a thread of the pool; while all are busy the next one waits."""
        while True:
            try:
                received = wire.receive(line, bytes_max=wire.ASK_BYTES_MAX)
            except TimeoutError:
                continue
            except ValueError:
                log.exception("the metadata process speaks nonsense, and is ended")
                return
            except OSError:
                return
            if received is None:
                return
            message, descriptor = received
            if descriptor is not None:
                os.close(descriptor)
            self._slots.acquire()
            try:
                self._lookups.submit(self._answer, line, message)
            except RuntimeError:  # closing
                self._slots.release()
                return

    def _answer(self, line: socket.socket, message: dict[str, Any]) -> None:
        try:
            number = int(message["ask"])
            answer: dict[str, Any] = {"answer": number, "error": True}
            try:
                network, ip = UUID(message["network"]), str(IPv4Address(message["ip"]))
                if "password" in message:
                    answer = {"answer": number, "kept": self._keep_password(network, ip, str(message["password"]))}
                else:
                    instance = self._lookup(network, ip)
                    answer = {"answer": number, "instance": wire.instance_to_wire(instance) if instance else None}
            except Exception:
                # The database may be away; the guest asks again.
                log.exception("the metadata of %s on network %s could not be read", message.get("ip"), message.get("network"))
            with self._lock:
                if self._line is line:
                    self._send(answer)
        except (KeyError, TypeError, ValueError):
            log.warning("the metadata process asked what is no question")
        finally:
            self._slots.release()


def _spawn() -> tuple[socket.socket, subprocess.Popen[bytes]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(SEND_SECONDS)
    with theirs:
        account = _account() if os.geteuid() == 0 else None
        code = Path(__file__).resolve().parents[2]
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "compute.agent.metadata_process", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                cwd="/",
                env={
                    "PYTHONPATH": str(code),
                    "PYTHONDONTWRITEBYTECODE": "1",
                    "PYTHONUNBUFFERED": "1",
                    "LANG": "C.UTF-8",
                    "MALLOC_ARENA_MAX": "1",
                },
                user=account.pw_uid if account else None,
                group=account.pw_gid if account else None,
                extra_groups=[] if account else None,
            )
        except BaseException:
            ours.close()
            raise
    return ours, process


def _account() -> pwd.struct_passwd:
    for name in ACCOUNTS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise FileNotFoundError(f"there is none of the accounts {' and '.join(ACCOUNTS)}")


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _identity(namespace: str) -> int | None:
    try:
        return os.stat(netns.FOLDER / namespace).st_ino if netns.exists(namespace) else None
    except OSError:
        return None


def _listening_socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(ADDRESS)
    sock.listen(128)
    return sock
