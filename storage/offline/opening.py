"""Finding the drives of a store and opening what is on them, to be read and not to be changed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lmdb

from cloudbox.common.errors import Conflict, NotFound, Unavailable
from storage import drive_list
from storage.engine import DriveSpec, members, recovery
from storage.engine.drives import Drive
from storage.engine.index import MAP_BYTES, READERS_MAX, RETIRED, TABLES, Index
from storage.engine.kv import Transaction
from storage.engine.members import MEMBERS, Members
from storage.engine.reader import Reader
from storage.engine.types import IDENTITY
from storage.offline.overlay import Overlay, ReadingDrive, scratch_folder

SERVER_RUNS = "The object store is running on these drives. Stop the box first (bin/cloudbox down)."


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store lies: its drives' folders, and the folder of the server's index if there is one."""

    drives: tuple[Path, ...]
    index: Path | None = None


def place(home: Path | None, named: Sequence[Path] = ()) -> Place:
    """From the drives that were named, else from what the box has written down, else from its settings.

    Raises NotFound if there is nothing that could be a drive.
    """
    index = home / "store" / "index" if home is not None and (home / "store" / "index").is_dir() else None
    if named:
        return Place(tuple(named), index)
    if home is None:
        raise NotFound("Say where the drives are: --drive DIR, once for each.")
    listed = drive_list.read(home / "store" / drive_list.NAME)
    if listed is not None:
        return Place(tuple(listed.paths), index)
    try:
        configured = [Path(one) for one in json.loads((home / "box.json").read_text()).get("store_drives") or ()]
    except FileNotFoundError:
        configured = []
    folders = configured or drive_list.default_folders(home)
    copies = [drives for path in folders if (drives := _copy(path)) is not None]
    if copies:
        folders = max(copies, key=lambda drives: drives.generation).paths
    if not any(path.is_dir() for path in folders):
        raise NotFound(f"There is no object store in {home}. Say where the drives are: --drive DIR, once for each.")
    return Place(tuple(folders), index)


def _copy(path: Path) -> drive_list.DriveList | None:
    try:
        return drive_list.read(path / drive_list.NAME)
    except (OSError, ValueError, KeyError, TypeError, Conflict):
        return None


def server_runs(index: Path | None) -> bool:
    """Whether a worker holds its lock."""
    if index is None:
        return False
    for path in index.glob("worker-*.lock"):
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    return False


@dataclass(slots=True)
class DriveFound:
    """What is at a folder that should be a drive. `state`: here, missing (no drive there), foreign (of another store), given-up."""

    path: Path
    state: str
    id: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Memory:
    """What a server's index, which is whole but not at work, remembers of segments and the drives cannot tell."""

    ends: dict[int, int]  # Up to where it has records,
    holes: dict[int, set[tuple[int, int]]]  # and where between there never was one that counts.


@dataclass
class Opened:
    """A store to read from. `drives` are the bare drives, by id; `members` the same with what recovery has mended on top."""

    index: Index
    members: Members
    reader: Reader
    drives: dict[bytes, tuple[Path, Drive]]
    found: list[DriveFound]
    live: bool  # By the index of a server that is at work.
    incomplete: str = ""  # Why there may have been more than what was found; empty if there cannot.
    missing: set[bytes] = field(default_factory=set)  # Members whose drives are not here.
    memory: Memory | None = None

    def path_of(self, drive: bytes) -> str:
        return str(self.drives[drive][0]) if drive in self.drives else f"(missing {drive.hex()})"


def look(paths: Sequence[Path]) -> list[DriveFound]:
    """What is at each folder. The store is the one that most drives are of; a drive that its newest list does not name was given up."""
    found: list[DriveFound] = []
    stores: dict[str, list[DriveFound]] = {}
    lists: dict[str, dict[str, Any]] = {}
    for path in dict.fromkeys(paths):
        try:
            identity = json.loads((path / IDENTITY).read_bytes())
            one = DriveFound(path, "here", str(identity["drive"]))
            store = str(identity["store"])
        except FileNotFoundError:
            found.append(DriveFound(path, "missing", why="no drive.json" if path.is_dir() else "no such folder"))
            continue
        except (OSError, ValueError, KeyError, TypeError) as error:
            found.append(DriveFound(path, "missing", why=f"drive.json cannot be read: {error}"))
            continue
        found.append(one)
        stores.setdefault(store, []).append(one)
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            listed = json.loads((path / MEMBERS).read_bytes())
            if listed["store"] == store and int(listed["generation"]) > int(lists.get(store, {}).get("generation", -1)):
                lists[store] = listed
    if not stores:
        return found
    ours = max(stores, key=lambda store: len(stores[store]))
    for store, drives in stores.items():
        for one in drives:
            if store != ours:
                one.state, one.why = "foreign", "it belongs to another object store"
            elif store in lists and one.id not in lists[store]["drives"]:
                one.state, one.why = "given-up", "the store has given it up; what it holds does not count"
    return found


