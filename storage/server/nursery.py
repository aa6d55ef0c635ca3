"""Where workers come from: a process that has imported all they need and then does nothing but fork.

Forked workers share the memory of what was imported (Django and the dialects: some 45 MiB), so one more costs about 12 MiB of its own;
started afresh it would cost all of it, and a second of imports each time. The parent (workers.py) stays a small program that runs none
of the application's code: it sends the nursery a worker's sockets and settings, and gets the number of the new process, which is the
parent's child from then on (the parent adopts orphans: PR_SET_CHILD_SUBREAPER, see prctl(2)).
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

log = logging.getLogger("storage.server")
NURSERY_FD = "CLOUDBOX_NURSERY_FD"
READY = b"ready"
MESSAGE_BYTES_MAX = 64 * 1024
FDS_MAX = 32
FORK_SECONDS = 10.0
_PR_SET_CHILD_SUBREAPER = 36
# What the parent, and with it whoever presses Ctrl-C, may send to the whole group.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1)


# --- in the nursery


def nurse(work: Callable[[], None]) -> NoReturn:
    """Fork a process that does `work` whenever the parent asks, until the parent hangs up. Everything is to be imported before."""
    if threading.active_count() != 1:
        raise RuntimeError("The nursery has threads, which a forked worker would miss.")
    control = socket.socket(fileno=int(os.environ.pop(NURSERY_FD)))
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    # A collection would write to every object's header, and so unshare its page.
    gc.collect()
    gc.freeze()
    control.send(READY)
    while True:
        message, fds, _, _ = socket.recv_fds(control, MESSAGE_BYTES_MAX, FDS_MAX)
        if not message:
            os._exit(0)
        number = _fork_away(control, work, json.loads(message), fds)
        for fd in fds:
            os.close(fd)
        control.send(b"%d" % number)


def _fork_away(control: socket.socket, work: Callable[[], None], asked: Mapping[str, str], fds: Sequence[int]) -> int:
    """A process whose parent has ended, so that the parent of all adopts it. Its number."""
    read, write = os.pipe()
    between = os.fork()
    if between == 0:
        number = os.fork()
        if number:
            os.write(write, b"%d" % number)
            os._exit(0)
        os.close(read)
        os.close(write)
        control.close()
        _work(work, asked, fds)
    os.close(write)
    os.waitpid(between, 0)
    number = int(os.read(read, 32))
    os.close(read)
    return number


def _work(work: Callable[[], None], asked: Mapping[str, str], fds: Sequence[int]) -> NoReturn:
    code = 1
    try:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        # "{0}" in a setting stands for the first descriptor that came along, and so on: numbers differ from process to process.
        os.environ.update({name: value.format(*fds) for name, value in asked.items()})
        work()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


# --- in the parent


def adopt_orphans() -> None:
    """From now on workers whose nursery forked them away are children of this process. Raises OSError."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


class Process:
    """A child that was adopted: what workers.py needs of subprocess.Popen."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, seconds: float | None = None) -> int:
        """Raises TimeoutError."""
        end = None if seconds is None else time.monotonic() + seconds
        while (code := self.poll()) is None:
            if end is not None and time.monotonic() > end:
                raise TimeoutError
            time.sleep(0.02)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Nursery:
    """A running nursery, from its start to its end."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ready = False
        self.started = time.monotonic()
        with theirs:
            fd = theirs.fileno()
            self.process = subprocess.Popen(argv, env={**environment, NURSERY_FD: str(fd)}, pass_fds=[fd])

    def hear(self) -> bool:
        """What has come on `control`: that it is ready (True), or that it has ended (False)."""
        try:
            self.ready = self.control.recv(16) == READY
        except OSError:
            self.ready = False
        return self.ready

    def fork(self, asked: Mapping[str, str], fds: Sequence[int]) -> Process:
        """A worker with these settings in its environment. Raises OSError if the nursery has ended or hangs."""
        self.control.settimeout(FORK_SECONDS)
        socket.send_fds(self.control, [json.dumps(asked).encode()], fds)
        answer = self.control.recv(32)
        if not answer:
            raise ConnectionResetError("the nursery has ended")
        return Process(int(answer))

    def close(self) -> None:
        """It ends by itself when its parent hangs up."""
        self.ready = False
        self.control.close()

    def kill(self) -> None:
        self.close()
        self.process.kill()
        self.process.wait()
