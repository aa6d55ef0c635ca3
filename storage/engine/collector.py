"""The collector: gives back the room of bodies that nothing refers to any more.

Changes to the index only note what has become free (`garbage`); the files are removed here, later, so that no request waits for it. Every
step can be cut off and repeated: files go first, the notes about them last.
"""

from __future__ import annotations

import contextlib
import logging
import os
import struct
import time
from dataclasses import replace

from cloudbox.common.errors import CloudError
from storage.engine import entries, extents
from storage.engine.changes import CLEAR_BUCKET, CLEAR_UPLOAD, DROP_BLOB
from storage.engine.index import EXTENT, INLINE, MANIFEST, SEALED, Blob, Index, Segment
from storage.engine.kv import Transaction
from storage.engine.listing import Walk
from storage.engine.members import Members
from storage.engine.reader import Reader
from storage.engine.recovery import RECOUNT
from storage.engine.rounds import Progress

log = logging.getLogger(__name__)

ROUND_ITEMS = 500
ORPHAN_SECONDS = 3600.0  # So long after it was written an extent without a record counts as left behind.


def collect(index: Index, members: Members, reader: Reader, *, items: int = ROUND_ITEMS) -> Progress:
    """Deal with some of the garbage."""
    progress = Progress("collect")
    with index.env.begin() as txn:
        rows = []
        for key, value in txn.cursor(db=index.garbage):
            rows.append((key, value))
            if len(rows) >= items:
                break
        progress.left = txn.stat(index.garbage)["entries"]
    for key, value in rows:
        kind, payload = value[:1], value[1:]
        try:
            if kind == DROP_BLOB:
                _drop_blob(index, members, reader, key, payload[1:], payload[0])
            elif kind == CLEAR_UPLOAD:
                _clear_upload(index, reader, key, payload[:16], payload[16:])
            elif kind == CLEAR_BUCKET:
                _clear_bucket(index, key, payload)
        except (OSError, CloudError) as error:  # A drive that is away: it stays on the list.
            progress.notes.append(str(error))
            continue
        progress.done += 1
        progress.left -= 1
    return progress


def _throw(index: Index, txn: Transaction, blob: bytes) -> None:
    txn.put(os.urandom(16), DROP_BLOB + b"\1" + blob, db=index.garbage)


def _drop_blob(index: Index, members: Members, reader: Reader, key: bytes, id: bytes, fewer: int) -> None:
    """One reference less; if it was the last one, the blob goes."""
    blob = index.blob(id)
    children: list[bytes] = []
    last = blob is not None and blob.references - fewer <= 0
    if blob is not None and last:
        if blob.kind == EXTENT:
            _remove_files(members, id, blob)
        elif blob.kind == MANIFEST and blob.place[2]:
            children = [part.blob for part in entries.manifest_of(reader.blob_range(id, 0, blob.place[2]))]
    with index.writing() as txn:
        txn.delete(key, db=index.garbage)
        raw = txn.get(id, db=index.blobs)
        if raw is None or blob is None:
            return
        if not last:
            txn.put(id, Blob.unpack(raw).referred(-fewer).pack(), db=index.blobs)
            return
        txn.delete(id, db=index.blobs)
        for child in children:
            _throw(index, txn, child)
        if blob.kind == INLINE:
            _less_live(index, txn, blob)
    reader.forget_extent(id)


def _less_live(index: Index, txn: Transaction, blob: Blob) -> None:
    segment = blob.place[0].to_bytes(8, "big")
    raw = txn.get(segment, db=index.segments)
    if raw is not None:
        row = Segment.unpack(blob.place[0], raw)
        txn.put(segment, replace(row, live=row.live - blob.place[2]).pack(), db=index.segments)


def _remove_files(members: Members, id: bytes, blob: Blob) -> None:
    for number, (drive, _) in enumerate(blob.replicas):
        bay = members.bay(drive)
        if bay is not None:  # On a drive that is away it is an orphan when that comes back.
            bay.drive.remove(extents.path_of(id, number if blob.data else None))


def _clear_upload(index: Index, reader: Reader, key: bytes, upload: bytes, manifest: bytes) -> None:
    """The parts of an upload that is over; those that its manifest took belong to that."""
    taken: set[bytes] = set()
    if manifest:
        blob = index.blob(manifest)
        if blob is not None and blob.place[2]:
            taken = {part.blob for part in entries.manifest_of(reader.blob_range(manifest, 0, blob.place[2]))}
    while True:
        with index.writing() as txn:
            cursor = txn.cursor(db=index.parts)
            ok = cursor.set_range(upload)
            found: list[tuple[bytes, bytes]] = []
            while ok and cursor.key().startswith(upload) and len(found) < ROUND_ITEMS:
                found.append(cursor.item())
                ok = cursor.next()
            for part, row in found:
                txn.delete(part, db=index.parts)
                blob_id = entries.part_of(0, row).blob
                if blob_id not in taken:
                    _throw(index, txn, blob_id)
            if not found:
                txn.delete(key, db=index.garbage)
                return


