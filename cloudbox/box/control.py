"""Talking to the supervisor of a box: one line of JSON there, one back."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Sequence
from typing import Any

from cloudbox.box import proc, programs
from cloudbox.box.child import Spec
from cloudbox.box.paths import Box
from cloudbox.box.shell import Failed


def specs(box: Box) -> list[Spec]:
    """The box's components as the supervisor runs them."""
    return [
        Spec(
            name=component.name,
            argv=programs.run_command(box, component.name),
            env=programs.environment(box),
            log=box.logs / f"{component.name}.log",
            order=component.order,
            stop_signal=component.stop_signal,
            stop_seconds=component.stop_seconds,
            group=component.group,
        )
        for component in programs.COMPONENTS
    ]


def ask(box: Box, verb: str, names: Sequence[str] = ()) -> dict[str, Any] | None:
    """The supervisor's state after it has taken the order; None when there is no supervisor."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(box.run / "supervisor.sock"))
            connection.sendall(json.dumps({"do": verb, "names": list(names)}).encode())
            text = b""
            while chunk := connection.recv(65536):
                text += chunk
    except (FileNotFoundError, ConnectionError):
        return None
    return dict(json.loads(text))


def recorded(box: Box) -> dict[str, Any]:
    """The components as last written down, less what has died since with nobody there to notice."""
    try:
        state = json.loads((box.run / "supervisor.json").read_text())
        components, this_boot = state["components"], state["boot"] == proc.boot()
    except (FileNotFoundError, ValueError, KeyError):
        return {}
    for record in components.values():
        if record["pid"] and not (this_boot and proc.same(record["pid"], record["ticks"])):
            record |= {"state": "stopped", "pid": None}
    return dict(components)


def ensure_supervisor(box: Box) -> bool:
    """Start the supervisor in a session of its own, if none answers; True when this one is new."""
    if ask(box, "state") is not None:
        return False
    argv = ["/usr/bin/python3", "-P", "-m", "cloudbox.box", "run", "supervisor", "--home", str(box.home)]
    with (box.logs / "supervisor.log").open("ab") as log:
        process = subprocess.Popen(
            argv, env=programs.environment(box), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True
        )
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        if ask(box, "state") is not None:
            return True
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise Failed("the supervisor did not start", remedy=f"see {box.logs / 'supervisor.log'}")


def wait_stopped(box: Box, names: Sequence[str], *, timeout_seconds: float = 90) -> None:
    """Until none of them runs."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        state = ask(box, "state")
        if state is None or all(state["components"][name]["state"] == "stopped" for name in names):
            return
        time.sleep(0.1)
    raise Failed(f"still running: {' '.join(names)}", remedy=f"see {box.logs / 'supervisor.log'}")


def quit_supervisor(box: Box, *, timeout_seconds: float = 120) -> bool:
    """End all processes in order, then the supervisor; False when there was none."""
    state = ask(box, "quit")
    if state is None:
        return False
    own = state["supervisor"]
    deadline = time.monotonic() + timeout_seconds
    while proc.same(own["pid"], own["ticks"]):
        if time.monotonic() > deadline:
            raise Failed("the supervisor does not end", remedy=f"see {box.logs / 'supervisor.log'}")
        time.sleep(0.1)
    return True
