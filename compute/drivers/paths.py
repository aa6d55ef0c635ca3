"""Where the files of machines and images lie under the box's home; drivers, hub and tests agree here."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID


def serial_socket(home: Path, id: UUID) -> Path:
    return home / "run" / "machines" / f"{id}.serial"


def vnc_socket(home: Path, id: UUID) -> Path:
    return home / "run" / "machines" / f"{id}.vnc"


def console_log(home: Path, id: UUID) -> Path:
    return home / "console" / f"{id}.log"


def root_disk(home: Path, id: UUID) -> Path:
    return home / "instances" / str(id) / "root.qcow2"


def config_drive(home: Path, id: UUID) -> Path:
    return home / "instances" / str(id) / "config.iso"


def volume(home: Path, id: UUID) -> Path:
    return home / "volumes" / f"{id}.qcow2"


def image(home: Path, id: UUID) -> Path:
    return home / "images" / f"{id}.qcow2"


def libvirt_socket(home: Path) -> Path:
    return home / "run" / "libvirt" / "libvirt-sock"
