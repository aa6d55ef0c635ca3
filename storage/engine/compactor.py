"""The compactor: writes what is still needed of a mostly dead segment into the log again, and removes the segment.

Its copies are ordinary records with their old stamps, committed like all others; the index moves a row to its copy because both carry
the same stamp. A tombstone is copied for as long as some segment holds an older record of its identity. A segment's files go only when
every copy is safe, and from all its drives or from none: a drive that is away keeps its segments from being removed, so that it cannot
come back with records whose tombstones are forgotten.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import replace

from storage.engine import entries, names
from storage.engine.commit import Committer
from storage.engine.entries import COMPLETES, NULL_VERSION
from storage.engine.index import NULL_POINTER, RETIRED, SEALED, Blob, Index, Segment, Shadow, inverted, version_identity
from storage.engine.kv import Transaction
from storage.engine.members import Members
from storage.engine.reader import Reader
from storage.engine.records import ABORT, DELETE, PART, PUT, SEGMENT_HEADER_BYTES, UPLOAD, UPLOAD_END, Found, Record, scan
from storage.engine.replay import HOLES, holes, known_holes
from storage.engine.rounds import Progress
from storage.engine.segments import path_of
from storage.engine.spares import Spares
from storage.engine.types import CLASS_BY_NUMBER

log = logging.getLogger(__name__)

DEAD_SHARE = 0.5  # A segment is rewritten when so much of it is dead.
CHUNK_BYTES = 4 << 20
CHUNK_RECORDS = 500


def candidates(index: Index, members: Members, *, dead_share: float = DEAD_SHARE) -> list[Segment]:
    """Segments worth rewriting whose drives are all here, the deadest first; those whose removal was cut off before all."""
    found = []
    for row in index.all_segments():
        used = row.end - SEGMENT_HEADER_BYTES
        if row.state == RETIRED:
            found.append((-1.0, row))
        elif row.state == SEALED and all(drive in members.bays for drive, _ in row.replicas):
            share = max(0, row.live) / used if used > 0 else 0.0
            if share <= 1 - dead_share:
                found.append((share, row))
    return [row for _, row in sorted(found, key=lambda pair: (pair[0], pair[1].id))]


async def compact(committer: Committer, reader: Reader, *, segments: int = 1, dead_share: float = DEAD_SHARE) -> Progress:
    """Rewrite up to so many segments."""
    index, members = committer.index, committer.members
    progress = Progress("compact")
    await asyncio.to_thread(committer.spares.release)
    waiting = await asyncio.to_thread(candidates, index, members, dead_share=dead_share)
    progress.left = len(waiting)
    for row in waiting[:segments]:
        if row.state != RETIRED and not await _rewrite(committer, reader, row, progress):
            continue
        if await asyncio.to_thread(_retire, index, members, committer.spares, reader, row):
            progress.done += 1
            progress.left -= 1
    return progress


async def _rewrite(committer: Committer, reader: Reader, row: Segment, progress: Progress) -> bool:
    """Copy what counts; True if all of it is safe elsewhere."""
    found = await asyncio.to_thread(_needed, committer.index, reader, row)
    if found is None:
        progress.notes.append(f"segment {row.id:016x} cannot be read whole; the repairer comes first")
        return False
    while found:
        chunk: list[Record] = []
        size = 0
        while found and len(chunk) < CHUNK_RECORDS and size < CHUNK_BYTES:
            chunk.append(found.pop())
            size += len(chunk[-1].body)
        storage_class = CLASS_BY_NUMBER[row.storage_class]
        await asyncio.gather(*(committer.commit(record, storage_class, copy=True, freeing=True) for record in chunk))
        progress.bytes += size
    return True


def _read(index: Index, reader: Reader, row: Segment) -> list[Found] | None:
    """Every record, from the replicas together; None if one that is needed may be unreadable on all."""
    best: dict[int, Found] = {}
    for bay in reader.files.replicas(row.id, fresh=True):
        try:
            file = bay.drive.open(path_of(row.id))
            for found in scan(file.read, row.id, SEGMENT_HEADER_BYTES, min(row.end, file.size())):
                best.setdefault(found.offset, found)
        except OSError as error:
            bay.failed(error)
            continue
        if not holes(best, SEGMENT_HEADER_BYTES, row.end) - known_holes(index, row.id):
            return [best[offset] for offset in sorted(best)]
    return None


def _needed(index: Index, reader: Reader, row: Segment) -> list[Record] | None:
    found = _read(index, reader, row)
    if found is None:
        return None
    with index.env.begin() as txn:
        alive = {int.from_bytes(key, "big") for key, _ in txn.cursor(db=index.segments)}
        carried = {identity for one in found for identity in _carried(index, txn, row.id, one)}
        needed = []
        for one in found:
            record = _needs(index, txn, row.id, one, alive, carried)
            if record is not None:
                needed.append(record)
    return needed


def _carried(index: Index, txn: Transaction, segment: int, found: Found) -> list[bytes]:
    """The identities of which the record is outdated, and yet copied for the blob it brings: their tombstones go with it, also those
    beside it, which otherwise would not be needed."""
    record, here = found.record, (segment, found.body_offset)
    if record.type == PUT:
        head = entries.head_of(record.entry)
        if _blob_at(index, txn, head.blob, here) and not _at(_version_row(index, txn, record, head), here):
            null = bool(head.flags & NULL_VERSION)
            return [version_identity(record.key[:16], record.key[16:], head.stamp, null)]
    if record.type == PART:
        blob = entries.part_head(record.entry)[2]
        if _blob_at(index, txn, blob, here) and not _at(txn.get(record.key, db=index.parts), here):
            return [b"u" + record.key[:16]]
    return []


def _needs(index: Index, txn: Transaction, segment: int, found: Found, alive: set[int], carried: set[bytes]) -> Record | None:
    """The record to copy, if this one still matters."""
    record = found.record
    here = (segment, found.body_offset)
    if record.type == PUT:
        head = entries.head_of(record.entry)
        if _at(_version_row(index, txn, record, head), here) or _blob_at(index, txn, head.blob, here):
            return record
        if head.flags & COMPLETES and _tomb_needed(index, txn, b"u" + head.upload, record.stamp, segment, alive, carried):
            return Record(UPLOAD_END, record.stamp, head.upload, head.blob)
        return None
    if record.type == PART:
        row = txn.get(record.key, db=index.parts)
        return record if _at(row, here) or _blob_at(index, txn, entries.part_head(record.entry)[2], here) else None
    if record.type == UPLOAD:
        return record if _at(txn.get(record.key, db=index.uploads), here) else None
    if record.type == DELETE:
        stamp, null = entries.tombstone_of(record.entry)
        identity = version_identity(record.key[:16], record.key[16:], stamp, null)
        return record if _tomb_needed(index, txn, identity, record.stamp, segment, alive, carried) else None
    if record.type == UPLOAD_END:
        return record if _tomb_needed(index, txn, b"u" + record.key, record.stamp, segment, alive, carried) else None
    if record.type == ABORT:
        return record if entries.abort_of(record.entry)[0] in alive else None
    return record  # DROP, and types of later formats.


def _version_row(index: Index, txn: Transaction, record: Record, head: entries.Head) -> bytes | None:
    key = names.key(record.key[:16], record.key[16:])
    null = bool(head.flags & NULL_VERSION)
    row = txn.get(key, db=index.objects)
    if row is not None:
        is_null = bool(row[entries.FLAGS_AT] & NULL_VERSION)
        if is_null == null and (null or int.from_bytes(row[entries.STAMP_AT : entries.STAMP_AT + 8], "little") == head.stamp):
            return row
    pointer = txn.get(key + NULL_POINTER, db=index.versions) if null else inverted(head.stamp)
    return None if pointer is None else txn.get(key + pointer, db=index.versions)


def _at(row: bytes | None, here: tuple[int, int]) -> bool:
    return row is not None and entries.PLACE.unpack_from(row)[:2] == here


def _blob_at(index: Index, txn: Transaction, id: bytes, here: tuple[int, int]) -> bool:
    row = txn.get(id, db=index.blobs) if id else None
    return row is not None and Blob.unpack(row).place[:2] == here


def _tomb_needed(index: Index, txn: Transaction, identity: bytes, stamp: int, segment: int, alive: set[int], carried: set[bytes]) -> bool:
    """Whether an older record of the identity lies somewhere else, or is about to."""
    raw = txn.get(identity, db=index.shadows)
    if raw is None:
        return False
    shadow = Shadow.unpack(raw)
    return shadow.tomb == stamp and (identity in carried or any(other != segment and other in alive for other in shadow.segments))


def _retire(index: Index, members: Members, spares: Spares, reader: Reader, row: Segment) -> bool:
    """Take the files away from all drives, then what the index says about them."""
    identities = _identities(reader, row)
    index.update_segment(row.id, lambda now: replace(now, state=RETIRED))
    # Should this be cut off, what is left must be whole: so incomplete replicas go first.
    for drive, _ in sorted(row.replicas, key=lambda pair: -pair[1]):
        bay = members.bay(drive)
        if bay is None:
            return False
        try:
            spares.retire(bay, path_of(row.id), capacity=row.capacity, written=row.end)
        except OSError as error:
            bay.failed(error)
            return False
    for bay in members.bays.values():  # A copy that the repairer did not get to enter.
        if bay.id not in dict(row.replicas):
            with contextlib.suppress(OSError):
                bay.drive.remove(path_of(row.id))
    for start in range(0, len(identities), 1000):
        _forget(index, identities[start : start + 1000], row.id)
    index.update_segment(row.id, lambda _: None)
    with index.writing() as txn:
        for note in (b"abort", HOLES):
            txn.delete(note + row.id.to_bytes(8, "big"), db=index.misc)
    reader.files.forget(row.id)
    return True


def _identities(reader: Reader, row: Segment) -> list[tuple[bytes, int]]:
    """What the records of the segment are about, and the stamps of its tombstones; as far as it can be read."""
    found: dict[tuple[bytes, int], None] = {}
    for bay in reader.files.replicas(row.id):
        try:
            file = bay.drive.open(path_of(row.id))
            for one in scan(file.read, row.id, SEGMENT_HEADER_BYTES, min(row.end, file.size())):
                record = one.record
                if record.type == PUT:
                    head = entries.head_of(record.entry)
                    null = bool(head.flags & NULL_VERSION)
                    found[(version_identity(record.key[:16], record.key[16:], head.stamp, null), 0)] = None
                    if head.upload:
                        found[(b"u" + head.upload, record.stamp)] = None
                elif record.type == DELETE:
                    stamp, null = entries.tombstone_of(record.entry)
                    found[(version_identity(record.key[:16], record.key[16:], stamp, null), record.stamp)] = None
                elif record.type in (PART, UPLOAD, UPLOAD_END):
                    found[(b"u" + record.key[:16], record.stamp if record.type == UPLOAD_END else 0)] = None
        except OSError:
            continue
        break
    return list(found)


def _forget(index: Index, identities: list[tuple[bytes, int]], segment: int) -> None:
    """The segment no longer holds outdated records of these; a tombstone that went with it and has nothing left to cover is forgotten."""
    with index.writing() as txn:
        for identity, tomb in identities:
            raw = txn.get(identity, db=index.shadows)
            if raw is None:
                continue
            shadow = Shadow.unpack(raw)
            left = tuple(
                other for other in shadow.segments if other != segment and txn.get(other.to_bytes(8, "big"), db=index.segments) is not None
            )
            if not left and (not shadow.tomb or shadow.tomb == tomb):
                txn.delete(identity, db=index.shadows)
            elif left != shadow.segments:
                txn.put(identity, Shadow(shadow.tomb, left).pack(), db=index.shadows)
