"""What each worker of the data plane does about drives, every two seconds: follow the list, say how they do; the first one leads.

All workers follow `drives.json` (drive_list.py) without a restart, and write what their process has done with each drive into a small
file in `run/store/drives`. The first worker carries out the orders of administrators (drives.py), adds those files up, and publishes what
it sees in PostgreSQL: `StoreDrive.facts` and `StoreRounds.facts`, whose fields are named in `_facts` and `facts_of_rounds` below. It also
keeps names.json, with the buckets' names and the sealed keys, and a copy of drives.json on every drive.

A drive is let go of only when every worker that lives has taken over the list that drains it, none has a large body on its way there,
and a count of the index that began later found nothing on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import logging
import os
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

from cloudbox.common import clock, events
from cloudbox.common.errors import CloudError
from storage import drive_list, kept_names
from storage.drive_list import DriveList, Entry
from storage.engine import Store, census
from storage.engine.members import Bay
from storage.engine.types import CLASS_BY_NUMBER
from storage.engine.verified import Verified
from storage.loading import visiting
from storage.models import DriveOrder, StoreDrive, StoreRounds
from storage.plane import Plane

log = logging.getLogger(__name__)

SECONDS = 2.0
ALIVE_SECONDS = 15.0  # A worker that has said nothing for so long has ended, or hangs.
WINDOW_SECONDS = 60.0  # What "recent" means for rates and latencies.
CENSUS_SECONDS, CENSUS_SHARE = 5.0, 20  # Not more often than so, nor for more than a twentieth of the time.
NAMES_SECONDS = 60.0
COUNTERS = ("writes", "write_bytes", "reads", "read_bytes", "errors", "bad_blocks")
_FREE_TO_BE_THERE = {"lost+found"}


class Refused(Exception):
    """An order cannot be carried out; the sentence is for who gave it."""


class DriveRounds:
    """One per worker."""

    def __init__(self, plane: Plane, file: Path, folder: Path, *, leads: bool) -> None:
        self._plane, self._store, self._file, self._folder, self._leads = plane, plane.store, file, folder, leads
        self._list = DriveList(tuple(Entry(bay.spec.path, id.hex()) for id, bay in plane.store.members.bays.items()))
        self._seen: tuple[int, int] | None = None
        self._own = folder / f"{os.getpid()}-{plane.store.committer.worker}.json"
        self._lead = _Leader(plane, self) if leads else None

    async def run(self) -> None:
        """Until it is cancelled."""
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            while True:
                try:
                    await self.round()
                except CloudError as error:
                    log.warning("drives: %s", error.message)
                except Exception:
                    log.exception("a round of the drives failed")
                await asyncio.sleep(SECONDS)
        finally:
            self._own.unlink(missing_ok=True)

    async def round(self) -> None:
        await self.follow()
        self._say()
        if self._lead is not None:
            await self._lead.round()

    @property
    def drives(self) -> DriveList:
        return self._list

    async def follow(self) -> None:
        """Take over the list if it has changed."""
        try:
            stat = self._file.stat()
        except FileNotFoundError:
            return
        seen = (stat.st_mtime_ns, stat.st_ino)
        if seen == self._seen:
            return
        listed = drive_list.read(self._file)
        if listed is None:
            return
        if self._seen is not None or listed.specs != [bay.spec for bay in self._store.members.bays.values()]:
            await self._store.configure(listed.specs)
        self._list, self._seen = listed, seen

    async def take(self, drives: DriveList) -> None:
        """Write a new list down, here and on every drive, and go on with it."""
        drive_list.write(self._file, drives)
        await self.follow()
        await asyncio.to_thread(save_everywhere, self._store, drive_list.NAME, drives.dumped())

    def _say(self) -> None:
        """What this process has done, since it began."""
        drives = {}
        for id, bay in self._store.members.bays.items():
            health = asdict(bay.health)
            drives[id.hex()] = health | {"suspect": bay.suspect_until > time.monotonic(), "writers": bay.writers}
        rounds = {what: {"at": at} | asdict(progress) for what, (at, progress) in self._store.rounds.items()}
        document = {"pid": os.getpid(), "at": time.time(), "generation": self._list.generation, "drives": drives, "rounds": rounds}
        beside = self._own.with_suffix(".new")
        beside.write_text(json.dumps(document))
        beside.rename(self._own)

    def others(self) -> list[dict[str, Any]]:
        """What all workers that live have last said, this one included."""
        found = []
        for path in self._folder.glob("*.json"):
            with contextlib.suppress(OSError, ValueError, KeyError):
                said = json.loads(path.read_text())
                if time.time() - said["at"] < ALIVE_SECONDS and _lives(said["pid"]):
                    found.append(said)
                elif not _lives(said["pid"]):
                    path.unlink(missing_ok=True)
        return found


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def save_everywhere(store: Store, name: str, data: bytes) -> None:
    """A small file on every drive. One that does not take it has an older copy; the newest counts."""
    for bay in store.members.bays.values():
        try:
            if bay.drive.load(name) != data:
                bay.drive.save(name, data)
        except OSError as error:
            bay.failed(error)


@dataclass
class _Sums:
    """The counters of one drive over all workers, at one moment."""

    at: float
    counters: dict[str, int]
    write_times: list[int]
    read_times: list[int]


@dataclass
class _Seen:
    """What the leader remembers of a drive."""

    recent: deque[_Sums] = field(default_factory=deque)
    drain_from_bytes: int = 0


class _Leader:
    """The first worker's part."""

    def __init__(self, plane: Plane, rounds: DriveRounds) -> None:
        self._plane, self._store, self._rounds = plane, plane.store, rounds
        self._seen: dict[bytes, _Seen] = {}
        self._census = census.Census()
        self._census_began = 0.0
        self._census_due = 0.0
        self._names: dict[str, Any] | None = None
        self._names_document = b""
        self._names_due = 0.0

    async def round(self) -> None:
        await self._settle()
        for order in await self._plane.run(_open_orders):
            await self._carry_out(order)
        if time.monotonic() >= self._census_due:
            await self._count()
        await self._keep_names()
        await self._plane.run(_publish, self._drives(), self._facts_of_rounds())

    async def _settle(self) -> None:
        """Drives that have joined are written down with their ids."""
        ids = {bay.spec.path: id.hex() for id, bay in self._store.members.bays.items()}
        settled = drive_list.settled(self._rounds.drives, ids)
        if settled is not self._rounds.drives:
            await self._rounds.take(settled)

    async def _count(self) -> None:
        began = time.monotonic()
        self._census = await asyncio.to_thread(census.count, self._store.index, self._store.members)
        self._census_began = began
        self._census_due = time.monotonic() + max(CENSUS_SECONDS, CENSUS_SHARE * (time.monotonic() - began))

    async def _keep_names(self) -> None:
        if time.monotonic() < self._names_due:
            return
        self._names_due = time.monotonic() + NAMES_SECONDS
        found = await self._plane.run(visiting(kept_names.facts))
        if found != self._names:
            self._names, self._names_document = found, kept_names.document(found)
        # Also where nothing has changed: a drive may have come.
        await asyncio.to_thread(save_everywhere, self._store, drive_list.NAMES, self._names_document)

    # --- orders

    async def _carry_out(self, order: DriveOrder) -> None:
        try:
            said = await self._do(order)
        except Refused as refused:
            await self._plane.run(_end_order, order, DriveOrder.State.FAILED, str(refused))
        except (OSError, CloudError) as error:
            log.exception("an order about drives failed")
            await self._plane.run(_end_order, order, DriveOrder.State.FAILED, getattr(error, "message", "") or str(error))
        else:
            if said is not None:
                await self._plane.run(_end_order, order, DriveOrder.State.DONE, said)
            elif order.state != DriveOrder.State.WORKING:
                await self._plane.run(_order_works, order)

    async def _do(self, order: DriveOrder) -> str | None:
        """Carry it out; what is to be known about it, or None if it goes on. Raises Refused."""
        drives, arguments = self._rounds.drives, order.arguments
        if order.verb == DriveOrder.Verb.ADD:
            return await self._add(Entry(Path(arguments["path"]), weight=arguments["weight"], domain=arguments["domain"], joins=True))
        assert order.drive is not None
        entry = drives.of(order.drive.hex)
        if order.verb == DriveOrder.Verb.REPLACE:
            return await self._replace(order, entry)
        if order.verb == DriveOrder.Verb.REMOVE:
            if entry is not None and order.drive.bytes in self._store.members.bays:
                why = self._why_not_gone(order.drive.bytes, entry)
                if why:
                    raise Refused(why)
            await self._let_go(order.drive.bytes, entry)
            return ""
        if entry is None:
            raise Refused("The drive is no longer one of the store's.")
        changes: dict[str, Any] = dict(arguments)
        if order.verb in (DriveOrder.Verb.DRAIN, DriveOrder.Verb.KEEP):
            changes = {"draining": order.verb == DriveOrder.Verb.DRAIN}
        await self._rounds.take(drives.exchanged(entry, replace(entry, **changes)))
        self._census_due = 0.0
        return ""

    async def _add(self, entry: Entry) -> str:
        """Raises Refused if the folder will not do, with the list as it was."""
        before = self._rounds.drives
        if before.at(entry.path) is not None:
            raise Refused(f"{entry.path} is one of the drives already.")
        said = await asyncio.to_thread(examine, entry.path, before.paths, self._store.members.store)
        await self._rounds.take(before.changed((*before.entries, entry)))
        if not any(bay.spec.path == entry.path for bay in self._store.members.bays.values()):
            await self._rounds.take(self._rounds.drives.changed(before.entries))
            raise Refused(f"The drive {entry.path} could not be taken into use; the log of the object store says why.")
        await self._settle()
        self._census_due = 0.0
        return said

    async def _replace(self, order: DriveOrder, entry: Entry | None) -> str | None:
        assert order.drive is not None
        old = order.drive.bytes
        if order.state == DriveOrder.State.WAITING:
            like = entry or Entry(Path(order.arguments["path"]))
            order.said = await self._add(Entry(Path(order.arguments["path"]), weight=like.weight, domain=like.domain, joins=True))
            entry = self._rounds.drives.of(order.drive.hex)
            if entry is not None and old in self._store.members.bays:
                await self._rounds.take(self._rounds.drives.exchanged(entry, replace(entry, draining=True)))
                return None
        elif entry is not None and old in self._store.members.bays and self._why_not_gone(old, entry):
            return None
        await self._let_go(old, entry)
        return order.said

    def _why_not_gone(self, drive: bytes, entry: Entry) -> str:
        """Why a drive that is here cannot be let go of yet; empty if it can."""
        if not entry.draining:
            return "It still gets new objects. Empty it first."
        said = self._rounds.others()
        if any(one["generation"] < self._rounds.drives.generation for one in said):
            return "Not every worker of the object store has taken over yet that it is being emptied. Try again in a moment."
        if any(one["drives"].get(drive.hex(), {}).get("writers") for one in said):
            return "An upload that began before is still on its way to it. Try again when that has ended."
        placed = self._census.drives.get(drive)
        if placed is not None and (placed.segments or placed.extents):
            return f"It still holds {placed.segments + placed.extents:,} pieces with {placed.size_bytes:,} bytes. Wait until it is empty."
        if self._census_began < time.monotonic() - 2 * ALIVE_SECONDS:
            self._census_due = 0.0
            return "It is being looked whether it is empty. Try again in a moment."
        return ""

    async def _let_go(self, drive: bytes, entry: Entry | None) -> None:
        """Of an empty drive, or of one that is missing."""
        await self._count()
        placed = self._census.drives.get(drive)
        if drive in self._store.members.bays:
            if placed is not None and (placed.segments or placed.extents):
                raise Refused("Something has come onto it in the meantime. Try again when it is empty.")
            await self._store.dismiss(drive)
        elif drive in self._store.members.missing:
            await self._store.give_up(drive)
        if entry is not None:
            await self._rounds.take(self._rounds.drives.changed(one for one in self._rounds.drives.entries if one.id != entry.id))
        self._seen.pop(drive, None)

    # --- what is seen

    def _drives(self) -> list[StoreDrive]:
        said = self._rounds.others()
        verified = Verified(self._store.index)
        rows = []
        members = self._store.members
        now = clock.now()
        for entry in self._rounds.drives.entries:
            if not entry.id:
                continue
            id = bytes.fromhex(entry.id)
            bay = members.bay(id)
            sums = self._sum(id, said)
            facts = self._facts(id, entry, bay, sums, verified)
            rows.append(
                StoreDrive(
                    id=UUID(bytes=id),
                    path=str(entry.path),
                    state=self._state(id, entry, bay, said),
                    weight=entry.weight,
                    domain=entry.domain,
                    facts=facts,
                    seen_at=now,
                )
            )
        return rows

    def _state(self, id: bytes, entry: Entry, bay: Bay | None, said: Sequence[dict[str, Any]]) -> str:
        if bay is None:
            return StoreDrive.State.MISSING
        if entry.draining:
            return StoreDrive.State.DRAINING if self._why_not_gone(id, entry) else StoreDrive.State.DRAINED
        if any(one["drives"].get(id.hex(), {}).get("suspect") for one in said):
            return StoreDrive.State.SUSPECT
        return StoreDrive.State.ACTIVE

    def _facts(self, id: bytes, entry: Entry, bay: Bay | None, sums: _Sums, verified: Verified) -> dict[str, Any]:
        """Sizes in bytes, rates per second over the last minute, latencies in milliseconds; None: not known."""
        free, total = bay.space() if bay is not None else (0, 0)
        placed = self._census.drives.get(id, census.Placed())
        seen = self._seen[id]
        first = seen.recent[0]
        passed = max(sums.at - first.at, SECONDS)
        rates = {f"{name}_per_second": round((sums.counters[name] - first.counters[name]) / passed, 2) for name in COUNTERS[:4]}
        if entry.draining:
            seen.drain_from_bytes = max(seen.drain_from_bytes, placed.size_bytes)
        else:
            seen.drain_from_bytes = 0
        when = verified.drive(id)
        return {
            "here": bay is not None,
            "draining": entry.draining,
            "device": _device(entry.path) if bay is not None else "",
            "shares_with": _sharing(entry.path, self._rounds.drives.paths) if bay is not None else [],
            "free": free,
            "total": total,
            "fill": round(1 - free / total, 4) if total else None,
            "segments": placed.segments,
            "extents": placed.extents,
            "bytes": placed.size_bytes,
            "drain_from_bytes": seen.drain_from_bytes,
            "drained_percent": 100 - 100 * placed.size_bytes // seen.drain_from_bytes if seen.drain_from_bytes else None,
            **rates,
            "write_p50_ms": _quantile(first.write_times, sums.write_times, 0.5),
            "write_p99_ms": _quantile(first.write_times, sums.write_times, 0.99),
            "read_p50_ms": _quantile(first.read_times, sums.read_times, 0.5),
            "read_p99_ms": _quantile(first.read_times, sums.read_times, 0.99),
            "errors": sums.counters["errors"],
            "bad_blocks": sums.counters["bad_blocks"],
            "last_error": bay.health.last_error if bay is not None else "",
            "verified_at": None if when is None else dt.datetime.fromtimestamp(when, dt.UTC).isoformat(),
        }

    def _sum(self, id: bytes, said: Sequence[dict[str, Any]]) -> _Sums:
        """Of all workers; one that has ended takes its numbers along, so what was seen of it is kept."""
        seen = self._seen.setdefault(id, _Seen())
        counters = dict.fromkeys(COUNTERS, 0)
        write_times: list[int] = []
        read_times: list[int] = []
        for one in said:
            health = one["drives"].get(id.hex())
            if health is None:
                continue
            for name in COUNTERS:
                counters[name] += health[name]
            write_times = _added(write_times, health["write_times"])
            read_times = _added(read_times, health["read_times"])
        sums = _Sums(time.monotonic(), counters, write_times, read_times)
        if seen.recent and any(counters[name] < seen.recent[-1].counters[name] for name in COUNTERS):
            seen.recent.clear()  # A worker has ended: begin anew.
        seen.recent.append(sums)
        while sums.at - seen.recent[0].at > WINDOW_SECONDS:
            seen.recent.popleft()
        return sums

    def _facts_of_rounds(self) -> dict[str, Any]:
        newest: dict[str, dict[str, Any]] = {}
        for one in self._rounds.others():
            for what, told in one["rounds"].items():
                if told["at"] > newest.get(what, {"at": 0.0})["at"]:
                    newest[what] = told
        return facts_of_rounds(self._store, self._census, newest)


