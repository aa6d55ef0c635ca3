"""The drives of a store: who belongs to it, who is here, how each one does.

Each drive carries its identity (drive.json) and the list of all (members.json, with a generation). A drive that is away is still a
member: nothing that it may hold a copy of is forgotten, so it can come back. A drive that was given up is no member; should it come
back, what it holds is removed before it joins as a new one. That is why old records on it can never count again.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import queue
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cloudbox.common.errors import Conflict
from storage.engine.drives import FOLDERS, Drive, FilesystemDrive
from storage.engine.placement import Candidate, pick
from storage.engine.records import FORMAT
from storage.engine.types import IDENTITY, DriveSpec

log = logging.getLogger(__name__)

MEMBERS = "members.json"
# Beside its folders; those that the house keeps there come before those that make it a drive.
ON_EVERY_DRIVE = ("names.json", "drives.json", MEMBERS, IDENTITY)
TIMES = 26  # Classes of latencies, up to half a minute.
SUSPECT_SECONDS = 30.0  # After a failed write a drive gets nothing new for so long.


@dataclass
class Health:
    """What a drive did in this process, for the admin console. Latencies are of durable writes, in seconds, smoothed."""

    writes: int = 0
    write_bytes: int = 0
    write_latency: float = 0.0
    reads: int = 0
    read_bytes: int = 0
    errors: int = 0
    bad_blocks: int = 0
    last_error: str = ""
    write_times: list[int] = field(default_factory=lambda: [0] * TIMES)  # How many took up to 2**n microseconds.
    read_times: list[int] = field(default_factory=lambda: [0] * TIMES)

    def wrote(self, count: int, seconds: float) -> None:
        """A durable write, or a large one past the page cache."""
        self.writes += 1
        self.write_bytes += count
        self.write_latency += 0.05 * (seconds - self.write_latency)
        self.write_times[min(TIMES - 1, int(seconds * 1e6).bit_length())] += 1

    def read(self, count: int, seconds: float) -> None:
        """A read that may have had to wait for the device."""
        self.reads += 1
        self.read_bytes += count
        self.read_times[min(TIMES - 1, int(seconds * 1e6).bit_length())] += 1


class Bay:
    """A drive in use by this process, with the thread that does its small durable writes."""

    def __init__(self, id: bytes, spec: DriveSpec, drive: Drive) -> None:
        self.id, self.spec, self.drive = id, spec, drive
        self.health = Health()
        self.suspect_until = 0.0
        self.writers = 0  # Large bodies on their way to this drive, in this process.
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @property
    def label(self) -> str:
        return str(self.spec.path)

    def submit(self, job: Callable[[], None]) -> None:
        """Run it in the drive's thread, after those before it. It must not raise."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"drive {self.label}", daemon=True)
            self._thread.start()
        self._jobs.put(job)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def close(self, *, wait: bool = True) -> None:
        self._jobs.put(None)
        if self._thread is not None and wait:
            self._thread.join(5)
        self._thread = None

    def failed(self, error: BaseException) -> None:
        self.health.errors += 1
        self.health.last_error = str(error)
        if not (isinstance(error, OSError) and error.errno == errno.ENOSPC):
            self.suspect_until = time.monotonic() + SUSPECT_SECONDS

    def space(self) -> tuple[int, int]:
        """Free and total bytes; 0, 0 if the drive does not answer."""
        try:
            return self.drive.space()
        except OSError as error:
            self.failed(error)
            return 0, 0

    def candidate(self) -> Candidate:
        return Candidate(self.id, self.spec.domain, self.spec.weight, self.space()[0])


