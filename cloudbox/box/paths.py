"""One box: its home, the name all its things on the host derive from, and where its files lie."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

DEFAULT_HOME = Path("/var/lib/cloudbox")
CACHE = Path("/var/cache/cloudbox")
CHECKOUT = Path(__file__).resolve().parent.parent.parent
USER = "cloudbox"
# A Unix socket's path has room for 107 bytes; the longest we make is run/machines/<uuid>.serial.
SOCKET_PATH_BYTES_MAX = 107
LONGEST_SOCKET = "run/machines/" + "0" * 36 + ".serial"


@dataclass(frozen=True)
class Box:
    """Names and paths; making a Box touches nothing."""

    home: Path

    @staticmethod
    def at(home: str | os.PathLike[str] | None) -> Box:
        """The box of that home: by argument, else by CLOUDBOX_HOME, else the usual place."""
        return Box(Path(os.path.realpath(home or os.environ.get("CLOUDBOX_HOME") or DEFAULT_HOME)))

    @cached_property
    def name(self) -> str:
        """Namespaces, bridges, units and libvirt names of this box begin with it."""
        return "cbx-" + hashlib.sha256(str(self.home).encode()).hexdigest()[:4]

    @property
    def run(self) -> Path:
        return self.home / "run"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def app(self) -> Path:
        """The code the box runs: a link to one of `releases/`."""
        return self.home / "app"

    @property
    def venv(self) -> Path:
        """A link to the shared environment in the cache."""
        return self.home / "venv"

    @property
    def python(self) -> Path:
        return self.venv / "bin" / "python"

    @property
    def stamps(self) -> Path:
        """One small file per piece of work done, holding the hash of its inputs."""
        return self.home / "stamps"

    @property
    def secrets(self) -> Path:
        return self.home / "secrets"

    @property
    def postgres_socket(self) -> Path:
        return self.run / "postgres"

    @property
    def redis_socket(self) -> Path:
        return self.run / "redis.sock"

    @property
    def config_file(self) -> Path:
        return self.home / "box.json"

    def config(self) -> dict[str, Any]:
        """What `up` wrote down; empty where there is no box yet."""
        try:
            return dict(json.loads(self.config_file.read_text()))
        except FileNotFoundError:
            return {}

    @property
    def exists(self) -> bool:
        return self.config_file.exists()

    def write_config(self, changes: dict[str, Any]) -> None:
        """Merge into box.json; an unchanged file keeps its time."""
        before = self.config()
        after = before | changes
        if after != before:
            write_atomically(self.config_file, json.dumps(after, indent=2, sort_keys=True) + "\n", mode=0o644)


def write_atomically(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write beside, then rename: readers see the old text or the new, never half."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        os.fchmod(file.fileno(), mode)
    os.replace(beside, path)


def read_stamp(box: Box, name: str) -> str:
    try:
        return (box.stamps / name).read_text().strip()
    except FileNotFoundError:
        return ""


def write_stamp(box: Box, name: str, value: str) -> None:
    box.stamps.mkdir(exist_ok=True)
    write_atomically(box.stamps / name, value + "\n")
