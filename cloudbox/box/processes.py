"""The processes of a box, whoever looks after them: systemd where it is pid 1, else our supervisor."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from cloudbox.box import control, systemd
from cloudbox.box.paths import Box
from cloudbox.box.shell import Failed, Log

# Steps of `up` run side by side, and several start processes.
_one_prepares = threading.Lock()


def prepare(box: Box, *, log: Log) -> None:
    """There is somebody to give orders to."""
    with _one_prepares:
        if systemd.is_here():
            systemd.install(box, log=log)
        else:
            control.ensure_supervisor(box)


def start(box: Box, names: Sequence[str], *, log: Log) -> None:
    """Have them run; who runs already goes on undisturbed."""
    prepare(box, log=log)
    if systemd.is_here():
        systemd.order(box, "start", names, log=log)
    elif control.ask(box, "start", names) is None:
        raise Failed("the supervisor is gone", remedy=f"see {box.logs / 'supervisor.log'}")


def restart(box: Box, names: Sequence[str], *, log: Log) -> None:
    prepare(box, log=log)
    if systemd.is_here():
        systemd.order(box, "restart", names, log=log)
    else:
        control.ask(box, "restart", names)


def stop(box: Box, names: Sequence[str], *, log: Log) -> None:
    if systemd.is_here():
        systemd.order(box, "stop", names, log=log)
    elif control.ask(box, "stop", names) is not None:
        control.wait_stopped(box, names)


def stop_all(box: Box, *, log: Log) -> None:
    """Everything, PostgreSQL and Redis last. Processes left by a supervisor that died are found and ended too."""
    if systemd.is_here():
        systemd.stop_all(box, log=log)
        return
    if control.recorded(box):
        control.ensure_supervisor(box)
    control.quit_supervisor(box)


def state(box: Box) -> dict[str, Any]:
    """Per component: state, pid, restarts, last_exit."""
    return systemd.state(box) if systemd.is_here() else control.recorded(box)
