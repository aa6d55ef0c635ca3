"""Which drives the object store is made of, as written down in a file of its own: `store/drives.json` in the box's home.

The data plane writes it and reads it; it has to start, and to know which drive is missing, without PostgreSQL. The drives' places,
weights and domains are here; who is a *member* of the store is written on the drives themselves (engine/members.py). Every drive has a
copy of the file, so that losing the home loses no drive. `settings` that are older than the file (`store_drives` of box.json, or the
default folders) only say where a new store begins.

An entry that `joins` is a drive that has just been added: whatever is there becomes a part of the store. All others have been drives of
the store before: when their folder lacks a `drive.json` the disk is not mounted, and the drive counts as missing. Nothing is ever
written into such a folder, since that would be the disk that it is mounted on.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cloudbox.common.errors import Conflict
from storage.engine import DriveSpec
from storage.engine.types import IDENTITY

FORMAT = 1
NAME = "drives.json"  # In the store's folder, and on every drive.
NAMES = "names.json"  # On every drive: see storage/offline/names.py.
DEFAULT_DRIVES = 4  # The folders that a box without disks of its own for objects begins with.


@dataclass(frozen=True, slots=True)
class Entry:
    """A drive: its folder, how much of what is new it shall get, what it fails together with. `id` (hex) is empty until it has joined."""

    path: Path
    id: str = ""
    weight: float = 1.0
    domain: str = ""
    draining: bool = False
    joins: bool = False

    @property
    def spec(self) -> DriveSpec:
        return DriveSpec(self.path, weight=self.weight, domain=self.domain, draining=self.draining, joins=self.joins)


@dataclass(frozen=True, slots=True)
class DriveList:
    """All of them. Of two lists the one with the greater generation counts."""

    entries: tuple[Entry, ...]
    generation: int = 0

    @property
    def specs(self) -> list[DriveSpec]:
        return [entry.spec for entry in self.entries]

    @property
    def paths(self) -> list[Path]:
        return [entry.path for entry in self.entries]

    def at(self, path: Path) -> Entry | None:
        return next((entry for entry in self.entries if entry.path == path), None)

    def of(self, id: str) -> Entry | None:
        return next((entry for entry in self.entries if entry.id == id), None) if id else None

    def changed(self, entries: Iterable[Entry]) -> DriveList:
        return DriveList(tuple(entries), self.generation + 1)

    def exchanged(self, old: Entry, new: Entry) -> DriveList:
        return self.changed(new if entry == old else entry for entry in self.entries)

    def dumped(self) -> bytes:
        drives = [asdict(entry) | {"path": str(entry.path)} for entry in self.entries]
        return (json.dumps({"format": FORMAT, "generation": self.generation, "drives": drives}, indent=1) + "\n").encode()


def parsed(raw: bytes) -> DriveList:
    """Raises Conflict for a format of the future, ValueError for what is no list."""
    document: dict[str, Any] = json.loads(raw)
    if document.get("format") != FORMAT:
        raise Conflict(f"{NAME} has a format that this version of Cloudbox does not know. Update Cloudbox.")
    known = {"id", "weight", "domain", "draining", "joins"}
    entries = [Entry(Path(one["path"]), **{key: one[key] for key in known & one.keys()}) for one in document["drives"]]
    return DriveList(tuple(entries), int(document["generation"]))


def read(path: Path) -> DriveList | None:
    """None if there is no such file; raises OSError and what `parsed` raises."""
    try:
        return parsed(path.read_bytes())
    except FileNotFoundError:
        return None


def write(path: Path, drives: DriveList) -> None:
    """Durably, and at once: readers see the old list or the new one."""
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(drives.dumped())
            file.flush()
            os.fsync(file.fileno())
        new.rename(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def default_folders(home: Path) -> list[Path]:
    return [home / "store" / f"drive-{n}" for n in range(1, DEFAULT_DRIVES + 1)]


def is_drive(path: Path) -> bool:
    """Whether a drive of some store is here, and not only the folder where one would be mounted."""
    return (path / IDENTITY).is_file()


def begin(file: Path, configured: Sequence[Path], *, defaults: bool, made: bool) -> DriveList:
    """The list of a store; written down when there is none yet.

    `configured` are the folders that the settings name, `defaults` whether those are the box's own; `made` says that the store has been
    made before. A new store takes its default folders from the home, which is the only time that any is made here. Raises Conflict if
    none of a store's drives can be found, or a folder named in the settings does not exist.
    """
    found = read(file)
    if found is not None:
        return found
    copies = [drives for path in configured if (drives := _copy_on(path)) is not None]
    if copies:
        newest = max(copies, key=lambda drives: drives.generation)
        write(file, newest)
        return newest
    old = [path for path in configured if is_drive(path)]
    if not old and made:
        raise Conflict(
            "None of the object store's drives can be found, but it has had some: " + ", ".join(map(str, configured)) + ". "
            "Mount them; or, if what they held is gone for good, remove the folder of its index to begin anew."
        )
    if not old:
        for path in configured:
            if defaults:
                path.mkdir(parents=True, exist_ok=True)
            elif not path.is_dir():
                raise Conflict(
                    f"The drive {path} is no folder. Mount the disk there, or make the folder, and give it to the store's account."
                )
    drives = DriveList(tuple(Entry(path, joins=not old) for path in configured), 1)
    write(file, drives)
    return drives


def _copy_on(path: Path) -> DriveList | None:
    if not is_drive(path):
        return None
    try:
        return read(path / NAME)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def settled(drives: DriveList, ids: dict[Path, str]) -> DriveList:
    """With the ids that the drives turned out to have; those that have joined need not join again. The same list if all was known."""
    entries = []
    for entry in drives.entries:
        id = ids.get(entry.path)
        entries.append(entry if id is None or (entry.id == id and not entry.joins) else replace(entry, id=id, joins=False))
    return drives if tuple(entries) == drives.entries else drives.changed(entries)
