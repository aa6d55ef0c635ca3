"""The processes of a box as systemd units, where systemd is pid 1: one unit per component, one target for the box."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cloudbox.box import programs
from cloudbox.box.paths import Box, write_atomically
from cloudbox.box.shell import Failed, Log, output, run

UNITS = Path("/etc/systemd/system")


def is_here() -> bool:
    """systemd's own test for having been booted with it."""
    return Path("/run/systemd/system").is_dir()


def unit(box: Box, name: str) -> str:
    return f"{box.name}-{name}.service"


def texts(box: Box) -> dict[str, str]:
    """Every unit file of the box."""
    files = {unit(box, component.name): _service(box, component) for component in programs.COMPONENTS}
    files[f"{box.name}.target"] = (
        f"[Unit]\nDescription=Cloudbox in {box.home}\nWants=network.target\nAfter=network.target\n\n[Install]\nWantedBy=multi-user.target\n"
    )
    files[f"{box.name}-rotate.service"] = (
        f"[Unit]\nDescription=Cloudbox {box.name}: keep its logs short\n\n[Service]\nType=oneshot\n{_environment(box)}"
        f"ExecStart={' '.join(programs.run_command(box, 'rotate'))}\n"
    )
    files[f"{box.name}-rotate.timer"] = (
        f"[Unit]\nDescription=Cloudbox {box.name}: keep its logs short\nPartOf={box.name}.target\n\n"
        f"[Timer]\nOnActiveSec=10min\nOnUnitActiveSec=10min\n\n[Install]\nWantedBy={box.name}.target\n"
    )
    return files


def _environment(box: Box) -> str:
    return "".join(f'Environment="{key}={value}"\n' for key, value in programs.environment(box).items())


def _service(box: Box, component: programs.Component) -> str:
    before = [unit(box, other.name) for other in programs.COMPONENTS if other.order < component.order]
    return (
        f"[Unit]\nDescription=Cloudbox {box.name}: {component.title}\nPartOf={box.name}.target\n"
        f"After=network.target {' '.join(before)}\nStartLimitIntervalSec=0\n\n"
        f"[Service]\n{_environment(box)}"
        f"ExecStart={' '.join(programs.run_command(box, component.name))}\n"
        "Restart=always\nRestartSec=1\n"
        # Guests and DHCP servers outlive the daemon that started them.
        f"KillMode={'mixed' if component.group else 'process'}\n"
        f"KillSignal={signal.Signals(component.stop_signal).name}\nTimeoutStopSec={component.stop_seconds:.0f}\n"
        f"StandardOutput=append:{box.logs / component.name}.log\nStandardError=inherit\n\n"
        f"[Install]\nWantedBy={box.name}.target\n"
    )


def install(box: Box, *, log: Log) -> bool:
    """Write the units and have them start at boot; True when something changed."""
    changed = False
    for name, text in texts(box).items():
        path = UNITS / name
        if not path.exists() or path.read_text() != text:
            write_atomically(path, text)
            changed = True
    if changed:
        run(["systemctl", "daemon-reload"], log=log)
        run(["systemctl", "enable", "--quiet", *texts(box)], log=_quiet_about_static(log))
    return changed


def _quiet_about_static(log: Log) -> Log:
    return lambda line: None if "no installation config" in line else log(line)


def remove(box: Box, *, log: Log) -> None:
    names = [name for name in texts(box) if (UNITS / name).exists()]
    if names:
        run(["systemctl", "disable", "--quiet", "--now", *names], log=log)
        for name in names:
            (UNITS / name).unlink(missing_ok=True)
        run(["systemctl", "daemon-reload"], log=log)


def order(box: Box, verb: str, names: Sequence[str], *, log: Log) -> None:
    """start, stop or restart components, and wait for it."""
    units = [unit(box, name) for name in names]
    if verb == "start":
        units += [f"{box.name}.target", f"{box.name}-rotate.timer"] if set(names) == set(programs.NAMES) else []
    if units:
        run(["systemctl", verb, *units], log=log)


def stop_all(box: Box, *, log: Log) -> None:
    """Downwards through the order."""
    for level in sorted({component.order for component in programs.COMPONENTS}, reverse=True):
        order(box, "stop", [c.name for c in programs.COMPONENTS if c.order == level], log=log)
    run(["systemctl", "stop", f"{box.name}.target", f"{box.name}-rotate.timer"], log=log)


def state(box: Box) -> dict[str, Any]:
    """The components in the form of the supervisor's records."""
    found = {}
    for name in programs.NAMES:
        text = output(["systemctl", "show", unit(box, name), "-p", "ActiveState,SubState,MainPID,NRestarts,ExecMainStatus,LoadState"])
        if text is None:
            raise Failed("systemctl does not answer")
        shown = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        if shown.get("LoadState") != "loaded":
            continue
        word = {"active": "running", "activating": "waiting", "deactivating": "stopping"}.get(shown["ActiveState"], "stopped")
        found[name] = {
            "state": word,
            "pid": int(shown["MainPID"]) or None,
            "restarts": int(shown.get("NRestarts") or 0),
            "last_exit": f"exited with {shown['ExecMainStatus']}" if shown.get("ExecMainStatus", "0") != "0" else "",
        }
    return found