def _clear_bucket(index: Index, key: bytes, bucket: bytes) -> None:
    """Versions that a replay found in a bucket that has ended: their writers were refused."""
    for table in (index.objects, index.versions):
        while True:
            with index.writing() as txn:
                walk = Walk(txn, table, bucket)
                found: list[tuple[bytes, bytes]] = []
                ok = walk.seek(b"")
                while ok and len(found) < ROUND_ITEMS:
                    found.append((walk.space + walk.tail, walk.row))
                    ok = walk.next()
                for row_key, row in found:
                    txn.delete(row_key, db=table)
                    if len(row) > entries.PLACE_BYTES:
                        blob = entries.head_of(row[entries.PLACE_BYTES :]).blob
                        if blob:
                            _throw(index, txn, blob)
            if not found:
                break
    with index.writing() as txn:
        txn.delete(key, db=index.garbage)


def recount(index: Index, reader: Reader) -> Progress:
    """After a recovery that found segments gone: let go of blobs that nothing refers to, whose last reference went with a segment.

    One snapshot says what is referred to; what is not in it cannot be referred to later, since references only come with versions.
    """
    progress = Progress("recount")
    if index.note(RECOUNT) is None:
        return progress
    manifests: set[bytes] = set()
    used: set[bytes] = set()
    with index.env.begin() as txn:
        blobs = {key: Blob.unpack(row) for key, row in txn.cursor(db=index.blobs)}
        for bucket in [key for key, _ in txn.cursor(db=index.buckets)]:
            for table in (index.objects, index.versions):
                walk = Walk(txn, table, bucket)
                ok = walk.seek(b"")
                while ok:
                    if len(walk.row) > entries.PLACE_BYTES:
                        used.add(entries.head_of(walk.row[entries.PLACE_BYTES :]).blob)
                    ok = walk.next()
        used |= {entries.part_of(0, row).blob for _, row in txn.cursor(db=index.parts)}
        manifests = {value[17:33] for _, value in txn.cursor(db=index.garbage) if value[:1] == CLEAR_UPLOAD}
    for id in (used | manifests) & blobs.keys():
        if blobs[id].kind == MANIFEST and blobs[id].place[2]:
            used |= {part.blob for part in entries.manifest_of(reader.blob_range(id, 0, blobs[id].place[2]))}
    idle = [id for id in blobs.keys() - used if id not in manifests]
    with index.writing() as txn:
        for id in idle:
            raw = txn.get(id, db=index.blobs)
            if raw is not None:
                txn.put(id, replace(Blob.unpack(raw), references=0).pack(), db=index.blobs)
                txn.put(os.urandom(16), DROP_BLOB + b"\0" + id, db=index.garbage)
        txn.delete(RECOUNT, db=index.misc)
    progress.done = len(idle)
    return progress


def sweep(index: Index, members: Members, *, older_than: float = ORPHAN_SECONDS) -> Progress:
    """Remove extents that no blob knows: what a crash left between naming a file and writing its record. Also blobs without reference,
    and copies of segments where the index has none: the repairer or the rebalancer was cut off before they were entered."""
    progress = Progress("sweep")
    limit = time.time_ns() - int(older_than * 1e9)
    for bay in list(members.bays.values()):
        try:
            paths = bay.drive.names("extents")
        except OSError as error:
            bay.failed(error)
            continue
        for path in paths:
            stem = path.rsplit("/", 1)[1].partition("-")[0]
            with contextlib.suppress(ValueError, OSError):
                id = bytes.fromhex(stem)
                blob = index.blob(id)
                known = blob is not None and any(drive == bay.id for drive, _ in blob.replicas)
                if not known and struct.unpack(">Q", id[:8])[0] < limit:
                    bay.drive.remove(path)
                    progress.done += 1
        try:
            for path in bay.drive.names("segments"):
                row = index.segment(int(path.rsplit("/", 1)[1], 16))
                if row is not None and row.state == SEALED and all(drive != bay.id for drive, _ in row.replicas):
                    bay.drive.remove(path)
                    progress.done += 1
        except OSError as error:
            bay.failed(error)
    with index.env.begin() as txn:
        idle = [k for k, row in txn.cursor(db=index.blobs) if not Blob.unpack(row).references and struct.unpack(">Q", k[:8])[0] < limit]
    if idle:
        with index.writing() as txn:
            for id in idle:
                txn.put(os.urandom(16), DROP_BLOB + b"\0" + id, db=index.garbage)
        progress.done += len(idle)
    return progress