def facts_of_rounds(store: Store, counted: census.Census, newest: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """`rounds`: by kind (audit, repair, rebalance, compact, collect…) the last one that did something: at (ISO), done, left, bytes_left,
    bytes, mended, lost, notes. `audit`: how far the reading of everything is (percent), when it ended last and when the next begins.
    `queue`: pieces and bytes that lack copies or are to be moved. `copies_max`: the most copies that any class in use asks for."""
    rounds = {what: told | {"at": dt.datetime.fromtimestamp(told["at"], dt.UTC).isoformat()} for what, told in newest.items()}
    segments = store.index.all_segments()
    state = json.loads(store.index.note(b"audit") or b"{}")
    finished = state.get("finished")
    return {
        "rounds": rounds,
        "audit": {
            "percent": 100 if finished else _audited(store, state, [row.id for row in segments]),
            "finished_at": dt.datetime.fromtimestamp(finished, dt.UTC).isoformat() if finished else None,
            "next_at": dt.datetime.fromtimestamp(finished + 86_400, dt.UTC).isoformat() if finished else None,
        },
        "queue": {"pieces": counted.waiting, "bytes": counted.waiting_bytes},
        "totals": {"segments": counted.segments, "extents": counted.extents, "bytes": counted.size_bytes},
        "missing": sorted(id.hex() for id in store.members.missing),
        "copies_max": max([CLASS_BY_NUMBER[row.storage_class].replicas for row in segments if row.live > 0], default=1),
    }


def _audited(store: Store, state: dict[str, Any], segments: Sequence[int]) -> int:
    """Segments by their number; extents by the time in which they were made, which their ids begin with. Each is half of it."""
    if not segments:
        return 0
    if not state.get("blob"):
        return 50 * sum(id <= int(state.get("segment", 0)) for id in segments) // len(segments)
    first, at, last = min(segments), int(str(state["blob"])[:16], 16), max(max(segments), int(time.time() * 1e9))
    return min(99, 50 + 50 * max(0, at - first) // max(1, last - first))


def _added(one: list[int], other: list[int]) -> list[int]:
    return [a + b for a, b in zip(one, other, strict=True)] if one and other else one or list(other)


def _quantile(before: list[int], now: list[int], share: float) -> float | None:
    """Of the latencies between two moments, in ms: the upper edge of the class that it falls into. A drive that a worker does not know
    (yet, or any more) has no classes at all at that moment."""
    counts = [b - a for a, b in zip(before, now, strict=True)] if before and now else list(now)
    total = sum(counts)
    if total <= 0:
        return None
    below = 0
    for n, count in enumerate(counts):
        below += count
        if below >= share * total:
            return round(2**n / 1000, 3)
    return None


def _device(path: Path) -> str:
    """What is mounted there, as the kernel calls it."""
    try:
        number = os.stat(path).st_dev
        wanted = f"{os.major(number)}:{os.minor(number)}"
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            fields = line.split()
            if fields[2] == wanted:
                return fields[fields.index("-") + 2]
    except (OSError, ValueError, IndexError):
        pass
    return ""


def _sharing(path: Path, paths: Sequence[Path]) -> list[str]:
    """The other drives that are on the same device."""
    try:
        own = os.stat(path).st_dev
    except OSError:
        return []
    found = []
    for other in paths:
        with contextlib.suppress(OSError):
            if other != path and os.stat(other).st_dev == own:
                found.append(str(other))
    return found


def examine(path: Path, drives: Sequence[Path], store: bytes) -> str:
    """Whether a folder can become a drive; what should be known about it. Raises Refused."""
    if not path.is_dir():
        raise Refused(f"There is no folder {path}, or the object store's account may not look at it. Mount the disk there.")
    real = path.resolve()
    for other in drives:
        theirs = other.resolve()
        if real == theirs or real.is_relative_to(theirs) or theirs.is_relative_to(real):
            raise Refused(f"{path} and the drive {other} lie in one another.")
    try:
        there = set(os.listdir(path)) - _FREE_TO_BE_THERE
        probe = path / f".cloudbox-{os.getpid()}"
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        owner = f"{os.geteuid()}:{os.getegid()}"
        raise Refused(f"The object store's account cannot write to {path} ({error.strerror}). Try: chown {owner} {path}") from error
    if drive_list.is_drive(path):
        try:
            theirs_id = str(json.loads((path / "drive.json").read_text())["store"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Refused(f"The drive.json in {path} cannot be read. Empty the folder if it is to be used here.") from error
        if theirs_id != store.hex():
            raise Refused(f"{path} is a drive of another object store. Empty it if it is to be used here.")
    elif there:
        raise Refused(f"{path} is not empty: there is {sorted(there)[0]}. A drive begins with an empty folder.")
    shared = _sharing(path, drives)
    if shared:
        return f"{path} is on the same device as {shared[0]}: when that fails, both are gone. Copies may come to lie on both."
    if os.stat(path).st_dev == os.stat("/").st_dev:
        return f"{path} is on the disk of the system. If a disk was to be mounted there, it is not."
    return ""


# --- PostgreSQL


@visiting
def _open_orders() -> list[DriveOrder]:
    return list(DriveOrder.objects.filter(state__in=(DriveOrder.State.WAITING, DriveOrder.State.WORKING)).order_by("asked_at"))


@visiting
def _end_order(order: DriveOrder, state: str, said: str) -> None:
    DriveOrder.objects.filter(pk=order.pk).update(state=state, said=said, ended_at=clock.now())


@visiting
def _order_works(order: DriveOrder) -> None:
    DriveOrder.objects.filter(pk=order.pk).update(state=DriveOrder.State.WORKING, said=order.said)


@visiting
def _publish(rows: list[StoreDrive], rounds: dict[str, Any]) -> None:
    fields = ["path", "state", "weight", "domain", "facts", "seen_at"]
    StoreDrive.objects.bulk_create(rows, update_conflicts=True, unique_fields=["id"], update_fields=fields)
    StoreDrive.objects.exclude(pk__in=[row.pk for row in rows]).delete()
    StoreRounds.objects.update_or_create(pk=1, defaults={"facts": rounds, "seen_at": clock.now()})
    # A hint for pages that are open; they read the rows.
    events.send_to("admin", {"type": "event", "id": None, "noun": "drive", "verb": "touch", "subject": "", "project": ""})