class LiveIndex(Index):
    """The index of a server that works on it, to be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.env = lmdb.open(  # type: ignore[assignment]
            str(path), map_size=MAP_BYTES, max_dbs=len(TABLES), max_readers=READERS_MAX, readonly=True, create=False
        )
        for name in TABLES:
            setattr(self, name, self.env.open_db(name.encode()))

    @contextlib.contextmanager
    def writing(self) -> Iterator[Transaction]:
        raise OSError(errno.EROFS, "the server's index is only read here")
        yield

    def close(self, *, sync: bool = True) -> None:
        self.env.close()


@contextlib.contextmanager
def opened(place: Place, *, scratch: Path | None = None) -> Iterator[Opened]:
    """Open what can be found. Raises NotFound if no drive of a store is there, Conflict for a format of the future.

    `scratch`: a folder for an index of its own, with some 700 bytes of room for each object.
    """
    found = look(place.drives)
    here = [one for one in found if one.state == "here"]
    if not here:
        raise NotFound("No drive of an object store was found in " + ", ".join(str(one.path) for one in found) + ".")
    live = server_runs(place.index)
    with scratch_folder(scratch) as folder, ThreadPoolExecutor(4) as pool:
        bare = {bytes.fromhex(one.id): (one.path, ReadingDrive(one.path)) for one in here}
        specs = [DriveSpec(path, drive=Overlay(drive, Path(folder))) for path, drive in bare.values()]
        bays = members.assemble(specs)
        incomplete = ""
        if live:
            assert place.index is not None
            index: Index = LiveIndex(place.index / "lmdb")
        else:
            index, incomplete = _recovered(bays, Path(folder))
        try:
            reader = Reader(index, bays, pool)
            reader.damaged = lambda _: None
            memory = _remembered(index) if live else remembered(place.index)
            yield Opened(index, bays, reader, dict(bare), found, live, incomplete, set(bays.missing), memory)
        finally:
            index.close(sync=False)
            bays.close()


def remembered(folder: Path | None) -> Memory | None:
    """None if there is no index, or a power loss may have damaged it."""
    if folder is None or not (folder / "state.json").exists() or not (folder / "lmdb").is_dir():
        return None
    boot = recovery.boot_id()
    try:
        if any(path.read_text() != boot for path in folder.glob("open-*")):
            return None
        index = LiveIndex(folder / "lmdb")
    except (OSError, lmdb.Error):
        return None
    try:
        return _remembered(index)
    finally:
        index.close()


def _remembered(index: Index) -> Memory:
    rows = index.all_segments()
    holes = {row.id: found for row in rows if (found := recovery.known_holes(index, row.id))}
    return Memory({row.id: row.end for row in rows if row.state != RETIRED}, holes)


def _recovered(bays: Members, folder: Path) -> tuple[Index, str]:
    """An index of our own; and why it may lack something."""
    incomplete = ""
    for accept_loss in (False, True):
        locks = recovery.Locks(folder / "index", 0)
        try:
            index, _ = recovery.open_index(
                folder / "index", bays, locks, boot=recovery.boot_id(), map_bytes=MAP_BYTES, accept_loss=accept_loss
            )
            return index, incomplete
        except Unavailable:
            incomplete = "So many drives are missing that some objects may be known to them alone."
        finally:
            locks.close()
    raise AssertionError("recovery that accepts a loss does not fail for one")


def raise_file_limit() -> None:
    """Every segment is open at once while an index is built."""
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def writable_scratch(home: Path | None) -> Path | None:
    """The store's own folder has room for an index more likely than /tmp has."""
    folder = None if home is None else home / "store"
    return folder if folder is not None and folder.is_dir() and os.access(folder, os.W_OK) else None
