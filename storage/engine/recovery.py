"""Coming back: after a clean stop, a kill, a power loss, or with no index at all.

The index of this boot is always good: LMDB writes copies, and the page cache outlives processes. Each worker then only reads the end of
its own log. The index of a boot that ended without a clean stop may be damaged, and is not looked at: the newest checkpoint takes its
place, and every segment is read from where the checkpoint knows it. Without a checkpoint this reads everything.

Whatever was found on some drives only is completed on the others before it counts: a state that one reader has seen stays.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from cloudbox.common.errors import Conflict, Unavailable
from storage.engine import changes, checkpoint
from storage.engine.changes import Item
from storage.engine.clock import Clock, base_above, worker_of
from storage.engine.drives import File
from storage.engine.entries import PLACE
from storage.engine.index import EXTENT, GOOD, OPEN, SEALED, STALE, Blob, Index, Segment
from storage.engine.listing import Walk, split
from storage.engine.members import Bay, Members
from storage.engine.names import unescape
from storage.engine.records import SEGMENT_HEADER_BYTES, Found, SegmentHeader, parse_segment_header, scan
from storage.engine.segments import path_of
from storage.engine.types import CLASS_BY_NUMBER

log = logging.getLogger(__name__)

REPLAY_ITEMS = 1000  # Per transaction.
CLOCK_NOTE, NEWEST_NOTE = b"clock", b"newest"
RECOUNT = b"recount"  # Set when the collector has to find blobs that lost their last reference unseen.


@dataclass
class Report:
    """What a recovery did."""

    index: str = "kept"  # or "checkpoint", "rebuilt", "new"
    segments: int = 0
    records: int = 0
    mended_records: int = 0
    newest: int = 0  # Stamp


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class Locks:
    """Who is here: one lock per worker, one for opening. Locks vanish with their process, marks do not: that tells a crash."""

    def __init__(self, folder: Path, worker: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._worker = folder, worker
        self._own = self._open(f"worker-{worker}.lock")
        try:
            fcntl.flock(self._own, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._own)
            raise Conflict(f"Another process is worker {worker} of this object store.") from None

    def _open(self, name: str) -> int:
        return os.open(self._folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @contextlib.contextmanager
    def opening(self) -> Iterator[None]:
        fd = self._open("open.lock")
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def tending(self) -> Iterator[bool]:
        """One worker at a time does the rounds; False if another one does."""
        fd = self._open("tend.lock")
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def of(self, worker: int) -> Iterator[bool]:
        """Stand in for a worker that is not running; False if it is."""
        if worker == self._worker:
            yield True
            return
        fd = self._open(f"worker-{worker}.lock")
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(fd)

    def marks(self) -> dict[int, str]:
        """The boot in which each worker was started that has not ended cleanly."""
        return {int(path.name.split("-")[1]): path.read_text() for path in self._folder.glob("open-*")}

    def mark(self, boot: str) -> None:
        path = self._folder / f"open-{self._worker}"
        with path.open("w") as file:
            file.write(boot)
            file.flush()
            os.fsync(file.fileno())
        fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(fd)
        os.close(fd)

    def unmark(self, worker: int | None = None) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self._folder / f"open-{self._worker if worker is None else worker}").unlink()

    def close(self) -> None:
        os.close(self._own)


def open_index(
    folder: Path, members: Members, locks: Locks, *, boot: str, map_bytes: int, accept_loss: bool = False
) -> tuple[Index, Report]:
    """The index, good and complete up to every acknowledged record. Call under `locks.opening()`.

    Raises Unavailable if drives are missing that may hold acknowledged records which no other drive has; `accept_loss` goes on without.
    """
    report = Report()
    state = folder / "state.json"
    crashed = any(mark != boot for mark in locks.marks().values())
    trusted = (
        not crashed and state.exists() and json.loads(state.read_text()).get("store") == members.store.hex() and (folder / "lmdb").exists()
    )
    if trusted:
        return Index(folder / "lmdb", map_bytes=map_bytes), report
    shutil.rmtree(folder / "lmdb", ignore_errors=True)
    state.unlink(missing_ok=True)
    found = _segments_on_drives(members)
    if found and not accept_loss:
        _demand_drives(members, found)
    report.index = "checkpoint" if checkpoint.restore(members, folder / "lmdb") else "rebuilt" if found else "new"
    index = Index(folder / "lmdb", map_bytes=map_bytes)
    _rebuild(index, members, found, report)
    index.env.sync(True)
    state.write_text(json.dumps({"store": members.store.hex()}))
    for worker in locks.marks():
        locks.unmark(worker)
    return index, report


def clock_for(index: Index, worker: int, boot: str) -> Clock:
    """The clock that all workers of this boot share."""
    raw = index.note(CLOCK_NOTE)
    note = json.loads(raw) if raw else {}
    if note.get("boot") != boot:
        raw = index.note(NEWEST_NOTE)
        last = int.from_bytes(raw, "little") if raw else 0
        note = {"boot": boot, "base": base_above(last)}
        index.set_note(CLOCK_NOTE, json.dumps(note).encode())
    return Clock(int(note["base"]), worker)


def note_newest(index: Index, stamp: int) -> None:
    """So that the stamps of the next boot lie above, even if the wall clock has been put back."""
    with index.writing() as txn:
        raw = txn.get(NEWEST_NOTE, db=index.misc)
        if raw is None or int.from_bytes(raw, "little") < stamp:
            txn.put(NEWEST_NOTE, stamp.to_bytes(8, "little"), db=index.misc)


# --- from the drives


@dataclass
class _OnDrives:
    """A segment as the drives have it."""

    header: SegmentHeader
    files: list[tuple[Bay, File]]


def _segments_on_drives(members: Members) -> dict[int, _OnDrives]:
    found: dict[int, _OnDrives] = {}
    for bay in members.bays.values():
        try:
            paths = bay.drive.names("segments")
        except OSError as error:
            bay.failed(error)
            continue
        for path in paths:
            try:
                id = int(path.removeprefix("segments/"), 16)
                file = bay.drive.open(path, write=True)
                header = parse_segment_header(file.read(0, SEGMENT_HEADER_BYTES))
            except (OSError, ValueError):
                continue
            if header is None:  # Damaged, but its records name it as well.
                header = SegmentHeader(id, worker_of(id), 0, 0, members.store, ())
            if header.segment != id or header.store != members.store:
                continue
            if id in found:
                found[id].files.append((bay, file))
            else:
                found[id] = _OnDrives(header, [(bay, file)])
    return found


def _demand_drives(members: Members, found: dict[int, _OnDrives]) -> None:
    """An acknowledged record is on a quorum of its segment's drives: enough of them must be here to meet each such quorum."""
    quorums = [CLASS_BY_NUMBER[s.header.storage_class].quorum for s in found.values()]
    here = set(members.bays)
    short = [
        id
        for id, segment in found.items()
        if len(segment.files) < len(segment.header.drives) - CLASS_BY_NUMBER[segment.header.storage_class].quorum + 1
        and not set(segment.header.drives) <= here
    ]
    if (members.missing and len(members.missing) >= max(quorums)) or short:
        raise Unavailable(
            f"{len(members.missing)} of {len(members.missing) + len(members.bays)} drives are missing, and the index has to be rebuilt: "
            "what only they know would be lost. Attach them, or say that they are gone (bin/cloudbox store rebuild-index --accept-loss)."
        )


