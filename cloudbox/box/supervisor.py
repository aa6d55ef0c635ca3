"""Keeps the processes of a box running where there is no systemd: one small single-threaded loop.

It sleeps until something happens: a process ends (pidfd), a word comes in on run/supervisor.sock, a signal, a deadline.
Its state is in run/supervisor.json; a supervisor that was killed leaves its processes running, and the next adopts them.

What its processes leave behind (guests of a libvirtd that died, DHCP servers) becomes its own child, not init's: so nothing of a box
is out of sight, and when it quits nothing is left.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import selectors
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn, cast

from cloudbox.box import proc
from cloudbox.box.child import Child, Spec
from cloudbox.box.paths import write_atomically

LOG_BYTES_MAX = 8 * 1024 * 1024
LOGS_KEPT = 2
LOG_LOOK_SECONDS = 30.0
REQUEST_BYTES_MAX = 4096
PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>
# How long what was left behind may take to end when asked, and then when killed.
LEFT_SECONDS = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0))


class Supervisor:
    """Holds the children of one home."""

    def __init__(self, run_folder: Path, specs: Sequence[Spec]) -> None:
        self.run_folder = run_folder
        self.children = {spec.name: Child(spec) for spec in specs}
        self.selector = selectors.DefaultSelector()
        self.quitting = False
        self.log_look_at = 0.0

    # --- life

    def serve(self) -> None:
        """Until asked to quit and the last child has ended."""
        with self._alone(), self._listening() as door, self._waking() as bell:
            if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
                say("what is left behind by its parent cannot be taken in here; init will have it")
            self._adopt()
            self._save()
            while not (self.quitting and all(child.state == "stopped" for child in self.children.values())):
                for key, _ in self.selector.select(self._pause()):
                    if key.fileobj is door:
                        self._answer(door)
                    elif key.fileobj is bell:
                        self._rung(bell)
                    else:
                        self._ended(cast("Child", key.data))
                self._reap()
                self._advance()
            self._end_what_is_left()
            say("all have ended")

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with (self.run_folder / "supervisor.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("another supervisor has this home")
                sys.exit(3)
            yield

    @contextlib.contextmanager
    def _listening(self) -> Iterator[socket.socket]:
        path = self.run_folder / "supervisor.sock"
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as door:
            before = os.umask(0o177)
            door.bind(str(path))
            os.umask(before)
            door.listen(8)
            self.selector.register(door, selectors.EVENT_READ)
            try:
                yield door
            finally:
                path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _waking(self) -> Iterator[socket.socket]:
        """Signals come in as bytes, so that the loop need not be interrupted."""
        inside, outside = socket.socketpair()
        inside.setblocking(False)
        outside.setblocking(False)
        signal.set_wakeup_fd(outside.fileno())
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self.selector.register(inside, selectors.EVENT_READ)
        yield inside

    def _rung(self, bell: socket.socket) -> None:
        if any(number in (signal.SIGTERM, signal.SIGINT) for number in bell.recv(64)):
            say("asked to end")
            self._quit()

    def _quit(self) -> None:
        self.quitting = True
        for child in self.children.values():
            child.wanted = False

    def _adopt(self) -> None:
        try:
            before = json.loads((self.run_folder / "supervisor.json").read_text())
            records = before["components"] if before["boot"] == proc.boot() else {}
        except (FileNotFoundError, ValueError, KeyError):
            return
        for name, child in self.children.items():
            if child.adopt(records.get(name, {})):
                self.selector.register(child.pidfd, selectors.EVENT_READ, child)
                say(f"{name}: taken over, pid {child.pid}")

    # --- what moves

    def _advance(self) -> None:
        """Start who is wanted, stop who is not (the last of the order first), insist where a deadline has passed."""
        moved = [self._move(child) for child in self.children.values()]
        if any(moved):
            self._advance()  # who has stopped at once lets the next of the order go
            self._save()
        if time.monotonic() >= self.log_look_at:
            self.log_look_at = time.monotonic() + LOG_LOOK_SECONDS
            # With the logs beside them that components write themselves (requests of the object store).
            rotate({log for child in self.children.values() for log in child.spec.log.parent.glob("*.log")})

    def _move(self, child: Child) -> bool:
        now = time.monotonic()
        if child.wanted and (child.state == "stopped" or (child.state == "waiting" and child.retry_at <= now)):
            self._start(child)
            return True
        if not child.wanted and child.state in ("running", "waiting"):
            going = [other.spec.order for other in self.children.values() if not other.wanted and other.state != "stopped"]
            if child.spec.order == max(going):
                child.stop()
                return True
        if child.state == "stopping" and child.kill_at <= now:
            say(f"{child.spec.name}: did not end within {child.spec.stop_seconds:.0f} s; killed")
            child.kill_at = now + 5
            child.kill()
        return False

    def _start(self, child: Child) -> None:
        try:
            child.start()
        except OSError as error:
            say(f"{child.spec.name}: cannot be started: {error}")
            child.state, child.last_exit, child.retry_at = "waiting", str(error), time.monotonic() + 30
            return
        self.selector.register(child.pidfd, selectors.EVENT_READ, child)
        say(f"{child.spec.name}: started, pid {child.pid}")

    def _ended(self, child: Child) -> None:
        self.selector.unregister(child.pidfd)
        say(child.ended())
        self._save()

    def _reap(self) -> None:
        """Bury those that were taken in. One of the components is left to its pidfd, which tells of it in the next round."""
        components = {child.pid for child in self.children.values() if child.ours}
        with contextlib.suppress(ChildProcessError):  # there is no child at all
            while (found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and found.si_pid not in components:
                os.waitpid(found.si_pid, 0)

    def _end_what_is_left(self) -> None:
        """The components have ended; whom they left behind goes too, and those whom these leave."""
        for number, patience in LEFT_SECONDS:
            deadline, told = time.monotonic() + patience, set[int]()
            while (left := proc.children(os.getpid())) and time.monotonic() < deadline:
                for pid in left - told:
                    say(f"left behind: {pid}, {proc.command(pid)}; ended by {signal.Signals(number).name}")
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, number)
                told |= left
                time.sleep(0.05)
                self._reap()

    def _pause(self) -> float:
        times = [at for child in self.children.values() if (at := child.deadline()) is not None]
        return max(0.0, min([self.log_look_at, *times]) - time.monotonic())

    # --- words from outside

    def _answer(self, door: socket.socket) -> None:
        connection, _ = door.accept()
        with connection:
            connection.settimeout(2)
            try:
                answer = self._obey(json.loads(connection.recv(REQUEST_BYTES_MAX)))
            except (OSError, ValueError, KeyError) as error:
                answer = {"error": f"not understood: {error!r}"}
            with contextlib.suppress(OSError):
                connection.sendall(json.dumps(answer).encode() + b"\n")

    def _obey(self, request: dict[str, Any]) -> dict[str, Any]:
        verb, children = request["do"], [self.children[name] for name in request.get("names", [])]
        if verb == "start" and not self.quitting:
            for child in children:
                child.wanted = True
                child.retry_at = 0.0
        elif verb == "stop":
            for child in children:
                child.wanted = False
        elif verb == "restart":
            for child in children:
                child.wanted = True
                child.stop()
        elif verb == "quit":
            self._quit()
        self._advance()
        return self._state()

    def _state(self) -> dict[str, Any]:
        own = {"pid": os.getpid(), "ticks": proc.start_ticks(os.getpid())}
        return {"boot": proc.boot(), "supervisor": own, "components": {name: child.record() for name, child in self.children.items()}}

    def _save(self) -> None:
        write_atomically(self.run_folder / "supervisor.json", json.dumps(self._state(), indent=1) + "\n")


def become(run_folder: Path, specs: Sequence[Spec]) -> NoReturn:
    """Turn this process into a supervisor of these: a program of its own, without the third of memory that `up` and its like take."""
    told = os.memfd_create("components")
    os.write(told, json.dumps([asdict(spec) | {"log": str(spec.log)} for spec in specs]).encode())
    os.lseek(told, 0, os.SEEK_SET)
    os.dup2(told, 0)
    os.execv(sys.executable, [sys.executable, "-P", "-m", "cloudbox.box.supervisor", str(run_folder)])


def _main() -> None:
    """What `become` has started; the components are told on its standard input."""
    specs = [Spec(**{**told, "log": Path(told["log"])}) for told in json.load(sys.stdin)]
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    Supervisor(Path(sys.argv[1]), specs).serve()


def say(text: str) -> None:
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {text}", flush=True)


def rotate(logs: Iterable[Path], *, bytes_max: int = LOG_BYTES_MAX) -> None:
    """Copy a log that has grown too long aside and empty it: its writers append, so they go on at its new end."""
    for log in logs:
        if not log.exists() or log.stat().st_size <= bytes_max:
            continue
        for number in range(LOGS_KEPT, 1, -1):
            older = log.with_name(f"{log.name}.{number - 1}")
            if older.exists():
                older.replace(log.with_name(f"{log.name}.{number}"))
        shutil.copyfile(log, log.with_name(f"{log.name}.1"))
        os.truncate(log, 0)


if __name__ == "__main__":
    _main()
