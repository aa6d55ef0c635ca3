"""One supervised process: started, watched, restarted with growing pauses, stopped with a deadline.

It is held by a pidfd, and by number and start time across restarts of the supervisor, so a signal of ours can only ever
reach a process of ours.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudbox.box import proc

PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
# Who has run this long has recovered: the next failure begins again with the shortest pause.
STEADY_SECONDS = 60.0


@dataclass(frozen=True)
class Spec:
    """What to run and how to end it. `order`: started upwards, stopped downwards. `group`: its children end with it."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    log: Path
    order: int = 0
    stop_signal: int = signal.SIGTERM
    stop_seconds: float = 15
    group: bool = True


class Child:
    """States: stopped, running, waiting (for its next try), stopping."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.wanted = False
        self.state = "stopped"
        self.pid = 0
        self.ticks = 0
        self.pidfd = -1
        self.ours = False
        self.started_at = 0.0
        self.retry_at = 0.0
        self.kill_at = 0.0
        self.restarts = 0
        self.failures = 0
        self.last_exit = ""

    def start(self) -> None:
        """Run the program; a start that fails counts as an exit."""
        with self.spec.log.open("ab") as log:
            process = subprocess.Popen(
                list(self.spec.argv),
                env=dict(self.spec.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
            )
        process.returncode = 0  # we reap it ourselves; Popen must not
        self._hold(process.pid, ours=True)
        self.started_at = time.time()

    def adopt(self, record: Mapping[str, Any]) -> bool:
        """Take over a process that an earlier supervisor left running, if it still is that one."""
        pid, ticks = int(record.get("pid") or 0), int(record.get("ticks") or 0)
        if not pid or not proc.same(pid, ticks):
            return False
        self._hold(pid, ours=False)
        if self.ticks != ticks:  # it ended between the look and the hold
            self._release()
            return False
        self.started_at = float(record.get("started_at") or time.time())
        self.restarts = int(record.get("restarts") or 0)
        self.wanted = True
        return True

    def _hold(self, pid: int, *, ours: bool) -> None:
        self.pid, self.ours, self.state = pid, ours, "running"
        self.pidfd = os.pidfd_open(pid)
        self.ticks = proc.start_ticks(pid) or 0

    def _release(self) -> None:
        os.close(self.pidfd)
        self.pid = self.ticks = 0
        self.pidfd = -1

    def stop(self) -> None:
        """Ask it to end; `tick` insists when the deadline has passed."""
        if self.state == "waiting":
            self.state = "stopped"
        elif self.state == "running":
            self.state = "stopping"
            self.kill_at = time.monotonic() + self.spec.stop_seconds
            self._signal(self.spec.stop_signal)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)

    def ended(self) -> str:
        """The pidfd says it has ended: end what it left, reap it, decide what is next. Returns a line for the log."""
        if self.spec.group and self.ours:
            # Not reaped yet, so the group's number cannot have gone to a stranger.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        self.last_exit = self._reap()
        asked = self.state == "stopping"
        lived = time.time() - self.started_at
        self._release()
        if not self.wanted:
            self.state = "stopped"
            return f"{self.spec.name}: ended ({self.last_exit})"
        if asked:
            self.failures = 0
            self.retry_at = 0.0
        else:
            self.failures = 0 if lived >= STEADY_SECONDS else self.failures
            self.retry_at = time.monotonic() + PAUSES_SECONDS[min(self.failures, len(PAUSES_SECONDS) - 1)]
            self.failures += 1
            self.restarts += 1
        self.state = "waiting"
        return f"{self.spec.name}: {self.last_exit} after {lived:.1f} s; again in {max(0.0, self.retry_at - time.monotonic()):.1f} s"

    def _reap(self) -> str:
        if not self.ours:
            return "ended"
        _, status = os.waitpid(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        return f"killed by signal {-code}" if code < 0 else f"exited with {code}"

    def deadline(self) -> float | None:
        """When it next needs attention, on the monotonic clock."""
        if self.state == "waiting":
            return self.retry_at
        return self.kill_at if self.state == "stopping" else None

    def record(self) -> dict[str, Any]:
        """What the state file says of it."""
        return {
            "state": self.state,
            "wanted": self.wanted,
            "pid": self.pid or None,
            "ticks": self.ticks or None,
            "started_at": self.started_at or None,
            "restarts": self.restarts,
            "last_exit": self.last_exit,
        }