@dataclass
class Members:
    """All drives. `bays` are those that are here, by id."""

    store: bytes
    bays: dict[bytes, Bay]
    missing: set[bytes] = field(default_factory=set)
    absent_specs: list[DriveSpec] = field(default_factory=list)
    generation: int = 0
    reserve_bytes: int = 0

    def bay(self, id: bytes) -> Bay | None:
        return self.bays.get(id)

    def usable(self, *, room: int = 0, reserve: bool = True) -> list[Bay]:
        """Those that may get new bytes: here, not failing, not draining, with that much room (beyond the reserve)."""
        now = time.monotonic()
        least = room + (self.reserve_bytes if reserve else 0)
        return [b for b in self.bays.values() if now >= b.suspect_until and not b.spec.draining and b.space()[0] > least]

    def choose(self, count: int, *, room: int = 0, reserve: bool = True, beside: Sequence[bytes] = ()) -> list[Bay]:
        """Where to put something new; fewer than `count` if there are no more."""
        near = [bay.candidate() for id in beside if (bay := self.bays.get(id)) is not None]
        usable = {bay.id: bay for bay in self.usable(room=room, reserve=reserve)}
        return [usable[c.id] for c in pick([bay.candidate() for bay in usable.values()], count, beside=near)]

    def write_members(self, ids: set[bytes]) -> None:
        """A new generation of the list, on every drive that is here; one suffices for it to count, and repairs itself at the next start."""
        self.generation += 1
        document = json.dumps(
            {"format": FORMAT, "store": self.store.hex(), "generation": self.generation, "drives": sorted(i.hex() for i in ids)}
        )
        written = 0
        for bay in self.bays.values():
            try:
                bay.drive.save(MEMBERS, document.encode())
                written += 1
            except OSError as error:
                bay.failed(error)
        if not written:
            raise OSError(errno.EIO, "no drive took the new list of drives")

    def give_up(self, id: bytes) -> None:
        """No longer wait for a drive that is away: what it held counts as lost. Its replicas are the repairer's business."""
        if id in self.bays:
            raise Conflict("This drive is here; drain it instead.")
        self.missing.discard(id)
        self.write_members({*self.bays, *self.missing})

    def configure(self, specs: Sequence[DriveSpec]) -> None:
        """Take over weights, domains and drains; let go of drives that are no longer among them. Call `probe` next, to meet new ones.

        One process at a time (`Locks.opening`). A drive that is let go stays a member until it is dismissed or given up.
        """
        by_path = {spec.path: spec for spec in specs}
        for id, bay in list(self.bays.items()):
            spec = by_path.pop(bay.spec.path, None)
            if spec is not None:
                bay.spec = spec
                continue
            self.bays = {other: b for other, b in self.bays.items() if other != id}
            self.missing.add(id)
            bay.close(wait=False)
        self.absent_specs = list(by_path.values())
        self.refresh()

    def refresh(self) -> None:
        """Learn which drives another process has given up, dismissed or let join."""
        document = _newest([(b.spec, b.drive) for b in self.bays.values()])
        if document is not None and int(str(document["generation"])) >= self.generation:
            self.generation = int(str(document["generation"]))
            listed = {bytes.fromhex(id) for id in document["drives"]}  # type: ignore[attr-defined]
            self.missing = listed - set(self.bays)

    def dismiss(self, id: bytes) -> None:
        """Let a drive go for good that is here and holds nothing any more; what the store keeps on every drive is removed from it."""
        bay = self.bays.get(id)
        self.bays = {other: b for other, b in self.bays.items() if other != id}
        self.missing.discard(id)
        self.write_members({*self.bays, *self.missing})
        if bay is None:
            return
        bay.close(wait=False)
        for folder in FOLDERS:
            for name in bay.drive.names(folder):
                bay.drive.remove(name)
        for name in ON_EVERY_DRIVE:
            bay.drive.remove(name)

    def probe(self) -> bool:
        """See which drives have gone and which have come; True if any has. One process at a time (`Locks.opening`)."""
        changed = False
        for id, bay in list(self.bays.items()):
            try:
                identity = _load(bay.drive, IDENTITY)
                gone = identity is None or identity.get("drive") != id.hex()
            except (OSError, ValueError) as error:
                bay.failed(error)
                gone = True
            if gone:
                log.warning("drive %s is gone", bay.label)
                self.bays = {other: b for other, b in self.bays.items() if other != id}  # Anew, since others read it meanwhile.
                self.missing.add(id)
                self.absent_specs.append(bay.spec)
                bay.close(wait=False)
                changed = True
        for spec in list(self.absent_specs):
            changed = self._plug_again(spec) or changed
        return changed

    def _plug_again(self, spec: DriveSpec) -> bool:
        drive = _plug(spec, log_level=logging.DEBUG)  # It was said once that it is away; this is asked every few seconds.
        if drive is None:
            return False
        try:
            document = _newest([*((b.spec, b.drive) for b in self.bays.values()), (spec, drive)])
            listed = {bytes.fromhex(id) for id in document["drives"]} if document else {*self.bays, *self.missing}  # type: ignore[attr-defined]
            id = _identify(spec, drive, self.store, listed)
        except (OSError, ValueError, Conflict) as error:
            log.info("drive %s stays away: %s", spec.path, error)
            return False
        self.absent_specs.remove(spec)
        self.missing.discard(id)
        self.bays = {**self.bays, id: Bay(id, spec, drive)}
        if document is not None:
            self.generation = max(self.generation, int(str(document["generation"])))
            self.missing = listed - set(self.bays)
        if id not in listed:
            self.write_members({*self.bays, *self.missing})
        log.warning("drive %s is here", spec.path)
        return True

    def close(self) -> None:
        for bay in self.bays.values():
            bay.close()