def _rebuild(index: Index, members: Members, found: dict[int, _OnDrives], report: Report) -> None:
    """Bring every segment into the index, newest first: a batch that failed is called off by a younger segment."""
    with index.writing() as txn:
        txn.drop(index.reservations, delete=False)
    for id in sorted(found, reverse=True):
        on_drives = found[id]
        row = index.segment(id)
        here = {bay.id for bay, _ in on_drives.files}
        if row is None:
            replicas = tuple((drive, GOOD) for drive in dict.fromkeys([*(b.id for b, _ in on_drives.files)]))
            row = Segment(
                id,
                on_drives.header.worker,
                on_drives.header.storage_class,
                OPEN,
                SEGMENT_HEADER_BYTES,
                0,
                on_drives.header.capacity,
                replicas,
            )
            index.put_segment(row)
        if row.state == SEALED:
            continue
        files = [(bay, file) for bay, file in on_drives.files if dict(row.replicas).get(bay.id) is not None]
        row = replace(row, replicas=tuple((drive, state) for drive, state in row.replicas if drive in here or drive in members.missing))
        index.put_segment(row)
        replay(index, row, files, report)
    _drop_vanished(index, members, found)
    _find_extents(index, members)


def _drop_vanished(index: Index, members: Members, found: dict[int, _OnDrives]) -> None:
    """Segments that a checkpoint knows and the drives no longer have: they were retired after it was made.

    Before that, what still counted was copied, and the replay has found the copies. So whatever the index still places in them had been
    deleted, and the tombstones may have gone with them.
    """
    vanished = {row.id for row in index.all_segments() if row.id not in found and any(drive in members.bays for drive, _ in row.replicas)}
    if not vanished:
        return
    with index.env.begin() as txn:
        buckets = [key for key, _ in txn.cursor(db=index.buckets)]
        uploads = [(key, row) for key, row in txn.cursor(db=index.uploads) if PLACE.unpack_from(row)[0] in vanished]
        parts = [(key, row) for key, row in txn.cursor(db=index.parts) if PLACE.unpack_from(row)[0] in vanished]
        gone_blobs = [
            key for key, row in txn.cursor(db=index.blobs) if (blob := Blob.unpack(row)).kind != EXTENT and blob.place[0] in vanished
        ]
        versions = []
        for bucket in buckets:
            for table in (index.objects, index.versions):
                walk = Walk(txn, table, bucket)
                ok = walk.seek(b"")
                while ok:
                    if len(walk.row) > PLACE.size and PLACE.unpack_from(walk.row)[0] in vanished:
                        versions.append((bucket, unescape(split(walk.key)[0]), walk.row))
                    ok = walk.next()
    for start in range(0, len(versions), REPLAY_ITEMS):
        with index.writing() as write:
            purge = changes.Changes(index, write, 0, replay=True)
            for bucket, name, row in versions[start : start + REPLAY_ITEMS]:
                purge.purge(bucket, name, row)
            purge.finish()
    with index.writing() as write:
        purge = changes.Changes(index, write, 0, replay=True)
        for key, row in uploads:
            purge.purge_upload(key, row)
        for key, row in parts:
            purge.purge_part(key, row)
        purge.finish()
        for key in gone_blobs:
            write.delete(key, db=index.blobs)
        write.put(RECOUNT, b"1", db=index.misc)
        for id in vanished:
            write.delete(id.to_bytes(8, "big"), db=index.segments)


