"""Where the files of machines and images lie under the box's home; drivers, hub and tests agree here."""

from __future__ import annotations

import grp
import os
from pathlib import Path
from uuid import UUID

WEB_GROUP = "cloudbox"  # the web processes, which show the console log


def serial_socket(home: Path, id: UUID) -> Path:
    return home / "run" / "machines" / f"{id}.serial"


def vnc_socket(home: Path, id: UUID) -> Path:
    return home / "run" / "machines" / f"{id}.vnc"


def console_log(home: Path, id: UUID) -> Path:
    return home / "console" / f"{id}.log"


def root_disk(home: Path, id: UUID) -> Path:
    return home / "instances" / str(id) / "root.qcow2"


def image(home: Path, id: UUID) -> Path:
    return home / "images" / f"{id}.qcow2"


def libvirt_socket(home: Path) -> Path:
    return home / "run" / "libvirt" / "libvirt-sock"


def open_console_log(home: Path, id: UUID) -> None:
    """Make the log before libvirtd does, who would keep it from the web processes; the machine appends to what is there."""
    path = console_log(home, id)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC, 0o640)
    try:
        os.fchmod(handle, 0o640)
        if os.geteuid() == 0:
            os.fchown(handle, 0, grp.getgrnam(WEB_GROUP).gr_gid)
    except KeyError:
        pass  # No such group: a machine of tests, without web processes.
    finally:
        os.close(handle)
