"""Network namespaces by name: make, look into, remove; run a function inside one."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from cloudbox.common.errors import Unavailable
from compute.drivers.commands import run

T = TypeVar("T")

FOLDER = Path("/run/netns")
CLONE_NEWNET = 0x40000000
TERM_SECONDS = 5.0
KILL_SECONDS = 10.0

_libc = ctypes.CDLL(None, use_errno=True)


def _inode(path: Path) -> int | None:
    """The identity of a namespace; None when there is none behind that path."""
    try:
        return path.stat().st_ino if path.exists() and os.stat(path).st_dev != FOLDER.stat().st_dev else None
    except OSError:
        return None


def exists(name: str) -> bool:
    # A plain file instead of a namespace lies on /run's own filesystem: a leftover of an `ip netns add` that was killed half-way.
    return _inode(FOLDER / name) is not None


def all(prefix: str) -> set[str]:
    """The namespaces whose name begins so."""
    try:
        return {name for name in os.listdir(FOLDER) if name.startswith(prefix) and exists(name)}
    except FileNotFoundError:
        return set()


def create(name: str) -> None:
    if exists(name):
        return
    (FOLDER / name).unlink(missing_ok=True)
    run(["ip", "netns", "add", name])


def delete(name: str) -> None:
    if exists(name):
        run(["ip", "netns", "delete", name])
    else:
        (FOLDER / name).unlink(missing_ok=True)


def enter(name: str) -> list[str]:
    """The beginning of a command line that runs the rest inside the namespace, with the host's files."""
    return ["nsenter", f"--net={FOLDER / name}", "--"]


def call(name: str, function: Callable[[], T]) -> T:
    """Run a function inside the namespace. In a thread that ends with it, since a namespace belongs to a thread and a pool's
    thread would carry it along."""
    results: list[T] = []
    errors: list[BaseException] = []

    def inside() -> None:
        try:
            handle = os.open(FOLDER / name, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if _libc.setns(handle, CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            finally:
                os.close(handle)
            results.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=inside, name=f"netns-{name}")
    thread.start()
    thread.join()
    if errors and isinstance(errors[0], OSError):
        raise Unavailable(f"The network namespace {name} could not be entered or used: {errors[0].strerror}.") from errors[0]
    if errors:
        raise errors[0]
    return results[0]


def set_kernel(name: str, settings: dict[str, str]) -> None:
    """Write network settings under /proc/sys inside the namespace; one that this kernel does not have is passed over."""

    def write() -> None:
        for key, value in settings.items():
            path = Path("/proc/sys") / key
            if path.exists() and path.read_text().strip() != value:
                path.write_text(value)

    call(name, write)


def processes(names: Iterable[str]) -> set[int]:
    """The processes that live in any of the namespaces, found by the namespace itself, not by what they call themselves."""
    wanted = {inode for name in names if (inode := _inode(FOLDER / name)) is not None}
    found = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if os.stat(f"/proc/{entry}/ns/net").st_ino in wanted:
                    found.add(int(entry))
            except OSError:
                continue  # It ended meanwhile.
    return found


def end_processes(names: Iterable[str]) -> None:
    """End every process in the namespaces: asked first, then killed."""
    names = list(names)
    for how, patience in ((signal.SIGTERM, TERM_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
        for pid in processes(names):
            try:
                os.kill(pid, how)
            except ProcessLookupError:
                continue
        until = time.monotonic() + patience
        while processes(names):
            if time.monotonic() > until:
                break
            time.sleep(0.05)
        else:
            return
    raise Unavailable(f"Some processes in {', '.join(names)} do not end.")