def _find_extents(index: Index, members: Members) -> None:
    """Which drives have which extents, as the drives say."""
    where: dict[bytes, list[tuple[int, bytes]]] = {}
    for bay in members.bays.values():
        with contextlib.suppress(OSError):
            for path in bay.drive.names("extents"):
                stem, _, fragment = path.rsplit("/", 1)[1].partition("-")
                with contextlib.suppress(ValueError):
                    where.setdefault(bytes.fromhex(stem), []).append((int(fragment or 0), bay.id))
    with index.env.begin() as txn:
        rows = [(key, Blob.unpack(row)) for key, row in txn.cursor(db=index.blobs) if row[0] == EXTENT]
    for id, blob in rows:
        here = where.get(id, [])
        if blob.data:
            by_fragment = dict(here)
            replicas = tuple((by_fragment.get(n, drive), GOOD if n in by_fragment else STALE) for n, (drive, _) in enumerate(blob.replicas))
        else:
            away = [drive for drive, _ in blob.replicas if drive in members.missing]
            replicas = tuple((drive, GOOD) for _, drive in here) + tuple((drive, GOOD) for drive in away)
        if replicas != blob.replicas:
            index.update_blob(id, partial(_with_replicas, replicas))


def _with_replicas(replicas: tuple[tuple[bytes, int], ...], blob: Blob) -> Blob:
    return replace(blob, replicas=replicas)


# --- one segment


def recover_tails(index: Index, members: Members, locks: Locks, worker: int) -> Report:
    """After a kill: the open segments of this worker, and of workers that are not running."""
    report = Report()
    for row in index.all_segments():
        if row.state != OPEN:
            continue
        with locks.of(row.worker) as free:
            if free:
                replay(index, row, _files_of(members, row), report)
    for other in range(256):
        if other == worker or (locks._folder / f"worker-{other}.lock").exists():
            with locks.of(other) as free:
                if free:
                    index.release_all(other)
                    index.reopen_buckets(other)
                    if other != worker:
                        locks.unmark(other)
    _remove_unused(index, members, locks)
    return report


def _files_of(members: Members, row: Segment) -> list[tuple[Bay, File]]:
    files = []
    for drive, _ in row.replicas:
        bay = members.bay(drive)
        if bay is None:
            continue
        try:
            files.append((bay, bay.drive.open(path_of(row.id), write=True)))
        except OSError as error:
            log.warning("segment %016x is not readable on drive %s: %s", row.id, bay.label, error)
    return files