def _plug(spec: DriveSpec, *, log_level: int = logging.WARNING) -> Drive | None:
    """None if the drive is away. A missing folder is a missing drive: making it would hide a disk that is not mounted."""
    if spec.drive is not None:
        return spec.drive
    if not spec.joins and not (spec.path / IDENTITY).is_file():
        log.log(log_level, "drive %s is away: it is not mounted, or was emptied", spec.path)
        return None
    try:
        return FilesystemDrive(spec.path)
    except OSError as error:
        log.log(log_level, "drive %s is away: %s", spec.path, error)
        return None


def _load(drive: Drive, name: str) -> dict[str, object] | None:
    raw = drive.load(name)
    if raw is None:
        return None
    document = json.loads(raw)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise Conflict(f"{name} of a drive has a format that this version of Cloudbox does not know. Update Cloudbox.")
    return document


def _newest(drives: Sequence[tuple[DriveSpec, Drive]]) -> dict[str, object] | None:
    newest: dict[str, object] | None = None
    for _, drive in drives:
        with contextlib.suppress(OSError, ValueError):
            document = _load(drive, MEMBERS)
            if document is not None and (newest is None or int(str(document["generation"])) > int(str(newest["generation"]))):
                newest = document
    return newest


def assemble(specs: Sequence[DriveSpec], *, reserve_bytes: int = 0) -> Members:
    """Plug in the drives, let new ones join, clear those that had been given up. One process at a time."""
    plugged: list[tuple[DriveSpec, Drive]] = []
    absent: list[DriveSpec] = []
    for spec in specs:
        drive = _plug(spec)
        if drive is None:
            absent.append(spec)
        else:
            plugged.append((spec, drive))
    document = _newest(plugged)
    if document:
        store = bytes.fromhex(str(document["store"]))
        listed = {bytes.fromhex(id) for id in document["drives"]}  # type: ignore[attr-defined]
    else:
        store, listed = _first(plugged)
    members = Members(store, {}, reserve_bytes=reserve_bytes, absent_specs=absent)
    members.generation = int(str(document["generation"])) if document else 0
    joined = False
    for spec, drive in plugged:
        try:
            id = _identify(spec, drive, store, listed)
        except OSError as error:
            log.warning("drive %s does not answer: %s", spec.path, error)
            absent.append(spec)
            continue
        if id in members.bays:
            raise Conflict(f"The drive {spec.path} is a copy of the drive {members.bays[id].label}. Take one of them out.")
        joined = joined or id not in listed
        members.bays[id] = Bay(id, spec, drive)
    members.missing = listed - set(members.bays)
    if joined or document is None:
        members.write_members({*members.bays, *members.missing})
    else:
        _spread(members)
    return members


def _first(plugged: Sequence[tuple[DriveSpec, Drive]]) -> tuple[bytes, set[bytes]]:
    """Store and drives when no list was ever written: a new store, or one whose first start was cut off."""
    store, listed = uuid.uuid4().bytes, set()
    for _, drive in plugged:
        with contextlib.suppress(OSError, ValueError):
            identity = _load(drive, IDENTITY)
            if identity is not None:
                store = bytes.fromhex(str(identity["store"]))
                listed.add(bytes.fromhex(str(identity["drive"])))
    return store, listed


def _identify(spec: DriveSpec, drive: Drive, store: bytes, listed: set[bytes]) -> bytes:
    identity = _load(drive, IDENTITY)
    if identity is not None:
        if bytes.fromhex(str(identity["store"])) != store:
            raise Conflict(f"The drive {spec.path} belongs to another object store. Take it out, or empty it to use it here.")
        id = bytes.fromhex(str(identity["drive"]))
        if id in listed:
            return id
        log.warning("drive %s had been given up; it is emptied and joins anew", spec.path)
        for folder in FOLDERS:
            for name in drive.names(folder):
                drive.remove(name)
    id = uuid.uuid4().bytes
    document = {"format": FORMAT, "store": store.hex(), "drive": id.hex(), "joined": time.time()}
    drive.save(IDENTITY, json.dumps(document).encode())
    return id


def _spread(members: Members) -> None:
    """Give the newest list to drives that have an older one, or none."""
    for bay in members.bays.values():
        with contextlib.suppress(OSError, ValueError):
            document = _load(bay.drive, MEMBERS)
            if document is None or int(str(document["generation"])) < members.generation:
                ids = sorted(i.hex() for i in {*members.bays, *members.missing})
                text = json.dumps({"format": FORMAT, "store": members.store.hex(), "generation": members.generation, "drives": ids})
                bay.drive.save(MEMBERS, text.encode())