def replay(index: Index, row: Segment, files: list[tuple[Bay, File]], report: Report) -> None:
    """Index what lies behind the row's end on any of these replicas, complete it on the others, and seal the segment."""
    cut = index.note(b"abort" + row.id.to_bytes(8, "big"))
    limit = int.from_bytes(cut, "big") if cut is not None else 1 << 62
    seen: dict[int, int] = {}
    has: dict[bytes, set[int]] = {}
    stale = {drive for drive, state in row.replicas if state == STALE}
    end = row.end
    start = max(SEGMENT_HEADER_BYTES, min(row.whole, row.end))
    for bay, file in files:
        mine = has[bay.id] = set()
        items: list[Item] = []
        try:
            # From before the end: the slowest drive may lack batches that its fellows' quorum brought into the index.
            for found in scan(file.read, row.id, start, min(limit, file.size())):
                mine.add(found.offset)
                if found.offset not in seen:
                    seen[found.offset] = found.end
                    end = max(end, found.end)
                    report.newest = max(report.newest, found.record.stamp)
                    if found.offset >= row.end:
                        items.append(Item(found.record, found.body_offset))
                if len(items) >= REPLAY_ITEMS:
                    _enter(index, row.id, items, report)
                    items = []
        except OSError as error:
            bay.failed(error)
            stale.add(bay.id)
        _enter(index, row.id, items, report)
    note_newest(index, max(report.newest, row.id))
    reached = {bay.id for bay, _ in files}
    for bay, file in files:
        lacking = sorted(seen.keys() - has[bay.id])
        if lacking and bay.id not in stale and not _mend(file, bay, lacking, seen, has, files, report):
            stale.add(bay.id)
    stale |= {drive for drive, _ in row.replicas if drive not in reached} if seen else set()

    def sealed(now: Segment) -> Segment:
        replicas = tuple((drive, STALE if drive in stale else state) for drive, state in now.replicas)
        return replace(now, state=SEALED, end=max(now.end, end), replicas=replicas)

    gaps = _gaps(seen, start, end)
    if gaps:  # Batches that were torn before anybody was told of them.
        index.set_note(_HOLES + row.id.to_bytes(8, "big"), json.dumps(sorted(gaps | known_holes(index, row.id))).encode())
    index.update_segment(row.id, sealed)
    report.segments += 1


_HOLES = b"holes"


def _gaps(ends: Mapping[int, int], start: int, end: int) -> set[tuple[int, int]]:
    found: set[tuple[int, int]] = set()
    at = start
    for offset in sorted(ends):
        if offset > at:
            found.add((at, offset))
        at = max(at, ends[offset])
    if at < end:
        found.add((at, end))
    return found


def holes(records: Mapping[int, Found], start: int, end: int) -> set[tuple[int, int]]:
    """Stretches of a segment in which no sound record was found."""
    return _gaps({offset: found.end for offset, found in records.items()}, start, end)


def known_holes(index: Index, segment: int) -> set[tuple[int, int]]:
    """Those in which there never was one that counts."""
    raw = index.note(_HOLES + segment.to_bytes(8, "big"))
    return {(low, high) for low, high in json.loads(raw)} if raw else set()


def _enter(index: Index, segment: int, items: list[Item], report: Report) -> None:
    if items:
        changes.apply(index, segment, items, None, replay=True)
        report.records += len(items)


def _mend(
    file: File,
    bay: Bay,
    lacking: list[int],
    seen: dict[int, int],
    has: dict[bytes, set[int]],
    files: list[tuple[Bay, File]],
    report: Report,
) -> bool:
    """Copy records to a replica that lacks them, from one that has them."""
    try:
        for offset in lacking:
            source = next(f for b, f in files if offset in has[b.id])
            file.write([source.read(offset, seen[offset] - offset)], offset, durable=True)
            report.mended_records += 1
    except OSError as error:
        bay.failed(error)
        return False
    return True


def _remove_unused(index: Index, members: Members, locks: Locks) -> None:
    """Segments that were made ahead by a process that is gone."""
    known = {row.id for row in index.all_segments()}
    for bay in members.bays.values():
        with contextlib.suppress(OSError):
            for path in bay.drive.names("segments"):
                with contextlib.suppress(ValueError):
                    id = int(path.removeprefix("segments/"), 16)
                    if id in known:
                        continue
                    with locks.of(worker_of(id)) as free:
                        if free and index.segment(id) is None and _empty(bay.drive.open(path), id):
                            bay.drive.remove(path)


def _empty(file: File, id: int) -> bool:
    return next(scan(file.read, id, SEGMENT_HEADER_BYTES, file.size()), None) is None
